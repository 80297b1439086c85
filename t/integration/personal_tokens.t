# Personal access tokens: made by their person, shown once, good for what they
# were made for and nothing else, and until they are revoked.

use Mojo::Base -strict, -signatures;
use Digest::SHA qw(sha256_hex);
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw = AML::Test->start(
    instances => {
        'first-lab'  => 'creator',
        'second-lab' => 'creator',
        'other-lab'  => 'colleague'
    }
);
my $url = $gw->studio_url('/auth/tokens');
my ($first, $second, $other) =
    map { $gw->app_url($_, '/api/status') } qw(first-lab second-lab other-lab);
my $computes = $gw->workspace . '/computes';
my $me       = $gw->signed_in('creator');
my $their    = $gw->signed_in('colleague');
my @secrets;

sub make ($who, %o) {
    my $tx = $who->fetch(POST => $url,
        json => {name => 'test', %o});
    is $tx->res->code, 201, 'a token is made';
    push @secrets, $tx->res->json('/token');
    return $tx->res->json;
}

sub by ($token) { return {Authorization => "Bearer $token->{token}"} }

sub code ($token, $method, $url, %o) {
    return $gw->program->request($method, $url, %o,
        headers => by($token))->res->code;
}

sub api ($token, $method, $path, %o) {
    return $gw->program->request($method,
        $gw->studio_url("$path?api-version=2022-10-01"),
        %o, headers => by($token));
}

subtest 'for one instance' => sub {
    my $t = make($me, instances => ['First-Lab']);
    is code($t, GET => $first), 200, 'opens it';
    my $ws = $gw->program->websocket($first, headers => by($t));
    ok $ws->echoes('x'), 'with websockets';
    for my $escape (
        [GET => $second, 403, 'another of one\'s own'],
        [GET => $other,  403, 'somebody else\'s'],
        [GET => $gw->studio_url("$computes?api-version=2022-10-01"), 403,
            'the control API'],
        [GET    => $gw->studio_url('/'),              403, 'the studio'],
        [GET    => $url,                              403, 'tokens'],
        [POST   => $url,                              403, 'new tokens'],
        [DELETE => "$url/$t->{id}",                   403, 'itself'],
        [GET    => $gw->studio_url('/auth/sessions'), 403, 'sessions'],
        [DELETE => $gw->studio_url('/auth/sessions'), 403, 'their end'],
        [POST   => $gw->studio_url('/auth/token'),    401, 'a JSON Web Token'],
    ) {
        my ($method, $url, $code, $what) = @$escape;
        is code($t, $method, $url), $code, "not $what";
    }
    my $tx = $gw->program->get($gw->studio_url(
        '/auth/handoff?host=second-lab.' . $gw->apps . ':' . $gw->port
            . '&browser=' . '0' x 64 . '&to=/'),
        headers => by($t));
    unlike $tx->res->headers->location // '', qr/code=/, 'no hand-over';
    $gw->refused($gw->program->get($second, headers => by($t)), 403,
        'token_scope', 'the reason is told');
};

subtest 'for actions' => sub {
    my $t = make($me,
        actions => ['Microsoft.MachineLearningServices/*/read']);
    is api($t, GET => $computes)->res->code, 200, 'what they name';
    $gw->refused(api($t, POST => "$computes/first-lab/stop"), 403,
        'token_scope', 'and no other');
    is code($t, GET => $first), 403, 'no instance either';
    my $all = make($their, instances => 'all', actions => ['*']);
    is code($all, GET => $other), 200, 'everything';
    $gw->refused($gw->program->get($first, headers => by($all)), 403,
        'not_creator', 'but not what its person may not');
    $gw->add_account('nobody');
    my $none = make($gw->signed_in('nobody'), actions => ['*']);
    $gw->refused(api($none, GET => $computes), 403, 'action_denied',
        'nor what no role allows');
    $gw->add_account('reader2', 'Reader');
    $all = make($gw->signed_in('reader2'), actions => ['*']);
    is api($all, GET => $computes)->res->code, 200, 'with a role it may';
    $gw->role('remove', 'reader2', 'Reader');
    is api($all, GET => $computes)->res->code, 403, 'until that is gone';
};

