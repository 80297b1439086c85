# Two people side by side, each root in their own instances: what one can do to
# the other, to the gateway and to the machine.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::IP;
use IO::Socket::UNIX;
use Mojo::File qw(path);
use Test::More;
use AML::Kernel;
use AML::Podman;
use AML::Wait qw(wait_for);

AML::Podman->need;
my $gw = AML::Podman->start(
    instances => {'anna-lab' => 'creator', 'bert-lab' => 'colleague'});
my $anna = $gw->opened('creator',   'anna-lab');
my $bert = $gw->opened('colleague', 'bert-lab');

subtest 'each has a kernel of their own, through the gateway' => sub {
    my $mine = AML::Kernel->start($anna, $gw->app_url('anna-lab', ''));
    is $mine->run('print(6 * 7)'), "42\n", 'Anna runs a cell';
    is $mine->run('import os; print(os.getcwd(), os.getuid())'),
        "/share/Users/creator 0\n", 'in her folder, as root';
    like $mine->run('import socket; print(socket.gethostname())'),
        qr/^anna-lab$/m, 'on a host of its own';
    my $r = AML::Kernel->start($anna, $gw->app_url('anna-lab', ''), 'ir');
    is $r->run('cat(6 * 7, "\n")'), "42 \n", 'and one in R';
    my $theirs = AML::Kernel->start($bert, $gw->app_url('bert-lab', ''));
    is $theirs->run('import os; print(os.getcwd())'),
        "/share/Users/colleague\n", 'Bert in his';
    $gw->refused($bert->fetch(GET => $gw->app_url('anna-lab', '/api/status')),
        403, 'not_creator', 'Bert\'s browser does not get into Anna\'s')
        if $bert->navigate($gw->app_url('anna-lab', '/'));
};

