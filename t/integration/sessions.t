# Where one is signed in: seen and ended by oneself, by an administrator, from
# the command line; and by nobody else.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Test;

my $gw = AML::Test->start(
    accounts  => {creator => 'Contributor', colleague => 'Contributor'},
    instances => {'first-lab' => 'creator'}
);
my $url  = $gw->studio_url('/auth/sessions');
my $lab  = $gw->app_url('first-lab', '/api/status');
my $uuid = qr/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

sub sessions ($who) {
    my $tx = $who->fetch(GET => $url);
    is $tx->res->code, 200, 'sessions are listed';
    return @{$tx->res->json('/value')};
}

my $me    = $gw->opened('creator', 'first-lab');
my $other = $gw->opened('creator', 'first-lab');
my $third = $gw->opened('creator', 'first-lab');
my $their = $gw->opened('colleague', 'first-lab');
my %ws    = map { $_ => $_->websocket($lab) } $me, $other, $third;
ok $_->echoes('x'), 'a websocket is open' for values %ws;

subtest 'what one sees' => sub {
    my @list = sessions($me);
    is scalar @list, 3, 'one\'s own';
    is scalar(grep { $_->{current} } @list), 1, 'which one this is';
    for my $s (@list) {
        like $s->{id}, qr/^$uuid$/, 'id';
        is $s->{method},  'password',  'how';
        is $s->{address}, '127.0.0.1', 'from where';
        is $s->{client},  'a browser', 'with what';
        like $s->{$_}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, $_
            for qw(created lastSeen expires);
    }
    my $tx = $me->navigate($gw->studio_url('/'));
    my $a  = $tx->res->dom->at('nav a[href="/auth/sessions"]');
    ok $a, 'the studio links there';
    $tx = $me->navigate($url, from => $gw->studio);
    is $tx->res->code, 200, 'the page';
    is $tx->res->dom->find('li[data-session]')->size, 3, 'has all of them';
    is $tx->res->dom->find('.here')->size, 1, 'and which one this is';
    is $tx->res->headers->cache_control, 'no-store', 'is kept by nobody';
    my $text = $tx->res->body;
    my $host = $gw->app_host('first-lab');
    for my $b ($me, $other, $third) {
        unlike $text, qr/\Q$_\E/, 'and no secret'
            for map { $b->cookie('__Host-aml', $_) } $gw->studio_host, $host;
    }
};

subtest 'nobody else' => sub {
    my ($mine) = map { $_->{id} } grep { $_->{current} } sessions($me);
    $gw->refused($gw->program->get($url), 401, 'sign_in_required', 'nobody');
    is $their->fetch(DELETE => "$url/$mine")->res->code, 404,
        'a colleague ends nothing';
    my $tx = $their->navigate($url);
    $their->submit($tx, {end => $mine}, form => 'form:has([name=end])');
    is $me->fetch(GET => $lab)->res->code, 200, 'by the form neither';
    is scalar(grep { $_->{id} eq $mine } sessions($their)), 0,
        'nor sees it';
    my ($principal) = $gw->amld_ok('principal', 'id', '--account', 'creator')
        =~ /($uuid)/;
    my $of = $gw->studio_url("/auth/principals/$principal/sessions");
    $gw->refused($their->fetch($_ => $of), 403, 'action_denied',
        "an administrator's $_")
        for qw(GET DELETE);
    $gw->refused(
        $gw->program->request($_ => $of, headers => $gw->bearer('colleague')),
        403, 'action_denied', "nor by a token, $_: it has no groups")
        for qw(GET DELETE);
    is scalar(sessions($me)), 3, 'nothing has ended';

    # A page of another origin has the cookie sent along, and no more.
    my $evil = $gw->app_origin('second-lab');
    for my $from ($evil, 'https://evil.example', 'null') {
        for my $ask (['DELETE', $url], ['DELETE', "$url/$mine"],
            ['GET', $url])
        {
            my $tx = $me->fetch(@$ask, from => $from);
            isnt $tx->res->code, 200, "$ask->[0] from $from";
            unlike $tx->res->body, qr/lastSeen/, 'is told nothing';
        }
        $me->navigate($url, method => 'POST', form => {others => 1},
            from => $from);
        $me->navigate($url, method => 'POST', form => {end => $mine},
            from => $from);
    }
    is scalar(sessions($me)), 3, 'nothing has ended';
};

