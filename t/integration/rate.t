# How often one person may ask, over all workers and whatever they sign in
# with; how often an address may, where nobody is known.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Test::More;
use Time::HiRes qw(time);
use AML::Raw qw(raw_h2);
use AML::Test;
use AML::Wait qw(wait_for);

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator'},
    accounts  => {
        creator => 'Contributor', colleague => 'Contributor',
        reader => 'Reader', map { ("person-$_" => 'Reader') } 1 .. 4
    },
);
$gw->token($_) for qw(creator colleague reader), map {"person-$_"} 1 .. 4;
my $good = path($gw->dir, 'nginx.conf')->slurp;

sub configure ($edit) {
    local $_ = $good;
    $edit->();
    path($gw->dir, 'nginx.conf')->spurt($_);
    reload();
}

# Returns when the old workers are gone.
sub reload {
    my %old = map { $_ => 1 } $gw->workers;
    $gw->reload_nginx;
    wait_for(sub { !grep { $old{$_} } $gw->workers })
        or die "the old workers stay\n";
}

# In zones of the test's own, with numbers that it can reach.
sub limits ($rate) {
    configure(sub {
        s/zone=aml_control:2m rate=\S+;/zone=control:1m rate=$rate;/;
        s/zone=aml_sign_in:2m rate=\S+;/zone=sign_in:1m rate=$rate;/;
        s/zone=aml_control burst=\d+/zone=control burst=10/g;
        s/zone=aml_sign_in burst=\d+/zone=sign_in burst=20/g;
    });
}

sub metric ($name) {
    my $text = $gw->program->get($gw->studio_url('/.aml/status'))->res->body;
    return ($text =~ /^\Q$name\E (\d+)$/m)[0];
}

my $api = $gw->studio_url(
    $gw->workspace . '/computes?api-version=2022-10-01');

# So many requests; how many were let in, and the last refusal.
sub ask ($n, $url, $headers, $browser = $gw->program) {
    my ($ok, $refused) = (0);
    for (1 .. $n) {
        my $tx = $browser->request(GET => $url, headers => $headers);
        if ($tx->res->code == 429) { $refused = $tx }
        else                       { $ok++ }
    }
    return ($ok, $refused);
}

subtest 'as it ships' => sub {
    my ($ok) = ask(150, $api, $gw->bearer('reader'));
    is $ok, 150, 'a program that asks much is let in';
    ($ok) = ask(150, $gw->studio_url('/auth/sign-in'), {});
    is $ok, 150, 'so is an address where many sign in';
};

limits('1r/s');

subtest 'a person' => sub {
    my $since = time;
    my ($ok, $refused) = ask(40, $api, $gw->bearer('person-4'));
    my $more = int(time - $since) + 1;
    cmp_ok $ok, '>=', 10, 'as many at once as fit';
    cmp_ok $ok, '<=', 10 + $more, 'and no more than come in meanwhile';
    $gw->refused($refused, 429, 'rate_limited', 'the others');
    like $refused->res->headers->header('Retry-After'), qr/^[1-9]\d*$/,
        'with a time';
    is $refused->res->headers->cache_control, 'no-store', 'which is not kept';
    like $gw->log_text('access.log'), qr/ refuse rate_limited /, 'in the log';
    cmp_ok metric('aml_decisions_total{reason="rate_limited"}'), '>=', 20,
        'and counted';

    my ($theirs) = ask(10, $api, $gw->bearer('colleague'));
    is $theirs, 10, 'another is not concerned';
    ask(20, $api, $gw->bearer('creator'));
    ($ok) = ask(20, $gw->app_url('first-lab', '/x'), $gw->bearer('creator'));
    is $ok, 20, 'nor are applications';

    AML::Wait::turn($refused->res->headers->header('Retry-After'));
    ($ok) = ask(1, $api, $gw->bearer('person-4'));
    is $ok, 1, 'after that time there is one more';
};

