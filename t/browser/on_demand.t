# Applications on demand in a real Chromium: the page that starts one, waits and
# goes on.  What the browser does is in t/browser/on_demand.mjs.  RStudio is a
# stand-in: see AML::StandInRStudio.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Test::More;
use AML::Chromium;
use AML::Test;

AML::Chromium->needed;

my $lib = path($FindBin::Bin)->to_abs->dirname->child('lib');
my $gw  = AML::Test->start(
    instances => {'first-lab' => 'creator', 'other-lab' => 'creator'},
    amld      => sub ($t) {
        "$t\napplication rstudio {\n"
            . "    program = \"$lib/stand-in-rstudio\"\n}\n";
    }
);
my $folder = $gw->share('Users', 'creator');

my %do = (
    'let it' => sub ($what) {
        unlink glob "$folder/rstudio-*";
        path("$folder/rstudio-$what")->spurt('') if $what;
        return 1;
    },
    'restart' => sub {
        $gw->api(POST => $gw->compute('first-lab') . '/restart', 'creator');
        $gw->wait_state('first-lab', 'Running');
        return 1;
    },
    'state' => sub {
        $gw->program->get($gw->app_origin('first-lab', 8787) . '/.aml/start',
            headers => $gw->bearer('creator'))->res->json('/state');
    },
    'asked for' => sub {
        scalar(() = $gw->log_text('amld.err') =~ /rstudio is asked for/g);
    },
    'kill amld' => sub { $gw->kill_amld;  1 },
    'run amld'  => sub { $gw->start_amld; 1 },
);

# Certificates are front_door.t's concern; here they are not checked.
AML::Chromium->drive(
    on_demand => {
        studio  => $gw->studio,
        rstudio => $gw->app_origin('first-lab', 8787),
        other   => $gw->app_url('other-lab', '/stand-in/page'),
        password => $gw->passwords->{creator},
        profile  => $gw->dir . '/profile'
    },
    \%do
);

is $gw->state_of('first-lab'), 'Running', 'the instance was always there';

$gw->done;
