# docs/cli.md and the manual page say what aml has, all of it and nothing else.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Test::More;
use AML::Cli;
use AML::Needs;

my $root = path($FindBin::Bin)->to_abs->dirname->dirname;
my $doc  = $root->child('docs/cli.md')->slurp;
my $man  = $root->child('cli/aml.1')->slurp;

sub aml (@args) {
    open my $from, '-|', $AML::Cli::AML, @args or die "aml: $!";
    local $/;
    return scalar <$from>;
}

# What "aml … --help" says: usage without options, and options.
sub help (@command) {
    my $text = aml(@command, '--help');
    my ($usage) = $text =~ /^Usage: aml (.*)$/m;
    $usage =~ s/ \[OPTION\]//;
    my %options;
    while ($text =~ /^  (?:-(\w), |    )--([\w-]+)(?: ([A-Z=]+))?(?:\n? +(\S.*))$/mg) {
        $options{$2} = [$1 // '', $3 // '', $4];
    }
    return ($usage, \%options);
}

my @commands = aml('--help') =~ /^  (\S+(?: \S+)?)  +\S/mg;
cmp_ok scalar @commands, '>', 20, 'there are commands';
my %common = %{(help('whoami'))[1]};
is join(' ', sort keys %common), 'help json profile workspace',
    'and options of all';

# Rows "| `-s, --server URL` | help |" of a part of the document.
sub rows ($text) {
    my %rows;
    while ($text =~ /^\| `(?:-(\w), )?--([\w-]+)(?: ([A-Z=]+))?` \| (.*?) \|$/mg) {
        $rows{$2} = [$1 // '', $3 // '', $4];
    }
    return \%rows;
}

# ".It Fl s , Fl -server Ar URL" and the sentence behind it.
sub items ($text) {
    my %items;
    while ($text =~ /^\.It (?:Fl (\w) , )?Fl -([\w-]+)(?: Ar ([A-Z=]+))?\n(.*)\.$/mg) {
        $items{$2} = [$1 // '', $3 // '', lcfirst $4];
    }
    return \%items;
}

my ($head, $sections) = split /^\#\# Commands\n/m, $doc, 2;
my ($first, @sections) = split /^\#\#\# `aml (.*)`\n/m, $sections;
my %section = @sections;
my ($man_head, $man_commands) =
    $man =~ /\.Sh DESCRIPTION\n(.*?)\.Sh COMMANDS\n(.*?)^\.Sh/ms;
my %item;
{
    my (undef, @parts) = split /^\.It Cm (.*)$/m, $man_commands;
    while (my ($title, $text) = splice @parts, 0, 2) {
        my ($name) = $title =~ /^([a-z-]+(?: [a-z]+)*)/;
        $item{$name} = [$title, $text];
    }
}

is_deeply rows($first), \%common, 'common options in the document';
is_deeply items($man_head), {map { $_ => [@{$common{$_}}[0, 1],
            lcfirst $common{$_}[2]] } keys %common}, 'and in the manual';
my %usages;
for my $command (@commands) {
    my ($usage, $options) = help(split / /, $command);
    $usages{$usage} = 1;
    delete @$options{keys %common};
    is_deeply rows($section{$usage} // ''), $options, "document: $command";
    my $items = {map { $_ => [@{$options->{$_}}[0, 1],
            lcfirst $options->{$_}[2]] } keys %$options};
    ok $item{$command}, "manual: $command" or next;
    is_deeply items($item{$command}[1]), $items, "manual: its options";
    my $arguments = join ' ', sort grep {/^[A-Z]{2,}$/} split /\W+/, $usage;
    is join(' ', sort grep {/^[A-Z]{2,}$/} split /\W+/, $item{$command}[0]),
        $arguments, 'manual: its arguments';
}
is join("\n", sort keys %section), join("\n", sort keys %usages),
    'the document has no others';
is join("\n", sort keys %item), join("\n", sort @commands),
    'nor has the manual';

subtest 'exit statuses and variables' => sub {
    my $header = $root->child('cli/cli.h')->slurp;
    my %status = reverse $header =~ /^#define (CLI_EXIT_\w+) (\d+)/mg;
    my %said   = $doc =~ /^\| (\d) \| (\S.*?) \|$/mg;
    is join(' ', sort keys %said), join(' ', sort keys %status), 'document';
    my ($part) = $man =~ /\.Sh EXIT STATUS\n(.*?)\.Sh/s;
    is join(' ', $part =~ /^\.It (\d)$/mg), join(' ', sort keys %status),
        'manual';
    my %read;
    $read{$_} = 1 for map { $_->slurp =~ /"(AML_[A-Z]+)"/g }
        $root->child('cli')->list->grep(qr/\.c$/)->each;
    is join(' ', sort keys %read),
        join(' ', sort $doc =~ /^\| `(AML_[A-Z]+)` \|/mg), 'variables';
    like $man, qr/^\.It Ev $_$/m, "manual: $_" for sort keys %read;
};

subtest 'the manual page' => sub {
    needs 'there is no mandoc',
        scalar grep { -x "$_/mandoc" } split /:/, $ENV{PATH};
    my $file = $root->child('cli/aml.1');
    is `mandoc -T lint -W warning $file 2>&1`, '', 'nothing to complain of';
    like `mandoc -T utf8 $file`, qr/AML\(1\)/, 'is one';
};

done_testing;
