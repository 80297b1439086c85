# Jobs of instances that are containers: in the instance, or in a container of
# another image beside it.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Test::More;
use AML::Jobs;
use AML::Podman;
use AML::Wait qw(wait_for);

AML::Podman->need;
my $gw = AML::Podman->start(
    podman =>
        {pids => 100, images => '{ "' . AML::Podman::IMAGE . '", "localhost/none*" }'},
    sizes  => {STANDARD_DS3_V2 => {cores => 1, memory => '512m'}},
    amld   => sub ($t) {"$t\nstop_timeout = 1s\n"}
);
$gw->create('lab', 'creator');
my $jobs  = AML::Jobs->new(gw => $gw, compute => 'lab', seconds => 60);
my $image = AML::Podman::IMAGE;
my %beside = (environmentId => "image:$image");

sub containers () {
    return split /\n/,
        `podman ps -a --format '{{.Names}}' --filter label=aml.state=@{[$gw->key]}`;
}
sub container () {
    return decode_json(path($gw->private('lab'))->child('container.json')->slurp);
}
sub beside () { grep {m/^aml-@{[$gw->key]}-.*-job-/} containers() }
# of this run: another may be beside it
sub alive ($mark) {
    return grep {
        (eval { path("$_/environ")->slurp } // '') =~ /(?:^|\0)MARK=$mark-$$(?:\0|$)/
    } glob '/proc/[0-9]*';
}

subtest 'in the instance' => sub {
    $gw->inside('lab', 'cd /root; touch mine');
    $jobs->submit('inside', 'id -u; pwd; ls /root; echo "$NAME" > out; cat; '
            . 'python -c "import sys; print(sys.prefix)"; exit 3',
        environmentVariables => {NAME => "it's"});
    is $jobs->ends('inside', 'Failed')->{exitCode}, 3, 'exit code';
    is $jobs->log('inside'),
        "0\n/share/Users/creator/jobs/inside\nmine\n/opt/aml\n",
        'as root inside, with what the instance has';
    is $jobs->file('jobs', 'inside', 'out')->slurp, "it's\n", 'its output';
    my $uid = $gw->spec('lab')->{uid};
    is((stat $jobs->file('jobs', 'inside', $_))[4], $uid, "$_: the creator's")
        for qw(out std_log.txt);

    $jobs->submit('away', "(MARK=away-$$ setsid" . ' sh -c "sleep 600 & sleep 600" &);'
            . ' sleep 0.2');
    $jobs->ends('away', 'Completed');
    ok wait_for(sub { !alive('away') }), 'what it has left is ended with it';

    $jobs->submit('stop', 'MARK=stop sh -c \'trap "echo saved; exit" TERM; '
            . 'touch ../../stop.up; while :; do sleep 0.1; done\'; echo no');
    $jobs->up('stop');
    $jobs->cancel('stop');
    $jobs->ends('stop', 'Canceled');
    like $jobs->log('stop'), qr/saved/, 'all of it gets SIGTERM';
    unlike $jobs->log('stop'), qr/^no$/m, 'and it does not go on';
};

subtest 'beside it' => sub {
    $jobs->submit('image', 'id -u; pwd; ls -A /root /run/aml 2>/dev/null; '
            . 'hostname -I; echo "$NAME $AML_JOB_ID"; touch made; exit 4',
        %beside, environmentVariables => {NAME => "it's"});
    is $jobs->ends('image', 'Failed')->{exitCode}, 4, 'exit code';
    my $log = $jobs->log('image');
    like $log, qr{\A0\n/share/Users/creator/jobs/image\n},
        'root of the image, in the job\'s directory';
    unlike $log, qr/mine|\.sock/, 'without the instance\'s home and sockets';
    like $log, qr/^\Q@{[$gw->address('lab')]}\E/m, 'with its address';
    like $log, qr/^it's image$/m, 'and its variables';
    is((stat $jobs->file('jobs', 'image', 'made'))[4], $gw->spec('lab')->{uid},
        'what it makes in the share is the creator\'s');
    is_deeply [beside()], [], 'its container is gone';

    $jobs->submit('limits', 'ls -A /sys/fs/cgroup; ' . $jobs->waits, %beside);
    $jobs->up('limits');
    my ($note) = grep {/job-/} glob $gw->private('lab') . '/beside.*';
    chomp(my $pid = path($note)->slurp);
    my $groups = path("/proc/$pid/cgroup")->slurp;
    is $groups, path('/proc/' . container()->{pid} . '/cgroup')->slurp,
        'it is in the instance\'s cgroups';
    my $limit = sub ($controller, $v1, $v2) {
        return $groups =~ m{^\d+:$controller:(\S+)}m
            ? path("/sys/fs/cgroup/$controller$1/$v1")->slurp
            : $groups =~ m{^0::(\S+)}m
            && path("/sys/fs/cgroup$1/$v2")->slurp;
    };
    is $limit->('memory', 'memory.limit_in_bytes', 'memory.max'),
        (512 << 20) . "\n", 'memory of its size';
    is $limit->('pids', 'pids.max', 'pids.max'), "100\n", 'and processes';
    $jobs->go('limits');
    $jobs->ends('limits', 'Completed');
    is $jobs->log('limits'), '', 'it does not see the machine\'s cgroups';

    $jobs->submit('none', 'true', environmentId => 'image:localhost/none:9');
    $jobs->ends('none', 'Failed');
    like $jobs->log('none'), qr/no image localhost\/none:9.*none is fetched/,
        'an image that is not here';
    $jobs->submit('other', 'true', environmentId => 'image:localhost/other');
    $jobs->ends('other', 'Failed');
    like $jobs->log('other'), qr/localhost\/other is none of those that may be run/,
        'one that the operator has not named';
    for my $name (qw(dir:/etc docker-archive:/etc/x --privileged)) {
        is $jobs->put('bad', 'true', environmentId => "image:$name")
            ->res->code, 400, "$name is refused";
    }
};

subtest 'it is ended' => sub {
    $jobs->submit('polite', 'sh -c \'trap "echo saved; exit" TERM; '
            . 'touch ../../polite.up; while :; do sleep 0.1; done\'; echo no',
        %beside);
    $jobs->up('polite');
    $jobs->cancel('polite');
    $jobs->ends('polite', 'Canceled');
    like $jobs->log('polite'), qr/saved/, 'by SIGTERM';

    $jobs->submit('stubborn', 'trap "" TERM; export MARK=stubborn-' . $$ . '; '
            . 'setsid sleep 600 & touch ../../stubborn.up; '
            . 'while :; do sleep 0.1; done', %beside);
    $jobs->up('stubborn');
    ok alive('stubborn'), 'one that ignores it';
    $jobs->cancel('stubborn');
    $jobs->ends('stubborn', 'Canceled');
    ok wait_for(sub { !alive('stubborn') }), 'is killed';
};

subtest 'amld is killed, the instance is stopped' => sub {
    $jobs->submit('goes-on', $jobs->waits('exit 6'), %beside);
    $jobs->up('goes-on');
    $gw->kill_amld;
    $jobs->go('goes-on');
    $gw->start_amld;
    is $jobs->ends('goes-on', 'Failed')->{exitCode}, 6, 'its result is known';

    $jobs->submit('with-it', $jobs->waits, %beside);
    $jobs->submit('in-it',   $jobs->waits);
    $jobs->submit('waits',   'touch ../../waited');
    $jobs->up($_) for qw(with-it in-it);
    $gw->order(stop => 'lab', 'Stopped');
    $jobs->ends($_, 'Failed', qr/instance was stopped/) for qw(with-it in-it);
    is_deeply [beside()], [], 'no container is left';
    is $jobs->status('waits'), 'Queued', 'the queue is';
    $gw->api(POST => $gw->compute('lab') . '/start', 'creator');
    $jobs->ends('waits', 'Completed');
    $gw->remove('lab');
    is_deeply [containers()], [], 'and nothing after the deletion';
};

$gw->done;
