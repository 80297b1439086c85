# Custom services and ports of instances that are containers: the examples of
# docs/services.md with the image's own scikit-learn and TensorBoard, and any port
# that a person opens, for that person alone.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Test::More;
use AML::Jobs;
use AML::Podman;
use AML::RawWebSocket;
use AML::Tunnel;
use AML::Wait qw(wait_for);

AML::Podman->need;

my $examples = path($FindBin::Bin)->to_abs->dirname->sibling('packaging')
    ->child('services');
my $gw = AML::Podman->start(
    instances => {'first-lab' => 'creator', 'other-lab' => 'colleague'});
my $folder = $gw->share('Users', 'creator');
$examples->child($_)->copy_to($folder->child($_))->chmod(0644)
    for qw(model.py live.py train.py);
my $log = $folder->child('train.log');
$log->spurt("epoch 1\n");

sub as ($account) { return (headers => $gw->bearer($account)) }

sub give ($list, $lab = 'first-lab') {
    my $tx = $gw->api(POST => $gw->compute($lab) . '/customServices',
        $lab eq 'first-lab' ? 'creator' : 'colleague', json => $list);
    is $tx->res->code, 200, 'services are given' or diag $tx->res->body;
}

sub show ($name) {
    my ($one) = grep { $_->{name} eq $name }
        @{$gw->api(GET => $gw->compute('first-lab'), 'creator')
            ->res->json('/properties/properties/customServices')};
    return $one;
}

sub becomes ($name, $state) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok wait_for(sub { show($name)->{state} eq $state }, 60), "$name is $state"
        or diag explain show($name);
}

sub ask ($port, $account = 'creator', $path = '/', $lab = 'first-lab') {
    return $gw->program->get($gw->app_url($lab, $path, $port), as($account));
}

sub reached ($port, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok wait_for(sub { ask($port)->res->code == 200 }), $name;
}

# A file server of a person's own, started by hand.
sub serve ($lab, $port, $bind = '127.0.0.1') {
    $gw->inside($lab, 'cd /tmp; nohup python -m http.server --bind '
        . "$bind $port > /dev/null 2>&1 & echo \$!");
}

subtest 'the examples' => sub {
    give([
        {name => 'model', command => 'python model.py',
            endpoints => [{protocol => 'http', target => 5001}]},
        {name => 'live', command => 'python live.py train.log',
            endpoints => [{target => 6006}]},
        {name => 'published', command =>
            'cd /tmp; exec python -m http.server 80',
            endpoints => [{target => 80, published => 8085}]},
    ]);
    becomes($_, 'Running') for qw(model live published);
    my $tx = $gw->program->request(
        POST => $gw->app_url('first-lab', '/predict', 5001), as('creator'),
        json => {data => [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]});
    is_deeply $tx->res->json('/species'), ['setosa', 'virginica'],
        'a model of scikit-learn answers' or diag $tx->res->body;
    my $me = $gw->opened('creator', 'first-lab', 6006);
    like $me->navigate($gw->app_url('first-lab', '/', 6006))->res->body,
        qr/WebSocket/, 'a page';
    my $ws = $me->websocket($gw->app_url('first-lab', '/live', 6006));
    like ${$ws->next_message // \''}, qr/epoch 1/, 'shows what was written';
    $log->spurt("epoch 1\nepoch 2\n");
    like ${$ws->next_message // \''}, qr/epoch 2/, 'and what is, as it is';
    reached(8085, 'a port by another name');
    for my $port (5001, 6006, 8085) {
        $gw->refused(ask($port, $_), 403, 'not_creator', "$_ is kept out")
            for qw(colleague reader);
    }
};

subtest 'TensorBoard' => sub {
    my $jobs  = AML::Jobs->new(gw => $gw, compute => 'first-lab', seconds => 60);
    my $train = sub ($run) {
        $jobs->submit($run, "python train.py $run",
            properties => {workingDirectory => '.'});
        $jobs->ends($run, 'Completed') or diag $jobs->log($run);
    };
    $train->('first');
    give([
        (map { {name => $_} } qw(model live published)),
        {name => 'board', command => 'exec tensorboard --logdir runs '
                . '--port $AML_PORT --reload_interval 1',
            endpoints => [{target => 6007}]}
    ]);
    becomes('board', 'Running');

    my $me   = $gw->opened('creator', 'first-lab', 6007);
    my $url  = sub ($path) { $gw->app_url('first-lab', $path, 6007) };
    my $page = $me->navigate($url->('/'))->res;
    is $page->code, 200, 'its page';
    my ($script) = $page->body =~ /<script src="(index\.js[^"]*)"/;
    ok $script, 'names its script' or return;
    my $res = $me->fetch(GET => $url->("/$script"))->res;
    is $res->code, 200, 'which comes';
    like $res->headers->content_type, qr/javascript/, 'as one';
    cmp_ok length $res->body, '>', 1_000_000, 'all of it';

    my $runs = sub { $me->fetch(GET => $url->('/data/runs'))->res->json };
    ok wait_for(sub { "@{$runs->()}" eq 'first' }), 'the run is there';
    $res = $me->fetch(POST => $url->('/data/plugin/timeseries/timeSeries'),
        form => {requests => '[{"plugin": "scalars", "tag": "loss"}]'})->res;
    my $points = $res->json('/0/runToSeries/first') // [];
    is scalar @$points, 20, 'with what was written' or diag $res->body;
    cmp_ok $points->[-1]{value}, '<', $points->[0]{value}, 'it has learnt';
    $train->('second');
    ok wait_for(sub { "@{$runs->()}" eq 'first second' }), 'and a later one';

    for my $path ('/', "/$script", '/data/runs') {
        $gw->refused(ask(6007, $_, $path), 403, 'not_creator', "not $path to $_")
            for qw(colleague reader);
    }
};

