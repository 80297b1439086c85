# Websockets: through in both directions, idle or busy; closed within a second
# when the reason to let them in is gone; and not by a reload.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(decode_json encode_json);
use Test::More;
use AML::Test;

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator', 'second-lab' => 'creator'});
my $me  = $gw->opened('creator', 'first-lab');
my $url = $gw->app_url('first-lab', '/ws');

subtest 'through' => sub {
    my $ws = $me->websocket($url,
        protocols => ['v1.kernel.websocket.jupyter.org']);
    is $ws->tx->protocol, 'v1.kernel.websocket.jupyter.org',
        'the subprotocol';
    ok $ws->echoes('hello'), 'a text';
    $ws->send({binary => join '', map chr, 0 .. 255});
    is ${$ws->next_message}, join('', map chr, 0 .. 255), 'bytes';
    my $big = 'x' x 3_000_000;
    $ws->send({binary => $big});
    is length ${$ws->next_message // \''}, length $big, '3 MB';
    $ws->send("n$_") for 1 .. 500;
    my @got = map { ${$ws->next_message} } 1 .. 500;
    is_deeply \@got, [map {"n$_"} 1 .. 500], '500 messages, in order';
    $ws->close(1000);
    ok $ws->closes(5), 'the client closes';
};

subtest 'many at once' => sub {
    my @ws = map { $me->websocket($url) } 1 .. 40;
    is scalar(grep { $_->echoes('hi') } @ws), 40, '40 are open';
    $_->close for @ws;
};

subtest 'a reload and a websocket' => sub {
    my $ws = $me->websocket($url);
    ok $ws->echoes('before'), 'open';
    $gw->reload_nginx;
    ok $ws->echoes('after'), 'it lives through it';
    $ws->close;
};

subtest 'the instance is stopped' => sub {
    $me->navigate($gw->app_url('second-lab'));
    my $second = $me->websocket($gw->app_url('second-lab', '/ws'));
    my $first  = $me->websocket($url);
    my $token  = $gw->program->websocket(
        $gw->app_url('second-lab', '/ws'), headers => $gw->bearer('creator'));
    ok $_->echoes('x'), 'open' for $first, $second, $token;
    is $gw->api(POST => $gw->compute('second-lab') . '/stop', 'creator')
        ->res->code, 202, 'stop';
    ok $second->closes(1), 'closed within a second';
    ok $token->closes(1),  'that by token as well';
    ok $first->echoes('on'), 'the other instance\'s is not';
    $gw->wait_state('second-lab', 'Stopped');
    is $me->websocket($gw->app_url('second-lab', '/ws'))->failed, 409,
        'no new one';
};

subtest 'the instance is restarted' => sub {
    my $ws = $me->websocket($url);
    ok $ws->echoes('x'), 'open';
    is $gw->api(POST => $gw->compute('first-lab') . '/restart', 'creator')
        ->res->code, 202, 'restart';
    ok $ws->closes(1), 'closed within a second';
    $gw->wait_state('first-lab', 'Running');
    ok $me->websocket($url)->echoes('x'), 'a new one reaches the new start';
};

subtest 'a token that expires' => sub {
    use AML::JWT;
    my $key = AML::JWT::new_key($gw->dir, 'RS256');
    my $sub = 'ws-user';
    $gw->edit(
        {
            op => 'issuer', iss => 'https://issuer.test', algs => ['RS256'],
            audiences => ['api://aml']
        },
        {op => 'key', iss => 'https://issuer.test', kid => 'k', pem => $key}
    );
    my $make = sub ($seconds) {
        my $now = time;
        return {Authorization => 'Bearer ' . AML::JWT::make(
            'RS256', $key, {alg => 'RS256', kid => 'k'},
            {
                iss => 'https://issuer.test', aud => 'api://aml', sub => $sub,
                iat => $now, exp => $now + $seconds
            }
        )};
    };

    # Who this is, as the gateway sees it.
    $gw->program->get($gw->studio_url($gw->workspace . '/computes'),
        headers => $make->(60));
    my $who;
    AML::Wait::wait_for(
        sub {
            ($who) = $gw->log_text('access.log')
                =~ /([0-9a-f-]{36}) - "[^"]*computes\/read" refuse/;
        }
    );
    ok $who, 'known in the log' or return;
    chomp(my $own = $gw->edit({op => 'get', key => 'route/first-lab/8888'}));
    my ($address) = pack('H*', $own) =~ m{(unix:/[^\0]+?\.sock)};
    ok $address, 'the stand-in\'s socket' or return;
    $gw->edit(
        map {
            {
                op => 'route', name => 'their-lab', port => $_,
                state => 'Running', creator => $who, generation => 4242,
                $_ ? (address => $address) : ()
            }
        } 0,
        8888
    );
    my $ws = $gw->program->websocket(
        $gw->app_url('their-lab', '/ws'), headers => $make->(3));
    ok $ws->echoes('x'), 'open';
    ok $ws->closes(5), 'closed when the token expires';
};

subtest 'what is no websocket' => sub {
    my $tx = $me->request(
        GET     => $gw->app_url('first-lab', '/x'),
        headers => {Upgrade => 'h2c', Connection => 'Upgrade',
            'Sec-Fetch-Site' => 'same-origin'}
    );
    cmp_ok $tx->res->code, '<', 500, 'another upgrade does no harm';
    is $me->fetch(GET => $url)->res->code, 200, 'a GET without upgrade';
    $gw->refused(
        $gw->program->request(
            GET     => $url,
            headers => {
                Upgrade => 'websocket', Connection => 'Upgrade',
                Accept  => 'text/html'
            }
        ),
        401, 'sign_in_required',
        'a stranger\'s handshake is refused, never redirected'
    );
};

$gw->done;
