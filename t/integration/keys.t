# Keys of identity providers: amld follows them as they change, whatever their
# provider does, and nobody can make it ask too often.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use Test::More;
use Time::HiRes qw(time sleep);
use AML::JWT;
use AML::KeyServer;
use AML::Raw qw(raw_http);
use AML::Test;
use AML::Wait qw(wait_for);

use constant {
    AUD => 'api://aml',
    T1  => '72f988bf-86f1-41af-91ab-2d7cd011db47',
    T2  => '0aa0aaaa-0000-4000-8000-00000000000b',
    MS  => 'https://login.microsoftonline.com',
    COOLDOWN => 2,
    GRACE    => 10,
};

# A stranger who is who they say they are has no role here.
use constant {GOOD => '403 action_denied', UNKNOWN => '401 token_key'};

my $idp   = AML::KeyServer->new(name => 'corp');
my $slow  = AML::KeyServer->new(name => 'slow',  host => 'slow.localhost');
my $short = AML::KeyServer->new(name => 'short', host => 'short.localhost');
my $entra = AML::KeyServer->new(name => 'entra', host => 'ms.localhost');

my $keys = File::Temp::tempdir(CLEANUP => 1);
my %pem  = map { $_ => AML::JWT::new_key($keys, 'ES256') }
    qw(one two three four evil);
my $rsa = AML::JWT::new_key($keys, 'RS256');
path($keys, 'static.json')->spurt(encode_json(
    {keys => [AML::KeyServer::jwk($pem{one}, 'filed')]}));

$idp->publish(one => $pem{one});
$short->publish(one => $pem{one});
$slow->publish(one => $pem{one})->set(mode => 'hang');
$entra->publish(
    all  => {%{AML::KeyServer::jwk($rsa, 'all')},
        issuer => MS . '/{tenantid}/v2.0'},
    t1   => {%{AML::KeyServer::jwk($rsa, 't1')}, issuer => MS . "/@{[T1]}/v2.0"},
    home => {%{AML::KeyServer::jwk($rsa, 'home')},
        issuer => MS . '/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0'},
)->set(says => MS . '/{tenantid}/v2.0');

my $sections = join '',
    $slow->section(audience => [AUD]),
    $idp->section(audience => [AUD], key_cooldown => COOLDOWN . 's'),
    $short->section(
        audience     => [AUD],
        key_grace    => GRACE . 's',
        key_cooldown => '2s'
    ),
    $entra->section(
        kind      => 'entra',
        issuer    => undef,
        discovery => $entra->issuer . '/metadata',
        tenants   => [T1, T2],
        audience  => [AUD],
        key_cooldown => '1s'
    ),
    "issuer filed {\n issuer = \"https://filed.test\"\n"
    . " keys = \"$keys/static.json\"\n audience = { \"@{[AUD]}\" }\n}\n";

my $gw = AML::Test->start(
    providers => [$idp, $slow, $short, $entra],
    accounts  => {creator => 'Contributor'},
    amld      => sub ($text) { $text . $sections },
);

sub token ($iss, $kid, $pem, %claims) {
    my $alg = $pem eq $rsa ? 'RS256' : 'ES256';
    return AML::JWT::make(
        $alg, $pem,
        {alg => $alg, defined $kid ? (kid => $kid) : ()},
        {
            iss => $iss, aud => AUD, sub => 'alice', iat => int time,
            exp => int(time) + 600, %claims
        }
    );
}

# What the gateway says to it: status and reason.
sub ask ($token) {
    my $r = raw_http($gw, join "\n",
        'GET ' . $gw->compute('any-lab') . '?api-version=2022-10-01 HTTP/1.1',
        'Host: ' . $gw->studio_host,
        "Authorization: Bearer $token", 'Connection: close', '', '');
    return join ' ', $r->{code} // 'none',
        $r->{headers}{'x-aml-reason'}[0] // '';
}

sub becomes ($token, $want, $name, $seconds = 10) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $got;
    ok wait_for(sub { ($got = ask($token)) eq $want }, $seconds), $name
        or diag "$got, not $want";
}

sub lines ($issuer, $pattern) {
    return grep { /keys: issuer "\Q$issuer\E": / && /$pattern/ }
        split /\n/, $gw->log_text('amld.err');
}

subtest 'keys are here when amld is' => sub {
    becomes token($idp->issuer, 'one', $pem{one}), GOOD, 'a token is taken';
    is $idp->count('/keys'), 1, 'one fetch of keys';
    is $idp->count('/openid-configuration'), 1, 'and one of metadata';
    is ask(token($idp->issuer, undef, $pem{one})), GOOD,
        'a token without kid, and one key only';
    is ask(token($idp->issuer, 'one', $pem{evil})), '401 token_signature',
        'another key by its name';
    is ask(token('https://filed.test', 'filed', $pem{one})), GOOD,
        'keys that are in a file';
    is ask(token($slow->issuer, 'one', $pem{one})), UNKNOWN,
        'one that hangs has none';
};

