package AML::Kernel;

# A kernel of a Jupyter Server, through the gateway: code in, text out.
#
#     my $kernel = AML::Kernel->start($browser, $gw->app_url('first-lab', ''));
#     is $kernel->run('print(6 * 7)'), "42\n";

use Mojo::Base -base, -signatures;
use Mojo::JSON qw(decode_json);
use Mojo::URL;

has [qw(browser base id ws)];

# The browser has opened the application, so it has Jupyter's cookies.
sub start ($class, $browser, $base, $name = 'python3') {
    my $self = $class->new(browser => $browser, base => $base);
    my $tx   = $self->ask(POST => '/api/kernels', json => {name => $name});
    $self->id($tx->res->json('/id'))
        // die 'kernel: ' . $tx->res->code . ' ' . $tx->res->body . "\n";
    $self->connect;
    return $self;
}

sub ask ($self, $method, $path, %o) {
    my $xsrf = $self->browser->cookie('_xsrf',
        Mojo::URL->new($self->base)->host);
    $o{headers}{'X-XSRFToken'} //= $xsrf;
    return $self->browser->fetch($method => $self->base . $path, %o);
}

sub connect ($self) {
    my $id = $self->id;
    $self->ws($self->browser->websocket(
        $self->base . "/api/kernels/$id/channels?session_id=test"));
    return $self;
}

# Until the line of output that ends it.
sub run ($self, $code, $seconds = 60) {
    state $number = 0;
    $number++;
    $self->ws->send({json => {
        channel => 'shell', content => {code => $code, silent => \0},
        header  => {
            msg_id   => "message-$number", session  => 'test',
            msg_type => 'execute_request', username => '', version => '5.3'
        },
        parent_header => {}, metadata => {}, buffers => []
    }});
    my $out = '';
    my $m   = $self->ws->next_message($seconds, sub ($m) {
        my $j = eval { decode_json($m) } or return 0;
        return 0 if ($j->{msg_type} // '') ne 'stream';

        # a kernel may send a line in pieces
        $out .= $j->{content}{text};
        return $out =~ /\n\z/;
    });
    return $m ? $out : 'no output';
}

1;
