# amld as root, and SSH as the creator's own account: sshd is theirs, and can
# be nobody else's.  What they have in ~/.ssh on this machine is for other ways
# into it.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Test::More;
use AML::SSH;
use AML::Test;
use AML::Wait qw(wait_for);

plan skip_all => 'accounts are made by root' if $< != 0;

# sshd that is not root can't give a terminal to the group tty.  Where it has
# not that group from the start, as everywhere else, it has in here.
if (!$ENV{AML_TERMINALS} && path('/proc/mounts')->slurp !~ m{ /dev/pts \S+ \S*gid=5})
{
    $ENV{AML_TERMINALS} = 1;
    exec('unshare', '--mount', 'sh', '-c', <<'EOF2', 'sh', $^X, (map {"-I$_"} @INC), $0)
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts &&
    mount --bind /dev/pts/ptmx /dev/ptmx && exec "$@"
EOF2
        or die "unshare: $!";
}

my ($ann, $bob) = map {"amls$_$$"} qw(a b);
my $owner = $$;

END {
    if ($owner == $$) {
        my $status = $?;
        system "userdel $_ 2>/dev/null" for $ann, $bob;
        $? = $status;
    }
}

my $gw = AML::Test->prepare(
    amld => sub ($text) {
        $text =~ s/^unix_accounts = .*\n//m or die 'no unix_accounts';
        $text =~ s/(gateway_uids = \{) \d+/$1 www-data/;
        return qq($text\nregistry_group = "www-data"\n);
    },
    nginx => sub ($text) { $text =~ s/^user root;$/user www-data;/mr }
);

for ($ann, $bob) {
    my $home = $gw->dir . "/home.$_";
    system('useradd', '--create-home', '--home-dir', $home, '--shell',
        '/bin/bash', $_) == 0
        or die "useradd: $?\n";
}

# What they run has to be where they may read it.
unlink $gw->dir . '/venv/bin/jupyter';
path($gw->dir, 'venv/bin/AML')->make_path;
path("$AML::Test::ROOT/t/lib/stand-in-application")
    ->copy_to($gw->dir . '/venv/bin/jupyter')->chmod(0755);
path("$AML::Test::ROOT/t/lib/AML/StandInApplication.pm")
    ->copy_to($gw->dir . '/venv/bin/AML')->chmod(0644);

$gw->start_amld;
$gw->add_account($_, 'Contributor') for $ann, $bob;
$gw->start_nginx;

my $ssh = AML::SSH->new(gw => $gw, name => 'ann-lab', user => $ann);
$gw->api(PUT => $gw->compute('ann-lab'), $ann,
    json => $gw->compute_body($ssh->settings))->res->code == 201
    or $gw->give_up('PUT');
ok wait_for(sub { $gw->state_of('ann-lab', $ann) eq 'Running' }), 'it runs'
    or $gw->give_up($gw->state_of('ann-lab', $ann));
my ($socket) = glob $gw->dir . '/state/i/*/s/ssh.sock';
my $private  = path($socket)->dirname->dirname;
$ssh->to_socket($socket);

subtest 'as oneself' => sub {
    my $said = $gw->api(GET => $gw->compute('ann-lab'), $ann)
        ->res->json('/properties/properties/sshSettings');
    is $said->{adminUserName}, $ann, 'whom to sign in as';
    is $ssh->run('id -un; pwd')->{out},
        "$ann\n" . $gw->share("Users/$ann") . "\n", 'who and where one is';
    is $ssh->run('echo $HOME; command -v jupyter')->{out},
        $gw->dir . "/home.$ann\n" . $gw->dir . "/venv/bin/jupyter\n",
        'at home, with the notebooks\' programs';
    is $ssh->run('id -G')->{out}, `id -G $ann`, 'in one\'s groups';

    my $shell = $ssh->open(flags => ['-tt']);
    $shell->type("stty -echo; echo :\$((6*7)):\n");
    ok $shell->says(qr/:42:/), 'a terminal' or diag $shell->err;
    $shell->end;

    is $ssh->run('true', options => ["User=$_"])->{status}, 255,
        "not as $_, by the same key"
        for 'root', $bob;
};

subtest 'sshd is theirs' => sub {
    my $session = $ssh->open(flags => ['-N']);
    my $uid = getpwnam $ann;
    ok wait_for(sub {
        grep { (eval { path("$_/status")->slurp } // '') =~ /^Uid:\t$uid\t/m }
            grep { (eval { path("$_/cmdline")->slurp } // '') =~ /^sshd/ }
            glob '/proc/[0-9]*';
    }), 'it runs as them';
    my %uids = map { (eval { path("$_/status")->slurp } // '')
            =~ /^Uid:\t(\d+\t\d+)/m ? ($1 => 1) : () }
        grep { (eval { path("$_/environ")->slurp } // '')
            =~ m{\0AML_COMMAND=\Q$private\E/ssh\0|\0AML_SSH=\Q$private\E/} }
        glob '/proc/[0-9]*';
    is join(',', keys %uids), join("\t", (scalar getpwnam $ann) x 2),
        'and nothing of it as root';
    is +(stat "$private/u/ssh/host_key")[4], $uid, 'so is its host key';
    is +(stat "$private/u/ssh/host_key")[2] & 0777, 0600, 'and private';
};

subtest 'what is in their home' => sub {
    my $other = $ssh->make_key('other');
    chomp(my $key = path("$other.pub")->slurp);
    my $home = path($gw->dir, "home.$ann");
    $home->child('.ssh')->make_path;
    $home->child('.ssh/authorized_keys')->spurt(qq(command="id" $key\n$key\n));
    $home->child('.ssh/rc')->spurt("echo planted\n");
    $home->child('.ssh/environment')->spurt("PLANTED=yes\n");
    system('chown', '-R', $ann, "$home/.ssh");
    chmod 0700, "$home/.ssh";
    chmod 0600, glob "$home/.ssh/*";
    is $ssh->run('true', options => ["IdentityFile=$other"])->{status}, 255,
        'no key there lets in';
    is $ssh->run('echo "$PLANTED"')->{out}, "\n",
        'rc and environment are not read';

    $home->child('.bashrc')->spurt("export FROM_RC=yes\n");
    is $ssh->run('echo $FROM_RC; pwd')->{out},
        "yes\n" . $gw->share("Users/$ann") . "\n",
        'a shell reads what shells read';
};

subtest 'what they make of the directory' => sub {
    my $at = "$private/u/ssh";
    my @as = ('setpriv', "--reuid=$ann", "--regid=$ann", '--clear-groups');
    system(@as, 'rm', '-rf', $at) == 0 or die;
    system(@as, 'ln', '-s', '/etc', $at) == 0 or die;
    $gw->api(POST => $gw->compute('ann-lab') . '/restart', $ann);
    ok wait_for(sub { $gw->state_of('ann-lab', $ann) eq 'Stopped' }),
        'a link in its place is not followed, and the start fails';
    ok !-e "/etc/$_", "no $_ where it leads"
        for qw(sshd_config.aml-new authorized_keys connection host_key);
    my $message = $gw->api(GET => $gw->compute('ann-lab'), $ann)->res->body;
    like $message, qr{cannot make \S*u?/ssh}, 'why is said';
    system(@as, 'rm', $at) == 0 or die;
    $gw->api(POST => $gw->compute('ann-lab') . '/start', $ann);
    ok wait_for(sub { $gw->state_of('ann-lab', $ann) eq 'Running' }),
        'without it it starts';
    unlink $ssh->known;
    is $ssh->run('true')->{status}, 0, 'and lets in';
};

subtest 'what they make of the socket' => sub {
    my @as = ('setpriv', "--reuid=$ann", "--regid=$ann", '--clear-groups');
    system(@as, 'ln', '-sf', '/run/dbus/system_bus_socket', $socket) == 0
        or die;
    my $r = $ssh->run('true');
    like $r->{err}, qr/symbolic links|Too many levels/, 'a link is not followed';
};

# by hand: the account's files would be its own after userdel
$gw->done;
