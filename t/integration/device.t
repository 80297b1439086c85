# A command line signs in by a code that a person approves elsewhere, RFC 8628;
# and stays signed in by refresh tokens, each good once, or twice where an answer
# may be lost.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(decode_json);
use Mojo::Util qw(b64_decode);
use Test::More;
use AML::Test;
use AML::Wait qw(turn wait_for);

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator'},
    amld      => sub ($text) {
        "backoff_address = 1000\nsession_lifetime = 1d\n$text"}
);
my $page     = $gw->studio_url('/auth/device');
my $lab      = $gw->app_url('first-lab', '/api/status');
my $sessions = $gw->studio_url('/auth/sessions');
my $grant    = 'urn:ietf:params:oauth:grant-type:device_code';
my $me       = $gw->signed_in('creator');
my @secrets;

sub ask ($client = 'aml on box') {
    my $tx = $gw->program->request(POST => $page,
        form => {client_id => $client});
    is $tx->res->code, 200, 'codes are given out';
    push @secrets, $tx->res->json('/device_code');
    return $tx->res->json;
}

sub token (%form) {
    my $tx = $gw->program->request(
        POST => $gw->studio_url('/auth/token'),
        form => \%form
    );
    my $json = $tx->res->json;
    push @secrets, grep {defined} @{$json}{qw(access_token refresh_token)};
    return $json;
}

sub redeem ($device) {
    return token(grant_type => $grant, device_code => $device->{device_code});
}

sub refresh ($token, %more) {
    return token(grant_type => 'refresh_token', refresh_token => $token,
        client_id => 'aml on box', %more);
}

sub open_page ($who, $device) {
    return $who->navigate($device->{verification_uri_complete});
}

sub answer ($who, $device, $answer = 'approve') {
    my $tx = open_page($who, $device);
    return $who->submit($tx, {answer => $answer},
        form => 'form[action$=answer]');
}

sub by ($token) { return {Authorization => "Bearer $token->{access_token}"} }
sub code ($token) { $gw->program->get($lab, headers => by($token))->res->code }

subtest 'the whole way' => sub {
    my $d = ask();
    like $d->{user_code}, qr/^[BCDFGHJKLMNPQRSTVWXZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}$/,
        'a code that can be typed';
    is $d->{verification_uri}, $page, 'where to enter it';
    is $d->{verification_uri_complete}, "$page?user_code=$d->{user_code}",
        'or with it';
    is_deeply [@{$d}{qw(expires_in interval)}], [900, 5], 'for how long';
    is redeem($d)->{error}, 'authorization_pending', 'nobody has answered';
    is redeem($d)->{error}, 'slow_down', 'asked too soon';

    my $new = $gw->browser;
    my $tx  = $new->navigate($d->{verification_uri_complete});
    is $tx->req->url->path, '/auth/sign-in', 'who is not signed in does that';
    $tx = $gw->fill_sign_in($new, $tx, 'creator');
    is $tx->req->url->path_query, "/auth/device?user_code=$d->{user_code}",
        'and comes back';
    my $text = $tx->res->dom->at('main')->all_text;
    like $text, $_, "is shown $_"
        for qr/aml on box/, qr/127\.0\.0\.1/, qr/\Q$d->{user_code}\E/,
        qr/creator/;
    ok !$tx->res->dom->at('script'), 'needs no script';
    unlike $tx->res->body, qr/another address/, 'the same address';
    $tx = answer($new, $d);
    like $tx->res->dom->at('h1')->text, qr/signed in/, 'approved';

    my $t = redeem($d);
    is $t->{token_type}, 'Bearer', 'a token';
    is $t->{expires_in}, 3600, 'for an hour';
    is code($t), 200, 'it opens what is one\'s own';
    is redeem($d)->{error}, 'invalid_grant', 'the code is good once';
    is code($t), 200, 'and a second attempt ends nothing';

    my ($seen) = grep { $_->{method} eq 'device' }
        @{$me->fetch(GET => $sessions)->res->json('/value')};
    is $seen->{client}, 'aml on box', 'it is among one\'s sessions';
    my (undef, $claims) = split /\./, $t->{access_token};
    is decode_json(b64_decode($claims =~ tr{-_}{+/}r))->{sid}, $seen->{id},
        'which the token names';
    my ($this) = grep { $_->{current} }
        @{$gw->program->get($sessions, headers => by($t))->res->json('/value')};
    is $this->{id}, $seen->{id}, 'and knows itself by';

    my $ws = $gw->program->websocket($lab, headers => by($t));
    ok $ws->echoes('x'), 'a websocket';
    is $me->fetch(DELETE => "$sessions/$seen->{id}")->res->code, 204,
        'ended by the person';
    ok $ws->closes(1), 'is closed within a second';
    is code($t), 401, 'the token is void';
    is refresh($t->{refresh_token})->{error}, 'invalid_grant',
        'as is what would refresh it';
};

