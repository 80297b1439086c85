package AML::KeyServer;

# An identity provider that has metadata and keys and nothing else, over TLS on
# the loopback, and does what a test tells it to: publish other keys, hang, be
# too large, be somebody else, be gone.  What it was asked is in a file, so that
# tests can count.
#
#     my $idp = AML::KeyServer->new(name => 'corp');   # knows its issuer
#     $idp->publish(one => $pem);
#     my $gw = AML::Test->start(
#         providers => [$idp],
#         amld => sub ($text) { $text . $idp->section(audience => ['api']) });
#     $idp->set(mode => 'hang');
#     is $idp->count('/keys'), 1;
#
# Modes: good, hang, drip, huge, html, error, redirect, cut; with `only => keys`
# its metadata stays good.  `says` is what that names as issuer.

use Mojo::Base -base, -signatures;
use Crypt::PK::ECC;
use Crypt::PK::Ed25519;
use Crypt::PK::RSA;
use IO::Socket::SSL;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use POSIX      qw(:sys_wait_h);
use Time::HiRes ();
use AML::JWT;
use AML::Port;
use AML::Wait qw(wait_for);

our $ROOT = path(__FILE__)->realpath->dirname->dirname->dirname->dirname;

has 'dir';
has host => 'id.localhost';
has port => sub { AML::Port->take };
has name => 'corp';
has realm => '/realm';    # path of the issuer
has 'pid';
has state => sub { {keys => {}} };

sub origin ($self) { 'https://' . $self->host . ':' . $self->port }
sub issuer ($self) { $self->origin . $self->realm }
sub folder ($self) { 'idp-' . $self->name }

# The section of amld's configuration, with further options; undef leaves one
# out.
sub section ($self, %o) {
    %o = (issuer => $self->issuer, ca => $self->folder . '/tls/ca.pem', %o);
    my $text = 'issuer ' . $self->name . " {\n";
    for my $name (sort keys %o) {
        next unless defined $o{$name};
        my $value = ref $o{$name}
            ? '{ ' . join(', ', map {qq("$_")} @{$o{$name}}) . ' }'
            : qq("$o{$name}");
        $text .= "    $name = $value\n";
    }
    return "$text}\n";
}

# kid => PEM file of a private key, or an object as it is; all that there are.
sub publish ($self, %keys) {
    my %jwk;
    for my $kid (keys %keys) {
        $jwk{$kid} = ref $keys{$kid} ? $keys{$kid} : jwk($keys{$kid}, $kid);
    }
    return $self->set(keys => \%jwk);
}

sub jwk ($pem, $kid) {
    for my $class (qw(Crypt::PK::RSA Crypt::PK::ECC Crypt::PK::Ed25519)) {
        my $key = eval { $class->new($pem) } or next;
        return {%{decode_json($key->export_key_jwk('public'))}, kid => $kid,
            use => 'sig'};
    }
    die "$pem is no key\n";
}

sub set ($self, %change) {
    my $state = $self->state({%{$self->state}, %change})->state;
    return $self unless $self->dir;
    my $file = path($self->dir, 'state.json');
    path("$file.new")->spurt(encode_json($state));
    rename "$file.new", $file or die "$file: $!";
    return $self;
}

# How often a path was asked for, by its end.
sub count ($self, $end) {
    my $log = path($self->dir, 'requests');
    return 0 unless -e $log;
    return scalar grep {/\Q$end\E$/} split /\n/, $log->slurp;
}

sub start ($self, %o) {
    $self->dir($o{gw}->dir . '/' . $self->folder);
    $self->certify($o{gw}, 'tls', $self->host);
    $self->set;
    return $self->up;
}

# A directory with a certificate for `host` of the gateway's authority.
sub certify ($self, $gw, $name, $host) {
    my $tls = path($self->dir, $name)->make_path;
    path($gw->dir, 'tls', $_)->copy_to($tls) for qw(ca.pem ca-key.pem);
    system("sh $ROOT/tls/dev-ca.sh $tls $host > /dev/null") == 0
        or die "dev-ca.sh: $?\n";
}

sub certificates ($self) { $self->dir . '/tls' }

