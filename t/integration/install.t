# make install: what is where, that shells and man find it, and that amld and
# nginx start from there with what docs/operations.md says.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Temp qw(tempdir);
use Mojo::File qw(path);
use Test::More;
use AML::Port;
use AML::Test;

my $root = $AML::Test::ROOT;
my $dir  = path(tempdir(CLEANUP => 1));
my $made = $dir->child('dest/opt/x');

# Its output, with nothing of who runs the test.
sub said (@command) {
    local $ENV{HOME} = "$dir";
    local $ENV{PATH} = "$made/bin:$made/sbin:$ENV{PATH}";
    open my $from, '-|', @command or die "$command[0]: $!";
    local $/;
    my $text = <$from>;
    close $from;
    is $?, 0, "@command[0 .. ($#command > 1 ? 1 : $#command)]";
    return $text;
}

said('make', '-s', '-C', $root, "VARIANT=$AML::Test::VARIANT", 'install',
    "DESTDIR=$dir/dest", 'PREFIX=/opt/x');
is_deeply {
    map {
        my $name = $_->to_rel($made)->to_string;
        ($name => sprintf '%o', (stat $_)[2] & 0777);
    } $dir->child('dest')->list_tree->each
}, {
    'bin/aml'                                => '755',
    'lib/nginx/modules/ngx_http_aml_module.so' => '644',
    'lib/systemd/system/amld.service'        => '644',
    'sbin/amld'                              => '755',
    'share/aml/builtin-roles.json'           => '644',
    'share/aml/packaging/aml-errors.conf'    => '644',
    'share/aml/packaging/aml-proxy.conf'     => '644',
    'share/aml/packaging/nginx.conf.in'      => '644',
    'share/aml/packaging/render.sh'          => '755',
    'share/aml/tls/aml-tls.conf'             => '644',
    'share/bash-completion/completions/aml'  => '644',
    'share/man/man1/aml.1'                   => '644',
    'share/zsh/site-functions/_aml'          => '644',
    map({ ('share/aml/samples/' . $_->basename => '644') }
        path($root, 'packaging/samples')->list->each),
    map({ ('share/doc/aml-gateway/' . $_->basename => '644') }
        path($root, 'docs')->list->grep(qr/\.md$/)->each),
}, 'what is there, and nothing elsewhere';
like said('aml',  '--version'), qr/^aml /,  'aml runs';
like said('amld', '--version'), qr/^amld /, 'amld runs';

# The block of operations.md that begins so.
sub block ($begin) {
    my ($text) = path($root, 'docs/operations.md')->slurp
        =~ /^```\n(\Q$begin\E.*?)^```$/ms
        or die "no block with $begin";
    return $text;
}

subtest 'what amld reads' => sub {
    my $uid  = $<;
    my $conf = $dir->child('amld.conf');
    $conf->spurt(block('studio = ')
            =~ s{/srv/aml}{$dir/share}r
            =~ s{"www-data"}{join '', '"', scalar getgrgid($( + 0), '"'}er
            =~ s{/opt/jupyter/bin/jupyter}{$made/bin/aml}r
            . "gateway_uids = { $uid }\n");
    $dir->child('share')->make_path;
    is said('amld', '-t', '-c', $conf) =~ s/.*\n(?=.)//sr,
        "$conf: the configuration is good\n", 'the least configuration is good';
    unlink "$made/share/aml/builtin-roles.json";
    like qx($made/sbin/amld -t -c $conf 2>&1),
        qr{: roles: \Q$made\E/share/aml/builtin-roles\.json: },
        'and it is its own roles that it reads';
};

subtest 'what nginx reads' => sub {
    said('sh', "$root/tls/dev-ca.sh", "$dir/etc", 'aml.example.org',
        '*.instances.example.org');
    my ($render) = block('cd ') =~ /^(.*?)^amld -t/ms;
    my %here = (
        '/usr/local/'           => "$made/",
        '/etc/aml/cert.pem'     => "$dir/etc/server.pem",
        '/etc/aml/key.pem'      => "$dir/etc/server-key.pem",
        '/etc/nginx/nginx.conf' => "$dir/nginx.conf",
        '/run/nginx.pid'        => "$dir/nginx.pid",
        '/var/'                 => "$dir/var/",
        'LISTEN=443'            => 'LISTEN=127.0.0.1:' . AML::Port->take
    );
    my $any = join '|', map {quotemeta} sort keys %here;
    $dir->child('var', $_, 'nginx')->make_path for qw(lib log);
    said('bash', '-ec', $render =~ s/($any)/$here{$1}/gr);
    unlike path("$dir/nginx.conf")->slurp, qr{run/aml/nginx},
        'its files are where Debian has them';
    like said('bash', '-c', "$AML::Test::NGINX -t -c $dir/nginx.conf"
            . " -e $dir/var/log/nginx/error.log 2>&1"), qr/test is successful$/,
        'the configuration is good';
    ok -e "$dir/var/log/nginx/audit.log", 'logs are with nginx\'s others';
};

subtest 'the unit' => sub {
    my $unit = path("$made/lib/systemd/system/amld.service")->slurp;
    like $unit, qr{^$_$}m, $_
        for 'ExecStart=/opt/x/sbin/amld -c /etc/aml/amld.conf',
        'ExecStartPre=/opt/x/sbin/amld -t -c /etc/aml/amld.conf',
        'StartLimitIntervalSec=0', 'Restart=always', 'KillMode=process',
        'TimeoutStopSec=\d+', 'OOMPolicy=continue';
    unlike $unit, qr{/usr/}, 'all of it is below the prefix';
    unlike $unit, qr{^SendSIGKILL=no}m, 'what hangs is killed';

    my ($verify) = grep {-x} '/usr/bin/systemd-analyze' or return;
    my $here = $dir->child('amld.service');
    $here->spurt($unit =~ s{/opt/x/}{$made/}gr);
    unlike qx($verify verify --man=no $here 2>&1), qr/amld/,
        'systemd finds nothing wrong with it';
};

like said('bash', '-c', qq{. $made/share/bash-completion/completions/aml
    COMP_WORDS=(aml completion ''); COMP_CWORD=2; _aml
    complete -p aml; echo "\${COMPREPLY[*]}"}), qr/ _aml aml\nbash zsh$/,
    'bash has it';
is said('zsh', '-f', '-c', qq{fpath=($made/share/zsh/site-functions \$fpath)
    autoload -U compinit; compinit -u -d $dir/zcompdump
    compadd() { shift; print -r -- "\$*" }
    words=(aml completion ''); CURRENT=3
    print \$_comps[aml]; _aml; _aml}), "_aml\n" . "bash zsh\n" x 2,
    'zsh finds it by its name, the first time as later';

done_testing;