subtest 'refresh' => sub {
    my $d = ask();
    answer($me, $d);
    my $t = redeem($d);
    is refresh($t->{refresh_token}, client_id => 'another')->{error},
        'invalid_grant', 'for the client that asked only';
    is token(
        grant_type    => 'refresh_token',
        refresh_token => $t->{refresh_token}
    )->{error}, 'invalid_request', 'which has to say who it is';
    my $next = refresh($t->{refresh_token});
    is code($next), 200, 'a new token';
    isnt $next->{refresh_token}, $t->{refresh_token}, 'and the next of these';
    is code($t), 200, 'the token before is good still';
    my $lost = $next;
    $next = refresh($t->{refresh_token});
    is code($next), 200, 'once more, as the answer may be lost';
    like $gw->log_text('amld.err'),
        qr/a refresh token came again at once.* from 127\.0\.0\.1/,
        'the log says so';
    my $third = refresh($next->{refresh_token});
    is code($third), 200, 'and so on';
    my $ws = $gw->program->websocket($lab, headers => by($third));
    ok $ws->echoes('x'), 'a websocket';
    is refresh($t->{refresh_token})->{error}, 'invalid_grant',
        'one whose next was used';
    ok $ws->closes(1), 'ends all of it';
    is code($_), 401, 'every token' for $t, $lost, $next, $third;
    is refresh($third->{refresh_token})->{error}, 'invalid_grant',
        'and the last of these';
    like $gw->log_text('amld.err'), qr/refresh token was used twice/,
        'the log says so';
    is refresh('amlr_' . 'A' x 86)->{error}, 'invalid_grant', 'an invented one';
    is refresh('')->{error}, 'invalid_grant', 'none';
};

subtest 'denied, and asked wrongly' => sub {
    my $d  = ask();
    my $tx = answer($me, $d, 'deny');
    like $tx->res->dom->at('h1')->text, qr/Denied/, 'denied';
    is redeem($d)->{error}, 'access_denied', 'nothing is given';
    answer($me, $d) if open_page($me, $d)->res->code == 200;
    is redeem($d)->{error}, 'access_denied', 'an answer is final';
    for my $bad (undef, '', 'x' x 65, "a\x07b") {
        my $tx = $gw->program->request(POST => $page,
            form => {defined $bad ? (client_id => $bad) : ()});
        is $tx->res->code, 400, 'a client without a name';
        is $tx->res->json('/error'), 'invalid_request', 'is told';
    }
    is token(grant_type => 'password')->{error}, 'unsupported_grant_type',
        'another grant';
    is token(grant_type => $grant)->{error}, 'invalid_request', 'no code';
    is token(grant_type => $grant, device_code => 'x')->{error},
        'invalid_grant', 'no such code';
    is token(grant_type => $grant, device_code => $d->{user_code})->{error},
        'invalid_grant', 'the user code is none';
};

