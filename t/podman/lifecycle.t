# What happens to amld and to containers: what runs goes on, what is asked for
# comes to be, and nothing is left over.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Mojo::Util qw(b64_encode);
use Test::More;
use Time::HiRes qw(time usleep);
use AML::Kernel;
use AML::Podman;
use AML::Wait qw(wait_for);

AML::Podman->need;
my $gw = AML::Podman->start(
    podman => {pids => 200},
    sizes  => {
        STANDARD_DS3_V2 => {cores => 1, memory => '512m'},
        STANDARD_DS4_V2 => {cores => 3, memory => '1g'},
        STANDARD_NC6    => {cores => 1, memory => '512m', gpus => 1}
    }
);
$gw->create('lab', 'creator',
    vmSize       => 'STANDARD_DS4_V2',
    setupScripts => {scripts => {creationScript => {scriptSource => 'inline',
        scriptData => b64_encode("#!/bin/sh\nid -u > /opt/made; pwd > where\n",
            ''), scriptArguments => ''}}});
my $url = $gw->app_url('lab', '/api/status');
my $me  = $gw->opened('creator', 'lab');

sub up ($name = 'lab') {
    return $gw->program->get($gw->app_url($name, '/api/status'),
        headers => $gw->bearer('creator'))->res->code == 200;
}

sub containers () {
    return split /\n/,
        `podman ps -aq --no-trunc --filter label=aml.state=@{[$gw->key]}`;
}

# Processes of the range of the instance's creator.
sub processes ($name) {
    my $uid = $gw->spec($name)->{uid};
    return grep { my $u = (stat "/proc/$_")[4]; defined $u && $u == $uid }
        map {m/(\d+)$/} glob '/proc/[0-9]*';
}

subtest 'limits are the size\'s' => sub {
    my $cgroup = sub ($v1, $v2) {
        return $gw->inside('lab',
            "cat /sys/fs/cgroup/$v1 2>/dev/null || cat /sys/fs/cgroup/$v2");
    };
    is $cgroup->('memory/memory.limit_in_bytes', 'memory.max'), 1 << 30,
        'memory';
    is $cgroup->('pids/pids.max', 'pids.max'), 200, 'processes';
    my ($quota, $period) = split ' ',
        $cgroup->('cpu/cpu.cfs_quota_us', 'cpu.max') . ' '
        . $gw->inside('lab', 'cat /sys/fs/cgroup/cpu/cpu.cfs_period_us 2>&-');
    is $quota / ($period || 100_000), 3, 'cores';
    is $gw->inside('lab', 'df -B1 --output=size /dev/shm | tail -1') + 0,
        1 << 29, '/dev/shm is half of the memory';

    $gw->inside('lab', 'python -c "x = bytearray(2 << 30)"');
    is $gw->inside_status, 137, 'who takes more memory is ended';
    like $gw->inside('lab',
        'for i in $(seq 300); do sleep 3 & done'),
        qr/fork|Resource temporarily unavailable/i, 'and has no more processes';
    ok wait_for(sub { $gw->inside('lab', 'echo $(ls / | wc -l)') =~ /^\d+$/ }),
        'until they have ended';
    ok up(), 'the instance is well';
};

subtest 'the creation script ran in it' => sub {
    is $gw->inside('lab', 'cat /opt/made where'), "0\n/share/Users/creator",
        'as root, in the creator\'s folder';
};

subtest 'amld is killed' => sub {
    my $kernel = AML::Kernel->start($me, $gw->app_url('lab', ''));
    is $kernel->run('x = 4711; print(x)'), "4711\n", 'a variable';
    my ($id, $asked, $failed) = ($gw->container('lab')->{id}, 0, 0);
    my $ask = sub {
        $asked++;
        up() or $failed++;
    };
    for my $signal (qw(KILL TERM KILL)) {
        $ask->();
        $gw->end(amld => $signal);
        $ask->() for 1 .. 5;
        $gw->start_amld;
        $ask->() for 1 .. 5;
    }
    is $failed, 0, "none of $asked requests failed";
    is $gw->state_of('lab'), 'Running', 'it is known to run';
    is $gw->container('lab')->{id}, $id, 'in the same container';
    is $kernel->run('print(x)'), "4711\n", 'with what was in it';
};

