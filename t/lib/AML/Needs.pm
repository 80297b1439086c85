package AML::Needs;

# What a test can't do without and ./dev test installs or builds: where it is
# missing the test, or the subtest, is skipped for who runs prove by hand, and
# fails where AML_NO_SKIP is set, as in CI.
#
#     needs 'there is no Jupyter', -x "$AML::Test::VENV/bin/jupyter";
#
# What a machine can't have, or a variant, is skipped by `plan skip_all`, with a
# reason that CONTRIBUTING.md lists.

use Mojo::Base -strict, -signatures;
use Exporter   qw(import);
use Test::More ();

our @EXPORT = qw(needs);

sub needs ($why, $there) {
    return if $there;
    die "$why, and nothing is skipped here (AML_NO_SKIP)\n" if $ENV{AML_NO_SKIP};
    Test::More::plan(skip_all => $why);
}

1;
