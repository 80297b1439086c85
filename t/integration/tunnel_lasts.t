# How long what is open may stay, by what let it in: a token of a sign-in as
# long as the sign-in, any other credential as long as itself.  Tokens here are
# signed by a key of ours, so that they can be short.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(sleep time);
use AML::JWT;
use AML::Test;
use AML::Tunnel;

my $patience = $ENV{AML_PATIENCE} || 1;

my $gw = AML::Test->start(instances => {'first-lab' => 'creator'});
my $me = $gw->api(GET => $gw->compute('first-lab'), 'creator')
    ->res->json('/properties/properties/createdBy/userId');
my $key = AML::JWT::new_key($gw->dir, 'RS256');
$gw->edit({op => 'key', iss => $gw->studio, kid => 'of-the-test', pem => $key});
AML::Tunnel->route($gw, 'ssh-lab', $me);

sub uuid ($n) { sprintf '%08x-0000-4000-8000-000000000000', $n }

sub sign_in ($n, $expires) {
    $gw->edit({op => 'grant', id => uuid($n), principal => $me,
        expires => int $expires, groups => []});
}

sub token ($expires, @sign_in) {
    return 'Authorization: Bearer ' . AML::JWT::make(
        'RS256', $key,
        {alg => 'RS256', kid => 'of-the-test', typ => 'at+jwt'},
        {
            iss => $gw->studio, aud => $gw->studio, sub => $me,
            jti => 'x', iat => int(time) - 30, exp => int $expires,
            (map { (sid => uuid($_)) } @sign_in)
        }
    );
}

sub tunnel ($header) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $t = AML::Tunnel->open($gw, 'ssh-lab', $header);
    is $t->code, 101, 'open';
    return $t;
}

sub is_there ($t, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $word = 'word ' . rand;
    $t->say_binary($word);
    ok $t->turn_until(5, sub { $t->heard =~ /\Q$word\E$/ }), $name;
}

sub is_closed ($t, $since, $code, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok $t->turn_until(15, sub { $t->client_ended }), "$name: closed";
    is_deeply $t->closed_by, [1008, $code], "$name: by its reason";
    cmp_ok $t->client_ended_at - $since, '<', 1 * $patience,
        "$name: within a second";
}

my $end = int(time) + 3;
my $far = time + 600;
sign_in($_, $far) for 1 .. 3;
my %by = (
    ended    => tunnel(token($end, 1)),
    disabled => tunnel(token($end, 2)),
    stopped  => tunnel(token($end, 3)),
);
my $alone = tunnel(token($end));
my $by_header = token($end, 3) =~ s/^Authorization: //r;
my $ws = $gw->program->websocket($gw->app_url('first-lab', '/ws'),
    headers => {Authorization => $by_header});
ok $ws->echoes('x'), 'a websocket, too';

subtest 'the token expires' => sub {
    is_closed($alone, $end, 'token_expired', 'a token of no sign-in');
    cmp_ok $alone->client_ended_at, '>=', $end, 'and no sooner';

    # all are decided on again each 5 s, without any change: past one of these
    my $until = time + 6;
    sleep 0.1 while time < $until;
    is_there($by{$_}, "of a sign-in, $_ later: goes on") for sort keys %by;
    ok $ws->echoes('y'), 'so does the websocket';

    # also where its key was retired
    $gw->edit({op => 'delete-key', iss => $gw->studio, kid => 'of-the-test'});
    sleep 1.2 * $patience;
    is_there($by{$_}, 'and without the key of a token that is over')
        for sort keys %by;
    $gw->edit(
        {op => 'key', iss => $gw->studio, kid => 'of-the-test', pem => $key});
};

subtest 'a key that is withdrawn while the token is good' => sub {
    sign_in(4, $far);
    my $t = tunnel(token($far, 4));
    $gw->edit({op => 'delete-key', iss => $gw->studio, kid => 'of-the-test'});
    is_closed($t, time, 'token_key', 'it');
    $gw->edit(
        {op => 'key', iss => $gw->studio, kid => 'of-the-test', pem => $key});
};

subtest 'the sign-in ends' => sub {
    $gw->edit({op => 'delete', key => 'grant/' . uuid(1)});
    is_closed($by{ended}, time, 'session_unknown', 'signed out');
    is_there($by{stopped}, 'another stays');

    # by its time, which a change may bring nearer
    my $soon = int(time) + 2;
    sign_in(5, $soon);
    sign_in(6, $far);
    my ($t, $nearer) = (tunnel(token($far, 5)), tunnel(token($far, 6)));
    is_closed($t, $soon, 'session_expired', 'its time is over');
    cmp_ok $t->client_ended_at, '>=', $soon, 'and no sooner';
    $soon = int(time) + 2;
    sign_in(6, $soon);
    is_closed($nearer, $soon, 'session_expired', 'a time that was moved');
};

subtest 'whose it is' => sub {
    my $since = time;
    AML::Tunnel->say_route($gw, 'ssh-lab', $me,
        'unix:' . $gw->dir . '/ssh-lab.sock', state => 'Stopping');
    is_closed($by{stopped}, $since, 'instance_stopping', 'the instance stops');
    $by{disabled}->turn_until(5, sub { $by{disabled}->client_ended });
    AML::Tunnel->say_route($gw, 'ssh-lab', $me,
        'unix:' . $gw->dir . '/ssh-lab.sock');
    my $t = tunnel(token($far, 2));
    ok $ws->echoes('z'), 'the websocket is still there';
    $since = time;
    $gw->amld_ok(qw(principal disable --account creator));
    is_closed($t, $since + 1, 'principal_revoked', 'the person is disabled');
    ok $ws->closes(1), 'so is the websocket';
};

$gw->done;
