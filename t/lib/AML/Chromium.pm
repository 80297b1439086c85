package AML::Chromium;

# The gateway's side of browser tests.  The browser's side is a script beside
# the test, t/browser/<name>.mjs, which uses t/browser/driver.mjs.

use Mojo::Base -strict, -signatures;
use IPC::Open2;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use Test::More;
use AML::Needs;

my $ROOT = path(__FILE__)->dirname->child('../../..')->realpath;

# Skips the test file where there is no browser.
sub needed ($class) {
    needs 'playwright-core is not installed: npm ci in t/browser',
        -d "$ROOT/t/browser/node_modules/playwright-core";
    needs 'chromium is not installed', -x '/usr/bin/chromium';
}

# A home for Chromium in which the gateway's authority is trusted: it takes
# authorities from the NSS database there.  To be HOME while it is driven.
sub home_trusting ($class, $gw) {
    my $home = $gw->dir . '/home';
    path($home, '.pki/nssdb')->make_path;
    my @db = ('-d', "sql:$home/.pki/nssdb");
    for my $c (['-N', '--empty-password'],
        ['-A', '-t', 'C,,', '-n', 'aml', '-i', $gw->ca])
    {
        my $r = $gw->run('', 'certutil', @db, @$c);
        is $r->{status}, 0, "certutil $c->[0]" or diag $r->{err};
    }
    return $home;
}

# Runs the script with these settings to its end; its results become the
# test's.  `do` holds what it may ask for, by name, as functions of one value.
sub drive ($class, $name, $settings, $do = {}) {
    my $shots = path($ROOT, 'build/screenshots')->make_path;
    local $ENV{AML_BROWSER} = encode_json({
        shots    => "$shots",
        patience => 0 + ($ENV{AML_PATIENCE} || 1),
        %$settings
    });
    delete local @ENV{qw(http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
        all_proxy)};

    my $pid = open2(my $out, my $in, 'node', "$ROOT/t/browser/$name.mjs");
    $in->autoflush;
    my $ended = 0;
    while (my $line = <$out>) {
        my $m = eval { decode_json($line) } or do { diag $line; next };
        if (exists $m->{ok}) { ok $m->{ok}, $m->{name} or diag $m->{why} // '' }
        elsif ($m->{note}) { note $m->{note} }
        elsif ($m->{do}) {
            my $answer = $do->{$m->{do}}->($m->{with} // ());
            print $in encode_json({answer => $answer}) . "\n";
        }
        elsif ($m->{end}) { $ended = 1 }
    }
    waitpid $pid, 0;
    is $?, 0, 'the browser\'s side ended well';
    ok $ended, 'and came to its end';
}

1;
