# The instance image has what docs/image.md says, and nothing of the machine that
# made it; an operator's own is made on top of it.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Temp ();
use Mojo::File qw(path);
use Mojo::Util qw(decode trim);
use Test::More;
use Time::HiRes qw(time);
use AML::Podman;

AML::Podman->need;
my $root  = path($FindBin::Bin)->to_abs->dirname->dirname;
my $image = AML::Podman->IMAGE;
my $dir   = path(File::Temp::tempdir(CLEANUP => 1));

# What the documentation lists that this image follows.
my @LIST = (
    'MPI', 'Azure CLI', 'Docker', 'nginx', 'NCCL', 'Protobuf', 'Blobfuse', 'R',
    'R kernel', 'RStudio', 'Python', 'Jupyter', 'JupyterLab', 'jupytext',
    'nbconvert', 'tensorboard', 'cython', 'numpy', 'ipykernel', 'scikit-learn',
    'matplotlib', 'tqdm', 'joblib', 'nb_conda_kernels', 'nodejs', 'PyTorch',
    'TensorFlow', 'Keras', 'Horovod', 'MLflow', 'pandas', 'ONNX',
    'ONNX converters', 'CUDA', 'cuDNN', 'NVIDIA drivers', 'samples', 'git',
    'compilers', 'SSH'
);