subtest 'any port' => sub {
    my $pid = serve('first-lab', 8123);
    reached(8123, 'one on the loopback');
    serve('first-lab', 8124, '0.0.0.0');
    reached(8124, 'one on all addresses');
    serve('first-lab', 8125, $gw->address('first-lab'));
    reached(8125, 'one on the network\'s');
    $gw->refused(ask(8123, 'colleague'), 403, 'not_creator', 'not a colleague');
    $gw->refused(ask(8123, 'colleague', '/', 'other-lab'), 404,
        'port_not_open', 'whose own instance has none');
    $gw->refused(ask(8126), 404, 'port_not_open', 'where nothing listens');
    my $tx = $gw->signed_in('creator')
        ->navigate($gw->app_url('first-lab', '/', 8126));
    like $tx->res->body, qr/Nothing listens on this port/, 'a page says so';
    my $raw = AML::RawWebSocket->open($gw, $gw->app_host('first-lab', 8123),
        AML::Tunnel->PATH, 'Authorization: Bearer ' . $gw->token('creator'));
    is $raw->code, 101, 'by a tunnel, too';
    $raw->say(AML::RawWebSocket::frame(2, "GET / HTTP/1.0\r\n\r\n"));
    $raw->socket->blocking(1);
    my $said = $raw->in;
    while ($said !~ /Directory listing/) {
        AML::Raw::read_some($raw->socket, \$said) or last;
    }
    like $said, qr/Directory listing/, 'which leads to the same program';
    for my $case (['colleague', 8123, 403], ['creator', 8126, 404]) {
        my ($who, $port, $code) = @$case;
        is(AML::RawWebSocket->open($gw, $gw->app_host('first-lab', $port),
            AML::Tunnel->PATH, 'Authorization: Bearer ' . $gw->token($who))
            ->code, $code, "$who by a tunnel to $port");
    }
    $gw->inside('first-lab', "kill $pid");
    ok wait_for(sub {
        (ask(8123)->res->headers->header('X-AML-Reason') // '') eq
            'port_not_open'
    }), 'and again when it has ended';
    serve('first-lab', 22);
    serve('first-lab', 8127);
    reached(8127, 'a later one');
    $gw->refused(ask(22), 404, 'port_not_open', 'but 22 is SSH\'s');
};

subtest 'a service that does not run' => sub {
    my $order = sub ($verb) {
        $gw->api(POST => $gw->compute('first-lab')
            . "/customServices/published/$verb", 'creator');
    };
    $order->('stop');
    becomes('published', 'Stopped');
    $gw->refused(ask(8085), 409, 'service_stopped', 'its port says so');
    is(AML::RawWebSocket->open($gw, $gw->app_host('first-lab', 8085),
        AML::Tunnel->PATH, 'Authorization: Bearer ' . $gw->token('creator'))
        ->code, 409, 'by a tunnel, too');
    my $pid = serve('first-lab', 8085);
    reached(8085, 'what else listens there is reached as ever');
    $gw->inside('first-lab', "kill $pid");
    ok wait_for(sub { ask(8085)->res->code == 409 }), 'until it has ended';
    my $me = $gw->opened('creator', 'first-lab', 8085);
    is $me->navigate($gw->app_url('first-lab', '/', 8085))->res->dom
        ->at('[data-demand]')->{'data-demand'}, 'Stopped', 'a page says it';
    $order->('start');
    becomes('published', 'Running');
    reached(8085, 'started it is reached by its other name');
};

subtest 'an owner who plays with it' => sub {
    serve('other-lab', 9001, '0.0.0.0');
    my $there = $gw->address('other-lab');
    ok wait_for(sub {
        ask(9001, 'colleague', '/', 'other-lab')->res->code == 200
    }), 'a colleague has a port';
    # a listener on an address that is another instance's
    $gw->inside('first-lab', 'nohup python -c ' . AML::Podman::quote(<<'EOF')
import socket, sys, time
s = socket.socket()
s.setsockopt(socket.IPPROTO_IP, 15, 1)
s.bind((sys.argv[1], 9001))
s.listen(5)
time.sleep(1000)
EOF
            . " $there > /dev/null 2>&1 &");
    serve('first-lab', 9002);
    reached(9002, 'what listens is known');
    isnt ask(9001)->res->code, 200, 'it does not lead to the other';
    $gw->inside('first-lab', 'ln -s jupyter.sock /run/aml/9003.sock');
    $gw->refused(ask(9003), 404, 'port_not_open', 'a link leads nowhere');
    $gw->inside('first-lab', 'rm -f /run/aml/9002.sock');
    reached(9002, 'a socket that was removed is made again');
};

subtest 'amld is killed, the container is ended' => sub {
    $gw->kill_amld;
    is ask(9002)->res->code, 200, 'ports go on';
    $gw->start_amld;
    serve('first-lab', 9004);
    reached(9004, 'and are found afterwards');
    my $was = $gw->container('first-lab')->{pid};
    kill 'KILL', $was;
    ok wait_for(sub {
        my $c = $gw->container('first-lab');
        $c && $c->{pid} != $was && $gw->state_of('first-lab') eq 'Running';
    }, 60), 'it is started again';
    becomes('model', 'Running');
    reached(5001, 'services with it');
    serve('first-lab', 9005);
    reached(9005, 'and ports');
};

subtest 'an image' => sub {
    give([{name => 'model'},
        {name => 'beside', image => {type => 'docker',
            reference => AML::Podman::IMAGE},
            command => 'cd /; exec python3 -m http.server $WHERE',
            environmentVariables => {WHERE => {type => 'local', value => '8200'}},
            endpoints => [{target => 8200}]},
        {name => 'alone', image => {reference => 'localhost/none-such'},
            environmentVariables => {LD_PRELOAD =>
                {type => 'local', value => '/share/evil.so'}}}]);
    becomes('beside', 'Running');
    reached(8200, 'it is reached like any other');
    becomes('alone', 'Failed');
    like show('alone')->{message}, qr/none-such/, 'one that is not there';
    unlike show('alone')->{message}, qr/ld\.so/, 'steers nothing of ours';
};

$gw->done;