subtest 'root inside, nobody outside' => sub {
    my ($mine, $theirs) = map { $gw->spec($_)->{uid} } qw(anna-lab bert-lab);
    is abs($mine - $theirs), 65536, 'a range each';
    my $pid = $gw->container('anna-lab')->{pid};
    is +(stat "/proc/$pid")[4], $mine, 'what runs is of that range';
    for (['a user namespace', 'user'], ['a mount namespace', 'mnt'],
        ['a process namespace', 'pid'], ['a network namespace', 'net'],
        ['an IPC namespace', 'ipc'], ['a host name', 'uts'])
    {
        isnt readlink "/proc/$pid/ns/$_->[1]", readlink "/proc/self/ns/$_->[1]",
            $_->[0];
    }
    my $kernels = $gw->inside('anna-lab', 'ps -eo args');
    like $kernels, qr/jupyter-server|jupyter server/, 'sees her own processes';
    unlike $kernels, qr/nginx|amld run/, 'and none of the machine\'s';
    my $uid = $gw->spec('anna-lab')->{uid};
    my ($jupyter) = grep {
        ((stat $_)[4] // -1) == $uid
            && (eval { path("$_/cmdline")->slurp } // '')
            =~ m{^/opt/aml/bin/python.*jupyter.*/run/aml/jupyter}s
    } glob '/proc/[0-9]*';
    ok $jupyter, 'the application\'s process';
    my ($status) = path("$jupyter/status")->slurp;
    like $status, qr/^Seccomp:\s+2$/m, 'it is filtered';
    my ($caps) = $status =~ /^CapEff:\s+(\w+)$/m;
    is hex($caps) & 1 << 21, 0, 'CAP_SYS_ADMIN is not among its rights';
    is path("$jupyter/cgroup")->slurp =~ s/^0::.*$//mr,
        path("/proc/$pid/cgroup")->slurp =~ s/^0::.*$//mr,
        'and it is in the cgroup of the container';
    isnt $gw->inside('anna-lab', 'mount -t tmpfs x /mnt; echo $?'), '0',
        'mounts are refused';
};

subtest 'files of the share' => sub {
    $gw->inside('anna-lab', 'echo of Anna > of-anna; echo hidden > hidden; '
            . 'chmod 600 hidden; mkdir -m 755 d; echo deep > d/f');
    my @st = stat $gw->share('Users', 'creator', 'of-anna');
    is $st[4], $gw->spec('anna-lab')->{uid}, 'hers outside, too';
    my $d = '/share/Users/creator';
    is $gw->inside('bert-lab', "cat $d/of-anna $d/d/f"), "of Anna\ndeep",
        'Bert reads them';
    is $gw->inside('anna-lab', 'stat -c %U of-anna'), 'root', 'root\'s to her';
    is $gw->inside('bert-lab', "stat -c %U $d/of-anna"), 'nobody',
        'nobody\'s to him';
    for my $try (
        "cat $d/hidden", "echo x >> $d/of-anna", "echo x > $d/new",
        "rm -f $d/of-anna", "mv $d $d.away", "chmod 777 $d",
        "chown 0 $d/of-anna", "ln -s /etc/shadow /share/Users/x",
        'echo x > /share/x', "ln $d/hidden /share/Users/colleague/mine"
        )
    {
        $gw->inside('bert-lab', $try);
        isnt $gw->inside_status, 0, "he can't: $try";
    }
    is $gw->inside('anna-lab', 'cat of-anna'), 'of Anna', 'they are as before';
    is $gw->inside('bert-lab', 'echo b > of-bert; cat of-bert'), 'b',
        'his own are his';
};

subtest 'a set-up script in the share' => sub {
    my $file = $gw->share('Users', 'creator', 'set up.sh');
    my $put  = sub {
        my $tx = $gw->api(PUT => $gw->compute('anna-two'), 'creator',
            json => $gw->compute_body(setupScripts => {scripts => {
                creationScript => {scriptSource => 'workspaceStorage',
                    scriptData => 'Users/creator/set up.sh',
                    scriptArguments => "'a b'"}}}));
        like $tx->res->code, qr/^20[01]$/, 'asked for';
        my $state;
        wait_for(sub {
            $state = $gw->state_of('anna-two');
            $state =~ /^(?:Running|.*Failed)$/;
        });
        return $state;
    };
    $gw->inside('anna-lab', q{cat > 'set up.sh' <<'EOF'
echo "$1 in $PWD as $(id -u)" > /opt/set-up
EOF});
    my @own = (stat $file)[4, 5];
    chown +($gw->spec('bert-lab')->{uid}) x 2, $file;
    is $put->(), 'SetupFailed', 'one of Bert\'s in her folder';
    like $gw->api(GET => $gw->compute('anna-two') . '/logs/creation-script',
        'creator')->res->body,
        qr{^Users/creator/set up\.sh is not run: it belongs to somebody else}m,
        'is not run';
    chown @own, $file;
    is $put->(), 'Running', 'her own';
    is $gw->inside('anna-two', 'cat /opt/set-up'),
        'a b in /share/Users/creator as 0', 'runs in the instance, as root there';
    $gw->remove('anna-two');
};

# At a start amld gives people their folder: not what others have in it.
subtest 'a folder that is given to its creator' => sub {
    $gw->inside('bert-lab', 'ln /share/Users/creator/of-anna linked; '
            . 'chown -h 1000 /share/Users/colleague');
    my $mine = $gw->spec('anna-lab')->{uid};
    for my $owner (undef, 0) {
        chown $owner, $owner, $gw->share('Users', 'colleague')
            if defined $owner;
        $gw->order(restart => 'bert-lab', 'Running', 'colleague');
        is +(stat $gw->share('Users', 'creator', 'of-anna'))[4], $mine,
            'a link to a file of hers does not make it his';
    }
    is +(stat $gw->share('Users', 'colleague'))[4], $gw->spec('bert-lab')->{uid},
        'the folder is his';
};

# Its name is a label, and does not make it theirs.
subtest 'a folder that is somebody else\'s' => sub {
    my $folder = $gw->share('Users', 'colleague');
    my $file   = $folder->child('private')->spurt("theirs\n")->chmod(0600);
    my $mine   = $gw->spec('bert-lab')->{uid};
    my $bases  = path($gw->dir, 'state', 'podman', 'uid_base');
    chomp(my $base = $bases->slurp);
    my $number = ($mine - $base) / 65536;
    my $before = 0x60000000;
    $bases->spurt("$before\n$base\n");
    my $give = sub ($uid) { chown $uid, $uid, $file, $folder };

    for my $uid (54321, $gw->spec('anna-lab')->{uid},
        $before + ($number + 1) * 65536, $before - 1)
    {
        $give->($uid);
        $gw->api(POST => $gw->compute('bert-lab')
                . ($uid == 54321 ? '/restart' : '/start'), 'colleague');
        ok wait_for(sub {
            ($gw->api(GET => $gw->compute('bert-lab'), 'colleague')
                    ->res->json('/properties/properties/errors/0/error/message')
                    // '') =~ /belongs to another account \(uid $uid\)/;
        }), "uid $uid: a start fails and says whose it is";
        $gw->wait_state('bert-lab', 'Stopped');
        is join(' ', map { sprintf '%d %o', (stat)[4], (stat _)[2] & 0777 } $file),
            "$uid 600", 'and nothing is given away';
    }

    $give->($before + $number * 65536 + 7);
    $gw->order(start => 'bert-lab', 'Running', 'colleague');
    is join(' ', map { (stat)[4] } $folder, $file), "$mine $mine",
        'what was his under another uid_base is';
    is $gw->inside('bert-lab', 'cat private'), 'theirs', 'and he reads it';
};

subtest 'sockets' => sub {
    my $private = $gw->private('anna-lab');
    my $socket  = "$private/s/jupyter.sock";
    ok -S $socket, 'the gateway\'s path of hers';
    # and one for each port that something in there listens on
    is $gw->inside('anna-lab', 'ls /run/aml | grep -v "^[0-9]*\.sock"'),
        'jupyter.sock', 'what she sees of it';
    is +(stat $socket)[5], scalar getgrnam('www-data'), 'of the gateway\'s group';
    my $tries = $gw->run('', 'setpriv', '--reuid=nobody', '--clear-groups',
        '--regid=nogroup', 'ls', $private);
    isnt $tries->{status}, 0, 'others of the machine don\'t get there';

    like $gw->inside('bert-lab', 'find / -xdev -name "*.sock" -o -type s '
            . '2>/dev/null; find /run -type s 2>/dev/null'),
        qr{^(?:/run/aml/jupyter\.sock\s*)*$},
        'no socket is in his instance but his own';
    is $gw->inside('bert-lab', "ls $private " . $gw->socket
            . ' 2>&1 | grep -vc "No such file"'), '0',
        'nor the paths of others';

    # Bert's is a link to hers: the gateway and amld connect to what they find.
    my $his = $gw->private('bert-lab');
    $gw->inside('bert-lab', "ln -sf $socket /run/aml/anna.sock");
    ok -l "$his/s/anna.sock", 'a link to her socket';
    ok !IO::Socket::UNIX->new(Peer => "$his/s/anna.sock"), 'leads nowhere';
    ok +IO::Socket::UNIX->new(Peer => $socket), 'where the socket itself does';
    $gw->inside('bert-lab', "mv /run/aml/anna.sock /run/aml/jupyter.sock");
    my $answer = $gw->program->get($gw->app_url('bert-lab', '/api/status'),
        headers => $gw->bearer('colleague'));
    isnt $answer->res->code, 200, 'the gateway does not follow it either';
    $gw->order(restart => 'bert-lab', 'Running', 'colleague');
    is $gw->program->get($gw->app_url('bert-lab', '/api/status'),
        headers => $gw->bearer('colleague'))->res->code, 200,
        'a restart makes it right';
};

subtest 'the disk of sockets is small' => sub {
    $gw->inside('bert-lab', 'cat /dev/zero > /run/aml/big');
    ok -s $gw->private('bert-lab') . '/s/big' <= 1_048_576, 'a megabyte';
    $gw->inside('bert-lab', 'rm /run/aml/big');
};

subtest 'what is the machine\'s' => sub {
    for my $path ('/dev/kmsg', '/dev/mem', '/proc/kcore', '/dev/kvm') {
        is $gw->inside('anna-lab', "head -c1 $path 2>/dev/null | wc -c"), '0',
            "$path says nothing";
    }
    $gw->inside('anna-lab', 'echo 1 > /proc/sys/kernel/panic');
    isnt $gw->inside_status, 0, 'no setting of the kernel can be changed';
    $gw->inside('anna-lab', 'kill -9 -1');
    ok $gw->alive('amld') && $gw->alive('nginx'),
        'one who kills everything kills what is hers';
    ok wait_for(sub { $gw->program->get($gw->app_url('anna-lab', '/api/status'),
            headers => $gw->bearer('creator'))->res->code == 200 }),
        'which is started again';
};

$gw->done;
