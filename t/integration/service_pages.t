# What the address of a custom service says while the service is not up: to its
# creator, to nobody else.  Under the engine process; t/podman has the other.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::Util qw(url_escape);
use Test::More;
use AML::Cli;
use AML::Port;
use AML::RawWebSocket;
use AML::Test;
use AML::Tunnel;
use AML::Wait qw(wait_for);

my $lib = path($FindBin::Bin)->to_abs->dirname->child('lib');
my $gw  = AML::Test->start(
    accounts => {
        creator => 'Contributor', colleague => 'Contributor',
        reader  => 'Reader'
    },
    instances => {'first-lab' => 'creator'}
);
my $PATH = $gw->compute('first-lab') . '/customServices';
my $wait = path($gw->share('Users', 'creator'))->child('wait');
my ($slow_port, $bad_port) = (AML::Port->take, AML::Port->take);
my $me = $gw->opened('creator', 'first-lab', $slow_port);
$wait->spurt('');

sub as ($account) { return (headers => $gw->bearer($account)) }
sub url ($port, $path = '/') { $gw->app_url('first-lab', $path, $port) }
sub start_of ($port) { $gw->app_origin('first-lab', $port) . '/.aml/start' }
sub data_of ($tx) { $tx->res->dom->at('[data-demand]') }

sub ask ($port, $account = 'creator') {
    return $gw->program->get(url($port), as($account));
}

sub show ($name) {
    my ($one) = grep { $_->{name} eq $name }
        @{$gw->api(GET => $gw->compute('first-lab'), 'creator')
            ->res->json('/properties/properties/customServices')};
    return $one;
}

sub becomes ($name, $state) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok wait_for(sub { show($name)->{state} eq $state }, 40), "$name is $state";
}

# Nobody else learns how it is.
sub hidden ($port) {
    for my $account (qw(colleague reader)) {
        $gw->refused(ask($port, $account), 403, 'not_creator', $account);
        for my $method (qw(GET POST)) {
            my $tx = $gw->program->request($method => start_of($port),
                as($account));
            $gw->refused($tx, 403, 'not_creator', "$account at its page");
        }
    }
    $gw->refused($gw->program->get(url($port)), 401, 'sign_in_required',
        'a stranger');
}

$gw->api(POST => $PATH, 'creator', json => [
    {
        name    => 'slow',
        command => "echo reading the model; while test -e '$wait'; do "
            . "sleep 0.1; done; exec $lib/stand-in-application "
            . "--listen=127.0.0.1:$slow_port",
        endpoints => [{target => $slow_port}]
    },
    {
        name      => 'bad',
        command   => 'echo the reason of it; exit 3',
        endpoints => [{target => $bad_port}]
    }
]);

subtest 'one that starts: a page that waits, and goes on' => sub {
    becomes('slow', 'Starting');
    my $tx = ask($slow_port);
    $gw->refused($tx, 503, 'service_starting', 'a program');
    like $tx->res->headers->header('Retry-After'), qr/^\d+$/,
        'is told when to try again';
    like $tx->res->json('/error/message'), qr/aml service logs/,
        'and what says more';
    for my $path (AML::Tunnel->PATH, '/some/socket') {
        is(AML::RawWebSocket->open($gw, $gw->app_host('first-lab', $slow_port),
            $path, 'Authorization: Bearer ' . $gw->token('creator'))->code,
            503, "a websocket at $path");
    }

    my $asked = '/some/page?q=a%20b';
    $tx = $me->navigate(url($slow_port, $asked));
    is $tx->res->code, 200, 'a page';
    is $tx->req->url->path, '/.aml/start', 'of the gateway';
    my $page = data_of($tx);
    is $page->{'data-demand'}, 'Starting', 'which says how it is';
    is $page->{'data-to'}, $asked, 'and where to go on to';
    like $tx->res->dom->at('[data-part=status]')->text,
        qr/aml service logs first-lab slow/, 'and what shows the log';
    is $tx->res->dom->at('noscript meta[http-equiv=refresh]')->{content}, 2,
        'it asks again by itself';
    ok wait_for(sub {
        $me->fetch(GET => start_of($slow_port))->res->json('/log') =~
            /reading the model/;
    }), 'with the end of the log';
    my $state = $me->fetch(POST => start_of($slow_port))->res->json;
    is $state->{state}, 'Starting', 'to ask for it changes nothing';
    is $state->{timeout}, 0, 'it has as long as it needs';
    hidden($slow_port);

    unlink $wait;
    becomes('slow', 'Running');
    $tx = $me->navigate(start_of($slow_port) . '?to=' . url_escape($asked));
    is $tx->req->url->to_string, url($slow_port, $asked), 'then it goes on';
    is $tx->res->json('/url'), $asked, 'to the service';
    is $me->fetch(GET => start_of($slow_port))->res->json('/state'), 'Running',
        'as the page\'s script sees';
};

