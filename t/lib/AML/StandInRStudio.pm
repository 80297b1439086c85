package AML::StandInRStudio;

# A stand-in for RStudio Server, which Debian does not have.  It is none, and
# shows nothing of R; where the gateway looks it behaves as rserver does:
#
#   * it takes rserver's options and ends on one that it does not know; it
#     listens on --www-socket, makes --server-data-dir open to everybody, and
#     reads --database-config-file;
#   * /unsupported_browser.htm is there for anybody, / is the page;
#   * a redirect (/go?to=…) is made of the scheme of X-RStudio-Request and of
#     Host; with ?as=… of that authority, by http;
#   * /rpc/* needs the header X-RS-CSRF-Token, with the value of the cookie
#     rs-csrf-token, which a page sets;
#   * /rpc/get_events is a long poll, until POST /stand-in/event ends it;
#   * /terminal is a websocket, which echoes;
#   * with Forwarded it does not find its own host, and says so (500).
#
# /stand-in/request says what arrived.  Files in the directory where it is
# started change what it does, where they are there at that time:
#
#   rstudio-wait   it does not listen before that file is gone
#   rstudio-fails  it says why and ends
#   rstudio-mute   it never listens
#
# GET /stand-in/crash ends it.

use Mojolicious::Lite -signatures;
use Time::HiRes qw(sleep);

app->log->level('fatal');
app->secrets(['stand-in']);

my %known = map { $_ => 1 } qw(server-daemonize auth-none server-user
    www-socket www-frame-origin www-verify-user-agent secure-cookie-key-file
    server-data-dir server-pid-file database-config-file rsession-config-file);
my ($token, @polls) = ('csrf-of-the-stand-in');

hook before_dispatch => sub ($c) {
    $c->render(status => 500, text => 'Forwarded names no host of mine')
        if $c->req->headers->header('Forwarded');
};

get '/unsupported_browser.htm' => sub ($c) { $c->render(text => 'no') };

get '/' => sub ($c) {
    $c->cookie('rs-csrf-token', $token, {path => '/'});
    $c->render(
        inline => '<!doctype html><title>RStudio (a stand-in)</title>'
            . '<h1 id="rstudio">A stand-in for RStudio</h1>'
            . '<p id="query"><%= param "q" %></p>'
    );
};

get '/go' => sub ($c) {
    my ($scheme) = ($c->req->headers->header('X-RStudio-Request') // 'http:')
        =~ /^(\w+):/;
    my $as = $c->param('as');
    $c->res->code(302);
    $c->res->headers->location(
        ($as ? "http://$as" : "$scheme://" . $c->req->headers->host)
            . ($c->param('to') // '/'));
    $c->rendered;
};

get '/stand-in/request' => sub ($c) {
    my $h = $c->req->headers;
    $c->render(
        json => {
            url     => $c->req->url->to_string,
            headers => {map { lc $_ => $h->header($_) } @{$h->names}}
        }
    );
};

get '/stand-in/crash' => sub ($c) { kill KILL => $$ };

post '/stand-in/event' => sub ($c) {
    $_->render(json => {event => 1}) for splice @polls;
    $c->render(json => {ended => 1});
};

get '/stand-in/polls' => sub ($c) { $c->render(json => scalar @polls) };

under '/rpc' => sub ($c) {
    my $sent = $c->req->headers->header('X-RS-CSRF-Token') // '';
    return 1 if $sent eq $token && $sent eq ($c->cookie('rs-csrf-token') // '');
    $c->render(status => 401, json => {error => 'csrf'});
    return undef;
};

post '/get_events' => sub ($c) {
    $c->inactivity_timeout(0);
    $c->render_later;
    push @polls, $c;
};

under '/';

websocket '/terminal' => sub ($c) {
    $c->inactivity_timeout(0);
    $c->on(message => sub ($c, $m) { $c->send($m) });
};

# Runs until SIGTERM.
sub run ($class, @args) {
    my %o = map { /^--([\w-]+)=(.*)$/s or die "rserver: $_?\n"; ($1 => $2) }
        @args;
    $known{$_} or die "rserver: unrecognised option '--$_'\n" for keys %o;

    if (-e 'rstudio-fails') {
        print STDERR "line $_ of what went wrong\n" for 1 .. 3;
        print STDERR "ERROR: <b>R</b> is not here\n";
        exit 1;
    }
    print STDERR "rserver: starting\n";
    sleep 0.02 while -e 'rstudio-wait' || -e 'rstudio-mute';

    require Mojo::File;
    Mojo::File::path($o{'database-config-file'})->slurp =~ /^provider=sqlite$/m
        or die "rserver: no database\n";
    Mojo::File::path($o{'secure-cookie-key-file'})->spurt('key');
    my $data = Mojo::File::path($o{'server-data-dir'});
    $data->child('rstudio-rsession')->make_path;
    chmod 01777, $data, $data->child('rstudio-rsession');

    require Mojo::Server::Daemon;
    require Mojo::Util;
    my $daemon = Mojo::Server::Daemon->new(
        app                => app,
        silent             => 1,
        inactivity_timeout => 600,
        listen =>
            ['http+unix://' . Mojo::Util::url_escape($o{'www-socket'})],
    );
    $daemon->run;
}

1;