subtest 'what one sees' => sub {
    my $t  = make($me, instances => 'all', name => 'to be seen');
    my ($seen) = grep { $_->{id} eq $t->{id} }
        @{$me->fetch(GET => $url)->res->json('/value')};
    is $seen->{name}, 'to be seen', 'its name';
    is $seen->{lastUsed}, undef, 'that it was not used';
    is code($t, GET => $first), 200, 'it is used';
    ok wait_for(
        sub {
            ($seen) = grep { $_->{id} eq $t->{id} }
                @{$me->fetch(GET => $url)->res->json('/value')};
            return $seen->{lastUsed};
        }
    ), 'that is seen soon';
    like $seen->{lastUsed}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'when';
    is $seen->{instances}, 'all', 'its reach';
    my $text = $me->fetch(GET => $url)->res->body;
    unlike $text, qr/amlp_/, 'not the token';
    is_deeply [grep { $_->{id} eq $t->{id} }
            @{$their->fetch(GET => $url)->res->json('/value')}],
        [], 'nobody else sees it';
    my $dump = $gw->amld_ok('registry', 'dump', '--json');
    unlike $dump, qr/\Q$t->{token}\E/, 'nor is it in the registry';
    unlike $dump, qr/@{[sha256_hex($t->{token})]}/, 'its hash is not shown';
    like $dump, qr/to be seen/, 'its name is';
    like $gw->amld_ok('token', 'list', '--account', 'creator'),
        qr/^$t->{id} .* all +none +to be seen$/m, 'amld token list';
    unlike $gw->amld_ok('token', 'list', '--account', 'colleague'),
        qr/to be seen/, 'of one only';
};

subtest 'revoked' => sub {
    my $t  = make($me, instances => 'all');
    my $ws = $gw->program->websocket($first, headers => by($t));
    my $go = $me->fetch(GET => $first);
    ok $ws->echoes('x'), 'a websocket';
    is $their->fetch(DELETE => "$url/$t->{id}")->res->code, 404,
        'a colleague revokes nothing';
    is $me->fetch(DELETE => "$url/$t->{id}",
        from => $gw->app_origin('other-lab'))->res->code, 403,
        'nor does a page elsewhere';
    ok $ws->echoes('y'), 'it goes on';
    is $me->fetch(DELETE => "$url/$t->{id}")->res->code, 204, 'its person';
    ok $ws->closes(1), 'its websocket is closed within a second';
    is $ws->reason, 'token_unknown', 'with the reason';
    $gw->refused($gw->program->get($first, headers => by($t)), 401,
        'token_unknown', 'and nothing more by it');
    is $me->fetch(DELETE => "$url/$t->{id}")->res->code, 404, 'not twice';

    $t = make($me, instances => 'all');
    $gw->amld_ok('token', 'revoke', '--id', $t->{id});
    is code($t, GET => $first), 401, 'by the command';
    is $gw->amld('token', 'revoke', '--id', $t->{id})->{status}, 1,
        'not twice';
    is $gw->amld('token', @$_)->{status}, 2, "wrong: @$_"
        for ['revoke'], ['revoke', '--id', 'x'], ['list', '--id', $t->{id}];
};

