# make install: what is where, and that shells and man find it.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Temp qw(tempdir);
use Mojo::File qw(path);
use Test::More;
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
    'bin/aml'                               => '755',
    'sbin/amld'                             => '755',
    'share/bash-completion/completions/aml' => '644',
    'share/man/man1/aml.1'                  => '644',
    'share/zsh/site-functions/_aml'         => '644'
}, 'what is there, and nothing elsewhere';
like said('aml',  '--version'), qr/^aml /,  'aml runs';
like said('amld', '--version'), qr/^amld /, 'amld runs';

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
