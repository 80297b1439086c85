# Who may show an application in a frame: its own pages, and those of origins
# that the configuration names.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::URL;
use Test::More;
use AML::Test;

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator', 'evil-lab' => 'colleague'});
my $me     = $gw->opened('creator', 'first-lab');
my $page   = $gw->app_url('first-lab', '/stand-in/page');
my $portal = 'https://portal.aml.localhost:8443';
my $good   = path($gw->dir, 'nginx.conf')->slurp;

sub write_conf ($directive) {
    path($gw->dir, 'nginx.conf')
        ->spurt($good =~ s/^(http \{)$/$1\n    $directive/mr);
}

sub frame ($from, $to = $page, %o) {
    return $me->navigate($to, from => $from, follow => 0,
        headers => {'Sec-Fetch-Dest' => 'iframe', %{delete $o{headers} // {}}},
        %o);
}

# What browsers are told, each header for itself, as they obey each.
sub policies ($tx) {
    return $tx->res->headers->every_header('Content-Security-Policy');
}

# An answer of the application that has these headers.
sub with_headers (@pairs) {
    my $url = Mojo::URL->new($gw->app_url('first-lab', '/stand-in/header'));
    return $me->fetch(GET => $url->query(@pairs)->to_string);
}

subtest 'nobody but itself, as shipped' => sub {
    $gw->refused(frame($_), 403, 'cross_origin', "a frame of $_")
        for $portal, $gw->studio, $gw->app_origin('evil-lab');
    my $tx = frame($gw->app_origin('first-lab'));
    is $tx->res->code, 200, 'a frame of its own';
    is_deeply policies($tx), [q{frame-ancestors 'self'}], 'and only its own';
    is_deeply policies($me->navigate($page)), [q{frame-ancestors 'self'}],
        'a page says so before anybody tries';
    is_deeply policies($me->fetch(GET => $gw->app_url('first-lab', '/x'))), [],
        'JSON is nothing to press on';

    is_deeply policies(with_headers('Content-Security-Policy' =>
            q{default-src 'none'; frame-ancestors 'none'})),
        [q{default-src 'none'; frame-ancestors 'none'},
            q{frame-ancestors 'self'}],
        'the application may be stricter';
    my $h = with_headers('X-Frame-Options' => 'DENY')->res->headers;
    is $h->header('X-Frame-Options'), 'DENY', 'in the older way too';
    is_deeply policies(with_headers(
            'Content-Security-Policy' => 'frame-ancestors *')),
        ['frame-ancestors *', q{frame-ancestors 'self'}], 'but not laxer';
};

subtest 'those that the configuration names' => sub {
    write_conf("aml_frame_ancestors $portal https://OTHER.example;");
    $gw->restart_nginx;
    my $all = "frame-ancestors 'self' $portal https://other.example";

    my $tx = frame($portal);
    is $tx->res->code, 200, 'a frame';
    is_deeply policies($tx), [$all], 'which the browser shows to them only';

    # the browser refuses a frame of another origin by what it is told
    is_deeply policies(frame($gw->app_origin('evil-lab'))), [$all],
        'another is told the same';

    is_deeply policies(with_headers(
            'Content-Security-Policy' =>
                q{Frame-Ancestors 'none'; script-src 'self'},
            'X-Frame-Options' => 'DENY')),
        [q{script-src 'self'}, $all], 'the application\'s word is taken out';
    is with_headers('X-Frame-Options' => 'DENY')
        ->res->headers->header('X-Frame-Options'), undef, 'the older one too';
    is_deeply policies(with_headers(
            'Content-Security-Policy' => 'frame-ancestors *')), [$all],
        'and no empty policy stays';

    $gw->refused(frame($portal, $page, method => 'POST', form => {a => 1}),
        403, 'cross_origin', 'a form');
    $gw->refused(frame($portal, $page, headers => {'Sec-Fetch-Dest' => $_}),
        403, 'cross_origin', $_) for qw(frame embed object);
    $gw->refused(
        $me->fetch(GET => $page, from => $portal,
            headers => {Origin => $portal}),
        403, 'cross_origin', 'a script');
    is $me->websocket($gw->app_url('first-lab', '/ws'), from => $portal,
        headers => {Origin => $portal})->failed, 403, 'a websocket';
};

# Sessions begin at the top level, where the address says who asks.
subtest 'without a session' => sub {
    for ([signed => $gw->signed_in('creator')], [unsigned => $gw->browser]) {
        my ($who, $browser) = @$_;
        my $tx = $browser->navigate($page, from => $portal,
            headers => {'Sec-Fetch-Dest' => 'iframe'});
        is $tx->res->code, 403, "$who: refused";
        like join("\n", @{policies($tx)}), qr/frame-ancestors 'none'/,
            "$who: nor is that shown in a frame";
    }
};

$gw->tolerate(qr/aml_frame_ancestors|is not an origin/);

subtest 'what is no origin' => sub {
    for my $bad ('', '*', q{'self'}, 'http://portal.example.org',
        'https://portal.example.org/', 'https://portal.example.org:x',
        'https://*.example.org', q{"https://a.example; script-src *"},
        q{"https://a.example https://b.example"})
    {
        write_conf("aml_frame_ancestors $bad;");
        my $r = $gw->run('', $gw->nginx_command('-t'));
        isnt $r->{status}, 0, $bad || 'nothing';
        like $r->{err}, qr/aml_frame_ancestors|an origin/, 'and is named';
    }
    write_conf("aml_frame_ancestors $portal;\n    aml_frame_ancestors $portal;");
    like $gw->run('', $gw->nginx_command('-t'))->{err},
        qr/"aml_frame_ancestors" directive is duplicate/, 'twice';
};

$gw->done;
