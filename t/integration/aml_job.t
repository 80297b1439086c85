# aml job: a command is submitted, followed, listed, cancelled and forgotten.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Test::More;
use AML::Cli;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw  = AML::Test->start(instances => {'first-lab' => 'creator'});
my $cli = AML::Cli->new(gw => $gw, name => 'creator')->login;
my @on  = qw(job submit --instance first-lab);

sub job ($name) {
    return decode_json($cli->aml_ok(qw(job show --json), $name))->{properties};
}

subtest 'submit and wait' => sub {
    my $r = $cli->aml(@on, qw(--name one --wait --), 'echo hello; echo "a  b"');
    is $r->{status}, 0, 'done' or diag $r->{err};
    is $r->{out}, qq{hello\na  b\n}, 'what it has written';
    is $r->{err}, "one\n", 'and its name beside it';
    $r = $cli->aml(@on, qw(--wait -- printf %s\n), 'a  b', q{it's}, '$HOME',
        "two\nlines", '');
    is $r->{out}, "a  b\nit's\n\$HOME\ntwo\nlines\n\n", 'arguments as they are';

    $r = $cli->aml(@on, qw(--name bad --wait --), 'echo no; exit 3');
    is $r->{status}, 6, 'one that fails';
    is $r->{out}, "no\n", 'what it has written';
    like $r->{err}, qr/^aml: bad is Failed: .*3/m, 'and why';
    $r = $cli->aml(@on, qw(--name shown --wait --json -- true));
    is decode_json($r->{out})->{properties}{status}, 'Completed', 'as JSON';

    $cli->env->{SEEN} = 'here';
    is $cli->aml_ok(@on, qw(--name two -e A=b=c -e SEEN --timeout 90m
        --directory /Users/creator --experiment x --),
        'echo $A $SEEN; pwd'), "two\n", 'without waiting: its name';
    is $cli->aml_ok(qw(job logs -f two)),
        "b=c here\n" . $gw->share('Users', 'creator') . "\n",
        'variables and the directory';
    is job('two')->{limits}{timeout}, 'PT90M', 'the time';
    like $cli->aml_ok(@on, '--', 'true'), qr/^job-\d{8}-\d{6}-[0-9a-f]{8}\n$/,
        'a name of its own';
};

subtest 'logs' => sub {
    my $go = $gw->dir . '/go';
    $cli->aml_ok(@on, qw(--name slow --),
        "echo first; while [ ! -e $go ]; do sleep 0.1; done; echo last");
    my $p = $cli->begin(qw(job logs --follow slow));
    ok $p->says(qr/^first\n$/), 'as they are written';
    is $cli->aml_ok(qw(job logs slow)), "first\n", 'so far';
    $gw->kill_amld;
    $gw->start_amld;
    path($go)->spurt('');
    is $p->wait, 0, 'amld is killed, and it goes on' or diag $p->errors;
    is $p->look->got, "first\nlast\n", 'nothing twice, nothing lost';
    is $cli->aml_ok(qw(job logs --tail 5 slow)), "last\n", 'the end';

    $cli->aml_ok(@on, qw(--name rude --wait --),
        q{printf 'a\033]0;evil\007b\n'});
    unlike $cli->aml_ok(qw(job logs -f rude)), qr/[\e\a]/,
        'followed without control characters';
    my $bytes = $cli->aml_ok(qw(job logs rude));
    is $bytes, "a\e]0;evil\ab\n", 'in a file as they are';
    $p = $cli->program('script', '-qec', "$AML::Cli::AML job logs rude",
        '/dev/null');
    is $p->wait, 0, 'on a terminal';
    like $p->look->got, qr/^a.*evil.*b/, 'what it says';
    unlike $p->got, qr/[\e\a]/, 'and no more';
    $cli->aml_ok(@on, qw(--name mute --wait -- true));
    is $cli->aml_ok(qw(job logs --tail 5 mute)), '', 'an empty one';
};

subtest 'list and show' => sub {
    my $list = $cli->aml_ok(qw(job list));
    like $list, qr/^NAME +STATUS +INSTANCE +EXIT +AGO +COMMAND$/m, 'list';
    like $list, qr/^bad +Failed +first-lab +3 +\d+ s +echo no; exit 3$/m,
        'a job';
    cmp_ok index($list, "\nmute "), '<', index($list, "\none "),
        'the newest first';
    is scalar(() = $cli->aml_ok(qw(job list -n 2)) =~ /\n/g), 3, 'two of them';
    is scalar @{decode_json($cli->aml_ok(qw(job list --json -n 0 -i first-lab)))},
        scalar(() = $list =~ /\n/g) - 1, 'all, as JSON';
    like $cli->aml_ok(qw(job show bad)),
        qr/^status +Failed\n.*^command +echo no; exit 3\n.*^exit code +3$/ms,
        'show';

    my $other = AML::Cli->new(gw => $gw, name => 'reader')->login;
    like $other->aml_ok(qw(job list)), qr/^bad +Failed/m, 'a reader sees them';
    unlike $other->aml_ok(qw(job list)), qr/exit 3/, 'and not the commands';
    my $r = $other->aml(qw(job logs bad));
    is $r->{status}, 1, 'nor logs';
    like $r->{err}, qr/^aml: .*\(OwnerOnly\)$/m, 'and is told why';
};

subtest 'cancel and delete' => sub {
    $cli->aml_ok(@on, qw(--name long --), 'echo up; sleep 1000');
    my $p = $cli->begin(qw(job logs -f long));
    ok $p->says(qr/up/), 'it runs';
    my $r = $cli->aml(qw(job delete long));
    is $r->{status}, 1, 'is not deleted while it does';
    $r = $cli->aml(qw(job cancel long));
    is $r->{status}, 0, 'cancelled';
    is $r->{err}, "long is Canceled.\n", 'and waited for';
    is $p->wait, 6, 'who follows it is told';
    is $cli->aml(qw(job delete long))->{status}, 0, 'deleted';
    is $cli->aml(qw(job show long))->{status}, 4, 'gone';
    is $cli->aml(qw(job delete long))->{status}, 4, 'and not there again';
};

subtest 'what can\'t be' => sub {
    for my $case (
        [2, qr/--instance NAME/, qw(job submit -- true)],
        [2, qr/wants -- COMMAND/, @on],
        [2, qr/--timeout wants/, @on, qw(--timeout soon -- true)],
        [2, qr/--env wants/, @on, qw(-e NOT_SET_HERE -- true)],
        [2, qr/can't be the name/, qw(job show a/b)],
        [1, qr/ComputeNotFound/, qw(job submit -i nowhere -- true)],
        [1, qr/image/i, @on, qw(--image debian -- true)],
        [1, qr/PropertyChangeNotAllowed/, @on, qw(-n one -- other)],
        [2, qr/--most/, qw(job list -n many)],
        )
    {
        my ($status, $said, @args) = @$case;
        my $r = $cli->aml(@args);
        is $r->{status}, $status, "@args";
        like $r->{err}, $said, 'said';
    }
};

$gw->done;