subtest 'a rotation that nobody announced' => sub {
    my $before = $idp->count('/keys');
    my $new    = token($idp->issuer, 'two', $pem{two});
    is ask($new), UNKNOWN, 'before';
    # that has used up the cooldown; a new key is there when that is over
    $idp->publish(two => $pem{two});
    my $from = time;
    ok wait_for(sub { ask($new) eq GOOD }), 'the new key is followed';
    cmp_ok time - $from, '<', COOLDOWN + 2 * $ENV{AML_PATIENCE}, 'soon';
    is ask(token($idp->issuer, 'one', $pem{one})), UNKNOWN,
        'the old one is good no longer';
    cmp_ok $idp->count('/keys') - $before, '<=', 2 + $ENV{AML_PATIENCE},
        'two fetches';
    is $idp->count('/openid-configuration'), 1,
        'its metadata was not asked for again';
    is ask(token($idp->issuer, 'two', $pem{two})), GOOD, 'and stays good';
};

subtest 'keys that there are not' => sub {
    my $before = $idp->count('/keys');
    my $meta   = $idp->count('/openid-configuration');
    my $from   = time;
    my ($n, %got) = 0;
    while ($n <= 20 || time - $from < 2.5 * COOLDOWN) {
        $got{ask(token($idp->issuer, 'k' . int(rand 1e9), $pem{evil}))}++;
        $got{ask(token($idp->issuer, 'a/b%00' . $n++, $pem{evil}))}++;
        $got{ask(token($idp->issuer . "/$n", 'one', $pem{evil}))}++;
    }
    is join(',', sort keys %got), '401 token_issuer,' . UNKNOWN,
        'each is refused';
    cmp_ok $n, '>', 20, 'there were many';
    my $fetches = $idp->count('/keys') - $before;
    cmp_ok $fetches, '>=', 1, 'keys were looked for';
    cmp_ok $fetches, '<=', 1 + (time - $from) / COOLDOWN,
        'once in the cooldown';
    is $idp->count('/openid-configuration'), $meta, 'and metadata never';
};

