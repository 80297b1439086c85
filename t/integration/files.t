# People's files: sample notebooks, once; a share that is full, which keeps
# nobody from using, stopping and deleting an instance.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path tempdir);
use Test::More;
use AML::Needs;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw;
my $owner = $$;

END {
    if ($owner == $$ && $gw) {
        my $status = $?;
        system "umount $_ 2>/dev/null"
            for map { $gw->dir . "/$_" } qw(share registry state);
        $? = $status;
    }
}

my @samples = path("$AML::Test::ROOT/packaging/samples")
    ->list->grep(qr/\.ipynb$/)->each;

subtest 'the notebooks run' => sub {
    my $jupyter = "$AML::Test::VENV/bin/jupyter";
    needs 'there is no Jupyter', -x $jupyter;
    cmp_ok scalar @samples, '>', 2, 'there are some';
    my $dir = tempdir;
    for my $file (@samples) {
        $file->copy_to("$dir");
        is system("cd $dir && $jupyter execute '@{[$file->basename]}' >out 2>&1"),
            0, $file->basename or diag path("$dir/out")->slurp;
    }
};

# Small file systems of their own.
my $small = $< == 0;
$gw = AML::Test->prepare;
for my $name (qw(share registry state)) {
    my $dir = path($gw->dir, $name)->make_path;
    $small &&= system("mount -t tmpfs -o size=16m,mode=0755 aml-test $dir") == 0;
}
$gw->start_amld;
$gw->add_account($_, 'Contributor') for qw(creator other);
$gw->start_nginx;

sub create ($name, $who = 'creator') {
    $gw->api(PUT => $gw->compute($name), $who, json => $gw->compute_body);
    ok wait_for(sub { $gw->state_of($name, $who) eq 'Running' }),
        "$name runs";
}

sub act ($name, $verb, $state) {
    is $gw->api(POST => $gw->compute($name) . "/$verb", 'creator')->res->code,
        202, "$name: $verb";
    ok wait_for(sub { $gw->state_of($name) eq $state }), $state;
}

# Takes all the room there is; the file that does.
sub fill ($name) {
    my $fill = $gw->dir . "/$name/fill";
    open my $out, '>', $fill or die "$fill: $!";
    1 while syswrite $out, 'x' x 65_536;
    1 while syswrite $out, 'x' x 512;
    ok $!{ENOSPC}, "$name: there is no room";
    close $out;
    return $fill;
}

sub found ($who) {
    my $dir = $gw->share("Users/$who/samples");
    return -d $dir ? join ' ', sort map { $_->basename } $dir->list->each : '';
}

subtest 'samples are given once' => sub {
    my $all = join ' ', sort map { $_->basename } @samples;
    create('first-lab');
    is found('creator'), $all, 'to whoever is new';
    my $one = $gw->share('Users/creator/samples', $samples[0]->basename);
    is $one->slurp, $samples[0]->slurp, 'as they are';
    is +(stat $one)[2] & 07777, 0644, 'readable for everybody';
    $one->remove;
    $gw->share('Users/creator/samples', $samples[1]->basename)->spurt('mine');

    act('first-lab', 'stop',  'Stopped');
    act('first-lab', 'start', 'Running');
    create('second-lab');
    ok !-e $one, 'what was deleted does not come back';
    is $gw->share('Users/creator/samples', $samples[1]->basename)->slurp,
        'mine', 'what was changed stays so';
    create('other-lab', 'other');
    is found('other'), $all, 'and to the next one';
};

subtest 'a share that is full' => sub {
    plan skip_all => 'file systems are mounted by root' unless $small;
    my $fill = fill('share');

    my $errors = sub {
        $gw->api(GET => $gw->compute('first-lab'), 'creator')
            ->res->json('/properties/properties/errors');
    };
    ok wait_for(sub { @{$errors->()} }), 'the instance says so';
    is $errors->()[0]{error}{code}, 'ShareFull', 'by a code';
    like $gw->log_text('amld.err'), qr/the share is full/, 'and the log';
    is $gw->program->get($gw->app_url('first-lab', '/x'),
        headers => $gw->bearer('creator'))->res->code, 200,
        'it can be used';
    act('first-lab', 'stop',  'Stopped');
    act('first-lab', 'start', 'Running');
    act('first-lab', 'restart', 'Running');
    is $gw->api(DELETE => $gw->compute('second-lab'), 'creator',
        query => {underlyingResourceAction => 'Delete'})->res->code, 202,
        'one is deleted';
    ok wait_for(sub { $gw->state_of('second-lab') eq '' }), 'it is';
    ok $gw->signed_in('creator'), 'people sign in';

    unlink $fill;
    ok wait_for(sub { !@{$errors->()} }), 'there is room again';
    like $gw->log_text('amld.err'), qr/the share has room again/,
        'and the log says so';
};

subtest 'a disk that is full' => sub {
    plan skip_all => 'file systems are mounted by root' unless $small;
    my @fill = map { fill($_) } qw(registry state);
    is $gw->program->get($gw->app_url('first-lab', '/x'),
        headers => $gw->bearer('creator'))->res->code, 200,
        'an instance can be used';
    act('first-lab', 'stop', 'Stopped');
    is $gw->api(DELETE => $gw->compute('first-lab'), 'creator',
        query => {underlyingResourceAction => 'Delete'})->res->code, 202,
        'one is deleted';
    ok wait_for(sub { $gw->state_of('first-lab') eq '' }), 'it is';
    ok $gw->signed_in('creator'), 'people sign in';
    unlink @fill;
};

$gw->done;
