package AML::LosingProxy;

# A proxy for CONNECT that gets the answers of a gateway, and loses the first:
# the server has done what it was asked for, and the client does not know.  It
# has the gateway's certificate, so as to see where an answer ends.
#
#     my $proxy = AML::LosingProxy->start(gw => $gw, lose => 1);
#     local $cli->env->{HTTPS_PROXY} = $proxy->url;
#     is $proxy->lost, 1;

use Mojo::Base -base, -signatures;
use Mojo::File qw(path);
use IO::Socket::IP;
use IO::Socket::SSL;
use POSIX ();
use AML::Port;

has [qw(gw port pid)];
has lose => 1;

sub url ($self) { 'http://127.0.0.1:' . $self->port }

sub _file ($self) { path($self->gw->dir, 'lost-' . $self->port) }

# How many answers it has lost.
sub lost ($self) { -s $self->_file // 0 }

sub start ($class, %args) {
    my $self   = $class->new(%args, port => AML::Port->take);
    my $listen = IO::Socket::IP->new(
        LocalHost => '127.0.0.1',
        LocalPort => $self->port,
        Listen    => 8,
        ReuseAddr => 1
    ) or die "listen: $!";
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        local $SIG{PIPE} = 'IGNORE';
        while (my $client = $listen->accept) { $self->_serve($client) }
        POSIX::_exit(0);
    }
    return $self->pid($pid);
}

# One connection after the other.
sub _serve ($self, $client) {
    _message($client) // return;
    print $client "HTTP/1.1 200 Connected\r\n\r\n";
    my $tls = $self->gw->dir . '/tls';
    IO::Socket::SSL->start_SSL(
        $client,
        SSL_server    => 1,
        SSL_cert_file => "$tls/server.pem",
        SSL_key_file  => "$tls/server-key.pem"
    ) or return;
    my $server = IO::Socket::SSL->new(
        PeerHost        => '127.0.0.1',
        PeerPort        => $self->gw->port,
        SSL_verify_mode => SSL_VERIFY_NONE,
        SSL_hostname    => $self->gw->studio =~ s{^https://|:\d+$}{}gr
    ) or return;
    while (defined(my $request = _message($client))) {
        print $server $request;
        my $answer = _message($server) // return;
        if ($self->lost < $self->lose) {
            open my $file, '>>', $self->_file or return;
            syswrite $file, '.';
            return;
        }
        print $client $answer;
    }
}

# Head and body, whose length is said.
sub _message ($from) {
    my $in = '';
    until ($in =~ /\r\n\r\n/) {
        sysread $from, $in, 4096, length $in or return undef;
    }
    my $end = index($in, "\r\n\r\n") + 4;
    $end += $1 if substr($in, 0, $end) =~ /^Content-Length: (\d+)/mi;
    while (length $in < $end) {
        sysread $from, $in, 4096, length $in or return undef;
    }
    return $in;
}

sub stop ($self) {
    my $pid = $self->pid or return;
    $self->pid(undef);
    local ($?, $!);
    kill 'KILL', $pid;
    waitpid $pid, 0;
}

sub DESTROY ($self) { $self->stop }

1;
