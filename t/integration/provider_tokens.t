# Tokens of a real provider: who they are and what groups they bring, new keys
# that are announced or not, outages, and a section that is taken out.  What
# else can go wrong with keys is in keys.t.

use Mojo::Base -strict, -signatures;
use utf8;
use FindBin;
use lib "$FindBin::Bin/../lib";
use MIME::Base64 qw(decode_base64url encode_base64url);
use Mojo::JSON qw(decode_json encode_json);
use Test::More;
use Time::HiRes qw(time);
use AML::JWT;
use AML::Provider;
use AML::Provider::Client;
use AML::RawWebSocket;
use AML::Test;
use AML::Wait qw(wait_for);

my $patience = $ENV{AML_PATIENCE} || 1;

my $idp = AML::Provider->make('oidc-provider',
    redirect_uris => ['https://client.localhost/callback']);
my $client = AML::Provider::Client->new(idp => $idp);

# What the section has besides; undef: there is none.
my %option = (
    key_refresh  => '1h',
    key_cooldown => '3s',
    key_grace    => '1h',
);

sub section ($text) {
    return $text unless %option;
    return $text . join "\n", 'issuer "lab" {',
        sprintf('    issuer = "%s"', $idp->issuer),
        sprintf('    audience = { "%s" }', $idp->audience),
        '    ca = "tls/ca.pem"',
        (map {"    $_ = $option{$_}"} sort keys %option), '}', '';
}

my $gw = AML::Test->start(providers => [$idp], amld => \&section);
my $W  = $gw->workspace;

sub configured (%o) {
    %option = %o;
    $gw->write_amld_conf;
    is $gw->stop_amld, 0, 'amld ends';
    $gw->start_amld;
}

# What the gateway says to a token: status and reason.
sub ask ($token, $path = "$W/computes") {
    my $tx = $gw->program->get(
        $gw->studio_url("$path?api-version=2022-10-01"),
        headers => {Authorization => "Bearer $token"}
    );
    return join ' ', $tx->res->code,
        $tx->res->headers->header('X-AML-Reason') // 'ok';
}

# Until amld has done something; keys come a moment after it serves.
sub comes_to ($answer, $token, $name, $seconds = 10) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $last = '';
    ok wait_for(sub { ($last = ask($token)) eq $answer }, $seconds), $name
        or diag "it is $last instead of $answer";
}

sub log_count ($pattern) {
    return scalar(() = $gw->log_text('amld.err') =~ /$pattern/g);
}

sub fetches { $idp->requests('/jwks') }

sub claims_of ($token) { decode_json(decode_base64url((split /\./, $token)[1])) }

# Signed by nobody, with a kid that nobody has published.
sub invented ($kid, %claims) {
    return join '.', map { encode_base64url($_) }
        encode_json({alg => 'RS256', kid => $kid, typ => 'at+jwt'}),
        encode_json({iss => $idp->issuer, aud => $idp->audience, sub => 'x',
            exp => int(time) + 600, %claims}), 'x' x 256;
}

my %token;

subtest 'tokens of the provider' => sub {
    $token{$_} = $client->access_token($_) for qw(alice bob carol);
    comes_to('403 action_denied', $token{alice}, 'are taken');
    is log_count(qr/info keys: issuer "lab": its key set has changed/), 1,
        'once its keys have come, as the log says';
    is fetches(), 1, 'by one fetch';
    my $dump = $gw->amld_ok(qw(registry dump));
    like $dump, qr{^keyset/\S*oidc-provider\S*\n(?:    .*\n)*
        \ +source:\ \Q@{[$idp->discovery]}\E\n}mx, 'the registry says whence';

    my $me = $client->sign_in('bob');
    is ask($me->{tokens}{id_token}), '401 token_type', 'an ID token';
    is ask($me->{tokens}{access_token}), '401 token_malformed',
        'an access token for something else, which is opaque here';
    my ($h, $c, $s) = split /\./, $token{bob};
    is ask("$h.$c." . substr($s, 0, -8) . 'AAAAAAAA'), '401 token_signature',
        'another signature';
    my $forged = encode_base64url(encode_json({%{claims_of($token{bob})},
        groups => ['admins']}));
    is ask("$h.$forged.$s"), '401 token_signature', 'other claims';
    my $none = encode_base64url(encode_json({alg => 'none', typ => 'at+jwt'}));
    is ask("$none.$c."), '401 token_algorithm', 'no signature';
    is ask(invented('x', iss => $idp->issuer . '/')), '401 token_issuer',
        'an issuer with a slash more';
    is ask(invented('x', iss => 'http' . substr $idp->issuer, 5)),
        '401 token_issuer', 'or without TLS';
};