my (%row, @names);
for (split /\n/, decode 'UTF-8', $root->child('docs/image.md')->slurp) {
    next unless /^\| / && !/^\| (?:what|---)/;
    s/\\\|/\0/g;
    my (undef, @cells) = map { trim(s/\0/|/gr) } split /\|/, "$_ ";
    my ($check) = ($cells[3] // '') =~ /^`(.*)`$/;
    $row{$cells[0]} = {where => $cells[1], text => $cells[2], check => $check};
    push @names, $cells[0];
}

# A shell in a container of the image; {status, out}.
sub in_image ($image, $script, @options) {
    for my $runtime (qw(crun runc)) {
        my @command = ('podman', '--runtime', $runtime, 'run', '--rm', '-i',
            '--pull=never', '--network=none', '--http-proxy=false', '--ulimit=nofile=1024:1024',
            '--ulimit=nproc=4096:4096', @options, $image, 'sh');
        $dir->child('script')->spurt($script);
        my $out = `@command < $dir/script 2> $dir/err`;
        return {status => $? >> 8, out => $out}
            unless $? >> 8 == 126 || $? >> 8 == 127;
        note $dir->child('err')->slurp;
    }
    die "no container starts\n";
}

subtest 'the list, row by row' => sub {
    is join(', ', grep { !$row{$_} } @LIST), '', 'everything is in the table';
    is join(', ', grep { my $n = $_; !grep { $n eq $_ } @LIST } @names), '',
        'and nothing else';
    for my $name (@names) {
        my ($where, $text, $check) = @{$row{$name}}{qw(where text check)};
        like $where, qr/^(?:standard|full|option|host|successor)$/,
            "$name: $where";
        ok $check, "$name is checked" if $where =~ /^(?:standard|full)$/;
        ok $text, "$name: what is there instead" if $where eq 'successor';
    }
};

subtest 'the standard image' => sub {
    my @checks = grep {
        $row{$_}{where} eq 'standard' || ($row{$_}{where} eq 'successor'
            && $row{$_}{check} && $row{$_}{check} !~ /torch/)
    } @names;
    my $script = join '', map {
        my $check = $row{$_}{check} =~ s/'/'\\''/gr;
        "if sh -c '$check' < /dev/null > /tmp/out 2>&1; then echo 'ok $_'; "
            . "else echo 'not $_'; tail -3 /tmp/out; fi\n"
    } @checks;
    my $said = in_image($image, $script)->{out};
    like $said, qr/^ok \Q$_\E$/m, "$_: $row{$_}{check}" for @checks;
    diag $said if $said =~ /^not /m;
};

# What the checks of the full image need has to be in its list.
subtest 'what --full adds is pinned' => sub {
    my $pins = lc join "\n", map { $root->child("packaging/image/$_")->slurp }
        'requirements-full.txt', 'requirements-azure.txt';
    my %package = (
        'Azure CLI' => ['azure-cli'],  'PyTorch' => ['torch'],
        'ONNX'      => ['onnx',        'onnxruntime'],
        'CUDA'      => ['cuda-toolkit'], 'NCCL'  => ['nvidia-nccl-cu13'],
        'cuDNN'     => ['nvidia-cudnn-cu13'],
        'ONNX converters' => ['skl2onnx', 'onnxmltools'],
    );
    for my $name (grep { $row{$_}{where} eq 'full' } @names) {
        like $pins, qr/^\Q$_\E==\d/m, "$name: $_"
            for @{$package{$name} // [lc $name]};
    }
    for my $list ('image/requirements.txt', 'requirements.txt') {
        my @loose = grep { !/^(?:#|$)/ && !/^[\w.-]+==[\w.]+$/ } split /\n/,
            $root->child("packaging/$list")->slurp;
        is "@loose", '', "$list: each version is pinned";
    }
};

subtest 'nothing of the build machine is left' => sub {
    my $r = in_image($image, <<'EOF');
echo "env: $(env | grep -iE '^(pip|npm|.*proxy)' | tr '\n' ' ')"
echo "pip: $(/opt/aml/bin/pip config list | tr '\n' ' ')"
echo "npm: $(cat /etc/npmrc /root/.npmrc 2>/dev/null)"
echo "mounts: $(ls -A /mnt /media | grep -v : | tr '\n' ' ')"
echo "apt: $(cat /etc/apt/apt.conf.d/* | grep -i acquire.*proxy)"
echo "passwords: $(grep -hE '//[^ /]*@' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null)"
echo "keys: $(ls /etc/ssh/ssh_host_* 2>/dev/null)"
echo "machine: $(cat /etc/machine-id)"
echo "caches: $(ls -A /root/.cache /var/cache/apt/archives 2>/dev/null | grep -E 'whl|deb$|pip')"
echo "authorities: $(find /usr/local/share/ca-certificates -type f)"
echo "places: $(ls -A /opt /srv | grep -vxE 'aml|.*:' | tr '\n' ' ')"
EOF
    for my $what (qw(env pip npm mounts apt passwords keys machine caches
        authorities places))
    {
        my ($left) = $r->{out} =~ /^$what: ?(.*)$/m;
        is trim($left // 'nothing was said'), '', $what;
    }
    my $history = `podman image inspect $image`;
    unlike $history, qr/PIP_(?:INDEX|CERT|FIND)/, 'nor in what it was made by';
};

subtest 'made once' => sub {
    my $id    = `podman image inspect --format '{{.Id}}' $image`;
    my $since = time;
    my $said  = `cd $root && ./dev image 2>&1`;
    is $?, 0, './dev image';
    like $said, qr/^\Q$image\E is there: \d+ MB/m, 'says so';
    is `podman image inspect --format '{{.Id}}' $image`, $id, 'it is as it was';
    cmp_ok time - $since, '<', 20 * $ENV{AML_PATIENCE}, 'at once';
};

my @made;
END { local $?; system("podman rmi -f @made > /dev/null 2>&1") if @made }

subtest 'one of one\'s own, with a package' => sub {

    # RStudio Server's place is taken by a package that has a file of its name.
    my $tree = $dir->child('deb');
    $tree->child('DEBIAN')->make_path;
    $tree->child('usr/lib/rstudio-server/bin')->make_path->child('rserver')
        ->spurt("#!/bin/sh\necho stand-in\n")->chmod(0755);
    $tree->child('DEBIAN/control')->spurt(<<'EOF');
Package: rstudio-server-stand-in
Version: 1
Architecture: all
Maintainer: AML Gateway <nobody@example.org>
Description: a stand-in
EOF
    system("dpkg-deb --build $tree $dir/rstudio.deb > /dev/null") == 0
        or die 'dpkg-deb';
    my $tag = "aml-test-deb-$$";
    push @made, "localhost/$tag";
    my $said = `cd $root && ./dev image --deb $dir/rstudio.deb --tag $tag 2>&1`;
    is $?, 0, './dev image --deb' or diag $said;
    is in_image("localhost/$tag", '/usr/lib/rstudio-server/bin/rserver')->{out},
        "stand-in\n", 'is installed';

    $dir->child('own')->make_path->child('motd')->spurt("welcome\n");
    my ($example) = decode('UTF-8', $root->child('docs/image.md')->slurp)
        =~ /^# lab\/Containerfile\n(.*?)^```/ms;
    ok $example, 'the example of the documentation';
    $example =~ s/^RUN .*$/RUN . \/mnt\/environment && test -n "\$PIP_CERT"/m
        or fail 'it installs something';
    $dir->child('own/Containerfile')->spurt($example);
    my $own = "aml-test-own-$$";
    push @made, "localhost/$own";
    $said = `cd $root && ./dev image --from $dir/own/Containerfile --tag $own 2>&1`;
    is $?, 0, './dev image --from' or diag $said;
    is in_image("localhost/$own", 'cat /etc/motd; jupyter lab --version | wc -l')
        ->{out}, "welcome\n1\n", 'is on top of the standard one';
};

subtest 'what can\'t be' => sub {
    for (
        ['--from /nowhere --tag x',    qr/there is no \/nowhere/],
        ["--from $root/dev",           qr/--from needs --tag/],
        ['--deb /nowhere.deb',         qr/there is no \/nowhere/],
        ['--tag Upper',                qr/not a name of an image/],
        ['--tag',                      qr/--tag needs a value/],
        ['--nonsense',                 qr/unknown argument: --nonsense/],
        )
    {
        my $said = `cd $root && ./dev image $_->[0] 2>&1`;
        isnt $?, 0, "./dev image $_->[0]";
        like $said, $_->[1], 'says why';
    }
};

done_testing();