subtest 'the page' => sub {
    my $tx = $me->navigate($gw->studio_url('/'));
    ok $tx->res->dom->at('nav a[href="/auth/tokens"]'), 'is linked';
    $tx = $me->navigate($url, from => $gw->studio);
    is $tx->res->code, 200, 'is there';
    is_deeply [map { $_->{name} } $tx->res->dom->find('[name^=instance]')
            ->each], [map {"instance.$_"} qw(first-lab second-lab)],
        'with one\'s own instances';
    ok !$tx->res->dom->at('script'), 'without script';
    my $made = $me->navigate($url,
        method => 'POST',
        from   => $gw->studio,
        form   => {
            name                 => 'by <form>',
            days                 => 3,
            reach                => 'some',
            'instance.first-lab' => 1,
            'do.see'             => 1,
        }
    );
    is $made->res->code, 200, 'the form';
    my $text = $made->res->dom->at('#token')->text;
    push @secrets, $text;
    my $t = {token => $text};
    is code($t, GET => $first),  200, 'its token opens what was chosen';
    is code($t, GET => $second), 403, 'and nothing else';
    is api($t, GET => $computes)->res->code, 200, 'and may see';
    $tx = $me->navigate($url, from => $gw->studio);
    unlike $tx->res->body, qr/amlp_/, 'shown once';
    my $li = $tx->res->dom->find('li[data-token]')
        ->grep(sub { $_->at('h2')->text eq 'by <form>' })->first;
    ok $li, 'it is listed';
    $tx = $me->submit($tx, {revoke => $li->{'data-token'}},
        form => 'form:has([name=revoke])');
    is $tx->req->url->path, '/auth/tokens', 'revoked by a button';
    is code($t, GET => $first), 401, 'at once';

    for my $from ($gw->app_origin('other-lab'), 'https://evil.example', 'null')
    {
        $me->navigate($url, method => 'POST', from => $from,
            form => {name => 'evil', days => 3, reach => 'all'});
        $me->fetch(POST => $url, from => $from,
            json => {name => 'evil', instances => 'all'});
    }
    is scalar(grep { $_->{name} eq 'evil' }
            @{$me->fetch(GET => $url)->res->json('/value')}), 0,
        'no other origin makes one';
    for my $answer ($me->fetch(GET => $url, from => 'https://evil.example'),
        $gw->browser->fetch(GET => $url))
    {
        unlike $answer->res->body, qr/"value"/, 'or sees any';
    }
};

subtest 'only by a session' => sub {
    my $tx = $gw->program->request(POST => $url,
        json => {name => 'x', instances => 'all'},
        headers => $gw->bearer('creator'));
    $gw->refused($tx, 401, 'sign_in_required', 'a JSON Web Token makes none');
    $tx = $gw->program->get($url, headers => $gw->bearer('creator'));
    is $tx->res->code, 200, 'but sees them';
    my $t = make($me, instances => 'all');
    $tx = $gw->program->request(DELETE => "$url/$t->{id}",
        headers => $gw->bearer('creator'));
    is $tx->res->code, 204, 'and revokes';
};

subtest 'not by what the session has become' => sub {
    my $t = make($me, instances => 'all');
    $me->navigate($gw->studio_url('/auth/sign-out'), method => 'POST',
        form => {}, from => $gw->studio);
    is code($t, GET => $first), 200, 'it outlives a sign-out';
    my $ws = $gw->program->websocket($first, headers => by($t));
    ok $ws->echoes('x'), 'a websocket';
    $gw->amld_ok('account', 'password', 'creator', '--password-stdin',
        \"another one\n");
    ok $ws->closes(1), 'a new password ends it';
    is code($t, GET => $first), 401, 'at once';
    $gw->passwords->{creator} = 'another one';
    $me = $gw->signed_in('creator');
    $t  = make($me, instances => 'all');
    is code($t, GET => $first), 200, 'a new one';
    $gw->amld_ok('principal', 'disable', '--account', 'creator');
    is code($t, GET => $first), 401, 'somebody who is disabled';
    $gw->amld_ok('principal', 'enable', '--account', 'creator');
    is code($t, GET => $first), 401, 'stays without';
    $me = $gw->signed_in('creator');
    $t  = make($me, instances => 'all');
    $ws = $gw->program->websocket($first, headers => by($t));
    ok $ws->echoes('x'), 'once more';
    $gw->amld_ok('account', 'remove', 'creator');
    ok $ws->closes(1), 'it goes with the account';
    is $gw->amld_ok('token', 'list') =~ /creator|first-lab/, '', 'for good';
};

subtest 'amld is killed' => sub {
    my $t = make($their, instances => 'all');
    is code($t, GET => $other), 200, 'a token';
    $gw->kill_amld;
    is code($t, GET => $other), 200, 'goes on without amld';
    $gw->start_amld;
    is $their->fetch(DELETE => "$url/$t->{id}")->res->code, 204,
        'is there afterwards';
};

subtest 'in no log' => sub {
    my $logs = join '', map { Mojo::File->new($_)->slurp }
        glob $gw->dir . '/{log,nginx}/*.{log,err,out}';
    cmp_ok length $logs, '>', 1000, 'there are logs';
    ok index($logs, $_) < 0, 'not there' for @secrets;
};

$gw->done;
