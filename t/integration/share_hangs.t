# A share that does not answer, as when its server is away: what is of other
# workspaces goes on, and so does what can be stopped or deleted.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Test::More;
use AML::Jobs;
use AML::Test;
use AML::Truth;
use AML::Wait qw(wait_for);

my $gw    = AML::Test->prepare;
my $share = $gw->share->to_string;
my $image = $gw->dir . '/image';
my $owner = $$;
my ($mounted, $frozen);

# Before the test's own directory is looked at, or removed.
sub thaw () {
    system 'fsfreeze', '-u', $share if $frozen;
    $frozen = 0;
}
END {
    if ($owner == $$) {
        my $status = $?;
        thaw();
        system "umount -l $share" if $mounted;
        $? = $status;
    }
}

plan skip_all => 'no file system can be made, mounted and frozen here'
    if $< != 0
    || system("truncate -s 24M $image && mkfs.ext4 -q $image"
        . " && mount -o loop $image $share 2>/dev/null") != 0;
$mounted = 1;

sub freeze () {
    system('fsfreeze', '-f', $share) == 0 or die 'fsfreeze';
    $frozen = 1;
}

sub verb ($name, $verb) {
    is $gw->api(POST => $gw->compute($name) . "/$verb", 'creator')->res->code,
        202, "$name: $verb is asked for";
}

$gw->start_amld;
$gw->add_account('creator', 'Contributor');
$gw->start_nginx;
$gw->create_instance($_, 'creator') for qw(first-lab second-lab third-lab);
my $jobs = AML::Jobs->new(gw => $gw, compute => 'first-lab');
$jobs->submit('before', 'true');
$jobs->ends('before', 'Completed');
verb('third-lab', 'stop');
$gw->wait_state('third-lab', 'Stopped');

subtest 'a share that does not answer' => sub {
    freeze();
    $jobs->put('waits', 'true');
    verb('second-lab', 'stop');
    ok wait_for(sub { $gw->state_of('second-lab') eq 'Stopped' }),
        'an instance is stopped';
    is $jobs->status('waits'), 'Queued', 'the job waits';
    ok wait_for(sub {
        $gw->log_text('amld.err')
            =~ / warn workspace demo: its share \Q$share\E does not answer/;
    }), 'and the log says for what';

    ok wait_for(sub {
        ($jobs->get('waits')->{message} // '')
            =~ /^It waits for the share\. .*does not answer/;
    }), 'and the job, too';

    verb('third-lab', 'start');
    ok wait_for(sub { $gw->state_of('third-lab') eq 'Stopped' }),
        'an instance does not start';
    like $gw->api(GET => $gw->compute('third-lab'), 'creator')
        ->res->json('/properties/properties/errors/0/error/message'),
        qr/share \Q$share\E does not answer/, 'and is told why';
    $gw->api(
        DELETE => $gw->compute('second-lab'), 'creator',
        query  => {underlyingResourceAction => 'Delete'}
    );
    ok wait_for(sub { $gw->state_of('second-lab') eq '' }), 'one is deleted';
    is $jobs->put('canceled', 'true')->res->code, 201, 'a job is submitted';
    is $gw->amld('-t')->{status}, 0, 'amld -t ends';

    thaw();
    $jobs->ends('waits', 'Completed');
    like $gw->log_text('amld.err'), qr/ its share \Q$share\E answers again/,
        'with it all goes on';
    verb('third-lab', 'start');
    $gw->wait_state('third-lab', 'Running');
};
is_deeply [AML::Truth->lies($gw)], [], 'what is recorded is what runs';

$gw->stop_nginx('TERM');
$gw->stop_amld;
$mounted = 0 if system("umount -l $share") == 0;
$gw->done;
