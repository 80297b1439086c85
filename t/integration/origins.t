# A cookie speaks only for requests of its own origin: instances are same-site
# with each other and with the studio, so SameSite protects nothing here.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Test;

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator', 'evil-lab' => 'colleague'});
my $me     = $gw->opened('creator', 'first-lab');
my $url    = $gw->app_url('first-lab', '/api/contents/x');
my $own    = $gw->app_origin('first-lab');
my $evil   = $gw->app_origin('evil-lab');
my $studio = $gw->studio;

sub refused ($tx, $name) { $gw->refused($tx, 403, 'cross_origin', $name) }

subtest 'the page\'s own requests' => sub {
    for my $method (qw(GET HEAD POST PUT PATCH DELETE)) {
        is $me->fetch($method => $url)->res->code, 200, $method;
    }
    is $me->fetch(GET => $url, headers => {'Sec-Fetch-Dest' => 'iframe',
        'Sec-Fetch-Mode' => 'navigate'})->res->code, 200,
        'a frame of its own';
};

subtest 'requests of other pages' => sub {
    for my $from ($evil, $studio, 'https://evil.example', 'null',
        "http://first-lab." . $gw->apps . ':' . $gw->port)
    {
        for my $method (qw(POST PUT DELETE PATCH OPTIONS GET)) {
            refused(
                $me->fetch(
                    $method => $url,
                    from    => $from,
                    headers => {Origin => $from}
                ),
                "$method from $from"
            );
        }
    }
};

subtest 'a form of another page' => sub {
    my $tx = $me->navigate($url, method => 'POST', form => {a => 1},
        from => $evil, follow => 0);
    refused($tx, 'POST by navigation');
};

subtest 'what another page embeds' => sub {
    for my $dest (qw(iframe frame embed object image script style font empty
        worker manifest audio))
    {
        my $mode = $dest =~ /frame|embed|object/ ? 'navigate' : 'no-cors';
        refused(
            $me->request(
                GET     => $url,
                headers => {
                    'Sec-Fetch-Site' => 'same-site',
                    'Sec-Fetch-Mode' => $mode,
                    'Sec-Fetch-Dest' => $dest
                }
            ),
            $dest
        );
    }
};

subtest 'links' => sub {
    for my $from ($evil, $studio, 'https://mail.example') {
        is $me->navigate($url, from => $from)->res->code, 200, "from $from";
    }
};

subtest 'websockets' => sub {
    my $to = $gw->app_url('first-lab', '/ws');
    ok $me->websocket($to)->echoes('x'), 'of the page itself';
    for my $from ($evil, $studio, 'https://evil.example', 'null') {
        is $me->websocket($to, from => $from, headers => {Origin => $from})
            ->failed, 403, "of $from";
    }
    is $me->websocket(
        $to, headers => {Origin => undef, 'Sec-Fetch-Site' => undef}
    )->failed, 403, 'of nobody';
    is $me->websocket($to, headers => {Origin => "$own.evil.example"})->failed,
        403, 'of an origin that begins alike';
    is $me->websocket($to, headers => {Origin => $own =~ s/:\d+$//r})->failed,
        403, 'of another port';
};

subtest 'browsers without Fetch Metadata' => sub {
    my %none = map { +"Sec-Fetch-$_" => undef } qw(Site Mode Dest);
    is $me->fetch(GET => $url, headers => \%none)->res->code, 200, 'reading';
    is $me->fetch(POST => $url, headers => {%none, Origin => $own})
        ->res->code, 200, 'a change, with Origin';
    refused($me->fetch(POST => $url, headers => {%none, Origin => undef}),
        'a change, without');
    refused($me->fetch(POST => $url, headers => {%none, Origin => $evil}),
        'a change of another origin');
};

subtest 'two Origin headers' => sub {
    refused($me->request(POST => $url, headers => {Origin => [$own, $evil]}),
        'own first');
    refused($me->request(POST => $url, headers => {Origin => [$evil, $own]}),
        'other first');
};

subtest 'a token needs no origin' => sub {
    my $tx = $gw->program->request(
        POST    => $url,
        headers => {%{$gw->bearer('creator')}, Origin => 'https://any.example'}
    );
    is $tx->res->code, 200, 'POST';
};

subtest 'the control API with a session' => sub {
    my $list = $gw->studio_url(
        $gw->workspace . '/computes?api-version=2022-10-01');
    is $me->fetch(GET => $list)->res->code, 200, 'from the studio';
    refused($me->fetch(GET => $list, from => $own), 'from an instance');
    my $stop = $gw->studio_url(
        $gw->compute('first-lab') . '/stop?api-version=2022-10-01');
    refused($me->fetch(POST => $stop, from => $own),
        'a notebook\'s script can\'t stop an instance');
    refused($me->navigate($stop, method => 'POST', form => {}, from => $evil),
        'nor can a form');
    is $gw->state_of('first-lab'), 'Running', 'it still runs';
};

$gw->done;
