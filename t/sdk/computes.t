# @azure/arm-machinelearning against a gateway, with nothing changed but its
# endpoint.  What the client does is in computes.mjs.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Mojo::Util qw(decode);
use Test::More;
use AML::Needs;
use AML::Sdk;
use AML::Test;
use AML::Wait qw(wait_for);

needs '@azure/arm-machinelearning is not installed: npm ci in t/sdk',
    -d "$FindBin::Bin/node_modules/\@azure/arm-machinelearning";

my $FILL = "$AML::Test::ROOT/build/$AML::Test::VARIANT/t/computes_fill";

my $gw = AML::Test->start(
    accounts => {
        creator => 'Contributor', colleague => 'Contributor',
        reader  => 'Reader', admin => undef
    },
    instances => {'slow-lab' => 'creator'}
);
$gw->assign('admin', 'Owner', '/');

# An application that does not hear when it is told to end.
sub hold ($name) {
    my $dump = decode_json($gw->amld_ok(qw(registry dump --json)));
    my ($doc) = grep { ($_->{name} // '') eq $name && $_->{runtime} }
        map { ref $_->{value} eq 'HASH' ? $_->{value} : () } @{$dump->{records}};
    my $runtime = $doc->{runtime} or BAIL_OUT("no $name");
    my $held    = 0;
    for my $dir (glob '/proc/[0-9]*') {
        my $environ = eval { path("$dir/environ")->slurp } // next;
        my $line    = eval { path("$dir/cmdline")->slurp } // next;
        next if $environ !~ m{AML_COMMAND=[^\0]*/\Q$runtime\E/};
        next if $line =~ /^[^\0]*\0shim\0/;
        $held += kill STOP => $dir =~ m{(\d+)$};
    }
    return $held;
}
ok hold('slow-lab'), 'an application is held';

my ($ended, $met) = AML::Sdk->run($gw, "$FindBin::Bin/computes.mjs",
    phase => 'each');
ok $ended, 'the client came to its end';

subtest 'every documented error was met' => sub {
    my $doc = decode 'UTF-8', path($AML::Test::ROOT, 'docs/computes.md')->slurp;
    my ($table) = $doc =~ /^## Errors\n(.*?)^And when something is wrong/ms;
    my @codes = ($table // '') =~ /^\| `(\w+)` \|/mg;
    cmp_ok scalar @codes, '>', 15, 'there are some';
    ok $met->{$_}, $_ for @codes;
};

subtest 'very many' => sub {
    needs 'computes_fill is not built', -x $FILL;
    ok wait_for(sub { $gw->state_of('slow-lab') eq '' }),
        'what was held is deleted, too';
    $gw->stop_amld;
    $gw->run(undef, $FILL, $gw->dir . '/amld.conf', AML::Test::WORKSPACE,
        10_000);
    $gw->start_amld;
    ($ended) = AML::Sdk->run($gw, "$FindBin::Bin/computes.mjs",
        phase => 'many');
    ok $ended, 'the client came to its end';
};

$gw->done;
