# What instances reach, and who reaches them.  "Outside" is a network namespace
# of this test's, behind an interface of the machine as the Internet is.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::IP;
use Mojo::File qw(path);
use Test::More;
use AML::Podman;
use AML::Port;
use AML::Wait qw(wait_for);

AML::Podman->need;

my $LINK  = 'aml' . $$ % 100_000;
my $HERE  = '203.0.113.1';
my $THERE = '203.0.113.2';
my @children;

sub sh ($command) {
    system($command) == 0 or die "$command: $?\n";
}

# Greets whoever connects; in a namespace, or as this machine.
sub greeter ($text, $port, @through) {
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        { exec @through, '/usr/bin/python3', '-c', <<'EOF', $text, $port };
import socket, sys
s = socket.create_server(('::', int(sys.argv[2])), family=socket.AF_INET6,
                         dualstack_ipv6=True)
while True:
    c, _ = s.accept()
    c.sendall(sys.argv[1].encode())
    c.close()
EOF
        POSIX::_exit(127);
    }
    push @children, $pid;
}

sub greeted ($host, $port, @through) {
    return `@through /usr/bin/python3 -c "
import socket
try:
    s = socket.create_connection(('$host', $port), 2)
    s.settimeout(2)
    print(s.recv(64).decode(), end='')
except OSError as e:
    print('no:', e, end='')
"`;
}

END {
    local $?;
    kill 'KILL', @children;
    system("ip netns del $LINK 2>/dev/null; ip link del $LINK 2>/dev/null");
}

sh "ip netns add $LINK";
sh "ip link add $LINK type veth peer name out netns $LINK";
sh "ip addr add $HERE/24 dev $LINK && ip link set $LINK up";
sh "ip -n $LINK addr add $THERE/24 dev out && ip -n $LINK link set out up";
sh "ip -n $LINK link set lo up";
my @out = ('ip', 'netns', 'exec', $LINK);

my ($open, $closed) = (AML::Port->take, AML::Port->take);
greeter('machine', $_) for $open, $closed;
greeter('outside', 7000, @out);
ok wait_for(sub { greeted('127.0.0.1', $closed) eq 'machine' }), 'a service';
ok wait_for(sub { greeted($THERE, 7000) eq 'outside' }), 'and one outside';

my $gw = AML::Podman->start(podman => {host_ports => "{ $open }"});
my ($A, $B) = map { $gw->workspace . "/subnets/$_" } 'A', 'b';
$gw->create('one',   'creator');
$gw->create('two',   'colleague');
$gw->create('three', 'creator',   subnet => {id => $A});
$gw->create('four',  'colleague', subnet => {id => lc $A});
$gw->create('five',  'colleague', subnet => {id => $B});
my %at = map { $_ => $gw->address($_) } qw(one two three four five);
$gw->listen($_, 9000) for sort keys %at;

sub gateway_of ($name) {
    return $gw->inside($name, q{ip route | awk '/^default/ {print $3}'});
}

subtest 'out' => sub {
    for my $name (qw(one three)) {
        is $gw->reaches($name, $THERE, 7000), 'outside', "$name gets out";
    }
    my $other = $gw->spec('four')->{container};
    my $ip    = $at{four};
    like $gw->inside('three', "getent hosts $other"), qr/^\Q$ip\E\s/,
        'and asks for names';
};

subtest 'the machine' => sub {
    is greeted($HERE, $closed, @out), 'machine', 'others reach its service';
    for my $name (qw(one three)) {
        for my $host ('127.0.0.1', gateway_of($name), $HERE) {
            like $gw->reaches($name, $host, $closed), qr/^no:/,
                "$name does not, at $host";
            like $gw->reaches($name, $host, $gw->port), qr/^no:/,
                "nor the gateway's port at $host";
        }
        is $gw->reaches($name, $_, $open), 'machine',
            "but what is in host_ports, at $_"
            for gateway_of($name), $HERE;
        my $link = $gw->inside($name, q{ip -6 route | awk '/^fe80/ {print $3}'});
        my ($bridge) = map { path($_)->dirname->dirname->basename }
            glob '/sys/class/net/*/brif/'
            . readlink_peer($name);
        my ($v6) = `ip -6 addr show dev $bridge` =~ /inet6 (fe80\S+)\//;
        next unless $link && $v6;
        like $gw->reaches($name, "$v6%$link", $closed), qr/^no:/,
            'nor by an address that the bridge gave itself';
    }
    like $gw->reaches('one', '169.254.169.254', 80), qr/^no:.*(?:route|refused|prohib)/i,
        'what a cloud tells its machines is refused';
};

