# The studio page in a real Chromium: stop, start, sign out; and signing in
# without script.  What the browser does is in t/browser/studio.mjs.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(decode_json encode_json);
use Test::More;
use AML::Test;

-d "$FindBin::Bin/node_modules/playwright-core"
    or plan skip_all => 'playwright-core is not installed: npm ci in t/browser';
-x '/usr/bin/chromium' or plan skip_all => 'chromium is not installed';

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator', 'other-lab' => 'colleague'});

# Certificates are front_door.t's concern; here they are not checked.
local $ENV{AML_BROWSER} = encode_json({
    studio    => $gw->studio,
    password  => $gw->passwords->{creator},
    profile   => $gw->dir . '/profile',
    patience  => 0 + ($ENV{AML_PATIENCE} || 1)
});
delete local @ENV{qw(http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy)};

open my $out, '-|', 'node', "$FindBin::Bin/studio.mjs" or die "node: $!\n";
my $ended = 0;
while (my $line = <$out>) {
    my $m = eval { decode_json($line) } or do { diag $line; next };
    if (exists $m->{ok}) { ok $m->{ok}, $m->{name} or diag $m->{why} // '' }
    $ended = 1 if $m->{end};
}
close $out;
is $?, 0, 'the browser\'s side ended well';
ok $ended, 'and came to its end';
is $gw->state_of('first-lab'), 'Running', 'the instance was started again';

$gw->done;
