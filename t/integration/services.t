# Custom services under the engine process: what people run and reach by
# themselves, and what nobody else gets of it.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::IP;
use Mojo::File qw(path);
use Mojo::Util qw(trim);
use Test::More;
use AML::Cli;
use AML::Port;
use AML::RawWebSocket;
use AML::Test;
use AML::Tunnel;
use AML::Wait qw(wait_for);

my $lib     = path($FindBin::Bin)->to_abs->dirname->child('lib');
my $STANDIN = "exec $lib/stand-in-application";
my $gw      = AML::Test->start(
    accounts => {
        creator => 'Contributor', colleague => 'Contributor',
        reader  => 'Reader',      owner     => undef
    },
    instances => {'first-lab' => 'creator', 'evil-lab' => 'colleague'}
);
$gw->assign('owner', 'Owner', '/');
my $PATH = $gw->compute('first-lab') . '/customServices';

sub as ($account) { return (headers => $gw->bearer($account)) }
sub tcp ($port) {"$STANDIN --listen=127.0.0.1:$port"}

sub service ($name, $command, @ports) {
    return {
        name      => $name,
        command   => $command,
        endpoints => [map { {protocol => 'http', target => $_} } @ports]
    };
}

sub give ($list, $account = 'creator', $lab = 'first-lab') {
    return $gw->api(POST => $gw->compute($lab) . '/customServices',
        $account, json => $list);
}

sub show ($name, $lab = 'first-lab', $account = 'creator') {
    my $all = $gw->api(GET => $gw->compute($lab), $account)
        ->res->json('/properties/properties/customServices');
    my ($one) = grep { $_->{name} eq $name } @$all;
    return $one;
}

