# VS Code in the browser, the real code-server: started on demand, its
# websockets, and its page in a real Chromium (t/browser/vscode.mjs).

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Test::More;
use AML::Chromium;
use AML::Test;
use AML::Wait qw(wait_for);

my $program = path("$FindBin::Bin/node_modules/.bin/code-server")->to_abs;
-e "$FindBin::Bin/node_modules/code-server/.made-from"
    or plan skip_all => 'code-server is not installed: ./dev test t/applications';
AML::Chromium->needed;

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator', 'other-lab' => 'creator'},
    amld      => sub ($t) {
        "$t\napplication vscode {\n    program = \"$program\"\n}\n";
    }
);
my $origin = $gw->app_origin('first-lab', 8080);
my $folder = $gw->share('Users', 'creator');

sub by () { return $gw->bearer('creator') }

subtest 'a program asks until it is there' => sub {
    my $tx = $gw->program->get("$origin/", headers => by());
    $gw->refused($tx, 503, 'application_not_started', 'at first');
    ok wait_for(
        sub {
            $tx = $gw->program->get("$origin/healthz", headers => by());
            $tx->res->code == 200;
        }
    ), 'and then it is';
    like $tx->res->json('/status'), qr/^(?:alive|expired)$/, 'code-server';
    my ($socket) = glob $gw->dir . '/state/i/*/vscode.sock';
    is +(stat $socket)[2] & 0007, 0, 'its socket is not everybody\'s';
};

subtest 'websockets' => sub {
    my $url = "$origin/?reconnectionToken=0&reconnection=false"
        . '&skipWebSocketFrames=false';
    my $ws = $gw->program->websocket($url,
        headers => {%{by()}, Origin => $origin});
    ok $ws->tx->is_websocket, 'of its own pages';

    # a token is not asked where it comes from by the gateway, but by it
    for my $other ($gw->app_origin('other-lab', 8080), 'https://elsewhere.example')
    {
        $ws = $gw->program->websocket($url,
            headers => {%{by()}, Origin => $other});
        is $ws->failed, 403, "not of $other";
        is $ws->tx->res->headers->header('X-AML-Reason'), undef,
            'which is its own word';
    }

    my $me = $gw->opened('creator', 'first-lab', 8080);
    $ws = $me->websocket($url);
    ok $ws->tx->is_websocket, 'with a session';
    $ws = $me->websocket($url, from => $gw->app_origin('other-lab', 8080));
    is $ws->failed, 403, 'but not of another instance';
    is $ws->tx->res->headers->header('X-AML-Reason'), 'cross_origin',
        'which is the gateway\'s word';
};

subtest 'what it is told' => sub {
    my $mark = 'AML_COMMAND=' . $gw->dir . '/';
    my ($env) = grep {m{^\Q$mark\E[^\0]*/vscode\0}}
        map { eval { path($_)->slurp } // '' } glob '/proc/[0-9]*/environ';
    my %env = map { /^([^=]+)=(.*)$/s ? ($1 => $2) : () } split /\0/,
        $env // '';
    is $env{VSCODE_PROXY_URI},
        'https://first-lab-{{port}}.' . $gw->apps . ':' . $gw->port . '/',
        'where people reach ports of their programs';
};

$gw->api(POST => $gw->compute('first-lab') . '/restart', 'creator');
$gw->wait_state('first-lab', 'Running');

# Certificates are checked: without that there are no service workers, and it
# has no views of its own.
local $ENV{HOME} = AML::Chromium->home_trusting($gw);
AML::Chromium->drive(
    vscode => {
        studio   => $gw->studio,
        vscode   => $origin,
        password => $gw->passwords->{creator},
        profile  => $gw->dir . '/profile'
    },
    {
        'file' => sub ($name) {
            -e "$folder/$name" ? path("$folder/$name")->slurp : '';
        },
        'kill amld' => sub { $gw->kill_amld; $gw->start_amld; 1 },
    }
);

$gw->done;
