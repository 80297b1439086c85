# Applications that are started when their creator first asks for them: by a
# person, by a program, by nobody else; what they need of the gateway.  RStudio
# is a stand-in here: see AML::StandInRStudio.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use Mojo::Util qw(url_escape);
use Test::More;
use AML::Test;
use AML::Wait qw(wait_for);

my $lib = path($FindBin::Bin)->to_abs->dirname->child('lib');
my $gw  = AML::Test->start(
    instances => {
        'first-lab'  => 'creator',
        'second-lab' => 'creator',
        'evil-lab'   => 'colleague'
    },
    amld      => sub ($t) {
        "$t\napplication rstudio {\n"
            . "    program = \"$lib/stand-in-rstudio\"\n}\n";
    }
);
my $origin = $gw->app_origin('first-lab', 8787);
my $start  = "$origin/.aml/start";
my $folder = $gw->share('Users', 'creator');

sub as ($account) { return (headers => $gw->bearer($account)) }

# As amld has it, asked by a program of the creator's.
sub demand () {
    return $gw->program->get($start, as('creator'))->res->json('/state')
        // 'none';
}

sub becomes ($state) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok wait_for(sub { demand() eq $state }), "it is $state";
}

# A new start of the instance: nothing is started on demand any more.
sub anew () {
    unlink glob "$folder/rstudio-*";
    $gw->api(POST => $gw->compute('first-lab') . '/restart', 'creator');
    $gw->wait_state('first-lab', 'Running');
    is demand(), 'NotStarted', 'after a restart it is on demand again';
}

sub runs () {
    $gw->program->request(POST => $start, as('creator'));
    becomes('Running');
}

sub data_of ($tx) { $tx->res->dom->at('[data-demand]') }

my $me = $gw->browser;
$gw->signed_in('creator', $me);

subtest 'it is told of where it is configured' => sub {
    my $list = $gw->api(GET => $gw->compute('first-lab'), 'creator')
        ->res->json('/properties/properties/applications');
    is_deeply [map { $_->{displayName} } @$list],
        ['Jupyter', 'Jupyter Lab', 'RStudio'], 'its name';
    is $list->[-1]{endpointUri}, "$origin/", 'and address';
};

subtest 'a person: a page that starts it, waits, and goes on' => sub {
    path("$folder/rstudio-wait")->spurt('');
    my $asked = '/some/page?q=a%20b&r=%2Fc';
    my $tx    = $me->navigate("$origin$asked");
    is $tx->res->code, 200, 'a page';
    is $tx->req->url->path, '/.aml/start', 'of the gateway';
    my $page = data_of($tx);
    is $page->{'data-demand'}, 'NotStarted', 'which says how it is';
    is $page->{'data-to'}, $asked, 'and where to go on to';
    ok exists $page->{'data-auto'}, 'and asks by itself';
    is demand(), 'NotStarted', 'to look has started nothing';

    # what its script does
    $tx = $me->fetch(POST => $start);
    is $tx->res->code, 202, 'asked for';
    is $tx->res->json('/state'), 'Starting', 'it is starting';
    $tx = $me->navigate("$origin$asked");
    is data_of($tx)->{'data-demand'}, 'Starting', 'another tab sees the same';
    ok !exists data_of($tx)->{'data-auto'}, 'and has nothing to ask for';
    ok wait_for(sub {
        $me->fetch(GET => $start)->res->json('/log') =~ /rserver: starting/;
    }), 'the log is shown';
    my $program = $gw->program->get("$origin/", as('creator'));
    $gw->refused($program, 503, 'application_starting', 'a program');
    like $program->res->headers->header('Retry-After'), qr/^\d+$/,
        'is told when to try again';

    unlink "$folder/rstudio-wait";
    becomes('Running');
    $tx = $me->navigate("$start?to=" . url_escape($asked));
    is $tx->req->url->to_string, "$origin$asked", 'then it goes on';
    is $tx->res->code, 404, 'to the application (which has no such page)';
    is $me->navigate("$origin/?q=x")->res->dom->at('#query')->text, 'x',
        'it is the application';
    is $gw->state_of('first-lab'), 'Running', 'the instance is as before';
};

subtest 'without script' => sub {
    anew();
    path("$folder/rstudio-wait")->spurt('');
    my $tx = $me->navigate("$origin/?q=y", from => $gw->studio);
    my $page = data_of($tx);
    ok !exists $page->{'data-auto'}, 'a link of elsewhere starts nothing';
    $tx = $me->submit($tx, {});
    is data_of($tx)->{'data-demand'}, 'Starting', 'but its button does';
    is $tx->res->dom->at('noscript meta[http-equiv=refresh]')->{content}, 2,
        'the page asks again by itself';
    unlink "$folder/rstudio-wait";
    becomes('Running');
    $tx = $me->navigate($tx->req->url, from => $origin);
    is $tx->req->url->to_string, "$origin/?q=y", 'until it is there';
};

