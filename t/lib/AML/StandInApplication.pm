package AML::StandInApplication;

# A stand-in for an application of an instance, where a test is about the
# gateway and not about the application.  It is started as Jupyter Server
# would be (the same options; it looks at the socket only) and
#
#   * answers every request with JSON that says what arrived,
#   * echoes websocket messages,
#   * says on every answer which process and which connection gave it.
#
# Paths with a meaning of their own:
#
#   /stand-in/status/<n>    that status
#   /stand-in/header?n=v    the answer has these headers
#   /stand-in/headers/<n>   the answer has n headers of a kilobyte
#   /stand-in/page?of=u     a page with an element, and u in a frame
#   /stand-in/bytes/<n>     so many bytes
#   /stand-in/close         closes without an answer
#   /stand-in/stream        an event stream that does not end
#   /stand-in/silent        never answers
#   /stand-in/headers-of-ws the headers of the last websocket handshake
#   /stand-in/websockets    how many are open, how many messages came in
#   /stand-in/switch        switches to a protocol that is no websocket
#
# A websocket at /stand-in/raw takes commands, and never answers them:
#
#   hex <digits>            writes these bytes, whatever they mean
#   later <s> <digits>      the same after so many seconds
#   end <s> <digits>        the same, and ends the connection
#   pour <n>                a message without end, in frames of n > 125 bytes

use Mojolicious::Lite -signatures;
use Digest::SHA qw(sha256_hex);

app->log->level('fatal');
app->secrets(['stand-in']);
app->max_request_size(0);

my ($last_handshake, $open, $messages) = (undef, 0, 0);

sub headers_of ($req) {
    my $h = $req->headers;
    return [map { my $n = $_; map { [$n, $_] } @{$h->every_header($n)} }
            @{$h->names}];
}

hook after_dispatch => sub ($c) {
    $c->res->headers->header('X-Stand-In-Pid' => $$);
    $c->res->headers->header('X-Stand-In-Connection' => $c->tx->connection);
};

get '/stand-in/status/:n' => sub ($c) {
    $c->render(status => $c->param('n'), text => 'status');
};

get '/stand-in/header' => sub ($c) {
    my $pairs = $c->req->query_params->pairs;
    while (my ($n, $v) = splice @$pairs, 0, 2) {
        $c->res->headers->add($n => $v);
    }
    $c->render(text => 'header');
};

get '/stand-in/headers/:n' => sub ($c) {
    $c->res->headers->add("X-Long-$_" => 'x' x 1000) for 1 .. $c->param('n');
    $c->render(text => 'headers');
};

get '/stand-in/page' => sub ($c) {
    $c->render(inline => '<!doctype html><title>page</title><p>A page'
            . '<% if (my $of = param "of") { %><iframe src="<%= $of %>">'
            . '</iframe><% } %>');
};

get '/stand-in/bytes/:n' => sub ($c) {
    $c->render(data => 'x' x $c->param('n'));
};

get '/stand-in/close' => sub ($c) {
    Mojo::IOLoop->remove($c->tx->connection);
    $c->render_later;
};

# Goes on for ever; so does what it takes.
any '/stand-in/stream' => sub ($c) {
    $c->inactivity_timeout(0);
    $c->res->headers->content_type('text/event-stream');
    my $id = Mojo::IOLoop->recurring(0.05 => sub { $c->write_chunk("data: x\n\n") });
    $c->on(finish => sub { Mojo::IOLoop->remove($id) });
    $c->write_chunk("data: x\n\n");
};

get '/stand-in/silent' => sub ($c) { $c->render_later };

get '/stand-in/headers-of-ws' => sub ($c) {
    $c->render(json => $last_handshake);
};

get '/stand-in/websockets' => sub ($c) {
    $c->render(json => {open => $open, messages => $messages});
};

get '/stand-in/switch' => sub ($c) {
    $c->render_later;
    Mojo::IOLoop->stream($c->tx->connection)
        ->write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n"
            . "Connection: Upgrade\r\n\r\nother");
};

websocket '/stand-in/raw' => sub ($c) {
    $open++;
    $c->inactivity_timeout(0);
    my $stream = Mojo::IOLoop->stream($c->tx->connection);
    my $pour;
    $pour = sub ($n, $first) {
        $stream->write(
            ($n < 65536 ? pack('CCn', $first, 126, $n)
                : pack 'CCQ>', $first, 127, $n)
                . 'x' x $n,
            sub { $pour->($n, 0) if $pour }
        );
    };
    $c->on(
        text => sub ($c, $m) {
            $messages++;
            my ($command, @args) = split ' ', $m;
            if ($command eq 'hex') { $stream->write(pack 'H*', $args[0]) }
            elsif ($command eq 'pour') { $pour->($args[0], 2) }
            elsif ($command eq 'later') {
                Mojo::IOLoop->timer($args[0] =>
                        sub { $stream->write(pack 'H*', $args[1]) });
            }
            elsif ($command eq 'end') {
                Mojo::IOLoop->timer(
                    $args[0] => sub {
                        $stream->write(pack 'H*', $args[1]);
                        $stream->close_gracefully;
                    }
                );
            }
        }
    );
    $c->on(finish => sub { $open--; undef $pour });
};

websocket '/*any' => {any => ''} => sub ($c) {
    $last_handshake = {
        url     => $c->req->url->to_string,
        headers => headers_of($c->req)
    };
    $c->tx->with_protocols('v1.kernel.websocket.jupyter.org');
    $c->inactivity_timeout(0);
    $c->tx->max_websocket_size(16 * 1024 * 1024);
    $open++;
    $c->on(finish => sub { $open-- });
    $c->on(
        text => sub ($c, $m) { $messages++; $c->send({text => $m}) });
    $c->on(
        binary => sub ($c, $m) { $messages++; $c->send({binary => $m}) });
};

any '/*any' => {any => ''} => sub ($c) {
    my $req  = $c->req;
    my $body = $req->body;
    $c->render(
        json => {
            method  => $req->method,
            url     => $req->url->to_string,
            version => $req->version,
            headers => headers_of($req),
            body    => {bytes => length $body, sha256 => sha256_hex($body)},
            pid     => $$,
            cwd     => readlink('/proc/self/cwd'),
        }
    );
};

# Runs until SIGTERM.  As a service it has --listen=ADDRESS:PORT.
sub run ($class, @args) {
    my ($socket) = map { /^--ServerApp\.sock=(.+)$/ ? $1 : () } @args;
    my ($port)   = map { /^--listen=(.+)$/           ? $1 : () } @args;
    die "stand-in: no --ServerApp.sock\n" unless $socket || $port;
    require Mojo::Server::Daemon;
    require Mojo::Util;
    unlink $socket if $socket;
    umask 0007;
    my $daemon = Mojo::Server::Daemon->new(
        app                => app,
        silent             => 1,
        inactivity_timeout => 600,
        keep_alive_timeout => 600,
        listen => [
            $socket ? 'http+unix://' . Mojo::Util::url_escape($socket)
            : "http://$port"
        ],
    );
    $daemon->run;
}

1;