subtest 'who may answer' => sub {
    my $d = ask('<script>alert(1)</script>');
    my $tx = open_page($me, $d);
    unlike $tx->res->body, qr/<script/, 'what it calls itself is text';
    like $tx->res->dom->at('strong')->text, qr/^<script>alert/, 'and shown';
    my $answer = $gw->studio_url('/auth/device/answer');
    my %form   = (user_code => $d->{user_code}, answer => 'approve');

    # A page elsewhere, which the person is on.
    for my $from ($gw->app_origin('first-lab'), 'https://evil.example', 'null')
    {
        $me->navigate($answer, method => 'POST', form => \%form,
            from => $from);
        is redeem($d)->{error} =~ /pending|slow_down/, 1, "not $from";
    }
    for my $headers ($gw->bearer('creator'),) {
        my $tx = $gw->program->request(POST => $answer, form => \%form,
            headers => $headers);
        is $tx->res->code, 401, 'not a token: by a session only';
    }
    my $pat = $me->fetch(POST => $gw->studio_url('/auth/tokens'),
        json => {name => 'x', instances => 'all', actions => ['*']});
    $tx = $gw->program->request(
        POST    => $answer,
        form    => \%form,
        headers => {
            Authorization => 'Bearer ' . $pat->res->json('/token')
        }
    );
    is $tx->res->code, 403, 'nor a personal token';
    $tx = $gw->program->request(POST => $answer, form => \%form);
    is $tx->res->code, 401, 'nor nobody';
    like redeem($d)->{error}, qr/pending|slow_down/, 'it still waits';
    $tx = $me->navigate($page, from => $gw->studio);
    is $tx->res->headers->header('X-Frame-Options'), 'DENY', 'in no frame';

    # Entered elsewhere than where it was asked: the page says so.
    my $far = $gw->browser;
    $far->ua->socket_options(
        {PeerAddr => '127.0.0.1', LocalAddr => '127.0.9.1'});
    $gw->signed_in('colleague', $far);
    $tx = open_page($far, $d);
    like $tx->res->dom->at('.alert')->text, qr/another address/, 'a warning';
    answer($far, $d);
    my $t = redeem($d);
    is code($t), 403, 'whoever approves it is whose it is';
    is $gw->program->get($lab, headers => by($t))->res
        ->headers->header('X-AML-Reason'), 'not_creator', 'and nobody else\'s';
};

subtest 'codes are not guessed' => sub {
    my $them = $gw->signed_in('colleague');
    my $try  = sub ($who, $code) {
        return $who->navigate("$page?user_code=$code", from => $gw->studio);
    };
    is $try->($them, 'BCDF-BCDF')->res->code, 404, 'a wrong code' for 1 .. 5;
    my $tx = $try->($them, 'BCDF-BCDF');
    is $tx->res->code, 429, 'then one waits';
    is $tx->res->headers->header('X-AML-Reason'), 'try_later', 'the reason';
    ok $tx->res->headers->header('Retry-After'), 'for so long';
    my $mine = ask();
    is $try->($them, $mine->{user_code})->res->code, 429, 'a right one waits';
    is $try->($me, $mine->{user_code})->res->code, 200, 'others do not';

    # A code of one's own buys no more guesses.
    my $wait = $tx->res->headers->header('Retry-After');
    my $until = time + $wait + 1;
    turn(0.1) while time < $until;
    is $try->($them, $mine->{user_code})->res->code, 200, 'after that, one';
    is $try->($them, 'BCDF-BCDF')->res->code, 404, 'and one';
    is $try->($them, 'BCDF-BCDF')->res->code, 429, 'and no more';
};

subtest 'who has approved is gone' => sub {
    my $one = $gw->signed_in('creator');
    my $d   = ask();
    answer($one, $d);
    $one->navigate($gw->studio_url('/auth/sign-out'), method => 'POST',
        form => {}, from => $gw->studio);
    is redeem($d)->{error}, 'access_denied', 'signed out before it asked';

    $d = ask();
    answer($me, $d);
    my $t = redeem($d);
    is code($t), 200, 'signed in';
    $gw->amld_ok('account', 'password', 'creator', '--password-stdin',
        \"another one\n");
    is code($t), 401, 'a new password ends it';
    is refresh($t->{refresh_token})->{error}, 'invalid_grant', 'for good';
    $gw->passwords->{creator} = 'another one';
    $me = $gw->signed_in('creator');
};

subtest 'amld is killed' => sub {
    my $d = ask();
    $gw->kill_amld;
    $gw->start_amld;
    is redeem($d)->{error}, 'authorization_pending', 'after it was asked';
    answer($me, $d);
    $gw->kill_amld;
    $gw->start_amld;
    my $t = redeem($d);
    is code($t), 200, 'after it was approved';
    $gw->kill_amld;
    is code($t), 200, 'meanwhile';
    $gw->start_amld;
    is redeem($d)->{error}, 'invalid_grant', 'after it was redeemed';
    $t = refresh($t->{refresh_token});
    is code($t), 200, 'it goes on';
};

subtest 'in no log, and not in the registry' => sub {
    my $logs = join '', $gw->amld_ok('registry', 'dump', '--json'),
        map { Mojo::File->new($_)->slurp }
        glob $gw->dir . '/{log,nginx}/*.{log,err,out}';
    cmp_ok scalar @secrets, '>', 10, 'there are secrets';
    is scalar(grep { index($logs, $_) >= 0 } @secrets), 0, 'none is there';
};

$gw->done;
