# What people do, in a real Chromium with real JupyterLab and Notebook 7: see
# t/browser/front_door.mjs.  This file is the gateway behind it: it starts one,
# and restarts its parts when the browser's side asks for it.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use IPC::Open2;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use Test::More;
use AML::Test;

-d "$FindBin::Bin/node_modules/playwright-core"
    or plan skip_all => 'playwright-core is not installed: npm ci in t/browser';
-x '/usr/bin/chromium' or plan skip_all => 'chromium is not installed';

my $gw = AML::Test->start(
    application => 'jupyter',
    instances   => {'first-lab' => 'creator', 'second-lab' => 'creator'}
);

# Chromium takes authorities from the NSS database of its home; certificates
# are checked.
my $home = $gw->dir . '/home';
path($home, '.pki/nssdb')->make_path;
my @db = ('-d', "sql:$home/.pki/nssdb");
for my $c (['-N', '--empty-password'],
    ['-A', '-t', 'C,,', '-n', 'aml', '-i', $gw->ca])
{
    my $r = $gw->run('', 'certutil', @db, @$c);
    is $r->{status}, 0, "certutil $c->[0]" or diag $r->{err};
}

my $shots = "$AML::Test::ROOT/build/screenshots";
path($shots)->make_path;

local $ENV{HOME} = $home;
local $ENV{AML_BROWSER} = encode_json({
    lab       => $gw->app_url('first-lab', '/lab'),
    other     => $gw->app_url('second-lab', '/lab'),
    tree      => $gw->app_url('first-lab', '/tree'),
    studio    => $gw->studio,
    passwords => $gw->passwords,
    profile   => $gw->dir . '/profile',
    shots     => $shots,
    patience  => 0 + ($ENV{AML_PATIENCE} || 1)
});
delete local @ENV{qw(http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy)};

my $pid = open2(my $out, my $in, 'node', "$FindBin::Bin/front_door.mjs");
$in->autoflush;

# One JSON object a line: a result, or something to do.
my %do = (
    'restart nginx' => sub { $gw->restart_nginx; 1 },
    'kill amld'     => sub { $gw->kill_amld; $gw->start_amld; 1 },
    'amld knows'    => sub { $gw->state_of('first-lab') },
    'refused'       => sub ($reason) {
        scalar(() = $gw->log_text('access.log') =~ / refuse $reason /g);
    },
    'file'          => sub ($name) {
        my ($file) = grep { $_->basename eq $name }
            $gw->share->list_tree->each;
        return $file ? $file->slurp : '';
    },
);
my $ended = 0;
while (my $line = <$out>) {
    my $m = eval { decode_json($line) } or do { diag $line; next };
    if (exists $m->{ok}) {
        ok $m->{ok}, $m->{name} or diag $m->{why} // '';
    }
    elsif ($m->{note}) { note $m->{note} }
    elsif ($m->{do}) {
        my $answer = $do{$m->{do}}->($m->{with} // ());
        print $in encode_json({answer => $answer}) . "\n";
    }
    elsif ($m->{end}) { $ended = 1 }
}
waitpid $pid, 0;
is $?, 0, 'the browser\'s side ended well';
ok $ended, 'and came to its end';

$gw->done;
