# No room for jobs: all of them together have a bound, so that they never fill
# the registry; whoever runs the gateway removes those that have ended; and in a
# registry that is full of other things jobs are cancelled and deleted.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Test::More;
use AML::Jobs;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw = AML::Test->start(
    accounts  => {creator => 'Contributor', colleague => 'Contributor'},
    instances => {lab => 'creator', theirs => 'colleague'}
);
my $jobs  = AML::Jobs->new(gw => $gw, compute => 'lab');
my $other = AML::Jobs->new(
    gw      => $gw,
    compute => 'theirs',
    account => 'colleague'
);
my $SIZE = 4 << 20;

sub configure ($text) {
    $gw->stop_amld;
    my $conf = path($gw->dir, 'amld.conf');
    my ($name) = $text =~ /^(\w+)/;
    $conf->spurt($conf->slurp =~ s/^$name .*//mr . "\n$text\n");
    $gw->start_amld;
}

sub listed (@args) {
    return sort map { $_->{name} } map { decode_json($_) }
        split /\n/, $gw->amld_ok(qw(job list --json), @args);
}

subtest 'what is listed, and removed' => sub {
    $jobs->submit('one', 'echo a-secret; exit 3',
        environmentVariables => {S => 'another-secret'});
    $jobs->ends('one', 'Failed');
    $other->submit('two', 'true');
    $other->ends('two', 'Completed');
    $jobs->submit('runs', $jobs->waits);
    $jobs->up('runs');

    my $list = $gw->amld_ok(qw(job list));
    like $list, qr/^one +Failed +creator  lab  demo  \d{4}-\S+ \S+Z  \d{4}-/m,
        'name, status, creator, instance, workspace, and when';
    like $list, qr/^runs +Running +creator  lab  demo  .*Z  -$/m, 'no end yet';
    is_deeply [listed(qw(--account creator))], [qw(one runs)], 'of a person';
    is_deeply [listed(qw(--status completed))], ['two'], 'in a status';
    unlike $gw->amld_ok(qw(job list --json)), qr/secret/,
        'nothing of what was run, given or written';

    for my $args ([], ['--workspace', 'demo'], ['--all', '--id', 'one'],
        ['--older', '0'], ['--older', '1x'], ['--json', '--all'])
    {
        is $gw->amld(qw(job remove), @$args)->{status}, 2, "not: @$args";
    }
    is $gw->amld(qw(job remove --id runs))->{status}, 1, 'not one that runs';
    is $jobs->status('runs'), 'Running', 'which goes on';

    $gw->amld_ok(qw(job remove --older 1));
    is_deeply [listed()], [qw(one runs two)], 'none is as old as that';
    $gw->amld_ok(qw(job remove --account colleague));
    is_deeply [listed()], [qw(one runs)], 'all of a person';
    is $other->status('two'), '', 'amld knows it no more';
    ok -e $gw->share(qw(Users colleague jobs two std_log.txt)),
        'its files are kept';
    my ($line) = grep { $_->{event} eq 'job' && $_->{target} eq 'two'
            && $_->{action} =~ /delete/ }
        map { decode_json($_) } path($gw->dir, 'audit.log')->slurp =~ /(.+)/g;
    like $line->{scope}, qr{/workspaces/demo/jobs/two$}, 'it is in the audit log';

    $gw->stop_amld;
    $gw->amld_ok(qw(job remove --id ONE --workspace demo));
    is_deeply [listed()], ['runs'], 'also while amld is not there';
    $gw->start_amld;
    $jobs->go('runs');
    $jobs->ends('runs', 'Completed');
};

subtest 'kept for so long' => sub {
    $jobs->submit('ended', 'true');
    $jobs->ends('ended', 'Completed');
    $jobs->submit('on', $jobs->waits);
    $jobs->up('on');
    configure('job_keep = 30d');
    is_deeply [listed()], [qw(ended on runs)], 'not as long yet';
    my $over = time;
    ok wait_for(sub { time > $over + 2 }), 'a while later';
    configure('job_keep = 1s');
    ok wait_for(sub { join(' ', listed()) eq 'on' }), 'longer than that';
    is $jobs->status('on'), 'Running', 'what has not ended goes on';
    $jobs->go('on');
    $jobs->ends('on', 'Completed');
    configure('job_keep = 0');
};

subtest 'a share that is full' => sub {
    my $dir = $jobs->file('jobs');
    system('mount -t tmpfs -o size=1m,nr_inodes=30,mode=0755 none '
            . "$dir 2>/dev/null") == 0
        or plan skip_all => 'nothing can be mounted here';
    eval {
        my $n = 0;
        $n++ while open my $file, '>', "$dir/f$n";
        $jobs->submit($_, 'true') for qw(w-1 w-2);
        ok wait_for(
            sub {
                ($jobs->get('w-1')->{message} // '') =~
                    /^It waits for room in the share\. .*No space left/;
            }
            ),
            'it says what it waits for';
        is $jobs->status($_), 'Queued', "$_ waits" for qw(w-1 w-2);
        unlink glob "$dir/f*";
        for my $name (qw(w-1 w-2)) {
            is $jobs->ends($name, 'Completed')->{message}, undef,
                'and that no more';
        }

        open my $junk, '>', "$dir/junk" or die "junk: $!";
        1 while syswrite $junk, 'x' x 4096;
        $jobs->submit('w-3', 'seq 1 20000; echo done');
        $jobs->ends('w-3', 'Completed',
            qr/^\d{6} bytes of its output could not be written to its log: No/
        );
        $jobs->submit('w-4', 'seq 1 20000; exit 3');
        $jobs->ends('w-4', 'Failed',
            qr/^The job ended with exit status 3\. \d+ bytes .* space left/);
    };
    my $died = $@;
    system 'umount', '-l', $dir;
    die $died if $died;
};

subtest 'all jobs have a half' => sub {
    configure("registry_size = 4m");
    my ($count, $res) = (0);
    while ($count < 200) {
        $res = $jobs->put("b-$count", 'true #' . 'x' x 60_000)->res;
        last if $res->code != 201;
        $count++;
    }
    is $res->code, 409, "after $count";
    is $res->json('/error/code'), 'TooManyJobs';
    like $res->json('/error/message'), qr/amld job remove/, 'what to do';
    cmp_ok $count, '>', 20, 'half of it is a lot';
    is $other->put('c-1', 'true')->res->json('/error/code'), 'TooManyJobs',
        'nor of others';
    is $jobs->put('b-0', 'true #' . 'x' x 60_000)->res->code, 200,
        'those that there are may be sent again';
    $gw->create_instance('another', 'creator');
    pass 'all else goes on';

    $jobs->ends("b-$_", 'Completed') for 0, $count - 1;
    my $taken = $gw->edit({op => 'get', key => 'jobtaken'});
    my %tags  = map { sprintf('%03d', $_) . 'n' x 500 => 'v' x 256 } 1 .. 50;
    my %codes;
    for my $n (0 .. $count - 1) {
        $codes{
            $jobs->put(
                "b-$n", 'true #' . 'x' x 60_000,
                tags        => \%tags,
                description => 'd' x 4000
            )->res->code
        }++;
    }
    is_deeply \%codes, {409 => $count}, 'nor do those that there are grow';
    is $gw->edit({op => 'get', key => 'jobtaken'}), $taken, 'by a byte';
    ok $gw->signed_in('colleague'), 'people sign in';

    $gw->amld_ok(qw(job remove --account creator));
    is $other->put('c-1', 'true')->res->code, 201, 'there is room again';
    $other->ends('c-1', 'Completed');
};

subtest 'a registry that is full of other things' => sub {
    $jobs->submit('cancelled', $jobs->waits);
    $jobs->up('cancelled');
    $jobs->submit('over', 'true');
    $jobs->ends('over', 'Completed');
    my $r = $gw->run('', $AML::Test::EDIT, $gw->registry, 'fill', $SIZE);
    is $r->{status}, 0, 'not a page is left';
    is $jobs->put('more', 'true #' . 'x' x 60_000)->res->code, 507,
        'none can be submitted';
    is $jobs->cancel('cancelled'), 202, 'one that runs is cancelled';
    cmp_ok length $gw->edit({op => 'get', key => 'reserve/00'}), '<', 3000,
        'by what was in reserve';
    $jobs->ends('cancelled', 'Canceled');
    is $gw->api(DELETE => $jobs->url($_), 'creator')->res->code, 200,
        "$_: deleted"
        for qw(over cancelled);
    is_deeply [listed()], ['c-1'], 'they are gone';
    $gw->amld_ok(qw(job remove --all));
    is_deeply [listed()], [], 'and so is what amld job removes';
};

$gw->tolerate(qr/registry: (?:it is full|no room)/, qr/registry is full/,
    qr/as large as it may get/, qr/is not begun\. It waits for room/);
$gw->done;