subtest 'a program starts it by asking for it' => sub {
    anew();
    my $tx = $gw->program->get("$origin/", as('creator'));
    $gw->refused($tx, 503, 'application_not_started', 'at first');
    like $tx->res->headers->header('Retry-After'), qr/^\d+$/,
        'it is told when to try again';
    ok wait_for(sub {
        $gw->program->get("$origin/", as('creator'))->res->code == 200;
    }), 'and then it is there';

    anew();
    $tx = $gw->program->request(POST => $start, as('creator'));
    is $tx->res->code, 202, 'or by saying so';
    becomes('Running');
    is $gw->program->request(POST => $start, as('creator'))->res->code, 200,
        'which changes nothing afterwards';
};

subtest 'a page\'s own scripts do not' => sub {
    anew();
    my $tx = $me->fetch(GET => "$origin/rpc/x");
    $gw->refused($tx, 503, 'application_not_started', 'they are told');
    $tx = $me->fetch(POST => "$origin/rpc/x");
    $gw->refused($tx, 503, 'application_not_started', 'whatever they ask');
    is demand(), 'NotStarted', 'a tab that was left open starts nothing';
};

subtest 'a hostile instance' => sub {
    my $evil = $gw->app_origin('evil-lab');
    for my $from ($evil, 'https://elsewhere.example') {
        my $tx = $me->fetch(POST => $start, from => $from);
        $gw->refused($tx, 403, 'cross_origin', "a script of $from");
        $tx = $me->navigate(
            $start, method => 'POST', form => {to => '/'}, from => $from,
            follow => 0
        );
        is $tx->res->code, 403, 'its form';
        $tx = $me->navigate("$origin/", from => $from);
        ok !exists data_of($tx)->{'data-auto'}, 'its link';
        $tx = $me->navigate("$start?to=/", from => $from);
        ok !exists data_of($tx)->{'data-auto'}, 'and to the page itself';
        is $tx->res->headers->header('X-Frame-Options'), 'DENY',
            'which is shown in no frame';
        like $tx->res->headers->header('Content-Security-Policy'),
            qr/script-src 'self';.*frame-ancestors 'none'/, 'nor with scripts';
        $tx = $me->fetch(GET => $start, from => $from);
        $gw->refused($tx, 403, 'cross_origin', 'it is told nothing');
        $tx = $me->navigate(
            $gw->studio_url('/auth/open'), method => 'POST',
            form => {host => $gw->app_host('first-lab', 8787) . ':'
                . $gw->port}, from => $from, follow => 0
        );
        is $tx->res->code, 403, 'nor by way of the studio';
    }
    is demand(), 'NotStarted', 'nothing was started';
};

subtest 'a colleague' => sub {
    my $other = $gw->signed_in('colleague');
    my $tx    = $other->navigate("$origin/");
    $gw->refused($tx, 403, 'not_creator', 'a page');
    $tx = $other->navigate("$start?to=/");
    is $tx->res->code, 403, 'the page that starts';
    is $tx->res->headers->header('X-AML-Reason'), 'not_creator', 'likewise';
    unlike $tx->res->body, qr/data-demand|RStudio/, 'tells nothing';
    $tx = $other->fetch(POST => $start);
    $gw->refused($tx, 403, 'not_creator', 'what it does');
    for my $account (qw(colleague reader)) {
        $tx = $gw->program->get("$origin/", as($account));
        $gw->refused($tx, 403, 'not_creator', "a program of the $account");
        $tx = $gw->program->request(POST => $start, as($account));
        $gw->refused($tx, 403, 'not_creator', 'that says so');
    }
    $tx = $other->navigate(
        $gw->studio_url('/auth/open'), method => 'POST', follow => 0,
        from => $gw->studio,
        form => {host => $gw->app_host('first-lab', 8787) . ':' . $gw->port}
    );
    is $tx->res->code, 303, 'the studio only leads there';
    $tx = $gw->program->get($start);
    $gw->refused($tx, 401, 'sign_in_required', 'nobody');
    $tx = $gw->program->request(POST => $start);
    $gw->refused($tx, 401, 'sign_in_required', 'nor does nobody start it');
    is demand(), 'NotStarted', 'nothing was started';
};

