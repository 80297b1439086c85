# amld is killed right before, and right after, every single commit of each
# lifecycle call; the next amld brings it to its end.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Test::More;
use AML::Test;
use AML::Truth;
use AML::Wait qw(wait_for);

my $library = "$AML::Test::ROOT/build/$AML::Test::VARIANT/t/kill_commit.so";
plan skip_all => 'a sanitizer must be the first library'
    if $AML::Test::VARIANT eq 'asan';
ok -e $library, 'the library is built';

my $gw = AML::Test->prepare(
    amld => sub ($t) { $t . "\nstart_timeout = 60s\nstop_timeout = 1s\n" });
unlink $gw->dir . '/venv/bin/jupyter';
symlink "$FindBin::Bin/../lib/small-application",
    $gw->dir . '/venv/bin/jupyter'
    or die "symlink: $!";
my $order = path($gw->dir, 'kill');
$gw->start_amld;
$gw->add_account('creator', 'Contributor');
$gw->start_nginx;
$gw->token('creator');

my $path = $gw->compute('lab');
my %call = (
    create => sub {
        $gw->api(PUT => $path, 'creator', json => $gw->compute_body(
            setupScripts => {
                scripts => {
                    map { $_ => {scriptSource => 'inline',
                            scriptData => "IyEvYmluL3NoCnRydWUK"} }
                        qw(creationScript startupScript)
                }
            }
        ));
    },
    (
        map { my $verb = $_; $verb => sub {
                $gw->api(POST => "$path/$verb", 'creator') } }
            qw(start stop restart)
    ),
    delete => sub {
        $gw->api(
            DELETE => $path, 'creator',
            query  => {underlyingResourceAction => 'Delete'}
        );
    },
);
my %to = (
    create => 'Running', start  => 'Running', restart => 'Running',
    stop   => 'Stopped', delete => ''
);

# Where a call begins, made by whatever leads there.
sub from ($state) {
    my $is = $gw->state_of('lab');
    return if $is eq $state;
    if ($state eq '') { $call{delete}->() }
    elsif ($is eq '') { $call{create}->() }
    elsif ($state eq 'Stopped') { $call{stop}->() }
    else                        { $call{start}->() }
    wait_for(sub { AML::Truth->settle($gw, 0.1) })
        or die "no way from $is to $state";
    from($state);
}

sub restart ($self) {
    $gw->alive('amld') and $gw->kill_amld;
    unlink $order;
    local $ENV{LD_PRELOAD}      = $library;
    local $ENV{AML_KILL_COMMIT} = "$order";
    $gw->start_amld;
}

subtest 'every commit of every call' => sub {
    for (
        ['create', ''], ['stop', 'Running'], ['start', 'Stopped'],
        ['restart', 'Running'], ['delete', 'Running'], ['delete', 'Stopped']
        )
    {
        my ($verb, $from) = @$_;
        my ($n, $all) = (0, 0);
        until ($all) {
            $n++;
            for my $when (qw(before after)) {
                from($from);
                restart($gw);
                is $gw->state_of('lab'), $from, "$verb: it begins";
                $order->spurt("$when $n");
                my $tx   = $call{$verb}->();
                my $code = $tx->res->code // 0;
                # Either the call's last commit was before, or amld is dead.
                wait_for(
                    sub {
                        !$gw->alive('amld')
                            || $code < 300 && AML::Truth->settle($gw, 0.1);
                    }
                ) or die "neither";
                $all = 1 if $gw->alive('amld');
                my $killed = !$gw->alive('amld');
                restart($gw);
                ok(AML::Truth->settle($gw), "$verb, $when $n: it settles");
                my $is = $gw->state_of('lab');
                my %may = ($to{$verb} => 1);
                $may{$from} = 1 if $code >= 300;
                ok $may{$is}, "$verb, $when $n: $code, is '$is'"
                    . ($killed ? '' : ', was not killed');
                is_deeply [AML::Truth->lies($gw)], [],
                    "$verb, $when $n: what is recorded is what runs";
            }
        }
        cmp_ok $n, '>', $verb eq 'create' ? 2 : 1, "$verb: $n commits";
    }
};

$gw->tolerate(qr/upstream|connect\(\)/);
$gw->done;