subtest 'ending one' => sub {
    my ($one) = map { $_->{id} }
        grep { $_->{current} } sessions($other);
    my $tx = $me->navigate($url, from => $gw->studio);
    $tx = $me->submit($tx, {end => $one}, form => 'form:has([name=end])');
    is $tx->req->url->path, '/auth/sessions', 'the page again';
    is $tx->res->dom->find('li[data-session]')->size, 2, 'without it';
    ok $ws{$other}->closes(1), 'its websocket is closed within a second';
    is $ws{$other}->code,   1008,              'as policy';
    is $ws{$other}->reason, 'session_unknown', 'with the reason';
    $gw->refused($other->fetch(GET => $lab), 401, 'session_unknown',
        'and nothing more by it');
    ok $ws{$me}->echoes('on'), 'the others go on';
};

subtest 'everywhere else' => sub {
    my $tx = $me->navigate($url, from => $gw->studio);
    $tx = $me->submit($tx, {}, form => 'form:has([name=others])');
    is $tx->res->dom->find('li[data-session]')->size, 1, 'one is left';
    ok $ws{$third}->closes(1), 'the other is closed';
    ok $ws{$me}->echoes('on'), 'this one goes on';
    is $their->fetch(GET => $url)->res->code, 200, 'as do other people\'s';
};

subtest 'by a token of one\'s own' => sub {
    my $new = $gw->opened('creator', 'first-lab');
    my $tx  = $gw->program->get($url, headers => $gw->bearer('creator'));
    is scalar @{$tx->res->json('/value')}, 2, 'sees';
    my ($id) = map { $_->{id} } grep { $_->{current} } sessions($new);
    $tx = $gw->program->request(DELETE => "$url/$id",
        headers => $gw->bearer('colleague'));
    is $tx->res->code, 404, 'a colleague\'s ends nothing';
    $tx = $gw->program->request(DELETE => "$url/$id",
        headers => $gw->bearer('creator'));
    is $tx->res->code, 204, 'ends';
    is $new->fetch(GET => $lab)->res->code, 401, 'at once';
};

subtest 'an administrator' => sub {
    $gw->add_account('boss');
    $gw->assign('boss', 'Owner', '/');
    my $boss = $gw->signed_in('boss');
    my ($principal) = $gw->amld_ok('principal', 'id', '--account', 'creator')
        =~ /($uuid)/;
    my $of = $gw->studio_url("/auth/principals/$principal/sessions");
    is scalar @{$boss->fetch(GET => $of)->res->json('/value')}, 1, 'sees';
    my $tx = $boss->fetch(DELETE => $of, from => $gw->app_origin('x-lab'));
    isnt $tx->res->code, 200, 'not lured to';
    ok $ws{$me}->echoes('on'), 'nothing has ended';
    is $boss->fetch(DELETE => $of)->res->json('/ended'), 1, 'ends all';
    ok $ws{$me}->closes(1), 'at once';
    is scalar(sessions($boss)), 1, 'but not their own';
};

subtest 'from the command line' => sub {
    my $one = $gw->opened('creator', 'first-lab');
    my $two = $gw->opened('creator', 'first-lab');
    my $ws  = $one->websocket($lab);
    ok $ws->echoes('x'), 'a websocket';
    my ($id) = map { $_->{id} } grep { $_->{current} } sessions($one);
    my $all = $gw->amld_ok('session', 'list');
    like $all, $_, "list: $_" for qr/^$id .* creator /m, qr/ colleague /;
    my $list = $gw->amld_ok('session', 'list', '--account', 'creator');
    is scalar(() = $list =~ /^$uuid /mg), 2, 'list: of one';
    unlike $list, qr/colleague/, 'of nobody else';
    $gw->amld_ok('session', 'end', '--id', $id);
    ok $ws->closes(1), 'end: one';
    is $gw->amld('session', 'end', '--id', $id)->{status}, 1, 'not twice';
    is $two->fetch(GET => $lab)->res->code, 200, 'the other is left';
    like $gw->amld('session', 'end', '--account', 'creator')->{err},
        qr/1 session ended/, 'end: an account\'s';
    is $two->fetch(GET => $lab)->res->code, 401, 'at once';
    is $their->fetch(GET => $url)->res->code, 200, 'nobody else\'s';
    $gw->amld_ok('session', 'end', '--all');
    is $their->fetch(GET => $url)->res->code, 401, 'end: all';
    is $gw->amld('session', @$_)->{status}, 2, "wrong: @$_"
        for ['end'], ['end', '--all', '--id', $id], ['list', 'x'],
        ['end', '--group', 'g', '--space', 's'], ['list', '--all'];
    is $gw->amld('session', 'end', '--id', 'x')->{status}, 2, 'no UUID';
};

$gw->done;