subtest 'a personal token reaches as far as it was made for' => sub {
    my %token;
    for my $lab ('first-lab', 'second-lab') {
        my $tx = $me->fetch(
            POST => $gw->studio_url('/auth/tokens'),
            json => {name => $lab, instances => [$lab]}
        );
        $token{$lab} = $tx->res->json('/token') // diag $tx->res->body;
    }
    my $tx = $gw->program->request(
        POST    => $start,
        headers => {Authorization => "Bearer $token{'second-lab'}"}
    );
    $gw->refused($tx, 403, 'token_scope', 'another instance\'s');
    $tx = $gw->program->get("$origin/",
        headers => {Authorization => "Bearer $token{'second-lab'}"});
    $gw->refused($tx, 403, 'token_scope', 'nor by asking for it');
    is demand(), 'NotStarted', 'nothing was started';
    $tx = $gw->program->get("$origin/",
        headers => {Authorization => "Bearer $token{'first-lab'}"});
    $gw->refused($tx, 503, 'application_not_started', 'its own');
    becomes('Running');
};

subtest 'the studio' => sub {
    anew();
    my $tx = $me->navigate($gw->studio_url('/'));
    my $form = $tx->res->dom->at(
        'form[action="/auth/open"]:has(input[value^="first-lab-8787."])');
    ok $form, 'has a button';
    $tx = $me->submit($tx, {},
        form => 'form:has(input[value^="first-lab-8787."])');
    ok wait_for(sub { demand() ne 'NotStarted' }), 'which starts it';
    is $tx->req->url->host, $gw->app_host('first-lab', 8787),
        'and leads to it';
    becomes('Running');
    $tx = $me->navigate(
        $gw->studio_url('/auth/open'), method => 'POST', follow => 0,
        from => $gw->studio, form => {host => 'elsewhere.example'}
    );
    is $tx->res->code, 404, 'and to nowhere else';
};

subtest 'one that fails' => sub {
    anew();
    path("$folder/rstudio-fails")->spurt('');
    $me->fetch(POST => $start);
    becomes('Failed');
    my $tx   = $me->navigate("$origin/?q=z");
    my $page = data_of($tx);
    is $page->{'data-demand'}, 'Failed', 'the page says so';
    my $why = $page->at('[role=alert]')->text;
    like $why, qr/RStudio ended before it was ready/, 'and why';
    like $why, qr/line 3 of what went wrong\n.*<b>R<\/b> is not here/,
        'with the end of its log, as text';
    unlike $tx->res->body, qr/<b>R/, 'and as nothing else';
    $tx = $gw->program->get("$origin/", as('creator'));
    $gw->refused($tx, 409, 'application_failed', 'a program');
    is demand(), 'Failed', 'does not start it again by asking';
    is $gw->state_of('first-lab'), 'Running', 'the instance runs';
    is $gw->program->get($gw->app_url('first-lab'), as('creator'))->res->code,
        200, 'and Jupyter in it';

    unlink "$folder/rstudio-fails";
    $tx = $me->submit($me->navigate("$origin/?q=z"), {});
    becomes('Running');
    is $me->navigate($tx->req->url, from => $origin)->req->url->to_string,
        "$origin/?q=z", 'tried again, it goes on';
};

