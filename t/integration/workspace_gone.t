# A workspace's section is taken out of the configuration, or renamed: amld does
# not start while something of it runs that nobody could stop then.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Test::More;
use AML::Test;

my $gw   = AML::Test->start(instances => {lab => 'creator'});
my $conf = path($gw->dir, 'amld.conf');
my $here = $conf->slurp;
(my $gone = $here) =~ s/^workspace "?demo"?/workspace "other"/m
    or die "there is no such section\n";
my $said = qr{error lab is Running, and its workspace \S+/demo is configured no more};

sub pid () {
    return $gw->program->get($gw->app_url('lab', '/x'),
        headers => $gw->bearer('creator'))->res->json('/pid');
}
my $pid = pid();
like $pid, qr/^\d+$/, 'it runs';

$gw->stop_amld;
$conf->spurt($gone);
for my $how ('-t', 'run') {
    my $r = $gw->amld($how);
    is $r->{status}, 1, "$how: fails";
    like $r->{err},   $said,               'names the instance';
    like $r->{err},   qr/section back/,    'says what to do';
    unlike $r->{out}, qr/configuration is good/;
}
ok kill(0, $pid), 'what runs is left alone';

$conf->spurt($here);
$gw->start_amld;
is pid(), $pid, 'with the section again all is as it was';
$gw->api(POST => $gw->compute('lab') . '/stop', 'creator');
$gw->wait_state('lab', 'Stopped');
$gw->stop_amld;

$conf->spurt($gone);
my $r = $gw->amld('-t');
is $r->{status}, 0, 'one that is stopped is not in the way';
like $r->{err}, qr/warn 1 instance that does not run, such as lab/,
    'but is told of';
$gw->start_amld;
$gw->stop_amld;

$conf->spurt($here);
$gw->start_amld;
$gw->api(POST => $gw->compute('lab') . '/start', 'creator');
$gw->wait_state('lab', 'Running');
like pid(), qr/^\d+$/, 'and starts when its workspace is back';

$gw->done;
