# Cookies that a page of an instance throws at the studio and at other instances,
# in a real Chromium.  What the browser does is in t/browser/tossing.mjs.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Chromium;
use AML::Test;

AML::Chromium->needed;

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator', 'evil-lab' => 'creator'});

AML::Chromium->drive(tossing => {
    studio   => $gw->studio,
    password => $gw->passwords->{creator},
    own      => $gw->app_url('first-lab', '/stand-in/page'),
    evil     => $gw->app_url('evil-lab',  '/stand-in/page'),
    header   => $gw->app_url('evil-lab',  '/stand-in/header'),
    domains  => [$gw->studio_host, $gw->apps],
    theirs   => $gw->signed_in('colleague')
        ->cookie('__Host-aml', $gw->studio_host),
    profile => $gw->dir . '/profile'
});

$gw->done;
