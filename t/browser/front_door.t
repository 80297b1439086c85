# What people do, in a real Chromium with real JupyterLab and Notebook 7: see
# t/browser/front_door.mjs.  This file is the gateway behind it: it starts one,
# and restarts its parts when the browser's side asks for it.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Test::More;
use AML::Chromium;
use AML::Test;

AML::Chromium->needed;

my $gw = AML::Test->start(
    application => 'jupyter',
    instances   => {'first-lab' => 'creator', 'second-lab' => 'creator'}
);

# Certificates are checked.
local $ENV{HOME} = AML::Chromium->home_trusting($gw);
my %do = (
    'restart nginx' => sub { $gw->restart_nginx; 1 },
    'kill amld'     => sub { $gw->kill_amld; $gw->start_amld; 1 },
    'amld knows'    => sub { $gw->state_of('first-lab') },
    'refused'       => sub ($reason) {
        scalar(() = $gw->log_text('access.log') =~ / refuse $reason /g);
    },
    'file'          => sub ($name) {
        my ($file) = grep { $_->basename eq $name }
            $gw->share->list_tree->each;
        return $file ? $file->slurp : '';
    },
);
AML::Chromium->drive(
    front_door => {
        lab       => $gw->app_url('first-lab', '/lab'),
        other     => $gw->app_url('second-lab', '/lab'),
        tree      => $gw->app_url('first-lab', '/tree'),
        studio    => $gw->studio,
        passwords => $gw->passwords,
        profile   => $gw->dir . '/profile'
    },
    \%do
);

$gw->done;