subtest 'whatever it answers instead of keys' => sub {
    my $good = token($idp->issuer, 'two', $pem{two});
    for my $case (
        [error    => qr/it answers with an error \(key set: 503/],
        [redirect => qr/redirects are not followed \(key set: 302/],
        [html     => qr/its answer is not JSON \(key set: text\/html\)/],
        [huge     => qr/its answer is too large/],
        [cut      => qr/its answer was cut off/],
        [drip     => qr/it did not answer in time/],
    ) {
        my ($mode, $words) = @$case;
        $idp->set(mode => $mode, only => 'keys', keys => {});
        ok wait_for(
            sub {
                ask(token($idp->issuer, 'none', $pem{two}));
                lines('corp', $words);
            },
            40
        ), "$mode: is said";
        is ask($good), GOOD, "$mode: the keys that are there stay";
        my $from = time;
        ok $gw->token('creator', 1), "$mode: amld answers";
        cmp_ok time - $from, '<', 3 * $ENV{AML_PATIENCE}, "$mode: at once";
    }
    is scalar(lines('corp', qr/its keys are good until 20/)), 6,
        'once each, with how long it does no harm';
    $idp->set(mode => 'good')->publish(two => $pem{two});
    ok wait_for(
        sub {
            ask(token($idp->issuer, 'none', $pem{two}));
            lines('corp', qr/all is well again/);
        },
        40
    ), 'the end of it is said, too';
};

subtest 'whoever it says it is' => sub {
    # amld asks for metadata once a day; after a restart it asks anew
    $idp->set(says => 'https://evil.test')->publish(
        two => $pem{evil}, evil => $pem{evil});
    my $before = $idp->count('/openid-configuration');
    $gw->stop_amld;
    $gw->start_amld;
    ok wait_for(sub { $idp->count('/openid-configuration') > $before }),
        'asked';
    ok wait_for(sub { lines('corp', qr/names another issuer/) }), 'said';
    is ask(token($idp->issuer, 'two', $pem{two})), GOOD, 'nothing is taken';
    is ask(token($idp->issuer, 'evil', $pem{evil})), UNKNOWN, 'of it';
    $idp->set(says => undef)->publish(two => $pem{two});
};

subtest 'an outage' => sub {
    my $good = token($idp->issuer, 'two', $pem{two});
    $idp->down;
    $gw->kill_amld;
    is ask($good), GOOD, 'without amld and its provider';
    $gw->start_amld;
    ok wait_for(sub { lines('corp', qr/it can't be reached/) }), 'it is said';
    $gw->restart_nginx;
    is ask($good), GOOD, 'after both were started anew';
    sleep 6;
    is scalar(lines('corp', qr/it can't be reached/)), 1, 'it is said once';
    my ($line) = lines('corp', qr/it can't be reached/);
    like $line, qr/ warn .*metadata: .*good until 20.*`proxy`/,
        'with what to look at';

    $idp->publish(three => $pem{three});
    $idp->up;
    becomes token($idp->issuer, 'three', $pem{three}), GOOD,
        'its end: new keys are here', 20;
    is ask($good), UNKNOWN, 'and old ones gone';
};

subtest 'an outage that is too long' => sub {
    my $token = token($short->issuer, 'one', $pem{one});
    becomes $token, GOOD, 'good';
    sleep GRACE;
    is ask($token), GOOD, 'as long as its keys can be fetched';
    $short->down;
    my $from = time;
    becomes $token, UNKNOWN, 'refused after that', 2 * GRACE;
    cmp_ok time - $from, '>', GRACE / 2, 'not sooner';
    ok wait_for(sub { lines('short', qr/error? .*its keys have ended at/) }, 40),
        'it is said';
    my ($line) = lines('short', qr/its keys have ended/);
    like $line, qr/ error /, 'as an error';
    $short->up;
    becomes $token, GOOD, 'until it is back', 20;
};

subtest 'Entra' => sub {
    my $v2 = sub ($tid, $kid, %c) {
        token(MS . "/$tid/v2.0", $kid, $rsa, tid => $tid, oid => 'o1',
            scp => 'access', azp => 'cli', ver => '2.0', %c);
    };
    my $v1 = sub ($tid, $kid, %c) {
        token("https://sts.windows.net/$tid/", $kid, $rsa, tid => $tid,
            oid => 'o1', scp => 'access', appid => 'cli', ver => '1.0', %c);
    };
    for my $tid (T1, T2) {
        is ask($v2->($tid, 'all')), GOOD, "v2 of $tid";
        is ask($v1->($tid, 'all')), GOOD, "v1 of $tid";
        is ask($v2->($tid, 'home')), UNKNOWN,
            'a key of accounts that are no tenant\'s';
    }
    is ask($v2->(T1, 't1')), GOOD,    'a tenant\'s own key';
    is ask($v1->(T1, 't1')), GOOD,    'in v1 as well';
    is ask($v2->(T2, 't1')), UNKNOWN, 'is not another\'s';
    is ask($v1->(T2, 't1')), UNKNOWN, 'in v1 neither';
    is ask($v2->('9188040d-6c67-4c5b-b112-36a304b66dad', 'home')),
        '401 token_issuer', 'who is no tenant of ours';
    is ask($v2->(T1, 'all', tid => T2)), '401 token_claims',
        'a tenant that its issuer does not name';
    is ask($v2->(T1, 'all', scp => '')), '401 token_claims',
        'neither scope nor role';
    is ask($v2->(T1, 'all', azp => '', roles => ['a'])), '401 token_claims',
        'an ID token';
};

subtest 'a section that goes' => sub {
    my $good = token($idp->issuer, 'three', $pem{three});
    is ask($good), GOOD, 'before';
    my $conf = path($gw->dir, 'amld.conf');
    my $text = $conf->slurp;
    my $gone = $text =~ s/^issuer corp \{.*?^\}\n//msr;
    isnt $gone, $text, 'it is gone';
    $conf->spurt($gone);
    $gw->stop_amld;
    $gw->start_amld;
    is ask($good), '401 token_issuer', 'and its tokens with it';
    is ask(token('https://filed.test', 'filed', $pem{one})), GOOD,
        'others stay';
    ok $gw->token('creator', 1), 'our own do';
    $conf->spurt($text);
    $gw->stop_amld;
    $gw->start_amld;
    becomes $good, GOOD, 'and is back';
};

subtest 'amld ends at once, whoever hangs' => sub {
    ok wait_for(sub { $slow->count('/openid-configuration') }), 'it hangs';
    my $from = time;
    is $gw->stop_amld, 0, 'a clean end';
    cmp_ok time - $from, '<', 5 * $ENV{AML_PATIENCE}, 'soon';
    $gw->start_amld;
};

subtest 'amld -t' => sub {
    my $conf = path($gw->dir, 'bad.conf');
    my $text = path($gw->dir, 'amld.conf')->slurp;
    path($keys, 'empty.json')->spurt('{"keys":[]}');
    $conf->spurt($text =~ s/static\.json/empty.json/r);
    my $r = $gw->run('', $AML::Test::AMLD, '-t', '-c', "$conf");
    is $r->{status}, 1, 'a key set without keys is a fault';
    like $r->{err}, qr/bad\.conf:\d+: issuer "filed": keys: .*no key that can/,
        'with its line';
};

$gw->done;