sub becomes ($name, $state, $lab = 'first-lab', $seconds = 40) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $last;
    ok wait_for(sub { ($last = (show($name, $lab) // {})->{state} // '') eq $state },
        $seconds), "$name is $state" or diag "it is $last";
}

sub order ($name, $verb, $account = 'creator') {
    return $gw->api(POST => "$PATH/$name/$verb", $account);
}

sub ask ($port, $path = '/', $account = 'creator', $lab = 'first-lab') {
    return $gw->program->get($gw->app_url($lab, $path, $port), as($account));
}

sub pid_of ($port) { ask($port)->res->json('/pid') // 0 }

sub reaches ($port) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok wait_for(sub { ask($port)->res->code == 200 }), "port $port is reached";
}

my ($one, $two, $three, $four, $five, $six) = map { AML::Port->take } 1 .. 6;
my $crashing = AML::Port->take;

# It takes a while until this is given up.
give([service('crashes', 'echo the reason of it >&2; exit 3', $crashing)]);

subtest 'a service by TCP' => sub {
    my $tx = give([
        service('crashes', 'echo the reason of it >&2; exit 3', $crashing),
        {%{service('model', tcp($one), $one)},
            environmentVariables =>
                {GREETING => {type => 'local', value => q(it's "two\\n" words)}}}
    ]);
    is $tx->res->code, 200, 'given to an instance that runs';
    becomes('model', 'Running');
    reaches($one);
    my $answer = ask($one, '/some/path?q=1')->res->json;
    is $answer->{url}, '/some/path?q=1', 'by its address';
    my %h = map {@$_} @{$answer->{headers}};
    is $h{Host}, $gw->app_host('first-lab', $one) . ':' . $gw->port,
        'with its public host';
    ok !$h{Authorization}, 'and without the credential';
    is $answer->{cwd}, path($gw->share('Users', 'creator'))->realpath,
        'it runs in the folder';
    my $env = path("/proc/$answer->{pid}/environ")->slurp;
    like $env, qr/\0GREETING=it's "two\\n" words\0/, 'with its variables';
    my $shown = show('model');
    is $shown->{endpoints}[0]{endpointUri}, $gw->app_origin('first-lab', $one),
        'whose address is told';
    is $shown->{command}, tcp($one), 'and its command';
    is_deeply $shown->{image}, {type => 'docker', reference => undef},
        'in the form that clients read';
};

subtest 'websockets' => sub {
    my $ws = $gw->program->websocket($gw->app_url('first-lab', '/x', $one),
        as('creator'));
    ok $ws->echoes('hello'), 'a message comes back';
    my $me = $gw->opened('creator', 'first-lab', $one);
    $ws = $me->websocket($gw->app_url('first-lab', '/x', $one));
    ok $ws->echoes('hello'), 'also to a browser';
    $gw->refused($gw->program->websocket(
        $gw->app_url('first-lab', '/x', $one), as('colleague'))->tx,
        403, 'not_creator', 'not to a colleague');
    order('model', 'stop');
    becomes('model', 'Stopped');
    ok wait_for(sub { !$ws->is_open }), 'it ends with the service';
    $gw->refused(ask($one), 409, 'service_stopped', 'which is gone then');
    order('model', 'start');
    becomes('model', 'Running');
    reaches($one);
    my $pid = pid_of($one);
    order('model', 'restart');
    ok wait_for(sub { my $p = pid_of($one); $p && $p != $pid }),
        'started again it is another process';
};

# A program that speaks no HTTP: what it is told it says in capitals, and at
# the end of that how much it was.
my $SHOUTS = <<'PERL' =~ s/\n\s*/ /gr;
perl -MIO::Socket -e 'my $l = IO::Socket::INET->new(LocalAddr => "127.0.0.1",
    LocalPort => $ENV{AML_PORT}, Listen => 9, ReuseAddr => 1) or die;
    while (my $s = $l->accept) { my $n = 0;
    while (sysread $s, my $x, 65536) { $n += length $x; syswrite $s, uc $x }
    syswrite $s, "$n bytes"; close $s }'
PERL

subtest 'what speaks no HTTP' => sub {
    my $port = AML::Port->take;
    my $tx = give([
        {name => 'model'}, {name => 'crashes'},
        {
            name => 'shouts', command => $SHOUTS,
            endpoints => [{protocol => 'tcp', target => $port}]
        }
    ]);
    is $tx->res->code, 200, 'given' or diag $tx->res->body;
    becomes('shouts', 'Running');
    my $mine = AML::Cli->new(gw => $gw, name => 'creator')->login;
    my $t = $mine->begin('tunnel', 'first-lab', $port);
    $t->send("hello\n");
    ok $t->says(qr/^HELLO\n/), 'aml tunnel leads there' or diag $t->errors;
    $t->send("\x01\xff" . 'x' x 100_000);
    $t->close_in;
    is $t->wait, 0, 'and ends with it';
    is length $t->got, 100_008 + length '100008 bytes', 'all came back';
    like $t->got, qr/^HELLO\n\x01\xffX+100008 bytes$/, 'as it was';

    # at the path that is not the tunnel's it is HTTP, as ever
    my $ws = $gw->program->websocket(
        $gw->app_url('first-lab', '/ws', $one), as('creator'));
    ok $ws->echoes('hello'), 'a websocket elsewhere is the service\'s own';
    my $other = $gw->program->get(
        $gw->app_url('first-lab', AML::Tunnel->PATH, $one), as('creator'));
    is $other->res->json('/url'), AML::Tunnel->PATH,
        'so is the path, without Upgrade';
    $t = $mine->begin('tunnel', 'first-lab', $one);
    $t->send("GET /by/tunnel HTTP/1.0\r\n\r\n");
    ok $t->says(qr{"url":"\\?/by\\?/tunnel"}), 'which speaks HTTP by it, too'
        or diag $t->got . $t->errors;
    $t->close_in;
    $t->wait;

    # who may not
    my $host = $gw->app_host('first-lab', $port);
    for my $case (
        [403, 'colleague'], [403, 'owner'], [403, 'reader'], [401])
    {
        my ($code, $account) = @$case;
        my $by = AML::RawWebSocket->open($gw, $host, AML::Tunnel->PATH,
            $account ? 'Authorization: Bearer ' . $gw->token($account) : ());
        is $by->code, $code, ($account // 'nobody') . ' does not get to it';
    }
    $host = $gw->app_host('first-lab', $one);
    my $session = $gw->opened('creator', 'first-lab', $one)
        ->cookie('__Host-aml', $host);
    for my $origin ($gw->app_origin('first-lab', $port), 'https://evil.test') {
        my $by = AML::RawWebSocket->open($gw, $host, AML::Tunnel->PATH,
            "Cookie: __Host-aml=$session", "Origin: $origin");
        is $by->code, 403, "nor does a page of $origin";
    }
    my $r = $mine->aml('tunnel', 'first-lab', AML::Port->take);
    isnt $r->{status}, 0, 'a port that nobody listens on';
    like $r->{err}, qr/has no application on this port/, 'is said';

    # it ends as everything that is open
    $t = $mine->begin('tunnel', 'first-lab', $port);
    $t->send('x');
    ok $t->says(qr/^X/), 'open';
    order('shouts', 'stop');
    isnt $t->wait, undef, 'it ends with the service';
    give([{name => 'model'}, {name => 'crashes'}]);
};

subtest 'its own socket' => sub {
    my $tx = give([
        {name => 'model'},
        service('crashes', 'echo the reason of it >&2; exit 3', $crashing),
        service('own', "$STANDIN --ServerApp.sock=\$AML_SOCKET", $two)
    ]);
    is $tx->res->code, 200, 'one more, and one is left as it is';
    my $pid = pid_of($one);
    becomes('own', 'Running');
    reaches($two);
    is pid_of($one), $pid, 'the other goes on';
};

subtest 'nobody else' => sub {
    for my $account (qw(colleague owner reader)) {
        for my $port ($one, $two) {
            $gw->refused(ask($port, '/', $account), 403, 'not_creator',
                "$account does not get to it");
        }
        my $shown = show('model', 'first-lab', $account);
        is_deeply [sort keys %$shown],
            [qw(autoStart endpoints name since state)], 'and sees no more of it'
            if $shown;
    }
    for my $account (qw(colleague owner)) {
        my $tx = give([service('evil', 'id')], $account);
        is $tx->res->code . $tx->res->json('/error/code'), '403OwnerOnly',
            "$account gives none";
        is order('model', $_, $account)->res->json('/error/code'), 'OwnerOnly',
            "nor says $_" for qw(start stop restart);
        is $gw->api(PUT => $gw->compute('first-lab'), $account, json => {
            %{$gw->compute_body(
                customServices => [],
                personalComputeInstanceSettings => {assignedUser =>
                    {objectId => creator_id(), tenantId => 'x'}})}
        })->res->json('/error/code'), 'OwnerOnly', 'nor by a PUT';
        is $gw->api(PUT => $gw->compute('first-lab'), $account, json => {
            %{$gw->compute_body(
                customServices => $gw->api(GET => $gw->compute('first-lab'),
                    $account)->res->json('/properties/properties/customServices'),
                personalComputeInstanceSettings => {assignedUser =>
                    {objectId => creator_id(), tenantId => 'x'}})}
        })->res->code, 200, 'what they read can be written back';
        is $gw->api(GET => $gw->compute('first-lab') . '/logs/service-model',
            $account)->res->code, 403, 'the log is not theirs';
    }
    is $gw->api(POST => "$PATH/model/stop", 'reader')->res->code, 403,
        'whoever only reads stops nothing';
    $gw->refused($gw->program->get($gw->app_url('first-lab', '/', $one)),
        401, 'sign_in_required', 'a stranger');
};

subtest 'amld is killed' => sub {
    my ($a, $b) = (pid_of($one), pid_of($two));
    ok $a && $b, 'both run';
    $gw->kill_amld;
    is pid_of($one), $a, 'they go on';
    $gw->start_amld;
    becomes('model', 'Running');
    is pid_of($one), $a, 'and are found again';
    is pid_of($two), $b, 'both';
    order('model', 'restart');
    ok wait_for(sub { my $p = pid_of($one); $p && $p != $a }), 'and obey';
};

subtest 'one that ends once' => sub {
    my $pid = pid_of($one);
    kill KILL => $pid;
    ok wait_for(sub { my $p = pid_of($one); $p && $p != $pid }),
        'is reached again by its address';
    becomes('model', 'Running');
};

subtest 'a port that is not declared' => sub {
    give([{name => 'model'}, {name => 'own'}, {name => 'crashes'},
        service('more', "($lib/stand-in-application --listen=127.0.0.1:$five "
            . ">/dev/null 2>&1 &); " . tcp($six), $six)]);
    becomes('more', 'Running');
    reaches($six);
    ok wait_for(sub {
        IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $five)
    }), 'a service listens on another port, too';
    $gw->refused(ask($five), 404, 'port_not_open', 'which leads nowhere');
    give([{name => 'model'}, {name => 'own'}, {name => 'crashes'}]);
    ok wait_for(sub { !show('more') }), 'removed';
};

subtest 'a port of somebody else' => sub {
    my $thief = IO::Socket::IP->new(LocalHost => '127.0.0.1',
        LocalPort => $three, Listen => 5, ReuseAddr => 1) or die $!;
    give([{name => 'model'}, {name => 'own'}, {name => 'crashes'},
        service('late', tcp($three), $three)]);
    becomes('late', 'Failed');
    like show('late')->{message}, qr/port $three of this machine is in use/,
        'it says why';
    $gw->refused(ask($three), 409, 'service_failed', 'nobody is led there');

    # while a service sleeps, somebody takes its port
    give([{name => 'model'}, {name => 'own'}, {name => 'crashes'},
        service('sleeps', 'echo awake; exec sleep 1000', $four)]);
    ok wait_for(sub {
        $gw->api(GET => $gw->compute('first-lab') . '/logs/service-sleeps',
            'creator')->res->body =~ /awake/
    }), 'a service that does not listen';
    my $other = IO::Socket::IP->new(LocalHost => '127.0.0.1',
        LocalPort => $four, Listen => 5, ReuseAddr => 1) or die $!;
    ok wait_for(sub {
        $gw->api(GET => $gw->compute('first-lab') . '/logs/service-sleeps',
            'creator')->res->body =~ /is not of this service/
    }), 'it is seen that somebody else does';
    $gw->refused(ask($four), 503, 'service_starting', 'nobody is led there');
    is show('sleeps')->{state}, 'Starting', 'it is not up';
    $_->blocking(0) for $thief, $other;
    ok !$_->accept, 'nothing has come to them' for $thief, $other;
    close $_ for $thief, $other;

    is give([service('model', tcp($one), $one)], 'colleague', 'evil-lab')
        ->res->code, 200, 'another instance has the same port';
    becomes('model', 'Failed', 'evil-lab');
    like(
        $gw->api(GET => $gw->compute('evil-lab'), 'colleague')
            ->res->json('/properties/properties/customServices/0/message'),
        qr/port $one of this machine is in use.*another compute instance/,
        'the second fails, and says why'
    );
    ok pid_of($one), 'the first goes on';
};

subtest 'one that behaves badly' => sub {
    give([
        {name => 'model'}, {name => 'own'}, {name => 'crashes'},
        service('forks', "(setsid $lib/stand-in-application "
            . "--listen=127.0.0.1:$three >/dev/null 2>&1 &); exec sleep 1000",
            $three),
        service('link', "ln -s ../somewhere.sock \$AML_SOCKET; "
            . "exec sleep 1000", $four),
        service('babbles', 'exec yes this is much too much')
    ]);
    becomes('forks', 'Running');
    reaches($three);
    my $pid = pid_of($three);
    order('forks', 'stop');
    becomes('forks', 'Stopped');
    ok !kill(0, $pid), 'what has forked away ends with it';
    is show('link')->{state}, 'Starting', 'a link is no socket';
    $gw->refused(ask($four), 503, 'service_starting', 'and leads nowhere');

    ok wait_for(sub { -e log_of('service-babbles') . '.1' }),
        'a log that is full is begun anew';
    cmp_ok -s log_of('service-babbles'), '<=', 8 * 1024 * 1024, 'and bounded';
    give([{name => 'model'}, {name => 'own'}, {name => 'crashes'}]);
    ok wait_for(sub { !show('babbles') }), 'removed';
    ok wait_for(sub { !path(log_of('x'))->dirname->child("$four.sock")->stat
        || !-l path(log_of('x'))->dirname->child("$four.sock") }), 'gone';
};

subtest 'one that ends at once' => sub {
    becomes('crashes', 'Failed');
    my $shown = show('crashes');
    like $shown->{message}, qr/^crashes ended again and again: it was restarted 5 /,
        'it is given up';
    like $shown->{message}, qr/the reason of it/, 'with its last lines';
    my %counted = $gw->program->get($gw->studio_url('/.aml/status'))->res->body
        =~ /^aml_service_(\w+)_total (\d+)$/mg;
    cmp_ok $counted{restarts}, '>=', 5, 'restarts are counted';
    cmp_ok $counted{failures}, '>=', 1, 'and that it was given up';
    is show('crashes', 'first-lab', 'colleague')->{message}, undef,
        'which are the creator\'s';
    like $gw->api(GET => $gw->compute('first-lab') . '/logs/service-crashes',
        'creator')->res->body, qr/the reason of it/, 'the log is there';
    is $gw->state_of('first-lab'), 'Running', 'the instance is as before';
    is order('crashes', 'start')->res->json('/state'), 'Starting',
        'it can be tried again';
    order('crashes', 'stop');
    becomes('crashes', 'Stopped');
};

subtest 'what can\'t be asked for' => sub {
    my $command = 'sleep 1';
    my @bad     = (
        [qr/list/,         {a => 1}],
        [qr/object/,       ['x']],
        [qr/'name'/,       [{command => $command}]],
        [qr/'name'/,       [{name => 'a/b', command => $command}]],
        [qr/'name'/,       [{name => 'x' x 33, command => $command}]],
        [qr/two services/, [map { {name => $_, command => $command} } qw(a A)]],
        [qr/neither/,      [{name => 'none-such'}]],
        [qr/'command'/,    [{name => 'a', command => ''}]],
        [qr/'command'/,    [{name => 'a', command => 'x' x 9000}]],
        [qr/Jupyter's/,    [service('a', $command, 8888)]],
        [qr/RStudio's/,    [service('a', $command, 8787)]],
        [qr/VS Code's/,    [service('a', $command, 8080)]],
        [qr/SSH's/,        [service('a', $command, 22)]],
        [qr/ports of/,     [service('a', $command, 80)]],
        [qr/no port/,      [service('a', $command, 70000)]],
        [qr/no port/,      [service('a', $command, '8000')]],
        [qr/twice/,        [map { service($_, $command, 8000) } qw(a b)]],
        [qr/at most/,      [map { service("s$_", $command) } 1 .. 17]],
        [qr/image/,        [{name => 'a', image => {reference => 'x'}}]],
        [qr/protocol/,     [{name => 'a', command => $command, endpoints =>
            [{target => 8000, protocol => 'udp'}]}]],
        [qr/volumes/,      [{name => 'a', command => $command, volumes =>
            [{type => 'bind', source => '/', target => '/x'}]}]],
        [qr/variable/, [{name => 'a', command => $command,
            environmentVariables => {'A B' => {value => 'x'}}}]],
        [qr/variable/, [{name => 'a', command => $command,
            environmentVariables => {AML_SOCKET => {value => 'x'}}}]],
        [qr/variable/, [{name => 'a', command => $command,
            environmentVariables => {A => {value => 1}}}]],
    );
    for (@bad) {
        my ($words, $list) = @$_;
        my $tx = give($list);
        is $tx->res->code, 400, 'refused' or diag $tx->res->body;
        like $tx->res->json('/error/message'), $words, 'with words';
    }
    is order('none-such', 'start')->res->json('/error/code'),
        'ServiceNotFound', 'one that there is not';
};

subtest 'with the instance' => sub {
    give([
        {name => 'model'},
        {%{service('quiet', 'exec sleep 1000')}, autoStart => \0}
    ]);
    is show('quiet')->{state}, 'Stopped', 'one that is not to start by itself';
    order('quiet', 'start');
    becomes('quiet', 'Running');
    my $pid = pid_of($one);
    ok $pid, 'one runs';
    $gw->api(POST => $gw->compute('first-lab') . '/stop', 'creator');
    $gw->wait_state('first-lab', 'Stopped');
    ok !kill(0, $pid), 'stopped, it has ended';
    is show('model')->{state}, 'Stopped', 'and says so';
    is order('model', 'start')->res->code, 409, 'it can\'t be started alone';
    $gw->refused(ask($one), 409, 'instance_stopped', 'nor reached');
    $gw->api(POST => $gw->compute('first-lab') . '/start', 'creator');
    $gw->wait_state('first-lab', 'Running');
    becomes('model', 'Running');
    reaches($one);
    is show('quiet')->{state}, 'Stopped', 'the other waits to be asked for';
    give([]);
    ok wait_for(sub { !show('model') }), 'none is left';
    ok wait_for(sub { ask($one)->res->code == 404 }), 'nor reached';
};

subtest 'at creation' => sub {
    my $tx = $gw->api(PUT => $gw->compute('new-lab'), 'creator',
        json => $gw->compute_body(
            customServices => [service('model', tcp($one), $one)]));
    is $tx->res->code, 201, 'asked for' or diag $tx->res->body;
    $gw->wait_state('new-lab', 'Running');
    becomes('model', 'Running', 'new-lab');
    ok wait_for(sub { ask($one, '/', 'creator', 'new-lab')->res->code == 200 }),
        'it is reached';
    $tx = $gw->api(GET => $gw->compute('new-lab'), 'creator');
    my $read = $tx->res->json;
    my $pid = ask($one, '/', 'creator', 'new-lab')->res->json('/pid');
    $read->{tags} = {team => 'blue'};
    is $gw->api(PUT => $gw->compute('new-lab'), 'creator', json => $read)
        ->res->code, 200, 'what was read can be written back';
    is ask($one, '/', 'creator', 'new-lab')->res->json('/pid'), $pid,
        'and nothing is restarted for it';
    is $gw->api(PUT => $gw->compute('their-lab'), 'owner',
        json => $gw->compute_body(
            customServices => [service('model', tcp($two), $two)],
            personalComputeInstanceSettings => {assignedUser =>
                {objectId => creator_id(), tenantId => 'x'}}
        ))->res->json('/error/code'), 'OwnerOnly', 'not for somebody else';
};

sub creator_id () {
    return $gw->api(GET => $gw->compute('first-lab'), 'creator')
        ->res->json('/properties/properties/createdBy/userId');
}

sub log_of ($name) {
    my ($found) = grep { -e } map {"$_/$name.log"} glob $gw->dir . '/state/i/*';
    ($found) = glob $gw->dir . '/state/i/*' unless $found;
    return $found;
}

$gw->done;
