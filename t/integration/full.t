# No room: in the registry, on the disk of the instances, in the share; and a
# share that is gone.  What runs is reached, stopped and deleted all the same,
# and what can't be started says why.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Test::More;
use AML::Jobs;
use AML::Test;
use AML::Truth;
use AML::Wait qw(wait_for);

sub gone ($gw, $name) {
    $gw->api(
        DELETE => $gw->compute($name), 'creator',
        query  => {underlyingResourceAction => 'Delete'}
    );
    return wait_for(sub { $gw->state_of($name) eq '' });
}

sub answers ($gw, $name) {
    return $gw->program->get($gw->app_url($name, '/x'),
        headers => $gw->bearer('creator'))->res->code;
}

sub verb ($gw, $name, $verb) {
    return $gw->api(POST => $gw->compute($name) . "/$verb", 'creator')
        ->res->code;
}

sub create ($gw, $name, %o) {
    return $gw->api(
        PUT  => $gw->compute($name), 'creator',
        json => {%{$gw->compute_body}, %o}
    )->res->code;
}

# The state that follows, whichever it is, and why.
sub ends_as ($gw, $name) {
    my $inner;
    wait_for(
        sub {
            $inner = $gw->api(GET => $gw->compute($name), 'creator')
                ->res->json('/properties/properties');
            $inner->{state} !~ /ing$/ || $inner->{state} eq 'Running';
        }
    );
    return ($inner->{state}, $inner->{errors}[0]{error}{message} // '');
}

# As large as what is in it, and a little more.
sub bound ($gw) {
    $gw->edit(map { {op => 'put', key => "junk/$_", hex => '00' x 1000} }
            1 .. 1500);
    $gw->stop_amld;

    # behind the last page in use the file has room that was only reserved
    open my $file, '<:raw', $gw->registry . '/data.mdb' or die "data.mdb: $!";
    read $file, my $head, 8192;
    my ($last) = map { $_->[0] } sort { $b->[1] <=> $a->[1] }
        map { [unpack 'QQ', substr $head, $_ + 136, 16] } 0, 4096;
    my $size = (int($last * 4096 / 65536) + 1) * 64;
    my $conf = path($gw->dir, 'amld.conf');
    $conf->spurt($conf->slurp =~ s/^stop_timeout.*//mr
            . "\nregistry_size = ${size}k\nstop_timeout = 1h\n");
    $gw->start_amld;
    return $size * 1024;
}

# To the last page; amld has a reserve of its own meanwhile, or spends it.
sub fill ($gw, $size) {
    my $r = $gw->run('', $AML::Test::EDIT, $gw->registry, 'fill', $size);
    die "fill: $r->{err}" if $r->{status};
    return $r->{out};
}

# A person makes room; amld keeps some of it when it starts.
my $junk = 0;

sub make_room ($gw, $filled) {
    $gw->edit(map { {op => 'delete', key => $_} }
        (map { sprintf 'fill/%06d', $_ } 0 .. $filled - 1),
        (map {"junk/$_"} $junk + 1 .. $junk + 300));
    $junk += 300;

    # LMDB gives pages out again one commit later
    $gw->edit({op => 'put', key => 'junk/0', hex => '00'});
    $gw->stop_amld;
    $gw->start_amld;
}

sub reserved ($gw) {
    return length $gw->edit({op => 'get', key => 'reserve/00'}) > 3000;
}

subtest 'a full registry' => sub {
    my $gw = AML::Test->start(
        instances => {'first-lab' => 'creator', 'second-lab' => 'creator'});
    my $size = bound($gw);

    my $code = 0;
    for my $name (map {"more-$_"} 'aa' .. 'cz') {
        $code = create($gw, $name,
            tags => {map { $_ => 'x' x 250 } 'a' .. 'o'});
        last if $code == 507;
    }
    is $code, 507, 'there is no room for more';
    is answers($gw, 'first-lab'), 200, 'what runs is reached';
    is verb($gw, 'first-lab', 'stop'), 202, 'and can be stopped';
    $gw->wait_state('first-lab', 'Stopped');
    ok gone($gw, 'second-lab'), 'and deleted';
    ok gone($gw, 'first-lab'), 'both of them';
    ok(AML::Truth->settle($gw), 'nothing stays under way');
    is_deeply [AML::Truth->lies($gw)], [], 'what is recorded is what runs';
    $gw->finish;
};

# Not a page is free but those in reserve, at each moment that needs one.
subtest 'the last page' => sub {
    my @names = map {"$_-lab"} qw(first second third fourth fifth);
    my $gw    = AML::Test->start(instances => {map { $_ => 'creator' } @names});
    my $size  = bound($gw);
    my %pid   = map {
        $_ => $gw->program->get($gw->app_url($_, '/x'),
            headers => $gw->bearer('creator'))->res->json('/pid')
    } @names;

    # the calls
    ok reserved($gw), 'there is a reserve';
    my $filled = fill($gw, $size);
    is create($gw, 'another-lab'), 507, 'nothing else can be written';
    is verb($gw, 'first-lab', 'stop'), 202, 'stop: the call';
    $gw->wait_state('first-lab', 'Stopped');
    ok !reserved($gw), 'that was of the reserve';
    is verb($gw, 'first-lab', 'start'), 507, 'which starts get nothing of';
    is create($gw, 'another-lab'), 507, 'nor new ones';
    make_room($gw, $filled);

    ok reserved($gw), 'there is one again';
    is verb($gw, 'first-lab', 'start'), 202, 'and what begins may begin';
    $gw->wait_state('first-lab', 'Running');
    $filled = fill($gw, $size);
    ok gone($gw, 'second-lab'), 'delete: the call';
    ok !reserved($gw), 'that was of the reserve';
    make_room($gw, $filled);

    # a start that was asked for while there was room
    kill 'STOP', $pid{'fifth-lab'};
    is verb($gw, 'fifth-lab', 'restart'), 202, 'restart';
    $filled = fill($gw, $size);
    is verb($gw, 'first-lab', 'stop'), 202, 'another is stopped meanwhile';
    kill 'CONT', $pid{'fifth-lab'};
    my ($state, $why) = ends_as($gw, 'fifth-lab');
    is $state, 'Stopped', 'the restart gets nothing of the reserve';
    like $why, qr/registry is full/, 'and that is said';
    make_room($gw, $filled);

    # what has to be written when all has ended, long after the call
    kill 'STOP', $pid{'third-lab'};
    is verb($gw, 'third-lab', 'stop'), 202, 'stop';
    $filled = fill($gw, $size);
    ok reserved($gw), 'the call took nothing of the reserve';
    is $gw->state_of('third-lab'), 'Stopping', 'it takes its time';
    kill 'CONT', $pid{'third-lab'};
    $gw->wait_state('third-lab', 'Stopped');
    ok !reserved($gw), 'its end did';
    make_room($gw, $filled);

    kill 'STOP', $pid{'fourth-lab'};
    $gw->api(
        DELETE => $gw->compute('fourth-lab'), 'creator',
        query  => {underlyingResourceAction => 'Delete'}
    );
    $filled = fill($gw, $size);
    ok reserved($gw), 'the call took nothing of the reserve';
    is $gw->state_of('fourth-lab'), 'Deleting', 'it takes its time';
    kill 'CONT', $pid{'fourth-lab'};
    ok wait_for(sub { $gw->state_of('fourth-lab') eq '' }), 'it is gone';
    ok !reserved($gw), 'its end took the reserve';

    is_deeply [AML::Truth->lies($gw)], [], 'what is recorded is what runs';
    $gw->finish;
};

# What begins has to wait for others to be stopped and deleted, jobs as well.
subtest 'jobs of a full registry' => sub {
    my $gw = AML::Test->start(
        instances => {map { $_ => 'creator' } qw(first-lab second-lab)});
    my $jobs = AML::Jobs->new(gw => $gw, compute => 'first-lab');

    $jobs->submit($_, $jobs->waits) for qw(goes-on canceled ends);
    $jobs->up($_) for qw(goes-on canceled ends);
    is verb($gw, 'second-lab', 'stop'), 202, 'an instance is stopped,';
    $gw->wait_state('second-lab', 'Stopped');
    my $waiting = AML::Jobs->new(gw => $gw, compute => 'second-lab');
    $waiting->submit('waits', 'true');

    my $size   = bound($gw);
    my $filled = fill($gw, $size);
    is $jobs->cancel('canceled'), 202, 'a job can be canceled';
    $jobs->ends('canceled', 'Canceled');
    ok !reserved($gw), 'which takes of the reserve';
    is $jobs->put('another', 'true')->res->code, 507, 'submissions do not';
    is $jobs->status('another'), '', 'so that there is none';
    $jobs->go('ends');
    $jobs->ends('ends', 'Completed');
    is $gw->api(DELETE => $jobs->url('ends'), 'creator')->res->code, 200,
        'one that has ended can be deleted';
    is verb($gw, 'second-lab', 'start'), 507, 'nothing is started';
    is $waiting->status('waits'), 'Queued', 'and what waits does so';
    is $jobs->status('goes-on'), 'Running', 'what runs goes on';

    make_room($gw, $filled);
    $jobs->submit('another', 'true');
    $jobs->ends('another', 'Completed');
    is verb($gw, 'second-lab', 'start'), 202, 'with room all goes on';
    $waiting->ends('waits', 'Completed');
    $jobs->go('goes-on');
    $jobs->ends('goes-on', 'Completed');
    is_deeply [AML::Truth->lies($gw)], [], 'what is recorded is what runs';
    $gw->finish;
};

subtest 'a share that is gone' => sub {
    my $gw = AML::Test->start(instances => {'first-lab' => 'creator'});
    rename $gw->share, $gw->share . '.away' or die "rename: $!";
    is answers($gw, 'first-lab'), 200, 'what runs is reached';
    verb($gw, 'first-lab', 'stop');
    $gw->wait_state('first-lab', 'Stopped');
    verb($gw, 'first-lab', 'start');
    my ($state, $why) = ends_as($gw, 'first-lab');
    is $state, 'Stopped', 'nothing starts without it';
    like $why, qr{share.*is not there}, 'and that is said';
    ok !-e $gw->share, 'nothing was made in its place';
    rename $gw->share . '.away', $gw->share or die "rename: $!";
    verb($gw, 'first-lab', 'start');
    $gw->wait_state('first-lab', 'Running');
    rename $gw->share, $gw->share . '.away' or die "rename: $!";
    ok gone($gw, 'first-lab'), 'and it can be deleted';
    is_deeply [AML::Truth->lies($gw)], [], 'what is recorded is what runs';
    $gw->finish;
};

subtest 'full disks' => sub {
    my $gw = AML::Test->prepare;
    my @mounted;
    for my $name (qw(state share)) {
        my $dir = path($gw->dir, $name)->make_path;
        push @mounted, $dir
            if system("mount -t tmpfs -o size=8m none $dir 2>/dev/null") == 0;
    }
    if (@mounted < 2) {
        system('umount', '-l', $_) for @mounted;
        plan skip_all => 'nothing can be mounted here';
    }
    chmod 0755, @mounted;
    eval {
        $gw->start_amld;
        $gw->add_account('creator', 'Contributor');
        $gw->start_nginx;
        $gw->create_instance($_, 'creator') for qw(first-lab second-lab);

        for my $dir (@mounted) {
            my $name = $dir->basename;
            my $fill = sub {
                open my $f, '>', "$dir/junk" or die "junk: $!";
                1 while syswrite $f, 'x' x 4096;
                1 while syswrite $f, 'x';
            };
            $fill->();
            is answers($gw, 'first-lab'), 200, "$name: what runs is reached";
            verb($gw, 'first-lab', 'stop');
            $gw->wait_state('first-lab', 'Stopped');
            pass "$name: and is stopped";
            $fill->();
            verb($gw, 'first-lab', 'start');
            my ($state, $why) = ends_as($gw, 'first-lab');
            if ($state ne 'Running') {
                is $state, 'Stopped', "$name: what can't start";
                like $why, qr/\S/, "$name: says why: $why";
            }
            unlink "$dir/junk";
            if ($state ne 'Running') {
                verb($gw, 'first-lab', 'start');
                $gw->wait_state('first-lab', 'Running');
                pass "$name: with room again it starts";
            }
        }

        for my $dir (@mounted) {
            open my $f, '>', "$dir/junk" or die "junk: $!";
            1 while syswrite $f, 'x' x 4096;
            1 while syswrite $f, 'x';
        }
        ok gone($gw, $_), "$_ is deleted" for qw(first-lab second-lab);
        is_deeply [AML::Truth->lies($gw)], [],
            'what is recorded is what runs';
        unlink "$_/junk" for @mounted;
        $gw->finish;
        1;
    } or fail "died: $@";
    system('umount', '-l', $_) for @mounted;
};

done_testing;
