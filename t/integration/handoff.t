# From the studio's session to an instance's: a code, used once, bound to the
# browser and to the host.  What codes, hosts and addresses are refused is in
# attacks.t, too.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use Mojo::URL;
use Mojo::Util qw(url_escape);
use Test::More;
use AML::Test;

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator', 'evil-lab' => 'colleague'});
my $host = $gw->app_host('first-lab');

# Walks as far as the address with the code, and does not open it.
sub code_url ($browser, $name = 'first-lab', $path = '/lab') {
    my $tx = $browser->navigate($gw->app_url($name, $path), follow => 0);
    for (1 .. 5) {
        my $to = Mojo::URL->new($tx->res->headers->location)
            ->to_abs($tx->req->url);
        return "$to" if $to->path eq '/.aml/session';
        $tx = $browser->navigate("$to", follow => 0);
    }
    die "no code\n";
}

sub has_session ($browser) { defined $browser->cookie('__Host-aml', $host) }

subtest 'the way' => sub {
    my $me = $gw->signed_in('creator');
    my $tx = $me->navigate($gw->app_url('first-lab', '/lab?a=b%26c&d'));
    is $tx->res->code, 200, 'arrives';
    is $tx->res->json('/url'), '/lab?a=b%26c&d', 'at what was asked for';
    my @trail = map { $_->req->url->clone } @{$me->trail};
    is join(' ', map { $_->host . $_->path } @trail),
        "$host/lab $host/.aml/sign-in "
        . $gw->studio_host . "/auth/handoff $host/.aml/session $host/lab",
        'by way of these';
    is $me->trail->[3]->res->code, 303, 'the last step is 303';
    ok !grep({ ($_->res->headers->cache_control // '') !~ /no-store/ }
        @{$me->trail}[1 .. 3]), 'none of it is kept';
    is $me->trail->[3]->res->body, '', 'nor does a page know the code';
};

subtest 'signing in on the way' => sub {
    my $me = $gw->browser;
    my $tx = $me->navigate($gw->app_url('first-lab', '/lab?x=1'));
    is $tx->req->url->host, $gw->studio_host, 'leads to the studio';
    $tx = $gw->fill_sign_in($me, $tx, 'creator');
    is $tx->res->code, 200, 'and back';
    is $tx->res->json('/url'), '/lab?x=1', 'to what was asked for';
};

subtest 'long addresses' => sub {
    for my $bytes (200, 910, 1400, 1700, 2040) {
        my $path = '/lab/tree/';
        $path .= '%E6%97%A5' while length($path) + 9 <= $bytes;
        my $me = $gw->browser;
        my $tx = $gw->fill_sign_in($me,
            $me->navigate($gw->app_url('first-lab', $path)), 'creator');
        is $tx->res->json('/url'), $path, "$bytes bytes: arrives there";
        $me->set_cookie('__Host-aml', 'x', $host);
        is $me->navigate($gw->app_url('first-lab', $path))->res->json('/url'),
            $path, 'also where one is signed in';
    }
    my $tx = $gw->browser->navigate(
        $gw->app_url('first-lab', '/?' . join '&', ('a=%26+') x 290));
    is $tx->req->url->host, $gw->studio_host, 'a query of 2 KB';
    $tx = $gw->browser->navigate(
        $gw->app_url('first-lab', '/lab/' . 'x' x 2044));
    $gw->refused($tx, 401, 'sign_in_required', 'longer ones: says so');
    like $tx->res->dom->at('h1')->text, qr/sign in/, 'with words';
};

subtest 'a wrong password' => sub {
    my $me = $gw->browser;
    my $tx = $me->navigate($gw->app_url('first-lab', '/lab'));
    $tx = $gw->fill_sign_in($me, $tx, 'creator', 'wrong');
    like $tx->res->code, qr/^(?:200|401|403)$/, 'is told';
    ok !defined $me->cookie('__Host-aml', $gw->studio_host), 'no session';
    ok $tx->res->dom->at('input[type=password]'), 'the form is there again';
    $tx = $gw->fill_sign_in($me, $tx, 'creator');
    is $tx->res->json('/url'), '/lab', 'the right one leads on';
};

subtest 'a code is for once' => sub {
    my $me  = $gw->signed_in('creator');
    my $url = code_url($me);
    is $me->navigate($url)->res->code, 200, 'once';
    my $again = $gw->browser;
    $again->set_cookie('__Host-aml-browser',
        $me->cookie('__Host-aml-browser', $host), $host);
    $again->navigate($url, follow => 0);
    ok !has_session($again), 'not twice, even for the same browser';
};

subtest 'a code is for one browser' => sub {
    my $me    = $gw->signed_in('creator');
    my $url   = code_url($me);
    my $thief = $gw->browser;
    $thief->navigate($url, follow => 0);
    ok !has_session($thief), 'not for one without the cookie';
    $me->navigate($url, follow => 0);
    ok !has_session($me), 'and then for nobody: it is spent';
    $thief->navigate($gw->app_url('first-lab', '/.aml/sign-in?to=/'),
        follow => 0);
    ok $thief->cookie('__Host-aml-browser', $host), 'that has its own cookie';
    $thief->navigate(code_url($me), follow => 0);
    ok !has_session($thief), 'nor for one with its own';
};

subtest 'a code is for one host' => sub {
    my $me  = $gw->signed_in('creator');
    my $url = code_url($me);
    $me->navigate($gw->app_url('evil-lab', '/.aml/sign-in?to=/'),
        follow => 0);
    $me->set_cookie('__Host-aml-browser',
        $me->cookie('__Host-aml-browser', $host), $gw->app_host('evil-lab'));
    $me->navigate($url =~ s/first-lab/evil-lab/r, follow => 0);
    ok !defined $me->cookie('__Host-aml', $gw->app_host('evil-lab')),
        'not for another';
};

subtest 'a code ends' => sub {
    my $me   = $gw->signed_in('creator');
    my $url  = code_url($me);
    my $code = Mojo::URL->new($url)->query->param('code');
    my $key  = 'code/' . sha256_hex($code);
    my $dump = $gw->edit({op => 'get', key => $key});
    isnt $dump, "none\n", 'it is kept by its hash';
    $gw->edit({op => 'delete', key => $key});
    my $tx = $me->navigate($url, follow => 0);
    ok !has_session($me), 'without it there is no session';
    isnt $tx->res->code, 500, 'and no fault';
};

subtest 'login CSRF: a link with somebody else\'s code' => sub {
    my $mallory = $gw->signed_in('colleague');
    my $url     = code_url($mallory);
    my $victim  = $gw->opened('creator', 'first-lab');
    my $before  = $victim->cookie('__Host-aml', $host);
    $victim->navigate($url, from => 'https://mail.example');
    is $victim->cookie('__Host-aml', $host), $before,
        'changes nothing for the victim';
};

subtest 'login CSRF: the sign-in form of another site' => sub {
    my $victim = $gw->browser;
    my $form   = $victim->navigate($gw->studio_url('/auth/sign-in?to=/'));
    my $tx     = $victim->submit(
        $form,
        {
            map { $_->{name} => $_->{type} eq 'password'
                    ? $gw->passwords->{colleague} : 'colleague' }
                $form->res->dom->find(
                    'form input[type=text], form input[type=password]')->each
        },
        form     => 'form:has(input[type=password])',
        navigate => {from => 'https://evil.example', follow => 0}
    );
    isnt $tx->res->code, 500;
    ok !defined $victim->cookie('__Host-aml', $gw->studio_host),
        'signs nobody in';
    my $own = $gw->browser;
    my %f   = map { $_->{name} => $_->{value} // '' }
        $form->res->dom->find('form input')->grep(sub { $_->{name} })->each;
    $tx = $own->request(
        POST    => $gw->studio_url('/auth/sign-in'),
        form    => {%f, name => 'creator', password => 'x'},
        headers => {Origin => $gw->app_origin('evil-lab'),
            'Sec-Fetch-Site' => 'same-site'}
    );
    ok $tx->res->code =~ /^4/, 'an instance can\'t post it either';
};

subtest 'which hosts are handed a code' => sub {
    my $me    = $gw->signed_in('creator');
    my $where = sub ($h) {
        my $tx = $me->navigate(
            $gw->studio_url('/auth/handoff?browser=' . ('a' x 64) . '&to=/lab'
                    . '&host=' . url_escape($h)),
            follow => 0
        );
        cmp_ok $tx->res->code, '<', 500, "$h: no fault";
        my $l = $tx->res->headers->location // '';
        return $l =~ /code=/ ? Mojo::URL->new($l)->host_port : 'none';
    };
    my $port = $gw->port;
    my $apps = $gw->apps;
    is $where->("first-lab.$apps:$port"), "first-lab.$apps:$port", 'own';
    is $where->("no-lab.$apps:$port"), "no-lab.$apps:$port",
        'one that does not exist: no oracle';
    is $where->("evil-lab.$apps:$port"), "evil-lab.$apps:$port",
        'somebody else\'s: the gateway refuses there';
};

subtest 'a colleague' => sub {
    my $you = $gw->signed_in('colleague');
    my $tx  = $you->navigate($gw->app_url('first-lab', '/lab'));
    $gw->refused($tx, 403, 'not_creator', 'gets a session and a refusal');
    is scalar @{$you->trail}, 5, 'and goes round no second time';
};

subtest 'one session a host' => sub {
    my $sessions = sub {
        return scalar(() = $gw->amld_ok(qw(registry dump))
                =~ /^ +host: \Q$host\E$/mg);
    };
    my $before = $sessions->();
    my $me     = $gw->opened('creator', 'first-lab');
    is $sessions->(), $before + 1, 'one';
    my $jar = $me->ua->cookie_jar;
    my @old;
    for (1 .. 20) {
        push @old, $me->cookie('__Host-aml', $host);
        my @others = grep { $_->name ne '__Host-aml' || $_->domain ne $host }
            @{$jar->all};
        $jar->empty;
        $jar->add(@others);
        $me->navigate($gw->app_url('first-lab', '/lab'));
    }
    is $sessions->(), $before + 1, 'twenty hand-overs leave one';
    my $ask = sub ($cookie) {
        $gw->program->get($gw->app_url('first-lab', '/api/status'),
            headers => {Cookie => "__Host-aml=$cookie"});
    };
    is $ask->($me->cookie('__Host-aml', $host))->res->code, 200, 'the last';
    $gw->refused($ask->($_), 401, 'session_unknown', 'one before')
        for @old[0, -1];
};

subtest 'state cookies do not pile up' => sub {
    my $me = $gw->signed_in('creator');
    $me->navigate($gw->app_url('first-lab', "/$_"), follow => 0) for 1 .. 5;
    code_url($me) for 1 .. 5;
    my @cookies = grep { $_->domain eq $host } @{$me->ua->cookie_jar->all};
    is join(' ', map { $_->name } @cookies), '__Host-aml-browser', 'one';
};

subtest 'two tabs at once' => sub {
    my $me = $gw->signed_in('creator');
    my ($one, $two) = (code_url($me, 'first-lab', '/a'),
        code_url($me, 'first-lab', '/b'));
    is $me->navigate($one)->res->json('/url'), '/a', 'one';
    my $cookie = $me->cookie('__Host-aml', $host);
    my $ws     = $me->websocket($gw->app_url('first-lab', '/ws/echo'));
    ok $ws->echoes('x'), 'with a websocket';
    is $me->navigate($two)->res->json('/url'), '/b', 'and the other';
    is $me->cookie('__Host-aml', $host), $cookie, 'by the same session';
    ok $ws->echoes('y'), 'and the websocket goes on';
};

$gw->done;
