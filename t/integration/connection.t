# Requests that follow each other on one connection, and what a worker keeps of
# the registry, of tokens and of their headers.  Nothing may outlive its reason:
# another credential, host or origin on the same connection, a change in the
# registry, the credential's end.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::JWT;
use AML::Raw qw(raw_dialogue);
use AML::Test;

# names of one length: hosts that differ in their letters only
my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator', 'other-lab' => 'creator'},
    nginx     => sub ($t) { $t =~ s/worker_processes \d+/worker_processes 1/r }
);
my $host = sub ($name) { $gw->app_host($name) . ':' . $gw->port };
my $me   = $gw->opened('creator', 'first-lab');
my $mine = 'Cookie: __Host-aml='
    . $me->cookie('__Host-aml', $gw->app_host('first-lab'));
my $bearer = sub ($account) {"Authorization: Bearer " . $gw->token($account)};
my $alter = sub ($header) {
    substr $header, -20, 1, substr($header, -20, 1) eq 'A' ? 'B' : 'A';
    return $header;
};

my $talk = raw_dialogue($gw, $gw->app_host('first-lab'));

# Status and reason of one request on the one connection.
my $ask = sub ($name, @headers) {
    my $method = @headers && $headers[0] =~ /^[A-Z]+$/ ? shift @headers : 'GET';
    my $r = $talk->("$method /x HTTP/1.1", 'Host: ' . $host->($name),
        'Content-Length: 0', @headers);
    return join ' ', $r->{code}, $r->{headers}{'x-aml-reason'}[0] // 'ok';
};
my $often = sub ($name, @headers) {
    is $ask->($name, @headers), '200 ok', "request $_" for 1 .. 4;
};

subtest 'another credential' => sub {
    $often->('first-lab', $mine);
    is $ask->('first-lab', $alter->($mine)), '401 session_unknown',
        'another cookie';
    is $ask->('first-lab', substr $mine, 0, -1), '401 session_malformed',
        'a shorter one';
    is $ask->('first-lab'), '401 sign_in_required', 'none';
    is $ask->('first-lab', $mine), '200 ok', 'the cookie again';
    $often->('first-lab', $bearer->('creator'));
    is $ask->('first-lab', $bearer->('colleague')), '403 not_creator',
        'a colleague\'s token';
    like $ask->('first-lab', $alter->($bearer->('creator'))), qr/^401 token_/,
        'a token with another signature';
    is $ask->('first-lab', $mine, $alter->($bearer->('creator'))),
        '401 token_signature', 'a bad token beside a good cookie';
};

subtest 'another origin' => sub {
    $often->('first-lab', $mine);
    is $ask->('first-lab', 'POST', $mine, 'Origin: https://evil.test'),
        '403 cross_origin', 'by Origin';
    is $ask->('first-lab', $mine, 'Sec-Fetch-Site: cross-site',
        'Sec-Fetch-Mode: no-cors'), '403 cross_origin', 'by Fetch Metadata';
};

subtest 'another host' => sub {
    $often->('first-lab', $mine);
    is $ask->('other-lab', $mine), '401 session_host', 'a cookie of the first';
    $often->('first-lab', $bearer->('creator'));
    my %pid;
    for my $name (qw(first-lab other-lab first-lab)) {
        my $r = $talk->('GET /x HTTP/1.1', 'Host: ' . $host->($name),
            $bearer->('creator'));
        is $r->{code}, 200, $name;
        $pid{$name}{$r->{headers}{'x-stand-in-pid'}[0] // ''}++;
    }
    is_deeply [map scalar(keys %$_), values %pid], [1, 1], 'each is one process';
    isnt((keys %{$pid{'first-lab'}})[0], (keys %{$pid{'other-lab'}})[0],
        'of its own');
};

subtest 'a credential that ends, without a commit' => sub {
    my $key = AML::JWT::new_key($gw->dir, 'RS256');
    my $iss = 'https://issuer.test';
    $gw->edit(
        {
            op => 'issuer', iss => $iss, algs => ['RS256'],
            audiences => ['api://aml'], identity => 'principal'
        },
        {op => 'key', iss => $iss, kid => 'k', pem => $key}
    );
    my $creator = decode($gw, 'creator');
    my $now     = time;
    my $token = 'Authorization: Bearer ' . AML::JWT::make('RS256', $key,
        {alg => 'RS256', kid => 'k'},
        {
            iss => $iss, aud => 'api://aml', sub => $creator, iat => $now,
            exp => $now + 4
        });
    $often->('first-lab', $token);
    my $last;
    ok AML::Wait::wait_for(
        sub { ($last = $ask->('first-lab', $token)) ne '200 ok' }, 15),
        'it ends';
    is $last, '401 token_expired', 'as expired';
};

subtest 'a change in the registry' => sub {
    $often->('other-lab', $bearer->('creator'));
    is $gw->api(POST => $gw->compute('other-lab') . '/stop', 'creator')
        ->res->code, 202, 'stop';
    isnt $ask->('other-lab', $bearer->('creator')), '200 ok',
        'a stopped instance, on the next request';
    $often->('first-lab', $mine);
    is $me->fetch(POST => $gw->app_url('first-lab', '/.aml/sign-out'))
        ->res->is_error, '', 'sign-out, on another connection';
    is $ask->('first-lab', $mine), '401 session_unknown',
        'the session, on the next request';
};

# The subject of an account's tokens.
sub decode ($gw, $account) {
    my (undef, $claims) = split /[.]/, $gw->token($account);
    require MIME::Base64;
    return Mojo::JSON::decode_json(MIME::Base64::decode_base64url($claims))
        ->{sub};
}

$gw->done;
