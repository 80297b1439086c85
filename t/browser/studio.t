# The studio page in a real Chromium: stop, start, sign out; and signing in
# without script.  What the browser does is in t/browser/studio.mjs.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Chromium;
use AML::Test;

AML::Chromium->needed;

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator', 'other-lab' => 'colleague'});

# Certificates are front_door.t's concern; here they are not checked.
AML::Chromium->drive(studio => {
    studio   => $gw->studio,
    password => $gw->passwords->{creator},
    profile  => $gw->dir . '/profile'
});
is $gw->state_of('first-lab'), 'Running', 'the instance was started again';

$gw->done;
