# What must not be left behind: answers in a cache, addresses with codes at
# other hosts, pages in a frame of somebody else.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::URL;
use Test::More;
use AML::Test;

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator', 'evil-lab' => 'colleague'});
my $me    = $gw->opened('creator', 'first-lab');
my $where = '?host=' . $gw->app_host('first-lab') . ':' . $gw->port
    . '&browser=' . ('a' x 64) . '&to=/lab';
my @pages = ('/', '/auth/sign-in', '/auth/sessions', '/auth/tokens',
    '/auth/device', '/auth/signed-out', '/auth/callback/corp', '/auth/leave',
    '/auth/nothing', "/auth/handoff$where");

sub id ($what, $path) { "$what: " . $path =~ s/\?.*//r }

# Answers that somebody else must not find in a cache: those of everybody.
subtest 'kept by no cache' => sub {
    my $program = $gw->program;
    my %as      = (
        session => sub ($path) { $me->navigate($gw->studio_url($path),
            from => $gw->studio, follow => 0) },
        nobody => sub ($path) { $gw->browser->navigate(
            $gw->studio_url($path), follow => 0) },
        token => sub ($path) { $program->get($gw->studio_url($path),
            headers => $gw->bearer('creator')) },
    );
    for my $who (sort keys %as) {
        for my $path (@pages, $gw->workspace . '/computes?api-version=2022-10-01',
            $gw->compute('first-lab') . '?api-version=2022-10-01')
        {
            my $h = $as{$who}->($path)->res->headers;
            is $h->cache_control, 'no-store', id($who, $path);
            is $h->header($_), undef, "no $_" for qw(ETag Last-Modified Expires);
        }
    }
    for my $path ('/lab', '/.aml/sign-in', '/.aml/session?code=x',
        '/.aml/nothing')
    {
        my $tx = $gw->browser->navigate($gw->app_url('first-lab', $path),
            follow => 0);
        is $tx->res->headers->cache_control, 'no-store', id('instance', $path);
    }
    my $tx = $program->request(
        POST    => $gw->studio_url('/auth/token'),
        headers => {Authorization => $gw->basic('creator')}
    );
    is $tx->res->headers->cache_control, 'no-store', 'a token';
};

# What people can tell whom they ask for help.
subtest 'why and which' => sub {
    my $browser = $gw->browser;
    my $form    = sub ($path, %form) { $browser->navigate(
        $gw->studio_url($path), method => 'POST', from => $gw->studio,
        form => {%form}) };
    $form->('/auth/sign-in', name => 'no-one', password => 'x', to => '/')
        for 1 .. 5;
    $gw->refused(@$_) for
        [$form->('/auth/sign-in', name => 'no-one', password => 'x',
            to => '/'), 429, 'try_later', 'the form of the password'],
        [$me->navigate($gw->studio_url('/auth/handoff?host=x&browser='
            . 'a' x 64)), 404, 'host_unknown', 'a page of the studio'],
        [$browser->navigate($gw->app_url('first-lab', '/.aml/session?code=x')),
            403, 'code_unknown', 'a page of an instance'],
        [$gw->program->get($gw->studio_url('/auth/sessions')), 401,
            'sign_in_required', 'for a program'],
        [$me->fetch(DELETE => $gw->studio_url('/auth/sessions'),
            from => $gw->app_origin('evil-lab')), 403, 'cross_origin',
            'for a script'];
    for my $path ('/auth/nothing', '/auth/oidc/nothing') {
        my $tx = $me->navigate($gw->studio_url($path));
        my $id = $tx->res->headers->header('X-AML-Request-Id');
        is $tx->res->code, 404, $path;
        like $tx->res->body, qr{Reason:\ <code>NotFound</code><br>
            Request:\ <code>$id</code>}x, 'has both';
    }
    my $tx = $gw->api(GET => $gw->compute('no-lab'), 'creator');
    is $tx->res->json('/error/requestId'),
        $tx->res->headers->header('x-ms-request-id'), 'ARM\'s errors, too';
};

# A cache that goes by how an address ends is lured to keep a page of
# somebody's (web cache deception).
subtest 'by no name that looks like a file' => sub {
    for my $tail ('/x.css', '.css', ';x.css', '%2Fx.css', '%3Fx.css',
        '%23x.css', '%00x.css', '/..%2Fstyle.css', '?x.css', '//x.css')
    {
        my $tx = $me->fetch(
            GET => $gw->studio_url('/auth/sessions' . $tail),
            headers => {Accept => 'text/css'}
        );
        my $h = $tx->res->headers;
        is $h->cache_control // 'no-store', 'no-store', $tail;
        unlike $tx->res->body, qr/lastSeen|data-session/, 'nothing of mine'
            unless $tail eq '?x.css';
    }
    my @files = map { $me->fetch(GET => $gw->studio_url($_)) }
        qw(/auth/style.css /auth/studio.js);
    for my $tx (@files) {
        like $tx->res->headers->cache_control, qr/^max-age=\d+$/,
            'what is kept';
        is $tx->res->body, $gw->browser->get($tx->req->url)->res->body,
            'is the same for everybody';
        is $tx->res->headers->set_cookie, undef, 'and sets no cookie';
    }
};

# Codes travel in addresses: no address of the way is told to where it leads.
subtest 'referrers' => sub {
    my $new = $gw->signed_in('creator');
    $new->navigate($gw->app_url('first-lab', '/lab?x=1'));
    my @way = @{$new->trail};
    cmp_ok scalar @way, '>=', 5, 'the way to an instance';
    pop @way;    # what the application answers is the application's
    for my $tx (@way) {
        is $tx->res->headers->header('Referrer-Policy'), 'no-referrer',
            id('', $tx->req->url->path);
    }
    for my $path (@pages) {
        for my $who ($me, $gw->browser) {
            my $tx = $who->navigate($gw->studio_url($path),
                from => $gw->studio, follow => 0);
            like $tx->res->headers->header('Referrer-Policy') // '',
                qr/^(?:no-referrer|same-origin)$/, id('studio', $path);
        }
    }
    my $tx = $gw->browser->navigate(
        $gw->app_url('first-lab', '/.aml/session?code=' . 'x' x 43));
    is $tx->res->code, 403, 'a page at an address with a code';
    like $tx->res->headers->header('Referrer-Policy'),
        qr/^(?:no-referrer|same-origin)$/, 'tells nobody';
    $tx = $me->navigate($gw->app_url('evil-lab', '/x'));
    $gw->refused($tx, 403, 'not_creator', 'a refusal');
    is $tx->res->headers->header('Referrer-Policy'), 'no-referrer',
        'nor does a refusal';
    unlike $tx->res->body, qr/(?:src|href)="?https?:(?!\/\/aml\.localhost)/,
        'and it has nothing of other hosts';
};

subtest 'in no frame' => sub {
    for my $from ($gw->app_origin('first-lab'), $gw->app_origin('evil-lab'),
        'https://evil.example')
    {
        for my $path (grep { $_ ne '/auth/nothing' } @pages) {
            my $tx = $me->navigate(
                $gw->studio_url($path),
                from    => $from,
                follow  => 0,
                headers => {'Sec-Fetch-Dest' => 'iframe'}
            );
            is $tx->res->headers->header('X-AML-Reason'), 'cross_origin',
                id($from, $path);
        }
    }
    # An older browser does not tell that it is for a frame, and obeys these.
    for my $path (@pages) {
        for my $who ($me, $gw->browser) {
            my $tx = $who->navigate(
                $gw->studio_url($path),
                follow  => 0,
                headers => {map { +"Sec-Fetch-$_" => undef } qw(Site Mode Dest)}
            );
            next if $tx->res->headers->location;
            my $h = $tx->res->headers;
            like join(' ', @{$h->every_header('Content-Security-Policy')}),
                qr/frame-ancestors 'none'/, id('policy', $path);
        }
    }
    my $tx = $me->navigate($gw->app_url('evil-lab', '/x'), follow => 0);
    like $tx->res->headers->header('Content-Security-Policy'),
        qr/frame-ancestors 'none'/, 'a refusal';
};

# What the browser is told of the studio's pages, whoever they are for.
subtest 'no script but its own' => sub {
    for my $path (@pages) {
        my $tx = $me->navigate($gw->studio_url($path), from => $gw->studio,
            follow => 0);
        next if $tx->res->headers->location;
        my $h      = $tx->res->headers;
        my $policy = $h->header('Content-Security-Policy') // '';
        like $policy, qr/default-src 'none'/, id('policy', $path);
        unlike $policy, qr/unsafe|\*(?!\.)|script-src (?!'self'[;]|'none')/,
            'nothing else';
        is $h->header('X-Content-Type-Options'), 'nosniff', 'nor another type';
        is $tx->res->dom->find('script:not([src]), [onload], [onclick]')->size,
            0, 'none is inline';
    }
};

$gw->done;
