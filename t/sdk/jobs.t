# Jobs by @azure/arm-machinelearning against a gateway, with nothing changed but
# its endpoint.  What the client does is in jobs.mjs.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::Util qw(decode);
use Test::More;
use AML::Needs;
use AML::Sdk;
use AML::Test;

needs '@azure/arm-machinelearning is not installed: npm ci in t/sdk',
    -d "$FindBin::Bin/node_modules/\@azure/arm-machinelearning";

my $FILL = "$AML::Test::ROOT/build/$AML::Test::VARIANT/t/jobs_fill";

my $gw = AML::Test->start(
    accounts => {
        creator => 'Contributor', colleague => 'Contributor',
        reader  => 'Reader'
    },
    amld => sub ($conf) {
        return "job_queue = 40\n$conf";
    },
    instances => {'first-lab' => 'creator'}
);

my ($ended, $met) = AML::Sdk->run($gw, "$FindBin::Bin/jobs.mjs",
    phase => 'each');
ok $ended, 'the client came to its end';

subtest 'every documented error was met' => sub {
    my $doc = decode 'UTF-8', path($AML::Test::ROOT, 'docs/jobs.md')->slurp;
    my ($table) = $doc =~ /^## Errors\n(.*)/ms;
    my @codes = ($table // '') =~ /^\| `(\w+)` \|/mg;
    cmp_ok scalar @codes, '>', 12, 'there are some';
    # what takes a log that vanished, many readers, no memory: t/unit has them
    my %else = map { $_ => 1 }
        qw(LogNotFound TooManyFollowers ServiceUnavailable InternalServerError);
    ok $met->{$_}, $_ for grep { !$else{$_} } @codes;
};

subtest 'a long history' => sub {
    needs 'jobs_fill is not built', -x $FILL;
    $gw->stop_amld;
    $gw->run(undef, $FILL, $gw->dir . '/amld.conf', AML::Test::WORKSPACE,
        'first-lab', 100_000);
    $gw->start_amld;
    ($ended) = AML::Sdk->run(
        $gw, "$FindBin::Bin/jobs.mjs",
        phase    => 'many',
        patience => 0 + $ENV{AML_PATIENCE}
    );
    ok $ended, 'the client came to its end';
};

$gw->done;