subtest 'one that is started again' => sub {
    $wait->spurt('');
    $gw->api(POST => "$PATH/slow/restart", 'creator');
    ok wait_for(sub { ask($slow_port)->res->code == 503 }), 'waits';
    $gw->refused(ask($slow_port), 503, 'service_starting', 'and says so');
    unlink $wait;
    ok wait_for(sub { ask($slow_port)->res->code == 200 }), 'it is back';
};

subtest 'one that was stopped' => sub {
    my $ws = $me->websocket(url($slow_port));
    ok $ws->echoes('hello'), 'a websocket is open';
    $gw->api(POST => "$PATH/slow/stop", 'creator');
    becomes('slow', 'Stopped');
    ok wait_for(sub { !$ws->is_open }), 'it ends with the service';
    my $tx = ask($slow_port);
    $gw->refused($tx, 409, 'service_stopped', 'a program');
    like $tx->res->json('/error/message'), qr/aml service start/,
        'is told how to start it';
    ok !$tx->res->headers->header('Retry-After'), 'and not to wait';
    hidden($slow_port);

    $tx = $me->navigate(url($slow_port, '/x'));
    is data_of($tx)->{'data-demand'}, 'Stopped', 'the page says so';
    ok !exists data_of($tx)->{'data-auto'}, 'and starts nothing by itself';
    like $tx->res->dom->at('[data-part=status]')->text,
        qr/aml service start first-lab slow/, 'but says how';
    $gw->refused($me->fetch(POST => start_of($slow_port),
        from => $gw->app_origin('first-lab', $bad_port)), 403, 'cross_origin',
        'nor does a page of elsewhere');
    is show('slow')->{state}, 'Stopped', 'it is as it was';
    $tx = $me->submit($tx, {});
    is data_of($tx)->{'data-demand'}, 'Starting', 'its button does';
    becomes('slow', 'Running');
    is $me->navigate($tx->req->url)->res->json('/url'), '/x', 'and leads on';
};

subtest 'one that has failed' => sub {
    becomes('bad', 'Failed');
    my $tx = ask($bad_port);
    $gw->refused($tx, 409, 'service_failed', 'a program');
    like $tx->res->json('/error/message'), qr/aml service logs/,
        'is told what says why';
    unlike $tx->res->body, qr/the reason of it/, 'not what the service said';
    hidden($bad_port);
    $tx = $me->navigate(url($bad_port));
    is data_of($tx)->{'data-demand'}, 'Failed', 'the page says so';
    like $tx->res->dom->at('[data-part=status]')->text,
        qr/aml service logs first-lab bad/, 'and what shows the log';
    like $tx->res->dom->at('[data-part=alert]')->text, qr/the reason of it/,
        'and its last lines';
    is $me->fetch(POST => start_of($bad_port))->res->json('/state'),
        'Starting', 'it can be tried again there';
    $gw->api(POST => $PATH, 'creator', json => [{name => 'slow'}]);
    ok wait_for(sub {
        (ask($bad_port)->res->headers->header('X-AML-Reason') // '') eq
            'port_not_open'
    }), 'one that is gone leaves nothing';
    $gw->refused($gw->program->get(start_of($bad_port), as('creator')),
        404, 'port_not_open', 'also at its page');
};

subtest 'the instance is more' => sub {
    $gw->api(POST => "$PATH/slow/stop", 'creator');
    becomes('slow', 'Stopped');
    $gw->api(POST => $gw->compute('first-lab') . '/stop', 'creator');
    $gw->wait_state('first-lab', 'Stopped');
    $gw->refused(ask($slow_port), 409, 'instance_stopped', 'stopped');
};

$gw->done;