subtest 'groups' => sub {
    my $space = $idp->issuer;
    my ($one, $two) = map {
        $gw->amld_ok(qw(principal id --group staff), @$_) =~ s/\n//r
    } [qw(--issuer lab)], ['--space', $space];
    is $one, $two, 'a section stands for its namespace';
    like $gw->amld(qw(principal id --group staff --issuer other))->{err},
        qr/other: the configuration has no such issuer/, 'if there is one';

    is ask($token{bob}), '403 action_denied', 'nobody has a role at first';
    $gw->amld_ok(qw(role assign --group staff --issuer lab --role Reader),
        '--scope', $W);
    is ask($token{bob}),   '200 ok', 'a role of the group is its members\'';
    is ask($token{alice}), '200 ok', 'all of them';
    is ask($token{carol}), '403 action_denied', 'and nobody else\'s';
    like $gw->amld_ok(qw(role list --group staff --issuer lab)),
        qr/  Group +staff +Reader /, 'the list has it by name';
    $gw->amld_ok(qw(role remove --group staff --issuer lab --role Reader),
        '--scope', $W);
    is ask($token{bob}), '403 action_denied', 'until it is taken away';
    $gw->amld_ok(qw(role assign --group staff --issuer lab --role Contributor),
        '--scope', $W);

    my $id = $gw->amld_ok(qw(principal id --issuer lab --subject),
        $idp->subject('carol')) =~ s/\n//r;
    $gw->amld_ok(qw(role assign --role Reader --type User --scope), $W,
        '--principal', $id);
    is ask($token{carol}), '200 ok', 'a person is who the provider calls so';
    $gw->amld_ok(qw(principal disable --issuer lab --subject),
        $idp->subject('carol'));
    is ask($token{carol}), '401 principal_revoked', 'and is refused by it';
};

subtest 'new keys that are announced' => sub {
    configured(%option, key_refresh => '2s');
    my $old = $token{bob};
    is ask($old), '200 ok', 'a token of the old key';
    $idp->announce_keys;
    my $published = fetches();
    ok wait_for(sub { fetches() > $published }), 'amld sees them';
    ok wait_for(sub { 4 == (() = $gw->amld_ok(qw(registry dump))
                =~ m{^key/https:%2F%2Foidc}mg) }), 'and has all four';
    my $kid = $idp->rotate_keys;
    my %seen;
    my $until = time + 3;
    while (time < $until) {
        my $new = $client->access_token('bob');
        $seen{ask($_)}++ for $old, $new;
    }
    is_deeply [keys %seen], ['200 ok'], 'nobody notices';
    is decode_json(decode_base64url((split /\./,
        $client->access_token('bob'))[0]))->{kid}, $kid, 'the new key signs';
    cmp_ok log_count(qr/its key set has changed/), '<=', 4,
        'workers are not told without need';
    $token{bob} = $client->access_token('bob');
};

subtest 'new keys that are not' => sub {
    configured(%option, key_refresh => '1h');
    comes_to('200 ok', $token{bob}, 'the key of before');
    $idp->rotate_keys;
    my $before = fetches();
    my $new = $client->access_token('bob');
    is ask($token{bob}), '200 ok', 'an old token stays good';
    like ask($new), qr/^(?:401 token_key|200 ok)$/, 'a new one is not yet';
    comes_to('200 ok', $new, 'but a moment later', 5);
    is fetches() - $before, 1, 'by one fetch';
    is ask($token{bob}), '200 ok', 'and the old one still is';

    $idp->rotate_keys(keep => 0);
    $new = $client->access_token('bob');
    comes_to('200 ok', $new, 'old keys are withdrawn', 10);
    is ask($token{bob}), '401 token_key', 'with what they signed';
    $token{bob} = $new;
};

subtest 'a flood of keys that nobody has' => sub {
    AML::Wait::turn(3.5);
    my $before = fetches();
    my $since  = time;
    my (%seen, $n);
    while (time - $since < 10) {
        $seen{ask(invented('kid-' . ++$n))}++;
        $seen{ask($token{bob})}++ if $n % 20 == 0;
    }
    my $spent = time - $since;
    my $fetched = fetches() - $before;
    note "$n tokens in $spent s, $fetched fetches";
    is_deeply [sort keys %seen], ['200 ok', '401 token_key'],
        'are refused, and others are not';
    cmp_ok $fetched, '<=', 1 + $spent / 3, 'one fetch in key_cooldown';
    cmp_ok $fetched, '>=', 2, 'which there is';
    my $metadata = $idp->requests('/.well-known/openid-configuration');
    is ask(invented("\x{e9}" x 127)), '401 token_key', 'a kid beyond ASCII';
    like ask(invented('x' x 300)), qr/^401 token_key/, 'a long one';
    is ask(invented("a\n")), '401 token_key', 'one that can\'t be';
    is $idp->requests('/.well-known/openid-configuration'), $metadata,
        'metadata was not fetched for it';
    unlike $gw->log_text('amld.err'), qr/kid-/, 'kids are not in the log';
};

