# A clock that is wrong when amld starts, and is put right: jobs that run go on,
# and no history is lost.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Jobs;
use AML::Needs;
use AML::Test;

my ($faketime) = glob '/usr/lib/*/faketime/libfaketimeMT.so.1';
needs 'libfaketime is not installed', $faketime;
plan skip_all => 'libfaketime and the sanitizers exclude each other'
    if $AML::Test::VARIANT eq 'asan';

my $gw = AML::Test->start(
    amld      => sub ($text) {"job_keep = 30d\ntoken_lifetime = 1d\n$text"},
    accounts  => {creator => 'Contributor'},
    instances => {lab     => 'creator'}
);
my $jobs = AML::Jobs->new(gw => $gw, compute => 'lab');

$jobs->submit('old', 'true');
$jobs->ends('old', 'Completed');
$jobs->submit('long', $jobs->waits, limits => {timeout => 'PT2H'});
$jobs->up('long');

$gw->stop_amld;
{
    local @ENV{qw(LD_PRELOAD FAKETIME FAKETIME_DONT_FAKE_MONOTONIC
        DONT_FAKE_MONOTONIC)} = ($faketime, '+40d', 1, 1);
    $gw->start_amld;
}
sleep 3;
$gw->stop_amld;
$gw->start_amld;
is $jobs->status('long'), 'Running', 'what runs goes on';
is $jobs->status('old'), 'Completed', 'and what has ended is there';
like $gw->log_text('amld.err'), qr/clock is 960 hours later.*job_keep/,
    'it is logged';
$jobs->go('long');
$jobs->ends('long', 'Completed');

$gw->tolerate(qr/the clock is \d+ hours later/);
$gw->done;
