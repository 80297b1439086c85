# Clients that send their requests slowly, many at once: amld has few threads
# and few connections, and must never wait for them.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Raw qw(connect_tls);
use AML::Test;

use constant MANY => 1_200;    # libmicrohttpd takes about a thousand

my $gw = AML::Test->start(instances => {'first-lab' => 'creator'});

my $host = $gw->studio_host . ':' . $gw->port;
my @held;

subtest 'bodies that never end' => sub {
    for my $n (1 .. MANY) {
        my $socket = eval { connect_tls($gw, $gw->studio_host) } or last;
        print {$socket} "POST /auth/token HTTP/1.1\r\nHost: $host\r\n",
            "Content-Type: application/x-www-form-urlencoded\r\n",
            "Content-Length: 100\r\n\r\nx";
        push @held, $socket;
    }
    cmp_ok scalar @held, '>=', MANY, 'so many of them';

    # amld would be free again after its idle time, a minute or more
    my $from = time;
    my $tx   = $gw->program->request(
        POST    => $gw->studio_url('/auth/token'),
        headers => {Authorization => $gw->basic('creator')}
    );
    is $tx->res->code, 200, 'somebody signs in meanwhile';
    is $gw->api(GET => $gw->workspace . '/computes', 'creator')->res->code,
        200, 'and the control API answers';
    cmp_ok time - $from, '<', 15 * $ENV{AML_PATIENCE}, 'at once';
};

close $_ for @held;
$gw->done;