subtest 'an outage' => sub {
    $idp->outage(1);
    configured(%option, key_refresh => '2s', key_grace => '1h');
    is ask($token{bob}), '200 ok', 'amld was started meanwhile: keys are there';
    ok wait_for(sub { log_count(qr/warn keys: issuer "lab": it can't be/) == 1 }),
        'the log says it';
    like $gw->log_text('amld.err'), qr/^\S+\ warn\ keys:\ issuer\ "lab":
        \ it\ can't\ be\ reached\ .*;\ its\ keys\ are\ good\ until
        \ \d{4}-.*Z;\ look\ whether\ it\ runs/mx, 'and until when, and what to do';
    ask(invented("outage-$_")) for 1 .. 20;
    AML::Wait::turn(8);
    is ask($token{bob}), '200 ok', 'tokens go on';
    is ask(invented('x')), '401 token_key', 'unknown keys are refused';
    is log_count(qr/issuer "lab": it can't be reached/), 1,
        'one line, however often it was tried';
    is $gw->signed_in('creator')->navigate($gw->studio_url('/'))->res->code,
        200, 'local accounts sign in meanwhile';
    $gw->kill_amld;
    is ask($token{bob}), '503 daemon_unavailable',
        'who it is and what they may is known without amld, too';
    is ask($token{carol}), '401 token_key', 'of others as well';
    $gw->start_amld;
    is ask($token{bob}), '200 ok', 'and after it was killed';

    $idp->outage(0);
    ok wait_for(sub { log_count(qr/issuer "lab": all is well again/) == 1 },
        20), 'the provider comes back: the log says so';
    $idp->rotate_keys;
    comes_to('200 ok', $client->access_token('bob'), 'its new keys are taken');
};

subtest 'an outage that lasts too long' => sub {
    configured(%option, key_refresh => '2s', key_grace => '10s');
    comes_to('200 ok', $token{bob}, 'before');
    AML::Wait::turn(3);    # keys with the new end are fetched
    my $from = time;
    $idp->outage(1);
    my $last = $from;
    ok wait_for(
        sub {
            my $is = ask($token{bob});
            $last = time if $is eq '200 ok';
            $is eq '401 token_key';
        }, 30
    ), 'keys end';
    cmp_ok $last - $from, '>=', 7,  'not before key_grace';
    cmp_ok $last - $from, '<=', 14, 'nor long after';
    ok wait_for(sub { log_count(qr/error\ keys:\ issuer\ "lab":\ its\ keys\ have
        \ ended/x) == 1 }), 'the log has an error';
    $idp->outage(0);
    comes_to('200 ok', $token{bob}, 'until it is back', 30);
};

subtest 'a provider that was never there' => sub {
    configured(%option, key_refresh => '1h', key_grace => '1h');
    comes_to('200 ok', $token{bob}, 'before');
    my %there = %option;
    configured(%option, discovery => '"https://nobody.localhost:1/metadata"');
    is ask($token{bob}), '401 token_key',
        'keys of another address are not kept';
    ok wait_for(sub { log_count(qr/there are no keys yet and its tokens are/) }),
        'the log says so';
    configured(%there);
    comes_to('200 ok', $token{bob}, 'and the right one again');
};

subtest 'a section that is taken out' => sub {
    $gw->amld_ok(qw(role assign --group researchers --issuer lab --role),
        'Contributor', '--scope', $W);
    my $alice = $client->access_token('alice');
    my $tx = $gw->program->request(
        PUT  => $gw->studio_url($gw->compute('alice-lab')
                . '?api-version=2022-10-01'),
        json => $gw->compute_body,
        headers => {Authorization => "Bearer $alice"}
    );
    like $tx->res->code, qr/^20[01]$/, 'alice creates an instance';
    $gw->wait_state('alice-lab', 'Running');
    my $open = sub ($credential) {
        my $ws = AML::RawWebSocket->open($gw, $gw->app_host('alice-lab'), '/ws',
            $credential);
        is $ws->code, 101, 'and a websocket';
        return $ws;
    };
    my $ws = $open->("Authorization: Bearer $alice");
    $gw->create_instance('first-lab', 'creator');
    my $other = AML::RawWebSocket->open($gw, $gw->app_host('first-lab'), '/ws',
        'Authorization: Bearer ' . $gw->token('creator'));
    is $other->code, 101, 'somebody else has another';

    is $gw->stop_amld, 0, 'amld ends';
    $ws->text('x');
    ok $ws->read(5, sub ($ws) { @{$ws->last} > 0 }), 'both stay';
    %option = ();
    $gw->write_amld_conf;
    my $since = time;
    $gw->start_amld;
    ok $ws->read(10 * $patience), 'the provider\'s is closed';
    is_deeply $ws->close_frame, [1008, 'token_key'], 'with its reason';
    cmp_ok $ws->ended_at - $since, '<', 3 * $patience, 'soon';
    ok !$other->ended, 'the other is not';
    $other->text('y');
    ok $other->read(5, sub ($ws) { @{$ws->last} > 0 }), 'and echoes';

    is ask($alice), '401 token_issuer', 'tokens are refused';
    my $dump = $gw->amld_ok(qw(registry dump));
    unlike $dump, qr{^(?:issuer|key|keyset)/\S*oidc-provider}m,
        'nothing of it is in the registry';
    like $dump, qr{^issuer/}m, 'but our own is';
    is $gw->api(GET => "$W/computes", 'creator')->res->code, 200,
        'and its tokens are good';
    like $gw->amld(qw(principal id --group x --issuer lab))->{err},
        qr/no such issuer/, 'its name means nothing';
    $_->close for $ws, $other;
};

$gw->done;
