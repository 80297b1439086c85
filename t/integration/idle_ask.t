# Whether an instance is idle is asked of its Jupyter Server, and that may not
# answer: whoever waits for it is in nobody's way.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Test::More;
use Time::HiRes qw(time);
use AML::Raw qw(connect_tls);
use AML::Test;
use AML::Truth;

my $gw = AML::Test->start(instances => {'first-lab' => 'creator'});
$gw->token('creator');

sub idle { $gw->api(GET => $gw->compute('first-lab') . '/idle', 'creator') }

is idle()->res->code, 200, 'it answers';

# Of this gateway's alone: others have instances of that name, too.
my @pids = grep {
    (eval { path("/proc/$_/cmdline")->slurp } // '') !~ /\0shim\0/
} map {@$_} values %{AML::Truth->commands($gw)};
ok scalar @pids, 'its application';
kill STOP => @pids;

my @waiting = map {
    my $socket = connect_tls($gw, $gw->studio_host);
    print {$socket} 'GET ' . $gw->compute('first-lab')
        . '/idle?api-version=2022-10-01 HTTP/1.1' . "\r\nHost: "
        . $gw->studio_host . ':' . $gw->port . "\r\nConnection: close\r\n"
        . 'Authorization: ' . $gw->bearer('creator')->{Authorization}
        . "\r\n\r\n";
    $socket
} 1 .. 70;
my $from = time;
is $gw->program->request(
    POST    => $gw->studio_url('/auth/token'),
    headers => {Authorization => $gw->basic('creator')}
)->res->code, 200, 'others sign in';
cmp_ok time - $from, '<', 2 * $ENV{AML_PATIENCE}, 'at once';

my %codes;
for my $socket (@waiting) {
    my $line = readline($socket) // '';
    $codes{$1}++ if $line =~ m{^HTTP/1.1 (\d+)};
}
cmp_ok $codes{503}, '>', 60, 'most are told to come again';
ok $codes{200}, 'one is told that it does not answer';

kill CONT => @pids;
is idle()->res->code, 200, 'and then it does';

$gw->done;
