# How far an instance is, step by step: as a stream of events that a page and a
# terminal can show, or as JSON; and the logs, which are their person's alone.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use Mojo::Util qw(b64_encode);
use Test::More;
use Time::HiRes qw(time);
use AML::Raw qw(connect_tls);
use AML::Test;
use AML::Wait qw(wait_for);

my $gw = AML::Test->start(instances => {});

sub script ($text) {
    return {scriptSource => 'inline', scriptData => b64_encode($text, '')};
}

sub create ($name, %scripts) {
    my $tx = $gw->api(
        PUT => $gw->compute($name), 'creator',
        json => $gw->compute_body(
            %scripts ? (setupScripts => {scripts => \%scripts}) : ()
        )
    );
    is $tx->res->code, 201, "$name: created" or diag $tx->res->body;
}

# Follows to the end: [[event, data], …].
sub follow ($name, $account = 'creator') {
    my $tx = $gw->api(GET => $gw->compute($name) . '/events', $account,
        headers => {Accept => 'text/event-stream'});
    my @events;
    for my $part (split /\n\n/, $tx->res->body) {
        my ($event, $data) = $part =~ /^event: (\S+)\ndata: (.+)$/ or next;
        push @events, [$event, decode_json($data)];
    }
    return ($tx, @events);
}

sub once ($name, $account = 'creator') {
    return $gw->api(GET => $gw->compute($name) . '/events', $account);
}

sub steps (@events) {
    return map {"$_->[1]{name} $_->[1]{outcome}"}
        grep { $_->[0] eq 'step' } @events;
}

subtest 'from creation to running' => sub {
    create('first-lab',
        creationScript => script("echo one\nsleep 0.2\necho two\n"),
        startupScript  => script("#!/bin/sh\necho each time\n"));
    my ($tx, @events) = follow('first-lab');
    is $tx->res->code, 200;
    like $tx->res->headers->content_type, qr{^text/event-stream};
    is $tx->res->headers->cache_control, 'no-store';
    is_deeply [steps(@events)],
        [
        'creation-script Running', 'creation-script Succeeded',
        'startup-script Running',  'startup-script Succeeded',
        'jupyter Running',         'jupyter Succeeded'
        ],
        'every step begins and ends';
    my ($done) = grep { $_->[1]{outcome} eq 'Succeeded' }
        grep { $_->[0] eq 'step' } @events;
    cmp_ok $done->[1]{took}, '>=', 200, 'how long it took';
    cmp_ok $done->[1]{took}, '<', 20_000;
    like $done->[1]{began}, qr/^20\d\d-\d\d-\d\dT[\d:]+\.\d{3}Z$/;
    like $done->[1]{title}, qr/creation script/, 'a title for people';
    my $log = join '', map { $_->[1]{text} }
        grep { $_->[0] eq 'log' && $_->[1]{name} eq 'creation-script' } @events;
    like $log, qr/^one\ntwo\n/, 'the log comes with it';
    my @states = grep { $_->[0] eq 'state' } @events;
    is $states[0][1]{state}, 'Creating';
    ok !$states[0][1]{settled};
    is_deeply [@{$states[-1][1]}{qw(state settled)}], ['Running', Mojo::JSON->true],
        'the state is the last';
    is $events[-1][0], 'state';
    is $states[-1][1]{operation}{status}, 'Succeeded';

    my $json = once('first-lab')->res->json;
    is $json->{state}, 'Running';
    is_deeply [map {"$_->{name} $_->{outcome}"} @{$json->{steps}}],
        [
        'creation-script Succeeded', 'startup-script Succeeded',
        'jupyter Succeeded'
        ],
        'and afterwards as JSON';
};

subtest 'it is remembered' => sub {
    $gw->kill_amld;
    $gw->start_amld;
    my $json = once('first-lab')->res->json;
    is_deeply [map { $_->{name} } @{$json->{steps}}],
        [qw(creation-script startup-script jupyter)], 'across a restart';
    my ($tx, @events) = follow('first-lab');
    is_deeply [(steps(@events))[0, -1]],
        ['creation-script Succeeded', 'jupyter Succeeded'],
        'a stream of what is over';
    is $events[-1][1]{state}, 'Running', 'ends at once';
};

