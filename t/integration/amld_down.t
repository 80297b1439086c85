# amld may be down: who is signed in keeps working; what needs it says so.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Test;

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator'},
    nginx     => sub ($t) {
        $t =~ s{(proxy_pass http://amld;)}{$1 proxy_read_timeout 2s;}gr }
);
my $browser = $gw->opened('creator', 'first-lab');
my $token   = $gw->bearer('creator');
$gw->token('reader');
my $url     = $gw->app_url('first-lab', '/api/status');
my $ws      = $browser->websocket($gw->app_url('first-lab', '/ws'));
ok $ws->echoes('before'), 'a websocket is open';

subtest 'amld hangs' => sub {
    kill 'STOP', $gw->pid('amld');
    is $browser->fetch(GET => $url)->res->code, 200, 'session';
    is $gw->program->get($url, headers => $token)->res->code, 200, 'token';
    ok $ws->echoes('hanging'), 'the websocket';
    $gw->refused($gw->browser->navigate($gw->studio_url('/auth/sign-in')),
        503, 'daemon_unavailable', 'signing in says so, and does not wait');
    kill 'CONT', $gw->pid('amld');
    ok $gw->signed_in('colleague'), 'and works again';
};

is $gw->stop_amld, 0, 'amld ends when it is asked to';

subtest 'what goes on' => sub {
    is $browser->fetch(GET => $url)->res->code, 200, 'session';
    is $browser->fetch(POST => $url)->res->code, 200, 'a change by session';
    is $gw->program->get($url, headers => $token)->res->code, 200, 'token';
    ok $ws->echoes('while amld is down'), 'the websocket';
    ok $browser->websocket($gw->app_url('first-lab', '/ws'))->echoes('new'),
        'a new websocket';
    $gw->refused(
        $gw->program->get($gw->app_url('other-lab'), headers => $token),
        404, 'instance_not_found', 'refusals'
    );
};

subtest 'what does not' => sub {
    my $stranger = $gw->browser;
    my $page = $stranger->navigate($gw->studio_url('/auth/sign-in?to=/'));
    $gw->refused($page, 503, 'daemon_unavailable', 'the sign-in page');
    like $page->res->headers->content_type, qr{^text/html}, 'says so to people';
    $gw->refused(
        $gw->program->request(
            POST    => $gw->studio_url('/auth/token'),
            headers => {Authorization => $gw->basic('creator')}
        ),
        503, 'daemon_unavailable', 'POST /auth/token'
    );
    $gw->refused($gw->api(GET => $gw->compute('first-lab'), 'creator'),
        503, 'daemon_unavailable', 'the control API');
    $gw->refused($stranger->navigate($gw->app_url('first-lab', '/lab')),
        503, 'daemon_unavailable', 'sign-in on the way to an instance');
    $gw->refused(
        $gw->api(PUT => $gw->compute('x-lab'), 'reader', json => {}),
        403, 'action_denied', 'a refusal needs no amld');
};

subtest 'a restart of nginx meanwhile' => sub {
    $ws->close;
    $gw->restart_nginx;
    is $browser->fetch(GET => $url)->res->code, 200, 'session';
    is $gw->program->get($url, headers => $token)->res->code, 200, 'token';
};

$gw->start_amld;
is $gw->state_of('first-lab'), 'Running', 'amld is back, as is the instance';
ok $gw->signed_in('colleague'), 'and people can sign in, without a reload';

$gw->done;
