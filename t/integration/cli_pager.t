# A pager that is left open on a list of amld's: nobody reads what is printed,
# and all goes on. Neither a snapshot nor the turn to write is held.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Fcntl      qw(F_GETFL F_SETFL O_NONBLOCK);
use Mojo::File qw(path);
use Mojo::JSON qw(encode_json);
use POSIX      ();
use Test::More;
use Time::HiRes qw(sleep);
use AML::Jobs;
use AML::Test;
use AML::Wait qw(wait_for);

plan skip_all => 'stdbuf and the sanitizers exclude each other'
    if ($ENV{AML_VARIANT} // '') =~ /san/;

my $GROWTH = 128 << 10;
my $PAGE   = POSIX::sysconf(POSIX::_SC_PAGESIZE());

my $gw = AML::Test->start(
    accounts  => {creator => 'Contributor'},
    instances => {lab     => 'creator'}
);
my $jobs = AML::Jobs->new(gw => $gw, compute => 'lab');
my $role = path($gw->dir, 'role.json');

$jobs->submit('one', 'true');
$jobs->ends('one', 'Completed');
$gw->signed_in('creator')->fetch(POST => $gw->studio_url('/auth/tokens'),
    json => {name => 'x', instances => 'all', actions => ['*/read']});
$role->spurt(encode_json({
    Name             => 'Looks',
    Description      => 'Looks at instances.',
    Actions          => ['Microsoft.MachineLearningServices/workspaces/read'],
    AssignableScopes => ['/']
}));

# What a command prints into a pipe that is full. It is sent without a buffer, so
# that the first byte has to wait.
sub unread (@args) {
    pipe my $read, my $write or die "pipe: $!";
    my $flags = fcntl $write, F_GETFL, 0;
    fcntl $write, F_SETFL, $flags | O_NONBLOCK;
    1 while syswrite $write, "\0" x 4096;
    fcntl $write, F_SETFL, $flags;

    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDOUT, '>&', $write;
        exec 'stdbuf', '-o0', $AML::Test::AMLD, '-c', $gw->dir . '/amld.conf',
            @args or POSIX::_exit(127);
    }
    close $write;
    return {args => "@args", read => $read, pid => $pid};
}

# Sleeps, and uses no time.
sub waits ($pid) {
    my ($before, $now) = map {
        sleep 0.2 * $_;
        join ' ', (split / /, path("/proc/$pid/stat")->slurp)[2, 13, 14]
    } 0, 1;
    return $now eq $before && $now =~ /^S/;
}

sub commits ($n) {
    local $SIG{ALRM} = sub { die "nobody else can write\n" };
    alarm 60;
    $gw->edit({op => 'put', key => 'x/pager', hex => '00' x 3000 })
        for 1 .. $n;
    alarm 0;
}

# Bytes up to the last page in use: of the two meta pages, the newer one's. The
# file itself may be larger.
sub used {
    open my $file, '<:raw', $gw->registry . '/data.mdb' or die $!;
    read $file, my $pages, 2 * $PAGE;
    my ($newer) = sort { $b->[1] <=> $a->[1] }
        map { [unpack 'QQ', substr $pages, $_ * $PAGE + 136, 16] } 0, 1;
    return $newer->[0] * $PAGE;
}

commits(40);
my @commands = map { unread(@$_) } (
    [qw(account list)], [qw(principal list)],
    [qw(role list)],    [qw(role definitions)],
    [qw(session list)], [qw(token list)],
    [qw(compute list)], [qw(compute show lab)],
    [qw(job list)],     [qw(job list --json)],
    [
        qw(role check --account creator --scope),
        $gw->workspace, '--action',
        'Microsoft.MachineLearningServices/workspaces/computes/read'
    ],
    [qw(role define), $role], [qw(registry dump)]
);
ok wait_for(sub { waits($_->{pid}) }), "$_->{args}: waits" for @commands;

my $size = used();
commits(40);
cmp_ok used(), '<', $size + $GROWTH, 'beside writers that find room';

for my $c (@commands) {
    my $text = do { local $/; readline $c->{read} };
    waitpid $c->{pid}, 0;
    is $?, 0, "$c->{args}: ends well";
    like $text, qr/^\0+[^\0]+\n\z/, 'after all was printed';
}

$gw->done;