subtest 'a restart of the instance, of amld in between' => sub {
    $gw->api(POST => $gw->compute('first-lab') . '/restart', 'creator');
    my ($tx, @events) = follow('first-lab');
    is_deeply [steps(@events)]->[-1], 'jupyter Succeeded';
    ok scalar(grep {/^stop Succeeded/} steps(@events)), 'the stop is a step';
    ok !scalar(grep {/creation-script/} steps(@events)),
        'what was before is not shown';
    is $events[-1][1]{state}, 'Running';
};

subtest 'others who may read' => sub {
    $gw->api(POST => $gw->compute('first-lab') . '/restart', 'creator');
    my ($tx, @events) = follow('first-lab', 'reader');
    is $tx->res->code, 200, 'a reader follows';
    is_deeply [steps(@events)]->[-1], 'jupyter Succeeded', 'the steps';
    is scalar(grep { $_->[0] eq 'log' } @events), 0, 'and no log';
    $gw->add_account('stranger');
    is once('first-lab', 'stranger')->res->code, 403, 'a stranger does not';
    is once('no-such-lab')->res->code, 404, 'what is not there';
    is $gw->program->get($gw->studio_url($gw->compute('first-lab')
            . '/events?api-version=2022-10-01'))->res->code, 401, 'nobody';
};

subtest 'logs' => sub {
    my $log = sub ($name, $account) {
        $gw->api(GET => $gw->compute('first-lab') . "/logs/$name", $account);
    };
    my $tx = $log->('creation-script', 'creator');
    is $tx->res->code, 200;
    like $tx->res->headers->content_type, qr{^text/plain};
    like $tx->res->body, qr/^one\ntwo\n.*exit status 0$/s, 'of a script';
    is $log->('jupyter', 'creator')->res->code =~ /^(?:200|404)$/, 1,
        'of an application';
    is $log->('creation-script', 'reader')->res->code, 403,
        'a reader reads none';
    is $log->('creation-script', 'colleague')->res->code, 403,
        'nor a contributor';
    is $log->($_, 'creator')->res->code, 404, "no log: $_"
        for qw(no-such creation-script.1 lock ..log);
};

subtest 'what fails' => sub {
    create('second-lab',
        creationScript => script("echo no such package >&2; exit 7"));
    my ($tx, @events) = follow('second-lab');
    is_deeply [steps(@events)],
        ['creation-script Running', 'creation-script Failed'];
    is $events[-1][1]{state}, 'SetupFailed', 'is said';
    like $events[-1][1]{errors}[0]{message},
        qr/exit status 7.*no such package/s, 'with the reason';
    my $other = once('second-lab', 'reader')->res->json;
    is $other->{state}, 'SetupFailed';
    ok !exists $other->{errors}, 'whose log is not for others';
    my %said = map { $_ => $gw->api(GET => $gw->compute('second-lab'), $_)
            ->res->json('/properties/properties/errors/0/error/message') }
        qw(creator reader);
    like $said{creator}, qr/exit status 7.*no such package/s,
        'the API says all of it to the creator';
    like $said{reader}, qr/exit status 7\.$/, 'and to others what happened';
    my ($listed) = grep { $_->{name} eq 'second-lab' }
        @{$gw->api(GET => $gw->workspace . '/computes', 'reader')
            ->res->json('/value')};
    unlike encode_json($listed), qr/no such package/, 'also in a list';
};

subtest 'nothing runs before the creation script has succeeded' => sub {
    my $act = sub ($verb) {
        my $tx = $gw->api(POST => $gw->compute('late-lab') . "/$verb", 'creator');
        is $tx->res->code, 202, $verb;
        my ($followed, @events) = follow('late-lab');
        return ($events[-1][1]{state}, steps(@events));
    };
    create('late-lab', creationScript =>
        script("echo try, with t0p >> late\ntail -n 1 late\n"
            . "test \$(wc -l < late) -gt 2\n"));
    my ($tx, @events) = follow('late-lab');
    is $events[-1][1]{state}, 'SetupFailed', 'it fails';

    my $errors = sub ($account) {
        $gw->api(GET => $gw->compute('late-lab'), $account)
            ->res->json('/properties/properties/errors/0/error/message');
    };
    like $errors->('creator'), qr/try, with t0p/, 'its person gets the log';
    like $errors->('reader'), qr/^The creation ?script [^\n]*\.\z/i,
        'others what happened';

    my ($state, @steps) = $act->('restart');
    is $state, 'SetupFailed', 'a restart creates it anew';
    is scalar(grep { $_ eq 'creation-script Failed' } @steps), 1;
    is scalar(grep {/^jupyter/} @steps), 0, 'and nothing else runs';

    ($state) = $act->('stop');
    is $state, 'Stopped';
    ($state, @steps) = $act->('start');
    is $state, 'Running', 'a start';
    is_deeply [@steps[0 .. 1]],
        ['creation-script Running', 'creation-script Succeeded'],
        'runs it as well';
    ($state, @steps) = $act->('restart');
    is $state, 'Running';
    is scalar(grep {/^creation-script/} @steps), 0, 'once it has succeeded no more';
};

