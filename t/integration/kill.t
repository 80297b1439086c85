# amld is killed at random moments while instances are created, started,
# stopped, restarted and deleted by several clients at once.  In the end what
# is recorded is what runs, and what was promised is so.
#
# AML_SEED repeats a run as far as that can be; AML_KILLS is how often.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use POSIX      ();
use Test::More;
use Time::HiRes qw(sleep time);
use AML::Test;
use AML::Truth;
use AML::Wait qw(wait_for);

my $seed    = $ENV{AML_SEED}  // time ^ $$;
my $kills   = $ENV{AML_KILLS} // 200;
my $clients = 4;
my $began   = time;
note "seed $seed";

my $gw = AML::Test->prepare(
    amld => sub ($t) { $t . "\nstart_timeout = 60s\nstop_timeout = 1s\n" });
unlink $gw->dir . '/venv/bin/jupyter';
symlink "$FindBin::Bin/../lib/small-application",
    $gw->dir . '/venv/bin/jupyter'
    or die "symlink: $!";
$gw->start_amld;
$gw->add_account('creator', 'Contributor');
$gw->start_nginx;
$gw->token('creator');

# What a call leads to once it is accepted.
my %to = (
    PUT     => 'Running', start => 'Running', restart => 'Running',
    stop    => 'Stopped', DELETE => ''
);

sub ask ($name, $what) {
    my $path = $gw->compute($name);
    my $tx = eval {
        $what eq 'PUT'
            ? $gw->api(PUT => $path, 'creator', json => $gw->compute_body)
            : $what eq 'DELETE' ? $gw->api(
            DELETE => $path, 'creator',
            query  => {underlyingResourceAction => 'Delete'}
            )
            : $gw->api(POST => "$path/$what", 'creator');
    };
    return $tx ? $tx->res->code // 0 : 0;
}

# One client: three instances of its own, and one that all fight for.  Writes
# down in which states its own may be.
sub client ($n) {
    srand $seed + $n;
    my %may;
    my $calls = 0;
    until (-e $gw->dir . '/enough') {
        my $name = ("own-$n-a", "own-$n-b", "own-$n-c", 'all-ours')[rand 4];
        my $what = (qw(PUT PUT start stop restart DELETE))[rand 6];
        my $code = ask($name, $what);
        $calls++;
        if ($code >= 500 || $code == 0) {
            $may{$name} = {'' => 1} unless $may{$name};
            $may{$name}{$to{$what}} = 1;
        }
        elsif ($code >= 200 && $code < 300) {
            $may{$name} = {$to{$what} => 1}
                unless $what eq 'PUT' && $code == 200;
        }
        sleep rand 0.08;
    }
    delete $may{'all-ours'};
    path($gw->dir, "client.$n")
        ->spurt(encode_json({calls => $calls, may => \%may}));
    POSIX::_exit(0);
}

# However this ends, they do, too.
my @pids;
my $owner = $$;
END { local $?; kill KILL => @pids if $$ == $owner }

for my $n (1 .. $clients) {
    my $pid = fork // die "fork: $!";
    client($n) if $pid == 0;
    push @pids, $pid;
}

srand $seed;
my $done = 0;
for (1 .. $kills) {
    # most of them early: what amld does first is to make things the same
    sleep rand(rand() < 0.7 ? 0.25 : 0.8);
    last unless $gw->alive('amld');
    $gw->kill_amld;
    $done++;
    $gw->start_amld;
}
is $done, $kills, "amld was killed $kills times, and never ended by itself";
path($gw->dir, 'enough')->spurt('');
waitpid $_, 0 for @pids;

my (%may, $calls);
for my $n (1 .. $clients) {
    my $r = decode_json(path($gw->dir, "client.$n")->slurp);
    $calls += $r->{calls};
    %may = (%may, %{$r->{may}});
}
note "$calls calls";
cmp_ok $calls, '>', $kills, 'there was traffic';

my %is;
subtest 'in the end' => sub {
    ok(AML::Truth->settle($gw), 'nothing stays under way');
    is_deeply [AML::Truth->lies($gw)], [], 'what is recorded is what runs';

    %is = map { $_->{name} => $_->{state} }
        values %{AML::Truth::documents(AML::Truth->registry($gw))};
    my @broken = grep { !$may{$_}{$is{$_} // ''} } sort keys %may;
    is_deeply [map { "$_ is " . ($is{$_} // 'gone') . ', not '
                . join ' or ', map { $_ || 'gone' } sort keys %{$may{$_}} }
            @broken], [], 'what was promised is so';
    is_deeply [grep { $is{$_} !~ /^(?:Running|Stopped)$/ } sort keys %is], [],
        'none has failed';
    note join ', ', map {"$_ $is{$_}"} sort keys %is;

    for my $name (grep { $is{$_} eq 'Running' } sort keys %is) {
        is $gw->program->get($gw->app_url($name, '/x'),
            headers => $gw->bearer('creator'))->res->code, 200, "$name answers";
    }
};

# And all of it can be taken away.
ask($_, 'DELETE') for sort keys %is;
ok wait_for(sub {
    !%{AML::Truth::documents(AML::Truth->registry($gw))}
}), 'all are deleted';
is_deeply [AML::Truth->lies($gw)], [], 'and have left nothing';
is_deeply(AML::Truth->commands($gw), {}, 'no process');

note sprintf '%.0f s', time - $began;
$gw->tolerate(qr/upstream|connect\(\)/);
$gw->done;