# The bridge's end of an instance's interface.
sub readlink_peer ($name) {
    my ($index) = $gw->inside($name, 'cat /sys/class/net/eth0/iflink');
    for my $file (glob '/sys/class/net/*/ifindex') {
        chomp(my $n = path($file)->slurp);
        return path($file)->dirname->basename if $n == $index;
    }
    die "$name: no interface\n";
}

subtest 'each other' => sub {
    is $gw->reaches('three', $at{four}, 9000), 'four',
        'in one subnet, however it is written: yes';
    for (
        ['one', 'two', 'without a subnet'],
        ['two', 'one', 'the other way'],
        ['one', 'three',  'from there into a subnet'],
        ['three', 'one',  'and out of one'],
        ['three', 'five', 'from one subnet to another'],
        ['five',  'four', 'and back']
        )
    {
        my ($from, $to, $what) = @$_;
        like $gw->reaches($from, $at{$to}, 9000), qr/^no:/, "$what: no";
    }

    # Neighbours that take another address, or speak another protocol
    my $v6 = $gw->inside('two', q{ip -6 addr show dev eth0 scope link |
            awk '/inet6/ {sub("/.*", "", $2); print $2}'});
    SKIP: {
        skip 'no IPv6 here', 1 unless $v6;
        $gw->inside('two', 'nohup python -c "
import socket
s = socket.create_server((\'::\', 9006), family=socket.AF_INET6)
while True: s.accept()[0].sendall(b\'six\')
" > /dev/null 2>&1 &');
        wait_for(sub { $gw->reaches('two', '::1', 9006) eq 'six' });
        like $gw->reaches('one', "$v6%eth0", 9006), qr/^no:/,
            'nor by IPv6 of the link';
    }
};

subtest 'from elsewhere' => sub {
    my $net = $at{one} =~ s/\.\d+$/.0\/24/r;
    sh "ip -n $LINK route add $net via $HERE";
    like greeted($at{one}, 9000, @out), qr/^no:/, 'not from another machine';
    is greeted($at{one}, 9000), 'one', 'root of this one does';
    for (['www-data', qr/^one$/, 'and the gateway\'s account'],
        ['nobody', qr/^no:/, 'but no other'])
    {
        like greeted($at{one}, 9000, 'setpriv', "--reuid=$_->[0]",
            '--clear-groups', '--regid=nogroup'), $_->[1], $_->[2];
    }
};

# A container that is kept waits with a program of its own layer, which its
# owner may replace: it runs before anything that amld starts in there.
subtest 'the first moment' => sub {
    $gw->inside('one', <<"EOF");
mv /usr/bin/sleep /usr/bin/sleep.real
cat > /usr/bin/sleep <<'PYTHON'
#!/usr/bin/python3
import os, socket, sys, time
end, said = time.time() + 2, b''
while not said and time.time() < end:
    try:
        s = socket.create_connection(('$at{two}', 9000), 0.05)
        said = s.recv(64)
    except OSError:
        pass
open('/opt/first', 'wb').write(said or b'nothing')
os.execv('/usr/bin/sleep.real', sys.argv)
PYTHON
chmod 755 /usr/bin/sleep
EOF
    for (1 .. 3) {
        $gw->inside('one', 'rm -f /opt/first');
        $gw->order(stop  => 'one', 'Stopped');
        $gw->order(start => 'one', 'Running');
        ok wait_for(sub { $gw->inside('one', 'cat /opt/first') =~ /^\w+$/ }),
            'it ran';
        is $gw->inside('one', 'cat /opt/first'), 'nothing',
            'and reached nobody';
    }
    $gw->inside('one', 'mv -f /usr/bin/sleep.real /usr/bin/sleep');
    $gw->listen('one', 9000);
    $at{one} = $gw->address('one');
};

subtest 'rules and networks that are lost' => sub {
    my $key = $gw->key;
    sh "nft delete table inet aml_$key";
    $gw->order(restart => 'one', 'Running');
    $gw->listen('one', 9000);
    like $gw->reaches('one', gateway_of('one'), $closed), qr/^no:/,
        'a start brings rules back';
    like $gw->reaches('three', gateway_of('three'), $closed), qr/^no:/,
        'for all networks';
    like $gw->reaches('one', $gw->address('two'), 9000), qr/^no:/,
        'and an instance that started again is apart';
};

# Nobody starts anything: amld itself sees to it.
subtest 'ports and rules that somebody else has made anew' => sub {
    my $key = $gw->key;
    my $ask = 'podman network inspect --format {{.NetworkInterface}}';
    my ($bridge) = `$ask aml-$key-default` =~ /(\S+)/;
    my $flags = sub {
        return join '', map { eval { path($_)->slurp } =~ s/\s//gr }
            glob "/sys/class/net/$bridge/brif/*/isolated";
    };
    my $said = sub ($what) { scalar(() = $gw->log_text('amld.err') =~ /$what/g) };
    ok wait_for(sub { $flags->() eq '11' }), 'two ports, isolated';

    my $ports = $said->('were not kept apart at');
    for my $name (qw(one two)) {
        sh 'podman network reload ' . $gw->spec($name)->{container} . ' >/dev/null';
    }
    ok wait_for(sub { $flags->() eq '11' }), 'isolated again after a reload';
    is $gw->reaches('two', $gw->address('two'), 9000), 'two', 'it listens still';
    like $gw->reaches('one', $gw->address('two'), 9000), qr/^no:/,
        'a neighbour does not get there';
    ok wait_for(sub { $said->('were not kept apart at') > $ports }),
        'the log says so';

    for my $how ("delete table inet aml_$key", "flush table inet aml_$key") {
        my $gone = $said->('rules of instances\' networks were gone');
        sh "nft $how";
        ok wait_for(sub { `nft list table inet aml_$key 2>&1` =~ /169\.254/ }),
            "rules are there again after $how";
        like $gw->reaches($_, gateway_of($_), $closed), qr/^no:/, "for $_"
            for qw(one three);
        ok wait_for(sub {
            $said->('rules of instances\' networks were gone') > $gone;
        }), 'and the log says so';
    }
};

subtest 'removed with the last' => sub {
    my $networks = sub {
        return scalar split /\n/,
            `podman network ls -q --filter label=aml.state=@{[$gw->key]}`;
    };
    is $networks->(), 3, 'three networks';
    $gw->remove('five', 'colleague');
    is $networks->(), 2, 'one less';
    $gw->remove('four', 'colleague');
    is $networks->(), 2, 'one is left in that';
    $gw->order(stop => 'three', 'Stopped');
    is $networks->(), 2, 'a stopped one counts';
    $gw->remove('three');
    $gw->remove('one');
    $gw->remove('two', 'colleague');
    is $networks->(), 0, 'none';
    unlike $gw->log_text('amld.err'), qr{/sys/class/net},
        'bridges that go are no fault';
    isnt system("nft list table inet aml_@{[$gw->key]} > /dev/null 2>&1"), 0,
        'and no rules';
    is join(' ', grep { !/podman$/ } glob $gw->dir . '/state/i/*'), '',
        'no private directory';
    like path('/proc/mounts')->slurp, qr/^(?!.*\Q${\$gw->dir}\E)/s, 'no mount';
};

$gw->done;