subtest 'the container is killed' => sub {
    my $id = $gw->container('lab')->{id};
    kill 'KILL', $gw->container('lab')->{pid};
    ok wait_for(sub { !up() }), 'it is gone';
    ok wait_for(sub { up() }), 'it is started again';
    is $gw->container('lab')->{id}, $id, 'the same, with what was installed';
    is $gw->inside('lab', 'cat /opt/made'), '0', 'in it';
    is $gw->state_of('lab'), 'Running', 'the instance runs';
};

subtest 'the container is removed by hand' => sub {
    my $old = $gw->container('lab')->{id};
    system "podman rm -f -t 0 $old > /dev/null";
    ok wait_for(sub { my $c = $gw->container('lab');
        $c && $c->{id} ne $old && up() }), 'another takes its place';
    is scalar(containers()), 1, 'one';
};

subtest 'what looks after it is killed' => sub {
    my $id = $gw->container('lab')->{id};
    my ($conmon) = grep {
        (eval { path("$_/cmdline")->slurp } // '') =~ /conmon.*\Q$id\E/s
    } glob '/proc/[0-9]*';
    ok $conmon, 'conmon' or return;
    kill 'KILL', path($conmon)->basename;
    ok up(), 'the instance does not notice';
    $gw->order(restart => 'lab', 'Running');
    ok up(), 'and can be restarted';
};

subtest 'the shim is killed' => sub {
    my $dir = $gw->private('lab');
    my ($shim) = grep {
        (eval { path("$_/cmdline")->slurp } // '')
            =~ /^\S*amld\0shim\0.*\Q$dir\E\/jupyter\.log/s
    } glob '/proc/[0-9]*';
    my @before = grep {
        (eval { path("/proc/$_/cmdline")->slurp } // '') =~ /jupyter/
    } processes('lab');
    ok $shim && @before, 'there is one' or return;
    kill 'KILL', path($shim)->basename;
    ok wait_for(sub { !grep { kill 0, $_ } @before }),
        'what it looked after is ended';
    ok wait_for(sub { up() }), 'and begun again';
};

subtest 'a stop' => sub {
    $gw->inside('lab', 'touch /opt/installed ~/setting /tmp/passing');
    $gw->order(stop => 'lab', 'Stopped');
    is join(' ', processes('lab')), '', 'no process is left';
    my $dir = $gw->private('lab');
    unlike path('/proc/mounts')->slurp, qr/\Q$dir\E/, 'no mount';
    ok !-e "$dir/s" && !-e "$dir/tmp", 'no socket';
    is scalar(containers()), 1, 'its container is kept';
    $gw->order(start => 'lab', 'Running');
    is $gw->inside('lab', 'cd; ls /opt/installed setting'),
        "/opt/installed\nsetting", 'and what was installed and set in it';
    is $gw->inside('lab', 'ls /tmp | grep passing'), '', '/tmp is empty';
    ok up(), 'it is reached';
};

subtest 'all is lost, as when the machine starts anew' => sub {
    my $old = $gw->container('lab')->{pid};
    $gw->kill_amld;
    my $key = $gw->key;
    kill 'KILL', $old, map { path($_)->basename } grep {
        (eval { path("$_/cmdline")->slurp } // '') =~ /amld\0shim\0.*\Q${\$gw->dir}\E/s
    } glob '/proc/[0-9]*';
    system 'umount', '-l', $gw->private('lab') . '/s';
    system "nft delete table inet aml_$key";
    ok wait_for(sub { !kill 0, $old }), 'nothing runs';
    $gw->start_amld;
    ok wait_for(sub { $gw->state_of('lab') eq 'Running' && up() }),
        'it is started again';
    is $gw->inside('lab', 'ls /opt/installed'), '/opt/installed',
        'with what was installed';
    is system("nft list table inet aml_$key > /dev/null"), 0, 'and its rules';
};

subtest 'amld is killed while an instance is made' => sub {
    for my $ms (30, 150, 300, 450, 700, 1100) {
        my $name = "kill-$ms" . 'x';
        $gw->api(PUT => $gw->compute($name), 'creator',
            json => $gw->compute_body(vmSize => 'STANDARD_DS3_V2'));
        usleep $ms * 1000;
        $gw->kill_amld;
        $gw->start_amld;
        $gw->wait_state($name, 'Running');
        ok up($name), "after $ms ms it is killed, and the instance runs";
        my @of = grep {m{/\Q$name\E\z}} map {
            decode_json(path($_)->slurp)->{name} =~ s{^}{/}r
        } glob $gw->dir . '/state/i/*/podman.json';
        is scalar(@of), 1, 'once';
        is scalar(containers()), 2, 'in a container of its own';
        $gw->remove($name);
        is scalar(containers()), 1, 'which is removed with it';
    }
};

subtest 'people keep their uids' => sub {
    my $uid = $gw->spec('lab')->{uid};
    $gw->create('again', 'creator');
    is $gw->spec('again')->{uid}, $uid, 'in all of their instances';
    $gw->create('other', 'colleague');
    isnt $gw->spec('other')->{uid}, $uid, 'and others have others';
    $gw->remove($_) for qw(again other);
    $gw->create('again', 'colleague');
    is $gw->spec('again')->{uid}, $uid + 65536, 'also when they come again';
    like $gw->amld_ok('registry', 'dump'), qr{^range/}m, 'it is written down';
    $gw->remove('again');
};

subtest 'GPUs' => sub {
    my $tx = $gw->api(PUT => $gw->compute('gpu'), 'creator',
        json => $gw->compute_body(vmSize => 'STANDARD_NC6'));
    ok wait_for(sub { $gw->state_of('gpu') =~ /Failed/ }),
        'a host without a CDI specification';
    like $gw->api(GET => $gw->compute('gpu'), 'creator')->res->body,
        qr/has 1 GPUs, and the host describes no device nvidia\.com\/gpu=0/,
        'is said not to have one';
    $gw->remove('gpu');
} if !glob '/etc/cdi/* /var/run/cdi/*';

subtest 'one that is in no registry any more' => sub {
    $gw->create('lost', 'colleague', vmSize => 'STANDARD_DS3_V2');
    my $dir = $gw->private('lost');
    my $id  = $gw->container('lost')->{id};
    $gw->kill_amld;
    my ($key) = $gw->amld_ok('registry', 'dump') =~ m{^(compute/\S+/lost)\b}m;
    $gw->edit({op => 'delete', key => $key});
    $gw->start_amld;
    ok wait_for(sub { !-e $dir }), 'its private directory is removed';
    is scalar(grep { $_ eq $id } containers()), 0, 'its container before that';
    unlike path('/proc/mounts')->slurp, qr/\Q$dir\E/, 'no mount is left';
    unlike $gw->log_text('amld.err'), qr/cannot remove/, 'without a failure';
    ok up(), 'the others go on';
};

subtest 'a deletion' => sub {
    my $dir = $gw->private('lab');
    $gw->inside('lab', 'cd; for i in $(seq 100); do mkdir d; cd d; done; '
            . 'echo kept > /share/Users/creator/kept');
    $gw->remove('lab');
    is scalar(containers()), 0, 'takes the container';
    ok !-e $dir, 'and the private directory, however deep';
    ok -s $gw->share('Users', 'creator', 'kept'), 'not what is in the share';
};

$gw->done;
