# The documents say what the code has, all of it and nothing else.

use Mojo::Base -strict, -signatures;
use FindBin;
use Mojo::File qw(path);
use Mojo::Util qw(decode);
use Test::More;

my $root = path($FindBin::Bin)->to_abs->dirname->dirname;

sub text (@files) {
    return join "\n", map { decode 'UTF-8', $_->slurp }
        map { -e $root->child($_) ? $root->child($_) : () } @files;
}

sub sources ($dir) {
    return map { $_->to_rel($root) }
        $root->child($dir)->list_tree->grep(qr/\.[ch]$/)->each;
}

sub same ($code, $doc, $name) {
    my (%in, %said);
    @in{@$code} = ();
    @said{@$doc} = ();
    is join(' ', sort keys %said), join(' ', sort keys %in), $name;
    ok scalar @$code, "$name: there are some";
}

my $module     = text(sources('ngx_aml_module'));
my $directives = text('docs/directives.md');

subtest 'directives' => sub {
    my ($table) = $module =~ /ngx_command_t\s+\w+\[\]\s*=\s*\{(.*?)ngx_null_c/s;
    my @code = ($table // '') =~ /\{\s*ngx_string\("(\w+)"\)/g;
    my @doc  = $directives =~ /^### `(\w+)`$/mg;
    same \@code, \@doc, 'directives';
    for my $name (@code) {
        my ($section) = $directives =~ /^### `$name`\n(.*?)(?=^##)/ms;
        like $section, qr/^\| syntax \| `$name\b/m, "$name: syntax";
        like $section, qr/^\| context \| \w/m,      "$name: context";
        like $section, qr/^\| default \| \S/m,      "$name: default";
    }
};

subtest 'values of aml_require' => sub {
    my ($table) =
        $module =~ /ngx_conf_enum_t\s+\w+require\[\]\s*=\s*\{(.*?)null/s;
    my ($section) = $directives =~ /^### `aml_require`\n(.*?)^In a server/ms;
    same [($table // '') =~ /ngx_string\("([\w-]+)"\)/g],
        [($section // '') =~ /^\| `([\w-]+)` \|/mg],
        'aml_require';
};

subtest 'variables' => sub {
    my ($table) =
        $module =~ /ngx_http_variable_t\s+\w+\[\]\s*=\s*\{(.*?)null/s;
    same [($table // '') =~ /ngx_string\("(\w+)"\)/g],
        [$directives =~ /^\| `\$(aml_\w+)` \|/mg], 'variables';
};

subtest 'metrics' => sub {
    my @code = $module =~ /# TYPE (\w+) (?:counter|gauge|histogram)/g;
    same \@code, [$directives =~ /^\| `(aml_\w+)(?:\{\w+\})?` \|/mg],
        'metrics';
    for my $pair ($module =~ /# TYPE (\w+ (?:counter|gauge|histogram))/g) {
        my ($name, $type) = split / /, $pair;
        like $directives, qr/^\| `$name(?:\{\w+\})?` \| $type \|/m,
            "$name is a $type";
    }
};

subtest 'reasons' => sub {
    my $header = text('auth/reason.h') =~ s/\\\n//gr;
    my (%code, %doc);
    while ($header
        =~ /X\(([A-Z_]+),\s*(\w+),\s*(\d+),\s*("(?:[^"\\]|\\.)*"(?:\s*"(?:[^"\\]|\\.)*")*),\s*((?:"(?:[^"\\]|\\.)*"\s*)+),\s*((?:"(?:[^"\\]|\\.)*"\s*)+)\)/g)
    {
        my ($upper, $name, $status, @words) = ($1, $2, $3, $4, $5, $6);
        is lc $upper, $name, "$name has one name" if lc $upper ne $name;
        s/"\s*"//g, s/^\s*"|"\s*$//g, s/\\"/"/g for @words;
        $code{$name} = [$status, @words[1, 2]];
    }
    my $reasons = text('docs/reasons.md');
    while ($reasons =~ /^\| `(\w+)` \| (\d+) \| (.*?) \| (.*?) \|$/mg) {
        $doc{$1} = [$2, $3, $4 eq "\x{2014}" ? '' : $4];
    }
    is_deeply \%doc, \%code, 'codes, statuses and words';
    cmp_ok scalar keys %code, '>', 25, 'all of them';
};

subtest 'options of amld' => sub {
    my $source = text(sources('computes'));
    my $doc    = text('docs/amld.md');
    my @code   = $source
        =~ /CFG_(?:STR|INT|BOOL|FLOAT|STR_LIST|INT_LIST|SEC)\(\s*"(\w+)"/g;
    same \@code, [$doc =~ /^(?:#+ |\| )`(\w+)`/mg], 'options';
};

subtest 'calls of the control API' => sub {
    for my $case (['computes/api/arm.c', 'docs/computes.md'],
        ['computes/api/arm_job.c', 'docs/jobs.md'])
    {
        my ($file, $doc) = @$case;
        my ($table) = text($file) =~ /amld_arm\w*_routes\[\] = \{(.*?)\{NULL/s;
        my @code;
        while (($table // '') =~ /\{"(\w+)",\s*ARM_(\w)(?:\s*"(.*?)")?,\s*\w+\}/g) {
            push @code, "$1 $2" . ($3 // '');
        }
        my ($section) = text($doc) =~ /^## Calls\n(.*?)^## /ms;
        same \@code, [($section // '') =~ /^\| `([A-Z]+ [^`]+)` \|/mg],
            "calls of $doc";
    }
};

sub codes ($source) {
    my %code;
    $code{$_} = 1 for $source
        =~ /amld_response_error\(\s*[^,]+,\s*\d+,\s*"(\w+)"/g,
        $source =~ /amld_arm_fault\(\s*fault,\s*"(\w+)"/g,
        $source =~ /"code",\s*"(\w+)"/g, $source =~ /"Canceled",\s*"(\w+)"/g,
        $source =~ /(?:code\[\] =|PARAMETER) "(\w+)"/g;
    return [keys %code];
}

subtest 'errors of the control API' => sub {
    my @jobs  = grep {/\barm_job\w*\.c$/} sources('computes');
    my @other = grep { /\barm(?:_\w+)?\.c$/ && !/\barm_job/ } sources('computes');
    for my $case (
        ['docs/computes.md', @other, 'computes/instances/operations.c'],
        ['docs/jobs.md', @jobs])
    {
        my ($doc, @files) = @$case;
        my ($section) = text($doc) =~ /^## Errors\n(.*)/ms;
        same codes(text(@files)), [($section // '') =~ /^\| `(\w+)` \| \d/mg],
            "codes of $doc";
    }
};

subtest 'sizes' => sub {
    my $source  = text('computes/instances/sizes.c');
    my ($table) = $source =~ /sizes_built_in\[\] = \{(.*?)^\};/ms;
    my %family  = $source =~ /^#define (\w+) .*"(\w+)"$/mg;
    my @code;
    while ($table =~ /"(\w+)", (\w+), (\d+), (\d+), (\d+)\}/g) {
        push @code, join ' ', $1, $family{$2}, $3, $4 / 1024, $5;
    }
    my @doc;
    my $doc = text('docs/computes.md');
    while ($doc =~ /^\| `(STANDARD_\w+)` \| (\w+) \| (\d+) \| ([\d.]+) GiB \| (\d*) ?\|$/mg) {
        push @doc, join ' ', $1, $2, $3, $4, $5 || 0;
    }
    is_deeply \@doc, \@code, 'the sizes built in, in their order';
    cmp_ok scalar @code, '>', 20, 'there are some';
};

subtest 'links' => sub {
    for my $file (map { $_->to_rel($root) } $root->child('docs')->list->each,
        grep {-e} map { $root->child($_) } qw(README.md CONTRIBUTING.md))
    {
        my $text = text($file);
        while ($text =~ /\]\((?!https?:|mailto:)([^)#\s]+)(?:#([^)\s]+))?\)/g) {
            my ($to, $anchor) = ($1, $2);
            ok -e $root->child($file)->dirname->child($to), "$file: $to";
        }
    }
};

# ---- the threat model ----

# The tests that a file has, by name: subtests, steps of a browser, functions.
sub tests_of ($file) {
    my $text = text($file);
    my @names =
        $file =~ /\.c$/ ? grep { $text =~ /[(,]\s*\Q$_\E\s*[,)]/ }
        $text =~ /^(\w+)\(void \*\*\w+\)$/mg
        : (
        $text =~ /^\s*(?:await step\(|subtest )('(?:[^'\\]|\\.)*')/mg,
        $text =~ /^\s*(?:await step\(|subtest )(\w+) =>/mg,
        $text =~ /\bname => ('(?:[^'\\]|\\.)*')\)/g
        );
    s/^'|'$//g, s/\\(.)/$1/g for @names;
    return {map { $_ => 1 } @names};
}

# What is wrong with the rows of a threat model.
sub wrong_rows ($doc) {
    state %tests;
    my @wrong;
    my ($rows, $heading) = (0, '');
    for my $line (split /\n/, $doc) {
        $heading = $1 if $line =~ /^## (.*)/;
        next unless $line =~ /^\|(?!-|.*\| test \|$)/;
        $rows++;
        my @cells = split / \| /, $line =~ s/^\| | \|$//gr;
        my $what  = "$heading: $cells[0]";
        push @wrong, "$what: not three cells" if @cells != 3;
        for my $one (split /; /, $cells[-1]) {
            my ($file, $name) = $one =~ /^`((?:integration|browser|unit|sdk|applications|podman)
                \/\w+\.(?:t|mjs|c))`\ (\S.*)$/x
                or push(@wrong, "$what: no test: $one"), next;
            -e $root->child("t/$file")
                or push(@wrong, "$what: no file t/$file"), next;
            $tests{$file} //= tests_of("t/$file");
            push @wrong, "$what: $file has no \"$name\""
                unless $tests{$file}{$name};
        }
    }
    return ($rows, @wrong);
}

subtest 'threat model' => sub {
    my ($rows, @wrong) = wrong_rows(text('docs/security.md'));
    cmp_ok $rows, '>', 60, 'has rows';
    is join("\n", @wrong), '', 'each names tests that are there';

    # and it would be seen otherwise
    my $good = '`integration/docs.t` threat model';
    for my $case (
        [$good => 0],
        ['`unit/test_host.c` is_unambiguous'     => 0],
        ["$good; `unit/test_host.c` parses"      => 0],
        ['`integration/docs.t` threat models'    => 1],
        ['`integration/docs.t`'                  => 1],
        ['`integration/nothing.t` threat model'  => 1],
        ['`unit/test_host.c` main'               => 1],
        ['`unit/test_host.c` assert_int_equal'   => 1],
        ["$good; `unit/test_host.c` is_nothing"  => 1],
        ['somewhere'                             => 1],
        )
    {
        (undef, my @seen) = wrong_rows("| a | b | $case->[0] |");
        is scalar @seen, $case->[1], $case->[0];
    }
};

subtest 'operations' => sub {
    my $doc  = text('docs/operations.md');
    my %have = map { $_ => 1 }
        text('computes/amld.c') =~ /\{"(\w+)", amld_cli_\w+\}/g;
    my @named = $doc =~ /`amld (\w+) /g;
    cmp_ok scalar @named, '>', 3, 'names commands';
    ok $have{$_}, "amld $_" for @named;

    # what the document promises of a restart rests on these
    my $unit = text('packaging/systemd/amld.service');
    like $unit, qr/^$_$/m, $_ for 'KillMode=process', 'OOMPolicy=continue';

    my $said = text('registry/registry.c') =~ s/"\n\s*"//gr;
    for my $fault ($doc =~ /^\| amld: `([^`]+)`/mg) {
        like $said, qr/\Q$fault\E/, "amld says: $fault";
    }
};

subtest 'what is skipped' => sub {
    my ($table) = text('CONTRIBUTING.md') =~ /^\| what is said \|.*?\n.*?\n(.*?)\n\n/ms;
    my @said;
    for my $file (map {path($_)} glob "$root/t/*/*.t $root/t/lib/AML/*.pm") {
        my $text = $file->slurp;
        my $name = $file->basename;
        push @said, map { s/\\'/'/gr . ": $name" }
            $text =~ /\bskip(?:_all\s*=>)?\s+'((?:\\.|[^'\\])+)'/g;
    }
    my @told;
    for my $row (split /\n/, $table) {
        my ($why, $where) = $row =~ /^\| `(.+?)` \| (.*) \|$/ or next;
        push @told, map {"$why: $_"} $where =~ /`(\w+\.(?:t|pm))`/g;
    }
    my %once = map { $_ => 1 } @said;
    is_deeply [sort @told], [sort keys %once], 'is in CONTRIBUTING.md, and no more';

    my $try = sub {
        my $code = q{needs "no such", -e "/nonexistent"; ok 1; done_testing};
        my $out  = qx($^X -I$root/t/lib -MTest::More -MAML::Needs -e '$code' 2>&1);
        return ($? >> 8) . " $out";
    };
    local $ENV{AML_NO_SKIP} = '';
    is $try->(), "0 1..0 # SKIP no such\n", 'by hand, what is missing is skipped';
    local $ENV{AML_NO_SKIP} = 1;
    like $try->(), qr/^[1-9]\d* no such, and nothing is skipped/,
        'and in CI it fails';
    like text('.ci/run'), qr/^export AML_NO_SKIP=1$/m, 'as CI says';
};

subtest 'nothing names a machine' => sub {
    my @files = split /\n/, `git -C $root ls-files 2>/dev/null`;
    plan skip_all => 'no repository' unless @files;
    for my $file (@files) {
        next if $file =~ /\.(?:png|pem)$|package-lock|docs\.t$/;
        my $text = eval { $root->child($file)->slurp } // next;
        unlike $text, qr{(?<![\w.:\$\}-])/(?:root|home)/\w}, $file
            if $text =~ m{/(?:root|home)/};
        unlike $text, qr{\Q$root\E/}, "$file: where this checkout is"
            if index($text, "$root/") >= 0;
    }
    ok scalar @files, 'looked at all files';
};

done_testing;
