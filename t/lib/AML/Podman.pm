package AML::Podman;

# What tests of the engine podman need beside AML::Test: amld as root with that
# engine, nginx's workers as an account of their own, and that nothing of the
# test's containers, networks, mounts and rules is left, however it ends.
#
#     AML::Podman->need;
#     my $gw = AML::Podman->start(instances => {'first-lab' => 'creator'});
#     is $gw->inside('first-lab', 'id -u'), '0';
#
# AML_IMAGE is the instance image, made by ./dev image.

use Mojo::Base 'AML::Test', -signatures;
use Digest::SHA qw(sha256_hex);
use Mojo::File  qw(path);
use Mojo::JSON  qw(decode_json encode_json);
use Test::More  ();
use AML::Needs;
use AML::Wait   ();

use constant IMAGE => $ENV{AML_IMAGE} || 'localhost/aml-instance';

has podman => '/usr/bin/podman';
has sizes  => sub {
    {STANDARD_DS3_V2 => {cores => 2, memory => '1g'}}
};
has options => sub { {} };    # of the section podman

# Skips the whole test where it can't be; in CI that is a failure.
sub need ($class) {
    if ($< != 0) {
        die "the engine podman needs root\n" if $ENV{CI};
        Test::More::plan(skip_all => 'the engine podman needs root');
    }
    needs 'there is no image ' . IMAGE . '; ./dev image makes it',
        system('podman image exists ' . IMAGE) == 0;
}

sub start ($class, %o) {
    my $options = delete $o{podman}  // {};
    my $sizes   = delete $o{sizes}   // $class->new->sizes;
    my $program = delete $o{program} // '/opt/aml/bin/jupyter';
    my $edit    = delete $o{amld};
    my $nginx   = delete $o{nginx};
    # uids of its own: tests that run beside look at each other's processes
    # by them
    $options = {
        image    => IMAGE,
        images   => '{ "' . IMAGE . '" }',
        timeout  => '60s',
        uid_base => 0x70000000 + $$ % 1000 * 2**18,
        %$options
    };

    my $self = $class->SUPER::start(
        %o,
        cleanup => \&cleanup,
        amld    => sub ($text) {
            my $section = join '', map {
                my $value = $options->{$_};
                $value = qq{"$value"} unless $value =~ /^\{/;
                "    $_ = $value\n"
            } sort keys %$options;
            $text =~ s/engine = "process"/engine = "podman"/;
            $text =~ s/(gateway_uids = \{) \d+/$1 www-data/;
            $text =~ s{program = ".*"}{program = "$program"};
            $text .= qq(\nregistry_group = "www-data"\npodman {\n$section}\n);
            for my $name (sort keys %$sizes) {
                my %s = (family => '"standardDSv2Family"', %{$sizes->{$name}});
                $text .= qq(size "$name" {\n)
                    . join('', map {"    $_ = $s{$_}\n"} sort keys %s)
                    . "}\n";
            }
            return $edit ? $edit->($text) : $text;
        },
        nginx => sub ($text) {
            $text =~ s/^user root;$/user www-data;/m;
            return $nginx ? $nginx->($text) : $text;
        }
    );

    # where it says why another runtime was chosen
    $self->tolerate(qr/OCI runtime error/);
    return $self;
}

# In the names of all that is of this gateway, see computes/engines/engine_podman.c.
sub key_of ($dir) { substr sha256_hex("$dir/state"), 0, 8 }
sub key ($self) { key_of($self->dir) }

# By the test's end or by its reaper's, when it was killed.
sub cleanup ($dir) {
    my $key = key_of($dir);
    chomp(my @containers = `podman ps -aq --filter label=aml.state=$key`);
    system('podman', 'rm', '-f', '-t', '0', @containers) if @containers;
    chomp(my @networks = `podman network ls -q --filter label=aml.state=$key`);
    system('podman', 'network', 'rm', '-f', @networks) if @networks;
    system("nft delete table inet aml_$key 2>/dev/null");
    system('umount', '-l', $_) for map { (split ' ')[1] } grep {m( \Q$dir\E/)}
        split /\n/, path('/proc/mounts')->slurp;
}

sub create ($self, $name, $creator, %properties) {
    my $tx = $self->api(PUT => $self->compute($name), $creator,
        json => $self->compute_body(%properties));
    $tx->res->code =~ /^20[01]$/
        or $self->give_up("PUT $name: " . $tx->res->code . $tx->res->body);
    $self->wait_state($name, 'Running');
}

sub remove ($self, $name, $account = 'creator') {
    $self->api(DELETE => $self->compute($name), $account,
        query => {underlyingResourceAction => 'Delete'});
    $self->wait_state($name, '');
}

sub order ($self, $verb, $name, $state, $account = 'creator') {
    my $tx = $self->api(POST => $self->compute($name) . "/$verb", $account);
    $tx->res->code == 202
        or $self->give_up("$verb $name: " . $tx->res->code . $tx->res->body);
    $self->wait_state($name, $state);
}

# Its own address, in its network.
sub address ($self, $name) {
    return $self->inside($name, q{hostname -I | awk '{print $1}'});
}

# Whether something in an instance gets to an address: what it is greeted
# with, or "no" and why.
sub reaches ($self, $name, $host, $port) {
    return $self->inside($name, 'python -c ' . quote(<<'EOF') . " $host $port");
import socket, sys
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)
    s.settimeout(2)
    print(s.recv(64).decode())
except OSError as e:
    print('no:', e)
EOF
}

# Something that listens in an instance and greets with its name.
sub listen ($self, $name, $port) {
    $self->inside($name, 'nohup python -c ' . quote(<<'EOF')
import socket, sys
s = socket.create_server(('0.0.0.0', int(sys.argv[1])))
while True:
    c, _ = s.accept()
    c.sendall(socket.gethostname().encode())
    c.close()
EOF
            . " $port > /dev/null 2>&1 &");
    AML::Wait::wait_for(sub { $self->reaches($name, '127.0.0.1', $port) eq $name })
        or $self->give_up("nothing listens in $name");
}

sub quote ($text) { $text =~ s/'/'\\''/g; return "'$text'" }

# The private directory of an instance.
sub private ($self, $name) {
    for my $file (glob $self->dir . '/state/i/*/podman.json') {
        return path($file)->dirname
            if decode_json(path($file)->slurp)->{name} eq lc $name;
    }
    return;
}

sub spec ($self, $name) {
    my $dir = $self->private($name) or return;
    return decode_json($dir->child('podman.json')->slurp);
}

# What runs: {id, pid, runtime}.
sub container ($self, $name) {
    my $dir = $self->private($name) or return;
    return eval { decode_json($dir->child('container.json')->slurp) };
}

# A command of a shell, as the instance's applications are run: what it says,
# and what it ends with.
sub inside ($self, $name, $script) {
    my $r = $self->run('', 'env', '-i', 'PATH=/opt/aml/bin:/usr/bin:/bin:/sbin',
        'HOME=/root', $AML::Test::AMLD, 'engine-podman', 'exec',
        $self->private($name) . '/podman.json', '--', 'sh', '-c', $script);
    $self->{inside_status} = $r->{status};
    my $said = $r->{out} . $r->{err};
    $said =~ s/\s+\z//;
    return $said;
}

sub inside_status ($self) { $self->{inside_status} }

1;