subtest 'whatever amld is asked' => sub {
    my @passes = grep {/proxy_pass http:\/\/amld;/}
        $good =~ /^ +(location [^{]+\{[^}]*)\}/mg;
    cmp_ok scalar @passes, '>=', 5, 'locations lead there';
    like $_, qr/^ +aml_rate zone=\w+ burst=\d+;/m, s/ \{.*//sr for @passes;

    my $me    = $gw->signed_in('colleague');
    my $since = time;
    for my $path ('/', '/no-such-page') {
        my ($ok, $refused) = ask(40, $gw->studio_url($path),
            {'Sec-Fetch-Site' => 'same-origin'}, $me);
        my $more = int(time - $since) + 1;
        cmp_ok $ok, '<=', 10 + $more, "$path: no more than come in meanwhile";
        $gw->refused($refused, 429, 'rate_limited', 'the others');
        like $refused->res->headers->header('Retry-After'), qr/^[1-9]\d*$/,
            'with a time';
    }
};

subtest 'whatever they sign in with' => sub {
    my $me = $gw->signed_in('person-1');
    my ($by_cookie) = ask(10, $api, {'Sec-Fetch-Site' => 'same-origin'}, $me);
    cmp_ok $by_cookie, '>=', 9, 'a session, which has brought a page';
    my ($by_token) = ask(10, $api, $gw->bearer('person-1'));
    cmp_ok $by_token, '<=', 2, 'and a token share';
};

subtest 'over all workers' => sub {
    my @pids = $gw->workers;
    is scalar @pids, 2, 'two workers';
    my $since = time;
    my $ok    = 0;
    for (1 .. 30) {
        my ($one) = ask(1, $api, $gw->bearer('person-2'), $gw->program);
        $ok += $one;
    }
    cmp_ok $ok, '<=', 11 + (time - $since), 'each connection anew';
};

subtest 'who is not known' => sub {
    my ($ok, $refused) = ask(40, $gw->studio_url('/auth/sign-in'), {});
    cmp_ok $ok, '>=', 10, 'an address has as many at once';
    cmp_ok $ok, '<=', 25, 'and no more';
    $gw->refused($refused, 429, 'rate_limited', 'the others');

    my $tx = $gw->browser->navigate($gw->studio_url('/auth/sign-in'));
    is $tx->res->code, 429, 'a person';
    like $tx->res->headers->content_type, qr{^text/html}, 'gets a page';
    like $tx->res->dom->at('h1')->text, qr/Too many requests/, 'with words';
    ok $tx->res->headers->header('Retry-After'), 'and a time';
    is $tx->res->headers->location, undef, 'and is not sent to sign in';

    ($ok) = ask(12, $gw->studio_url('/auth/sign-in'), $gw->bearer('person-3'));
    is $ok, 12, 'who is known is not concerned';
    ($ok) = ask(3, $gw->app_url('first-lab', '/.aml/sign-in'), {});
    cmp_ok $ok, '<=', 1, 'one address, on every host';

    my ($bad, $other) = ask(30, $api, {Authorization => 'Bearer x'});
    ok $other, 'tokens that are none count for the address';
    cmp_ok $bad, '<=', 14, 'in the zone that is asked of';
    my $h2 = raw_h2(
        $gw,
        [
            [':method', 'GET'], [':scheme', 'https'],
            [':path', '/auth/sign-in'],
            [':authority', $gw->studio_host . ':' . $gw->port]
        ]
    );
    is $h2->{code}, 429, 'so do streams of HTTP/2';
};

subtest 'a reload' => sub {
    my ($ok) = ask(20, $api, $gw->bearer('reader'));
    cmp_ok $ok, '<', 20, 'used up';
    reload();
    ($ok) = ask(10, $api, $gw->bearer('reader'));
    cmp_ok $ok, '<=', 4, 'still so';
    limits('500r/s');
    AML::Wait::turn(0.2);
    ($ok) = ask(10, $api, $gw->bearer('reader'));
    is $ok, 10, 'a new rate holds at once';
    limits('1r/s');
};

subtest 'a worker is killed' => sub {
    $gw->tolerate(qr/exited on signal 9/);
    my ($ok) = ask(20, $api, $gw->bearer('reader'));
    cmp_ok $ok, '<', 20, 'used up';
    my %old = map { $_ => 1 } $gw->workers;
    kill KILL => keys %old;
    ok wait_for(sub { 2 == grep { !$old{$_} } $gw->workers }), 'others follow';
    ($ok) = ask(10, $api, $gw->bearer('reader'));
    cmp_ok $ok, '<=', 5, 'and know';
};

# Noise over the buckets, behind the gateway's back.
subtest 'memory that is damaged' => sub {
    configure(sub {
        s/zone=aml_control:2m rate=\S+;/zone=aml_small:176k rate=1r\/s;/;
        s/zone=aml_control burst=\d+/zone=aml_small burst=10/g;
    });
    my ($worker) = $gw->workers;
    no warnings 'portable';
    my ($from, $to) = map { map {hex} /^(\w+)-(\w+)/ }
        grep { /^(\w+)-(\w+) rw-s/ && hex($2) - hex($1) == 176 * 1024 }
        split /\n/, path("/proc/$worker/maps")->slurp;
    my $memory;
    plan skip_all => 'the memory of a worker can\'t be written'
        unless $from && open $memory, '+<:raw', "/proc/$worker/mem";
    my ($ok) = ask(1, $api, $gw->bearer('person-1'));
    is $ok, 1, 'a new zone';
    # the pool's own pages stay, and with them some of the buckets beside them
    my ($begin, $end) = ($from + 16_384, $to - 8192);
    sysseek $memory, $begin, 0;
    is syswrite($memory, join '', map { chr 1 + rand 255 } $begin .. $end - 1),
        $end - $begin, 'all of it is noise';
    # whose first request is refused has a bucket in the noise: most have
    my ($name, $refused);
    for my $one (qw(reader creator colleague), map {"person-$_"} 2 .. 4) {
        ($ok, $refused) = ask(1, $api, $gw->bearer($one));
        $name = $one;
        last if $refused;
    }
    ok $refused, 'nobody is let in by it';
    $gw->refused($refused, 429, 'rate_limited', 'but refused');
    is $refused->res->headers->header('Retry-After'), 1, 'for a second';
    like $gw->log_text('error.log'), qr/zone "aml_small" was damaged/,
        'the log says so';
    cmp_ok metric('aml_rate_corrupt_total'), '>=', 1, 'it is counted';
    my $since = time;
    ($ok) = ask(40, $api, $gw->bearer($name));
    cmp_ok $ok, '>=', 10, 'and then it works again';
    cmp_ok $ok, '<=', 11 + (time - $since), 'as before';
    path($gw->dir, 'nginx.conf')->spurt($good);
    reload();
};

subtest 'where nothing is required' => sub {
    configure(sub {
        s/aml_refuse host_unknown;/root \/nowhere;/;
        s/(server_name _;)/$1 aml_rate zone=aml_sign_in burst=5;/;
        s/(zone=aml_sign_in:2m) rate=\S+;/zone=aml_open:64k rate=1r\/s;/;
        s/zone=aml_sign_in/zone=aml_open/g;
    });
    my $ask = sub {
        return AML::Raw::raw_http($gw,
            "GET / HTTP/1.1\nHost: nowhere.localhost\nConnection: close\n\n");
    };
    my @codes = map { $ask->()->{code} } 1 .. 12;
    is join(' ', @codes[0 .. 4]), '404 404 404 404 404', 'as many as fit';
    cmp_ok scalar(grep { $_ == 429 } @codes), '>', 3, 'the others are refused';
    path($gw->dir, 'nginx.conf')->spurt($good);
    reload();
};

subtest 'what nginx refuses' => sub {
    my $zone = 'aml_rate_zone zone=aml_control:2m rate=200r/s;';
    for my $case (
        ['aml_rate_zone zone=x rate=1r/s;',        qr/invalid zone/],
        ['aml_rate_zone zone=:1m rate=1r/s;',      qr/invalid zone/],
        ['aml_rate_zone zone=x:1q rate=1r/s;',     qr/invalid zone/],
        ['aml_rate_zone zone=x:4k rate=1r/s;',     qr/too small/],
        ['aml_rate_zone zone=x:1m rate=1;',        qr/invalid rate/],
        ['aml_rate_zone zone=x:1m rate=0r/s;',     qr/invalid rate/],
        ['aml_rate_zone zone=x:1m rate=-1r/s;',    qr/invalid rate/],
        ['aml_rate_zone zone=x:1m rate=2000000r/s;', qr/invalid rate/],
        ['aml_rate_zone zone=x:1m key=1;',         qr/invalid parameter/],
        ["$zone $zone",                            qr/is duplicate/],
        [$zone . 'aml_rate zone=x;',               qr/no "aml_rate_zone"/],
        [$zone . 'aml_rate burst=1;',              qr/needs "zone=name"/],
        [$zone . 'aml_rate zone=aml_control burst=0;', qr/invalid burst/],
        [$zone . 'aml_rate zone=aml_control nodelay;', qr/invalid parameter/],
        [$zone . 'aml_rate off; aml_rate off;',    qr/is duplicate/],
        )
    {
        my ($text, $message) = @$case;
        my $file = $gw->dir . '/bad.conf';
        path($file)->spurt($good =~ s/\Q$zone\E/$text/r);
        my $r = $gw->run('', $AML::Test::NGINX, '-t', '-p', $gw->dir, '-c',
            $file);
        isnt $r->{status}, 0, $text;
        like $r->{err}, $message, 'says why';
    }
};

$gw->done;
