# A program in a terminal of SSH keeps an instance from idle shutdown, as one in
# Jupyter's does; a session in which nothing happens does not.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Needs;
use AML::SSH;
use AML::Test;
use AML::Wait qw(wait_for);

needs 'there is no Jupyter', -x "$AML::Test::VENV/bin/jupyter";

my $gw  = AML::Test->start(application => 'jupyter');
my $ssh = AML::SSH->new(gw => $gw, name => 'first-lab',
    user => scalar getpwuid $<);
$gw->api(PUT => $gw->compute('first-lab'), 'creator',
    json => $gw->compute_body($ssh->settings,
        idleTimeBeforeShutdown => 'PT60M'))->res->code == 201
    or $gw->give_up('PUT');
$gw->wait_state('first-lab', 'Running');
$ssh->to_socket(glob $gw->dir . '/state/i/*/ssh.sock');

sub keeps {
    return $gw->api(GET => $gw->compute('first-lab') . '/idle', 'creator')
        ->res->json('/keeps/0') // '';
}

my $shell = $ssh->open(flags => ['-tt']);
$shell->type("echo :\$((6*7)):\n");
ok $shell->says(qr/:42:/), 'a terminal' or diag $shell->err;
ok wait_for(sub { keeps() eq '' }), 'in which nothing happens';

$shell->type("(while :; do :; done) & echo at \$! end\n");
ok $shell->says(qr/at \d+ end/), 'a program in it';
ok wait_for(sub { keeps() eq 'A program in a terminal is at work.' }),
    'keeps the instance';

my ($pid) = $shell->out =~ /at (\d+) end/;
kill 'KILL', $pid;
ok wait_for(sub { keeps() eq '' }), 'until it ends';
$shell->end;

$gw->done;
