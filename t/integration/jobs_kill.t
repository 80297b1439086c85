# amld is killed right before, and right after, each commit while jobs are
# submitted, run and canceled: none is lost, none is run twice.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Test::More;
use AML::Jobs;
use AML::Test;
use AML::Truth;
use AML::Wait qw(wait_for);

my $library = "$AML::Test::ROOT/build/$AML::Test::VARIANT/t/kill_commit.so";
plan skip_all => 'a sanitizer must be the first library'
    if $AML::Test::VARIANT eq 'asan';
ok -e $library, 'the library is built';

my $gw = AML::Test->prepare(
    amld => sub ($t) {
        qq($t\nstop_timeout = 1s\nsize "ONE" {\n    family = "f"\n)
            . qq(    cores = 1\n    memory = "1g"\n}\n);
    }
);
unlink $gw->dir . '/venv/bin/jupyter';
symlink "$FindBin::Bin/../lib/small-application",
    $gw->dir . '/venv/bin/jupyter'
    or die "symlink: $!";
my $order = path($gw->dir, 'kill');
$gw->start_amld;
$gw->add_account('creator', 'Contributor');
$gw->start_nginx;
$gw->token('creator');
my $tx = $gw->api(PUT => $gw->compute('lab'), 'creator',
    json => $gw->compute_body(vmSize => 'ONE'));
like $tx->res->code, qr/^20[01]$/, 'an instance';
$gw->wait_state('lab', 'Running');
my $jobs = AML::Jobs->new(gw => $gw, compute => 'lab');

sub restart () {
    $gw->alive('amld') and $gw->kill_amld;
    unlink $order;
    local $ENV{LD_PRELOAD}      = $library;
    local $ENV{AML_KILL_COMMIT} = "$order";
    $gw->start_amld;
}

# Whatever amld does not answer is asked again of the next.
sub insist ($ask) {
    for (1 .. 5) {
        my $code = $ask->();
        return $code if $code && $code < 500;
        wait_for(sub { !$gw->alive('amld') });
        restart();
    }
    $gw->give_up('nobody answers');
}

# {name => how often}
sub ran () {
    my %ran;
    $ran{$_}++ for split /\n/, eval { $jobs->file('ran')->slurp } // '';
    return \%ran;
}

sub ended (@names) {
    return wait_for(sub {
        restart() unless $gw->alive('amld');
        !grep { $jobs->status($_) !~ /^(?:Completed|Failed|Canceled)$/ }
            @names;
    }, 30);
}

my $run = 'echo $AML_JOB_ID >> ../../ran';

# Whether there was one that amld could be killed at.
sub round_of ($when, $n) {
    my $tag = "$when-$n";
    my @all = map {"j-$tag-$_"} 1 .. 5;
    restart();
    $order->spurt("$when $n");

    for my $name (@all) {
        insist(sub { $jobs->put($name, "$run; sleep 0.05")->res->code });
    }
    insist(sub { $jobs->put("c-$tag", "$run; exec sleep 600")->res->code });
    insist(sub { $jobs->cancel("c-$tag") });
    insist(sub { $jobs->put("l-$tag", $run)->res->code });
    my $killed = !-e $order || !$gw->alive('amld');
    ok ended(@all, "c-$tag", "l-$tag"), "$tag: all come to an end"
        or diag join ', ', map { "$_ " . $jobs->status($_) } @all, "c-$tag";
    $killed ||= !-e $order;

    my $ran = ran();
    is_deeply [map { $_ . ' ' . $jobs->status($_) . ' ' . ($ran->{$_} // 0) }
            @all, "l-$tag"],
        [map {"$_ Completed 1"} @all, "l-$tag"], "$tag: each has run once";
    is $jobs->status("c-$tag"), 'Canceled', "$tag: what was canceled is so";
    cmp_ok $ran->{"c-$tag"} // 0, '<=', 1, 'and has run once at most';
    is_deeply [AML::Truth->lies($gw)], [],
        "$tag: what is recorded is what runs";
    return $killed;
}

subtest 'every commit' => sub {
    my $n = 0;
    $n++ while round_of(before => $n + 1) && $n < 10;
    cmp_ok $n, '>', 6, "$n commits";
    round_of(after => $_) for grep { $_ % 2 } 1 .. $n;
};

subtest 'at any moment' => sub {
    my @all = map {"m-$_"} 1 .. 40;
    for my $name (@all) {
        insist(sub { $jobs->put($name, $run)->res->code });
        if ($name =~ /5$/) {
            select undef, undef, undef, rand 0.05;
            $gw->kill_amld;
            $gw->start_amld;
        }
    }
    ok ended(@all), 'all come to an end';
    my $ran = ran();
    is_deeply [map {"$_ " . $jobs->status($_) . ' ' . ($ran->{$_} // 0)} @all],
        [map {"$_ Completed 1"} @all], 'each has run once';
    is_deeply [AML::Truth->lies($gw)], [], 'what is recorded is what runs';
};

$gw->done;
