# A registry that cannot be read: every request is refused with the reason,
# nothing crashes, and it is taken up again without a restart of nginx.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Test::More;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw     = AML::Test->start(instances => {'first-lab' => 'creator'});
my $url    = $gw->app_url('first-lab', '/api/status');
my $bearer = $gw->bearer('creator');
my $master = $gw->pid('nginx');
my $good   = $gw->dir . '/registry.good';

sub ask { $gw->program->get($url, headers => $bearer) }
sub code { ask()->res->code }

# Both workers: a dozen new connections, all with the same answer.
sub all_say ($wanted) {
    return wait_for(
        sub {
            my %codes = map { code() => 1 } 1 .. 12;
            join(' ', sort keys %codes) eq $wanted;
        },
        15
    );
}

sub replace ($how) {
    my $new = $gw->dir . '/registry.new';
    path($new)->remove_tree;
    $gw->run('', 'cp', '-a', $good, $new);
    $how->("$new/data.mdb");
    rename $gw->registry, $gw->dir . '/registry.old' . rand or die $!
        if -e $gw->registry;
    rename $new, $gw->registry or die $!;
}

is code(), 200, 'works';
is $gw->stop_amld, 0, 'amld, the writer, has ended';
$gw->run('', 'cp', '-a', $gw->registry, $good);

sub unavailable ($name) {
    ok all_say('503'), "$name: 503 everywhere";
    $gw->refused(ask(), 503, 'registry_unavailable', "$name: the reason");
    my $page = $gw->browser->navigate($url, follow => 0);
    $gw->refused($page, 503, 'registry_unavailable', "$name: a page");
    $gw->refused($gw->program->get($gw->studio_url('/')),
        503, 'registry_unavailable', "$name: the studio");
}

sub works_again ($name) {
    ok all_say('200'), "$name: works again";
    is $gw->pid('nginx'), $master, "$name: without a restart";
}

subtest 'gone' => sub {
    rename $gw->registry, $gw->dir . '/registry.away' or die $!;
    unavailable('gone');
    rename $gw->dir . '/registry.away', $gw->registry or die $!;
    works_again('back');
};

# How many pages LMDB uses of the file, which may be longer: the larger of
# what its two meta pages say.
sub pages ($file) {
    my $meta = path($file)->slurp;
    my @last = map { unpack 'x136 Q', substr $meta, $_, 4096 } 0, 4096;
    return 1 + ($last[0] > $last[1] ? $last[0] : $last[1]);
}

my %damage = (
    'empty'     => sub ($f) { path($f)->spurt('') },
    'one byte'  => sub ($f) { path($f)->spurt("\0") },
    'cut in the first page' => sub ($f) { truncate $f, 1000 },
    'cut in the second page' => sub ($f) { truncate $f, 5000 },
    'cut in half' => sub ($f) { truncate $f, int(pages($f) / 2) * 4096 },
    'cut by one page' => sub ($f) { truncate $f, (pages($f) - 1) * 4096 },
    'not a registry'  => sub ($f) { path($f)->spurt('x' x 100_000) },
    'noise in the meta pages' => sub ($f) {
        open my $h, '+<', $f;
        seek $h, 16, 0;
        print $h 'noise' x 10;
        seek $h, 4096 + 16, 0;
        print $h 'noise' x 10;
    },
    'a directory' => sub ($f) { unlink $f; mkdir $f },
);
for my $how (sort keys %damage) {
    subtest $how => sub {
        replace($damage{$how});
        unavailable($how);
        replace(sub { });
        works_again($how);
    };
}

subtest 'a newer format' => sub {
    my $hex = sub ($n) { unpack 'H*', $n };
    chomp(my $format = $gw->edit({op => 'get', key => 'meta/format'}));
    isnt $format, 'none', 'the format is noted';
    my $newer = pack('H*', $format) =~ /^\d+$/ ? '9999' : undef;
    my $bytes = $newer // pack('v', 9999) . "\0" x (length($format) / 2 - 2);
    $gw->edit({op => 'put', key => 'meta/format', hex => $hex->($bytes)});
    $gw->restart_nginx;
    $master = $gw->pid('nginx');
    unavailable('newer');
    like $gw->log_text('error.log'), qr/newer/, 'the log says what it is';
    my $r = $gw->amld('registry', 'dump');
    isnt $r->{status}, 0, 'amld refuses it, too';
    like $r->{err}, qr/newer/, 'and says why';
    replace(sub { });
    works_again('the format of before');
};

subtest 'it was never there when nginx started' => sub {
    $gw->stop_nginx('TERM');
    path($gw->registry)->remove_tree;
    $gw->start_nginx;
    $master = $gw->pid('nginx');
    unavailable('missing at the start');
    replace(sub { });
    works_again('it appears later');
};

subtest 'no permission' => sub {
    plan skip_all => 'root may read everything' if $< == 0;
    replace(sub ($f) { chmod 0000, $f });
    unavailable('no permission');
    replace(sub { });
    works_again('permission');
};

subtest 'made anew while running' => sub {
    path($gw->registry)->remove_tree;
    $gw->start_amld;
    ok wait_for(sub { code() == 401 }, 15),
        'the new one is read: the old token is not known there';
    $gw->add_account('somebody', 'Reader');
    is $gw->api(GET => $gw->workspace . '/computes', 'somebody')->res->code,
        200, 'people of the new one get in';
};

# Nobody reads what it would go on writing.
subtest 'gone while amld runs' => sub {
    path($gw->registry)->remove_tree;
    ok wait_for(sub { !$gw->alive('amld') }, 20), 'amld ends';
    my $log = path($gw->dir, 'log', 'amld.err')->slurp;
    like $log, qr/registry \S+ was removed or replaced: amld ends; start it again/,
        'and says why';
    $gw->start_amld;
    ok wait_for(sub { code() == 401 }, 15), 'started again it makes a new one';
};

$gw->done;