# How it ends, and what its log says.
sub stored ($name, $path, %more) {
    create($name, creationScript =>
            {scriptSource => 'workspaceStorage', scriptData => $path, %more});
    my ($tx, @events) = follow($name);
    my $log = $gw->api(GET => $gw->compute($name) . '/logs/creation-script',
        'creator')->res->body;
    return ($events[-1][1], $log);
}

subtest 'a script in the share' => sub {
    my $folder = $gw->dir . '/share/Users/creator';
    my ($end, $log) = stored('share-lab', 'Users/creator/set up/first.sh');
    is $end->{state}, 'SetupFailed', 'one that is not there';
    like $end->{errors}[0]{message},
        qr{Users/creator/set up/first\.sh is not run: there is no such file},
        'is named';
    my $other = $gw->api(GET => $gw->compute('share-lab'), 'reader')->res->body;
    unlike $other, qr/first\.sh/, 'to its person alone';

    path("$folder/set up")->make_path;
    path("$folder/set up/first.sh")->spurt(
        "#!/bin/sh\necho \"in \$PWD: \$# \$1\"\necho done > made\n");
    is $gw->api(POST => $gw->compute('share-lab') . '/restart', 'creator')
        ->res->code, 202, 'when it is there';
    my ($tx, @events) = follow('share-lab');
    is $events[-1][1]{state}, 'Running', 'it is run';
    is path("$folder/set up/made")->slurp, "done\n", 'where it lies';

    path("$folder/slow.sh")->spurt("echo began\nsleep 1000\n");
    ($end, $log) = stored('slow-lab', 'Users/creator/slow.sh',
        timeout => 'PT1S', scriptArguments => "'a b'");
    is $end->{state}, 'SetupFailed', 'one that takes too long';
    like $end->{errors}[0]{message}, qr/did not end within 1 second.*began/s,
        'is ended';
    path("$folder/slow.sh")->spurt("echo \"\$# \$1\"\n");
    $gw->api(POST => $gw->compute('slow-lab') . '/restart', 'creator');
    follow('slow-lab');
    is $gw->state_of('slow-lab'), 'Running';
    like $gw->api(GET => $gw->compute('slow-lab') . '/logs/creation-script',
        'creator')->res->body, qr/^1 a b$/m, 'with its arguments';
};

subtest 'a script in the share that others could write' => sub {
    my $folder = $gw->dir . '/share/Users/creator';
    path("$folder/open.sh")->spurt("echo ran\n")->chmod(0666);
    path($gw->dir, 'share/theirs.sh')->spurt("echo ran\n");
    symlink '../../theirs.sh', "$folder/link.sh";
    for (['open', qr/others may write to it/], ['link', qr/a symbolic link/]) {
        my ($file, $why) = @$_;
        my ($end, $log) = stored("$file-lab", "Users/creator/$file.sh");
        is $end->{state}, 'SetupFailed', "$file.sh";
        like $log, $why, 'says why';
        unlike $log, qr/^ran/m, 'and is not run';
    }
    for my $path ('Users/colleague/x.sh', 'Users/creator/../colleague/x.sh',
        '/etc/profile', "Users/creator/a\e[2J")
    {
        my $tx = $gw->api(PUT => $gw->compute('never-lab'), 'creator',
            json => $gw->compute_body(setupScripts => {scripts => {
                startupScript => {scriptSource => 'workspaceStorage',
                    scriptData => $path}}}));
        is $tx->res->code, 400, 'a path elsewhere';
        like $tx->res->json('/error/message'), qr/^startupScript: scriptData/,
            'names what is wrong';
    }
};

