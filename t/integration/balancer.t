# Connections to applications are kept and used again; and never for another
# start of an instance, or another instance, at the same address.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Test;

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator'},
    nginx     => sub ($t) { $t =~ s/worker_processes \d+/worker_processes 1/r }
);
my $bearer = $gw->bearer('creator');

# Process and connection that answered.
sub ask ($name) {
    my $h = $gw->program->get($gw->app_url($name, '/x'), headers => $bearer)
        ->res->headers;
    return ($h->header('X-Stand-In-Pid') // 'none',
        $h->header('X-Stand-In-Connection') // 'none');
}

my ($pid, $connection) = ask('first-lab');
isnt $pid, 'none', 'answered';
my %used = ($connection => 1);
$used{(ask('first-lab'))[1]}++ for 1 .. 30;
is scalar keys %used, 1, '31 requests, one connection';

subtest 'the same socket, a new start' => sub {
    chomp(my $hex = $gw->edit({op => 'get', key => 'route/first-lab/8888'}));
    my ($address) = pack('H*', $hex) =~ m{(unix:/[^\0]+?\.sock)};
    my $me = $gw->api(GET => $gw->compute('first-lab'), 'creator')
        ->res->json('/properties/properties/createdBy/userId');
    my $route = sub ($name, $generation) {
        $gw->edit(
            map {
                {
                    op => 'route', name => $name, port => $_,
                    state => 'Running', creator => $me,
                    generation => $generation, $_ ? (address => $address) : ()
                }
            } 0,
            8888
        );
    };
    my (undef, $before) = ask('first-lab');
    $route->('next-lab', 77_001);
    my (undef, $other) = ask('next-lab');
    isnt $other, $before, 'another instance gets a connection of its own';
    my (undef, $again) = ask('next-lab');
    is $again, $other, 'which it keeps';
    $route->('next-lab', 77_002);
    my (undef, $later) = ask('next-lab');
    ok !$used{$later} && $later ne $other, 'a later start gets a new one';
    is((ask('first-lab'))[1], $before, 'the first keeps its own');
};

subtest 'a real restart' => sub {
    $gw->api(POST => $gw->compute('first-lab') . '/restart', 'creator');
    $gw->wait_state('first-lab', 'Running');
    my ($new) = ask('first-lab');
    isnt $new, $pid, 'another process answers';
    ok !kill(0, $pid), 'the one before is gone';
};

subtest 'the application ends a kept connection' => sub {
    my ($p, $c) = ask('first-lab');
    kill 'STOP', $p;
    kill 'CONT', $p;
    is((ask('first-lab'))[0], $p, 'it goes on');
    my $tx = $gw->program->get($gw->app_url('first-lab', '/stand-in/close'),
        headers => $bearer);
    $gw->refused($tx, 502, 'application_unreachable',
        'closed without an answer');
    is((ask('first-lab'))[0], $p, 'the next request gets a new connection');
};

subtest 'a change is never sent twice' => sub {
    my $tx = $gw->program->request(
        POST    => $gw->app_url('first-lab', '/stand-in/close'),
        headers => $bearer, body => 'x'
    );
    ok defined $tx->res->code, 'answered once';
};

$gw->done;
