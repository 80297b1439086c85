# Cookie tossing: pages of an instance, or of any other host below the same
# domain, set cookies for the domain, which browsers then send to the studio and
# to everybody's instances.  None of it decides who somebody is.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::URL;
use Mojo::Util qw(url_escape);
use Test::More;
use AML::Raw qw(raw_http);
use AML::Test;

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator', 'evil-lab' => 'colleague'});
my $host   = $gw->app_host('first-lab');
my $studio = $gw->studio_host;
my @names  = ('__Host-aml', '__Host-aml-browser', '__Host-aml-left');

# What the attacker has: cookies of his own, at the studio and at first-lab.
my $mallory = $gw->signed_in('colleague');
$mallory->navigate($gw->app_url('first-lab', '/.aml/sign-in?to=/'),
    follow => 0);
my %his = (
    '__Host-aml'         => $mallory->cookie('__Host-aml', $studio),
    '__Host-aml-browser' => $mallory->cookie('__Host-aml-browser', $host),
);
like $his{$_}, qr/^[\w-]{43}$/, "the attacker has a $_" for sort keys %his;

# What is left of Set-Cookie headers as the application of the instance has
# written them.
my $owner = $gw->opened('colleague', 'evil-lab');

sub left (@set) {
    my $tx = $owner->navigate($gw->app_url('evil-lab', '/stand-in/header?'
            . join '&', map { 'Set-Cookie=' . url_escape($_) } @set));
    return $tx->res->code . ' ' . join '|',
        @{$tx->res->headers->every_header('Set-Cookie')};
}

subtest 'by an answer of an instance' => sub {
    my $other = 'theme=dark; Domain=aml.localhost';
    for my $name (@names) {
        for my $more ('', '; Domain=aml.localhost',
            '; Domain=instances.aml.localhost')
        {
            my $cookie = "$name=$his{'__Host-aml'}; Path=/; Secure$more";
            # one without a name, too: its value is sent as if it had one
            for my $text ($cookie, "=$cookie", " =\t $cookie", "==$cookie") {
                is left($text, $other), "200 $other", substr $text, 0, 24;
            }
        }
    }
    is left('a=__Host-aml=x', $other), "200 a=__Host-aml=x|$other",
        'what only looks like one is the application\'s';
};

# What a script writes does not come by the gateway.  A browser keeps the
# prefix's promise (RFC 6265bis section 4.1.3.2); t/browser/tossing.t asks a
# real one.  Here one that does not.
subtest 'by a browser that knows no prefix' => sub {
    for my $own (0, 1) {
        my $victim = $own ? $gw->opened('creator', 'first-lab') : $gw->browser;
        for my $at ([$host, '/x'],
            [$studio, $gw->workspace . '/computes?api-version=2022-10-01'])
        {
            my ($where, $path) = @$at;
            my $mine = $victim->cookie('__Host-aml', $where);
            my $evil = "__Host-aml=$his{'__Host-aml'}";
            my $pair = defined $mine ? "__Host-aml=$mine" : undef;
            for my $sent (
                $pair ? ("$evil; $pair", "$pair; $evil") : $evil)
            {
                my $r = raw_http(
                    $gw,
                    join("\n", "GET $path HTTP/1.1",
                        "Host: $where:" . $gw->port, "Cookie: $sent",
                        'Sec-Fetch-Site: same-origin', 'Connection: close',
                        '', ''),
                    sni => $where
                );
                my $reason = $r->{headers}{'x-aml-reason'}[0] // '';
                if ($own) {
                    is $reason, 'credential_repeated', "$where: two of one name";
                }
                elsif ($where eq $host) {
                    is $reason, 'session_host',
                        'a session of the studio is none of an instance';
                }
            }
        }
    }
};

# Whoever knows the value of the browser's cookie could have a code made for it,
# and give that to somebody whose browser has the same.
subtest 'the cookie that binds codes' => sub {
    my $victim = $gw->signed_in('creator');
    $victim->navigate($gw->app_url('first-lab', '/.aml/sign-in?to=/'),
        follow => 0);
    my $mine = $victim->cookie('__Host-aml-browser', $host);
    my $tx   = $mallory->navigate(
        $gw->app_url('first-lab', '/.aml/sign-in?to=/'), follow => 0);
    $tx = $mallory->navigate($tx->res->headers->location, follow => 0);
    my $url = $tx->res->headers->location;
    like $url, qr/code=/, 'the attacker has a code';
    my $r = raw_http(
        $gw,
        join("\n", 'GET ' . Mojo::URL->new($url)->path_query . ' HTTP/1.1',
            "Host: $host:" . $gw->port,
            "Cookie: __Host-aml-browser=$his{'__Host-aml-browser'}; "
                . "__Host-aml-browser=$mine",
            'Sec-Fetch-Site: same-site', 'Sec-Fetch-Mode: navigate',
            'Sec-Fetch-Dest: document', 'Connection: close', '', ''),
        sni => $host
    );
    is $r->{code}, 403, 'beside the browser\'s own';
    is $r->{headers}{'x-aml-reason'}[0], 'code_unknown', 'it is not redeemed';
    ok !(grep {/__Host-aml=[^;]/} @{$r->{headers}{'set-cookie'} // []}),
        'and nobody is signed in';
};

# So many that the header is too large: it keeps people out, and tells them why.
subtest 'too many' => sub {
    my $victim = $gw->signed_in('creator');
    $victim->set_cookie("c$_", 'x' x 4000, $studio) for 1 .. 40;
    my $tx = $victim->navigate($gw->studio_url('/'));
    $gw->refused($tx, 431, 'headers_too_large', 'the studio');
    like $tx->res->body, qr/clear this site's cookies/, 'and what to do';
};

$gw->done;