subtest 'deleted meanwhile' => sub {
    create('third-lab', creationScript => script("sleep 1000"));
    my $json;
    ok wait_for(sub {
        $json = once('third-lab')->res->json;
        grep { $_->{outcome} eq 'Running' } @{$json->{steps}};
    }), 'it is on its way';
    is $json->{steps}[0]{took}, undef, 'how long is not known yet';
    $gw->api(
        DELETE => $gw->compute('third-lab'), 'creator',
        query  => {underlyingResourceAction => 'Delete'}
    );
    my ($tx, @events) = follow('third-lab');
    if ($tx->res->code == 200) {
        is $events[-1][1]{state}, 'Deleted', 'the stream says so';
    }
    else { is $tx->res->code, 404, 'it is gone' }
};

# A follower that can be read from when one likes.
sub follower ($name, $account = 'creator') {
    my $socket = connect_tls($gw, $gw->studio_host);
    my $host = $gw->studio_host . ':' . $gw->port;
    print {$socket} 'GET ' . $gw->compute($name)
        . "/events?api-version=2022-10-01 HTTP/1.1\r\nHost: $host\r\n"
        . "Accept: text/event-stream\r\nAuthorization: "
        . $gw->bearer($account)->{Authorization} . "\r\n\r\n";
    return $socket;
}

subtest 'many followers, slow ones, ones that vanish' => sub {
    my $go = $gw->dir . '/share/go';
    create('fourth-lab', creationScript => script(
        "while ! test -e $go; do sleep 0.05; done\n"
        . "i=0; while test \$i -lt 20000; do echo line number \$i;"
        . " i=\$((i+1)); done\n"));
    my @idle = map { follower('fourth-lab') } 1 .. 6;    # never read
    close $_ for map { follower('fourth-lab') } 1 .. 6;  # gone at once
    # those that are too many are told so
    my @more = map { follower('fourth-lab') } 1 .. 30;
    my %codes;
    for my $socket (@more) {
        my $line = <$socket> // '';
        $codes{$1}++ if $line =~ m{^HTTP/1.1 (\d+)};
    }
    is_deeply [sort keys %codes], [200, 503], 'there is a limit'
        or diag explain \%codes;
    like scalar readline follower('fourth-lab', 'reader'),
        qr{^HTTP/1.1 200}, 'which is each person\'s own';
    close $_ for @more;

    my $from = time;
    is once('fourth-lab')->res->code, 200, 'amld answers others meanwhile';
    is $gw->state_of('fourth-lab'), 'Creating';
    cmp_ok time - $from, '<', 5 * $ENV{AML_PATIENCE}, 'at once';
    path($go)->spurt('');
    $gw->wait_state('fourth-lab', 'Running');
    my ($tx, @events);
    ok wait_for(sub {
        ($tx, @events) = follow('fourth-lab');
        $tx->res->code == 200;
    }), 'one who comes later';
    is $events[-1][1]{state}, 'Running', 'sees how it went';
    close $_ for @idle;
};

subtest 'whoever may no longer' => sub {
    my $go = $gw->dir . '/share/went';
    create('sixth-lab',
        creationScript => script("while ! test -e $go; do sleep 0.05; done\n"));
    my ($mine, $theirs) = map { follower('sixth-lab', $_) } qw(creator reader);
    for ($mine, $theirs) {
        my $line = <$_>;
        like $line, qr{^HTTP/1.1 200}, 'follows';
    }
    $gw->role(remove => 'reader', 'Reader');
    my $from = time;
    1 while defined readline $theirs;
    cmp_ok time - $from, '<', $ENV{AML_PATIENCE}, 'is out within a second';
    path($go)->spurt('');
    my $line = '';
    $line = <$mine> // last until $line =~ /"state":"Running"/;
    like $line, qr/"Running"/, 'the other goes on';
};

subtest 'amld ends, and nobody holds it' => sub {
    create('fifth-lab', creationScript => script("sleep 1000"));
    my @idle = map { follower('fifth-lab') } 1 .. 8;
    ok wait_for(sub { once('fifth-lab')->res->json->{steps}[0] }), 'followed';
    is $gw->stop_amld, 0, 'it ends cleanly';
    $gw->start_amld;
    is once('fifth-lab')->res->json->{steps}[0]{outcome}, 'Running',
        'and the script goes on';
};

$gw->done;
