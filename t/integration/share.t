# A workspace's share is the one that it was: nothing starts on an empty mount
# point, or on what else is in its place, before somebody says so.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Test::More;
use AML::Jobs;
use AML::Test;
use AML::Truth;
use AML::Wait qw(wait_for);

my $gw    = AML::Test->start(instances => {'first-lab' => 'creator'});
my $share = $gw->share;
my $mark  = $share->child('.aml-share');
my $uuid  = qr/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

sub verb ($verb) {
    is $gw->api(POST => $gw->compute('first-lab') . "/$verb", 'creator')
        ->res->code, 202, "$verb is asked for";
}

sub stopped () {
    verb('stop');
    $gw->wait_state('first-lab', 'Stopped');
}

# Started; the state that follows, and why.
sub start () {
    verb('start');
    my $inner;
    wait_for(sub {
        $inner = $gw->api(GET => $gw->compute('first-lab'), 'creator')
            ->res->json('/properties/properties');
        $inner->{state} =~ /^(?:Running|Stopped)$/;
    });
    return ($inner->{state}, $inner->{errors}[0]{error}{message} // '');
}

sub warned ($r) { join '', grep {/ warn /} split /^/, $r->{err} }

# What the log has of the last start of amld.
sub again () {
    $gw->stop_amld;
    my $before = length $gw->log_text('amld.err');
    $gw->start_amld;
    return substr $gw->log_text('amld.err'), $before;
}

like $mark->slurp, qr/\A$uuid\n/, 'a new share has its file';
is +(stat $mark)[2] & 07777, 0644, 'which everybody may read';
is $gw->amld_ok('share', 'list'), sprintf("%-24s  %s  good\n", 'demo', $share),
    'and amld says that it is good';
like $gw->amld_ok('registry', 'dump'), qr/share.*\n?.*mark/, 'it is known';
unlike again(), qr/ warn workspace/, 'nothing is said of it at a start';

subtest 'an empty directory in its place' => sub {
    stopped();
    rename $share, "$share.away" or die "rename: $!";
    mkdir $share or die "mkdir: $!";

    my ($state, $why) = start();
    is $state, 'Stopped', 'nothing starts on it';
    like $why, qr/\Q$share\E is not the share.*no file .aml-share/, 'and why';
    like $why, qr/not mounted.*amld share accept demo/, 'and what to do';
    is_deeply [$share->list({dir => 1, hidden => 1})->each], [],
        'nothing was made in it';
    like again(), qr/ warn workspace demo: .*is not the share/,
        'amld says it at its start, too';
    my $r = $gw->amld('share', 'list');
    is $r->{status}, 1, 'and so does a command';
    like $r->{out}, qr/is not the share/, 'with the reason';

    rmdir $share;
    rename "$share.away", $share or die "rename: $!";
    is +(start())[0], 'Running', 'with the share it starts';
};

subtest 'what runs when it goes away' => sub {
    my $jobs = AML::Jobs->new(gw => $gw, compute => 'first-lab');
    rename $share, "$share.away" or die "rename: $!";
    mkdir $share or die "mkdir: $!";
    $gw->kill_amld;
    $gw->start_amld;
    is $gw->state_of('first-lab'), 'Running', 'goes on';
    stopped();
    rmdir $share;
    rename "$share.away", $share or die "rename: $!";
    is +(start())[0], 'Running', 'and can be stopped, and started again';
    $jobs->submit('one', 'true');
    $jobs->ends('one', 'Completed');
};

subtest 'another share in its place' => sub {
    stopped();
    my $was = $mark->slurp;
    rename $share, "$share.away" or die "rename: $!";
    $share->make_path;
    (my $other = $was) =~ tr/0-9/1-90/;
    $mark->spurt($other);
    like +(start())[1], qr/it has another file .aml-share/, 'is not started on';

    my $r = $gw->amld('share', 'accept', 'nowhere');
    is $r->{status}, 1, 'a workspace that is not there';
    like $r->{err}, qr/no such workspace/, 'is none';
    is $gw->amld('share', 'accept')->{status}, 2, 'one has to be named';
    is $gw->amld_ok('share', 'accept', 'demo'), "demo: $share is its share\n",
        'it is, when somebody says so,';
    is $mark->slurp, $other, 'by its own file';
    is +(start())[0], 'Running', 'at once';

    stopped();
    unlink $mark or die "unlink: $!";
    like +(start())[1], qr/no file .aml-share/, 'without it, it is not known';
    $gw->amld_ok('share', 'accept', $gw->workspace);
    like $mark->slurp, qr/\A$uuid\n/, 'and is given another';
    is +(start())[0], 'Running', 'and is';

    stopped();
    $mark->spurt("something else\n");
    is +(start())[0], 'Stopped', 'what amld did not write is none';
    $gw->amld_ok('share', 'accept', 'demo');
    is +(start())[0], 'Running', 'and is replaced';

    stopped();
    unlink $mark;
    symlink '/etc/passwd', $mark or die "symlink: $!";
    is +(start())[0], 'Stopped', 'nor a link';
    unlink $mark;
    $gw->amld_ok('share', 'accept', 'demo');
};

subtest 'a registry of before' => sub {
    my ($key) = map {"share$_"} lc $gw->workspace
        =~ s{^/subscriptions(/[^/]+)/resourcegroups(/[^/]+)/.*(/[^/]+)$}{$1$2$3}ir;
    isnt $gw->edit({op => 'get', key => $key}), "none\n", 'where it is noted';
    my $forget = sub {
        $gw->stop_amld;
        $gw->edit({op => 'delete', key => $key});
    };

    $forget->();
    unlink $mark;
    $gw->start_amld;
    ok -e $mark, 'a share with people\'s folders is given its file';

    $forget->();
    rename $share, "$share.old" or die "rename: $!";
    $share->make_path;
    $gw->start_amld;
    ok !-e $mark, 'not so a directory without';
    like +(start())[1], qr/has nobody's files.*accept demo/, 'nothing starts';
    $share->remove_tree;
    rename "$share.old", $share or die "rename: $!";
    is +(start())[0], 'Running', 'but on what has them';
};

subtest 'amld -t' => sub {
    stopped();
    is warned($gw->amld('-t')), '', 'says nothing of a share that is there';
    rename $share, "$share.gone" or die "rename: $!";
    my $r = $gw->amld('-t');
    is $r->{status}, 0, 'it is no fault of the configuration';
    like warned($r), qr/workspace demo: its share \Q$share\E is not there/,
        'but said';
    like again(), qr/ warn workspace demo: its share \Q$share\E is not there/,
        'and when amld starts';
    like +(start())[1], qr{share \Q$share\E is not there}, 'nothing starts';
    ok !-e $share, 'nothing was made in its place';
    rename "$share.gone", $share or die "rename: $!";
};

subtest 'a share that is mounted later' => sub {
    my $new = AML::Test->prepare;
    rmdir $new->share;
    $new->start_amld;
    $new->add_account('creator', 'Contributor');
    $new->start_nginx;
    $new->api(
        PUT  => $new->compute('early-lab'), 'creator',
        json => $new->compute_body
    );
    wait_for(sub { $new->state_of('early-lab') eq 'CreateFailed' });
    $new->share->make_path;
    $new->create_instance('late-lab', 'creator');
    is $new->state_of('late-lab'), 'Running', 'is the workspace\'s';
    ok -e $new->share('.aml-share'), 'and known from then on';
    $new->finish;
};

is_deeply [AML::Truth->lies($gw)], [], 'what is recorded is what runs';

$gw->done;