subtest 'one that ends' => sub {
    my $ws = $me->websocket("$origin/terminal");
    eval { $me->fetch(GET => "$origin/stand-in/crash") };
    ok wait_for(sub {
        ($gw->program->get("$origin/", as('creator'))->res->headers
            ->header('X-AML-Reason') // '') eq 'application_starting';
    }), 'people are told that it is starting';
    is data_of($me->navigate("$origin/"))->{'data-demand'}, 'Starting',
        'by the page that waits';
    becomes('Running');
    is $me->navigate("$origin/?q=x")->res->code, 200, 'it is there again';
};

subtest 'amld is killed: it is found again' => sub {
    $gw->kill_amld;
    is $me->navigate("$origin/?q=x")->res->code, 200, 'it goes on running';
    $gw->start_amld;
    is demand(), 'Running', 'and amld knows';
};

subtest 'amld is away' => sub {
    anew();
    $gw->stop_amld;
    my $tx = $me->navigate("$origin/");
    $gw->refused($tx, 503, 'daemon_unavailable', 'a person is told');
    $tx = $gw->program->get("$origin/", as('creator'));
    $gw->refused($tx, 503, 'application_not_started', 'a program, too');
    $gw->start_amld;
    ok wait_for(sub {
        $gw->program->get("$origin/", as('creator'))->res->code == 200;
    }), 'and has it when amld is back';
};

subtest 'many tabs' => sub {
    anew();
    path("$folder/rstudio-wait")->spurt('');
    my $before = () = $gw->log_text('amld.err') =~ /rstudio is asked for/g;
    my @kids;
    for (1 .. 6) {
        my $pid = fork // die;
        if (!$pid) {
            my $tx = eval { $me->fetch(POST => $start) };
            POSIX::_exit($tx && $tx->res->code == 202 ? 0 : 1);
        }
        push @kids, $pid;
    }
    my $bad = 0;
    for (@kids) { waitpid $_, 0; $bad += $? != 0 }
    is $bad, 0, 'each is answered';
    unlink "$folder/rstudio-wait";
    becomes('Running');
    my $after = () = $gw->log_text('amld.err') =~ /rstudio is asked for/g;
    is $after - $before, 1, 'one asks';
};

subtest 'what is not there to be started' => sub {
    my $tx = $gw->program->request(
        POST => $gw->app_origin('first-lab', 8080) . '/.aml/start',
        as('creator')
    );
    $gw->refused($tx, 404, 'port_not_open', 'VS Code, which is not configured');
    $tx = $gw->program->request(
        POST => $gw->app_origin('first-lab') . '/.aml/start', as('creator'));
    $gw->refused($tx, 404, 'port_not_open', 'Jupyter, which is not on demand');
    $tx = $gw->program->request(
        POST => $gw->app_origin('no-lab', 8787) . '/.aml/start',
        as('creator'));
    $gw->refused($tx, 404, 'instance_not_found', 'an instance that is none');
    $tx = $gw->program->request(POST => $gw->studio_url('/.aml/start'),
        as('creator'));
    is $tx->res->code, 404, 'the studio';
    $gw->api(POST => $gw->compute('first-lab') . '/stop', 'creator');
    $gw->wait_state('first-lab', 'Stopped');
    $tx = $gw->program->request(POST => $start, as('creator'));
    $gw->refused($tx, 409, 'instance_stopped', 'one that is stopped');
    $tx = $me->navigate("$start?to=/");
    $gw->refused($tx, 409, 'instance_stopped', 'whose page says so');
    $gw->api(POST => $gw->compute('first-lab') . '/start', 'creator');
    $gw->wait_state('first-lab', 'Running');
};

subtest 'what RStudio needs of the gateway' => sub {
    runs();
    my $tx = $me->fetch(
        GET     => "$origin/stand-in/request?a=1&b=%2F",
        headers => {
            'X-RStudio-Request'   => 'https://evil.example/',
            'X-RStudio-Root-Path' => '/evil',
            'Forwarded'           => 'host=evil.example'
        }
    );
    my $got = $tx->res->json('/headers');
    is $got->{'x-rstudio-request'}, "$origin/stand-in/request?a=1&b=%2F",
        'the whole public address';
    ok !exists $got->{'x-rstudio-root-path'}, 'nothing of a client\'s';
    ok !exists $got->{forwarded}, 'and no Forwarded';
    is $got->{host}, $gw->app_host('first-lab', 8787) . ':' . $gw->port,
        'the public Host';

    for my $case (
        ['/go?to=/x?y=1'                         => "$origin/x?y=1"],
        ['/go?to=/x&as=localhost'                => "$origin/x"],
        ['/go?to=/x&as=127.0.0.1:8787'           => "$origin/x"],
        ["/go?to=/x&as=$got->{host}"             => "$origin/x"],
        ['/go?to=/x&as=localhost:3838'           => 'http://localhost:3838/x'],
        ['/go?to=/x&as=localhost.evil.example'
            => 'http://localhost.evil.example/x'],
        ['/go?to=/x&as=elsewhere.example'        => 'http://elsewhere.example/x'],
        )
    {
        is $me->fetch(GET => "$origin$case->[0]")->res->headers->location,
            $case->[1], $case->[0];
    }

    $me->navigate("$origin/");
    is $me->cookie('rs-csrf-token', $gw->app_host('first-lab', 8787)),
        'csrf-of-the-stand-in', 'its cookies are its own';
    is $me->fetch(POST => "$origin/rpc/get_events")->res->code, 401,
        'and so is its check of them';

    # a long poll ends when there is something to say
    my %csrf = (headers => {'X-RS-CSRF-Token' => 'csrf-of-the-stand-in'});
    my $pid  = fork // die;
    if (!$pid) {
        my $r = eval { $me->fetch(POST => "$origin/rpc/get_events", %csrf) };
        POSIX::_exit($r && $r->res->json('/event') ? 0 : 1);
    }
    ok wait_for(sub {
        $me->fetch(GET => "$origin/stand-in/polls")->res->json eq 1;
    }), 'a long poll';
    $me->fetch(POST => "$origin/stand-in/event");
    waitpid $pid, 0;
    is $?, 0, 'has its answer when there is one';

    my $ws = $me->websocket("$origin/terminal");
    $ws->send('ls');
    is ${$ws->next_message // \''}, 'ls', 'its terminal\'s websocket';

    my ($data) = glob $gw->dir . '/state/i/*/run/rs';
    is +(stat $data)[2] & 07777, 01777, 'its data directory is everybody\'s';
    is +(stat path($data)->dirname)[2] & 07777, 0700, 'what it is in is not';
};

$gw->done;