sub up ($self) {
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>>', $self->dir . '/log';
        open STDERR, '>>', $self->dir . '/log';
        chdir $self->dir;
        $self->serve;
        POSIX::_exit(0);
    }
    $self->pid($pid);
    wait_for(
        sub {
            waitpid($pid, WNOHANG) == 0 or die "key server ended at once\n";
            IO::Socket::IP->new(
                PeerHost => '127.0.0.1',
                PeerPort => $self->port
            );
        }
    ) or die "key server does not listen\n";
    return $self;
}

# Its connections end with it.
sub down ($self) {
    my $pid = $self->pid or return $self;
    kill 'TERM', $pid;
    waitpid $pid, 0;
    return $self->pid(undef);
}

sub stop ($self) { $self->down }


# ---- in the server's process ----

sub serve ($self) {
    my @children;
    local $SIG{TERM} = sub {
        kill 'KILL', @children;
        POSIX::_exit(0);
    };
    local $SIG{PIPE} = 'IGNORE';
    my $listen = IO::Socket::IP->new(
        LocalHost => '127.0.0.1',
        LocalPort => $self->port,
        Listen    => 64,
        ReuseAddr => 1
    ) or die "listen: $!";
    while (1) {
        my $plain = $listen->accept or next;
        @children = grep { waitpid($_, WNOHANG) == 0 } @children;
        my $pid = fork // die "fork: $!";
        if ($pid) {
            push @children, $pid;
            next;
        }
        $SIG{TERM} = 'DEFAULT';
        close $listen;
        my $client = IO::Socket::SSL->start_SSL(
            $plain,
            SSL_server    => 1,
            SSL_cert_file => $self->certificates . '/server.pem',
            SSL_key_file  => $self->certificates . '/server-key.pem'
        );
        $self->answer($client) if $client;
        POSIX::_exit(0);
    }
}

# Method, path with its query, and body; nothing when it is cut short.
sub read_request ($self, $client) {
    my $in = '';
    until ($in =~ /\r\n\r\n/) {
        sysread $client, $in, 4096, length $in or return;
    }
    my ($method, $path) = $in =~ m{^(GET|POST) (\S+) HTTP/1} or return;
    my ($head, $body) = split /\r\n\r\n/, $in, 2;
    my ($length) = $head =~ /^Content-Length: (\d+)/mi;
    while (length $body < ($length // 0)) {
        sysread $client, $body, 4096, length $body or return;
    }
    open my $log, '>>', $self->dir . '/requests' or return;
    syswrite $log, "$path\n";
    close $log;
    return ($method, $path, $body, $head);
}

# Status, body, headers of what is asked for.
sub document ($self, $state, $method, $path, $form, $head) {
    return (
        200,
        encode_json(
            $path =~ m{/keys$} ? {keys => [values %{$state->{keys}}]}
            : {
                issuer   => $state->{says} // $self->issuer,
                jwks_uri => $self->issuer . '/keys'
            }
        )
    );
}

sub answer ($self, $client) {
    my ($method, $path, $form, $in) = $self->read_request($client) or return;
    my $state = decode_json(path($self->dir, 'state.json')->slurp);
    my $mode = $state->{mode} // 'good';
    $mode = 'good'
        if defined $state->{only} && $path !~ m{/\Q$state->{only}\E(?:\?|$)};
    my ($status, $body, %more) =
        $mode eq 'error' ? ()
        : $self->document($state, $method, $path, $form, $in);
    my %head = (
        'Content-Type' => 'application/json',
        Connection     => 'close',
        %more,
        %{$state->{headers} // {}}
    );

    if ($mode eq 'hang') {
        sleep 600;
    }
    elsif ($mode eq 'drip') {
        print $client "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            . "Content-Length: 5000\r\n\r\n";
        while (print $client ' ') { Time::HiRes::usleep(100_000) }
        return;
    }
    elsif ($mode eq 'huge')  { $body = '[' . '0,' x 1_000_000 . '0]' }
    elsif ($mode eq 'html')  { $head{'Content-Type'} = 'text/html' }
    elsif ($mode eq 'error') { ($status, $body) = (503, 'busy') }
    elsif ($mode eq 'redirect') {
        $status = 302;
        $head{Location} = $self->issuer . '/elsewhere/keys';
    }

    $head{'Content-Length'} = length $body;
    $body = substr $body, 0, length($body) - 5 if $mode eq 'cut';
    print $client join("\r\n", "HTTP/1.1 $status X",
        (map {"$_: $head{$_}"} sort keys %head), '', $body);
    $client->close;
}

1;
