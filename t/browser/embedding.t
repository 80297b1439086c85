# Applications in frames, in a real Chromium: of a portal that may show them,
# and of an instance that would like to.  What the browser does is in
# t/browser/embedding.mjs.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Chromium;
use AML::Test;

AML::Chromium->needed;

# Below aml.localhost, as the session's cookie is for the same site only.
use constant PORTAL => 'portal.aml.localhost';

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator', 'evil-lab' => 'creator'},
    nginx     => sub ($text) {
        my ($listen) = $text =~ /listen (\S+) ssl/;
        my ($port)   = $listen =~ /(:\d+)$/;
        my ($apps)   = $text =~ /aml_apps_domain (\S+);/;
        my $of       = "https://first-lab.$apps$port/stand-in/page";
        $text =~ s/^(http \{)$/$1
    aml_frame_ancestors https:\/\/@{[PORTAL]}$port;
    server {
        listen $listen ssl http2;
        server_name @{[PORTAL]};
        location \/ {
            default_type text\/html;
            return 200 "<!doctype html><p>A portal<iframe src=$of><\/iframe>";
        }
    }/m;
        return $text;
    }
);

AML::Chromium->drive(embedding => {
    studio   => $gw->studio,
    password => $gw->passwords->{creator},
    portal   => 'https://' . PORTAL . ':' . $gw->port . '/',
    own      => $gw->app_url('first-lab', '/stand-in/page'),
    other    => $gw->app_url('evil-lab', '/stand-in/page'),
    profile  => $gw->dir . '/profile'
});

$gw->done;
