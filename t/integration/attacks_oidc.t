# The states of t/data/identity-attacks.json: what comes back from an identity
# provider and is not what was sent there.  With each of the two real ones;
# nobody is signed in by any of it, and each has its own reason.

use Mojo::Base -strict, -signatures;
use utf8;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use Mojo::URL;
use Test::More;
use AML::Attacks;
use AML::Provider;
use AML::Raw qw(raw_http);
use AML::Test;

my @idp = map { AML::Provider->make($_) } AML::Provider->kinds;
my $gw  = AML::Test->start(
    providers => \@idp,
    accounts  => {colleague => 'Reader'},
    amld      => sub ($text) { join '', $text, map { $_->section } @idp },
);
my $rows     = AML::Attacks->new(gw => $gw)->table->{states};
my $studio   = $gw->studio;
my $callback = qr{^\Q$studio\E/auth/callback/};
my $other    = $gw->signed_in('colleague');

# The provider of this run, and the other.
my ($idp, $other_idp);

# A browser that stops where the provider sends it back to us, and that address.
sub comes_back ($me = $gw->browser, $at = $idp, $user = 'alice') {
    $me->stop_at($callback);
    my $tx = $at->enter($me, $user,
        "$studio/auth/oidc/@{[$at->kind]}?to=/auth/tokens");
    $me->stop_at(undef);
    my $url = Mojo::URL->new($tx->res->headers->location // '');
    defined $url->query->param('code')
        or die "it did not come back\n" . $tx->res->body;
    return ($me, $url);
}

sub set ($url, %to) { $url->clone->query({%to}) }

# One parameter more, before or behind the others.
sub twice ($url, $name, $value, $first = 0) {
    my $more = Mojo::Parameters->new($name => $value)->to_string;
    my $all  = $url->query->to_string;
    return $url->clone->query($first ? "$more&$all" : "$all&$more");
}

sub value ($url, $name) { $url->query->param($name) }

sub flow_key ($url) { 'flow/' . sha256_hex(value($url, 'state')) }

sub flow ($url) {
    my $hex = $gw->edit({op => 'get', key => flow_key($url)});
    $hex =~ s/\s//g;
    return $hex;
}

sub put_flow ($url, $hex) {
    $gw->edit({op => 'put', key => flow_key($url), hex => $hex});
}

sub browser_of ($me) { $me->cookie('__Host-aml-browser', $gw->studio_host) }

# Another browser, whose cookie that is.
sub with_cookie ($value) {
    my $b = $gw->browser;
    $b->set_cookie('__Host-aml-browser', $value, $gw->studio_host)
        if defined $value;
    return $b;
}

my $letters = join '', 'A' .. 'Z', 'a' .. 'z', 0 .. 9, '-', '_';

# The last of 43 characters has four bits of the secret, and two of nothing.
sub last_bits ($state) {
    my $at = index $letters, substr $state, -1;
    return substr($state, 0, -1) . substr $letters, $at ^ 1, 1;
}

# What is done to the state, or to another parameter.
my %made = (
    'cut'       => sub ($u) { set($u, state => substr value($u, 'state'), 1) },
    'long'      => sub ($u) { set($u, state => value($u, 'state') . 'A') },
    'last bits' => sub ($u) { set($u, state => last_bits(value($u, 'state'))) },
    'case'      => sub ($u) {
        set($u, state => value($u, 'state') =~ tr/a-zA-Z/A-Za-z/r);
    },
    'huge'      => sub ($u) { set($u, state => 'A' x 4000) },
    'too large' => sub ($u) { set($u, state => 'A' x 20_000) },
    'padding'   => sub ($u) { set($u, state => value($u, 'state') . '=') },
    'blank'     => sub ($u) { set($u, state => value($u, 'state') . ' ') },
    'newline'   => sub ($u) { set($u, state => value($u, 'state') . "\n") },
    'nul'       => sub ($u) { set($u, state => value($u, 'state') . "\0") },
    'hash'      => sub ($u) { set($u, state => sha256_hex(value($u, 'state'))) },
    'latin1'    => sub ($u) { "$u" =~ s/state=/state=%ff/r },
    'percent'   => sub ($u) {"$u&x=%zz"},
    'many'      => sub ($u) { "$u" . '&x=y' x 100 },
    'path'      => sub ($u) { $u->clone->path($u->path . '/x') },
    'no section'      => sub ($u) { $u->clone->path('/auth/callback/nobody') },
    'without section' => sub ($u) { $u->clone->path('/auth/callback') },
    'other section'   => sub ($u) {
        $u->clone->path('/auth/callback/' . $other_idp->kind);
    },
    'state twice' => sub ($u) { twice($u, state => value($u, 'state')) },
    'state and another' => sub ($u) { twice($u, state => 'A' x 43) },
    'another and state' => sub ($u) { twice($u, state => 'A' x 43, 1) },
    'code and another'  => sub ($u) { twice($u, code => 'x') },
    'another and code'  => sub ($u) { twice($u, code => 'x', 1) },
    'iss and another'   => sub ($u) {
        twice(set($u, iss => $idp->issuer), iss => 'https://evil.example');
    },
    'another and iss' => sub ($u) {
        twice(set($u, iss => $idp->issuer), iss => 'https://evil.example', 1);
    },
    'iss http'  => sub ($u) { set($u, iss => $idp->issuer =~ s/^https/http/r) },
    'iss slash' => sub ($u) { set($u, iss => $idp->issuer . '/') },
    'iss case'  => sub ($u) { set($u, iss => uc $idp->issuer) },
    'errors'    => sub ($u) {
        twice(set($u, error => 'access_denied'), error => 'server_error');
    },
    'huge error' => sub ($u) { set($u, code => undef, error => 'e' x 4000) },
    'huge code'  => sub ($u) { set($u, code => 'A' x 4000) },
    'long code'  => sub ($u) { set($u, code => value($u, 'code') . 'A') },
    'injected'   => sub ($u) {
        my (undef, $theirs) = comes_back($gw->browser, $idp, 'bob');
        set($u, code => value($theirs, 'code'));
    },
    'mix-up' => sub ($u) {
        my (undef, $theirs) = comes_back($gw->browser, $other_idp);
        set($u, code => value($theirs, 'code'), iss => $other_idp->issuer);
    },
    'mixed code' => sub ($u) {
        my (undef, $theirs) = comes_back($gw->browser, $other_idp);
        set($u, code => value($theirs, 'code'));
    },
);

# What is done before, or with what browser it comes: the answer.
my %done = (
    'used' => sub ($me, $u) {
        my $tx = $me->navigate("$u", from => $idp->origin, follow => 0);
        is $tx->res->headers->location, '/auth/tokens', '(once)';
        return with_cookie(browser_of($me))->navigate("$u");
    },
    'refused before' => sub ($me, $u) {
        $me->navigate(set($u, iss => 'https://evil.example')->to_string);
        return $me->navigate("$u");
    },
    'expired' => sub ($me, $u) {
        # the head begins with when it ends, little-endian
        put_flow($u, unpack('H16', pack 'Q<', time) . substr flow($u), 16);
        return $me->navigate("$u");
    },
    'gone' => sub ($me, $u) {
        $gw->edit({op => 'delete', key => flow_key($u)});
        return $me->navigate("$u");
    },
    'session' => sub ($me, $u) {
        my $secret = $other->cookie('__Host-aml', $gw->studio_host);
        return $me->navigate(set($u, state => $secret)->to_string);
    },
    'damaged' => sub ($me, $u) {
        put_flow($u, substr flow($u), 0, -10);
        return $me->navigate("$u");
    },
    'no cookie' => sub ($me, $u) { $gw->browser->navigate("$u") },
    'other cookie' => sub ($me, $u) {
        my ($victim) = comes_back($gw->browser, $idp, 'bob');
        return $victim->navigate("$u", from => 'https://evil.example');
    },
    'other person' => sub ($me, $u) {
        my $was = $other->cookie('__Host-aml', $gw->studio_host);
        my $tx = $other->navigate("$u", from => 'https://evil.example');
        is $other->cookie('__Host-aml', $gw->studio_host), $was,
            '(who is signed in stays so)';
        return $tx;
    },
    'cookie twice' => sub ($me, $u) {
        my $cookie = '__Host-aml-browser=' . browser_of($me);
        return raw_http(
            $gw,
            join("\n", 'GET ' . $u->path_query . ' HTTP/1.1',
                "Host: " . $u->host_port, "Cookie: $cookie; $cookie",
                'Sec-Fetch-Mode: navigate', 'Sec-Fetch-Dest: document',
                'Connection: close', '', ''),
            sni => $gw->studio_host
        );
    },
    'cookie hash' => sub ($me, $u) {
        return with_cookie(sha256_hex(browser_of($me)))->navigate("$u");
    },
    'cookie session' => sub ($me, $u) {
        return with_cookie($other->cookie('__Host-aml', $gw->studio_host))
            ->navigate("$u");
    },
    'old code' => sub ($me, $u) {
        my $used = $gw->browser;
        my (undef, $first) = comes_back($used);
        $used->navigate("$first", from => $idp->origin, follow => 0);
        return $me->navigate(
            set($u, code => value($first, 'code'))->to_string);
    },
    'mixed state' => sub ($me, $u) {
        my (undef, $theirs) = comes_back($me, $other_idp);
        return $me->navigate(
            set($u, state => value($theirs, 'state'))->to_string);
    },
    'post' => sub ($me, $u) {
        return $me->navigate(
            $u->clone->query([])->to_string,
            method => 'POST',
            from   => $idp->origin,
            form   => $u->query->to_hash
        );
    },
);

# Status and reason, the page, and cookies, of either kind of answer.
sub answer ($r) {
    return ($r->{code}, $r->{headers}{'x-aml-reason'}[0] // '', $r->{body},
        @{$r->{headers}{'set-cookie'} // []})
        if ref $r eq 'HASH';
    my $h = $r->res->headers;
    is $h->header('X-Evil'), undef, 'no header is added';
    return ($r->res->code, $h->header('X-AML-Reason') // '', $r->res->body,
        @{$h->every_header('Set-Cookie')});
}

my %status = (
    sign_in_stale => 400, sign_in_elsewhere => 400, provider_answer => 502,
    provider_refused => 403, provider_unreachable => 502
);

# One browser is enough for those that it is not about: it is at the provider
# already.
sub attack ($me, $row) {
    (undef, my $url) = comes_back($me);
    my $do  = $row->{do} // '';
    my $to  = $row->{change} ? set($url, %{$row->{change}}) : $url;
    my $got = $done{$do} ? $done{$do}->($me, $to)
        : $me->navigate(
        ($made{$do} ? $made{$do}->($to) : $to) . '',
        from   => $idp->origin,
        follow => 0
        );
    my ($code, $reason, $body, @set) = answer($got);
    if ($row->{reason} eq 'refused by the provider') {
        like "$code $reason", qr/^(?:400 sign_in_stale|403 provider_refused)$/,
            'refused';
    }
    else {
        is "$code $reason",
            ($row->{status} // $status{$row->{reason}}) . " $row->{reason}",
            'refused, with the reason';
    }
    ok !(grep {/^__Host-aml=[^;]/} @set), 'nobody is signed in';
    ok !(grep {/^a=b/} @set), 'no cookie is added';
    is $me->cookie('__Host-aml', $gw->studio_host), undef, 'nor later'
        unless $do eq 'used';
    like $body, qr/\(<code>\Q$row->{shown}\E<\/code>\)/, 'says what'
        if $row->{shown};
    unlike $body, qr/\Q$row->{hidden}\E/, 'and nothing else'
        if $row->{hidden};
    if ($code !~ /^(?:404|503)$/ && $body =~ /<main/) {
        like $body, qr{<main.*<a [^>]*href="/auth/(?:sign-in|tokens)[?"]}s,
            'with a way on';
    }
    if ($row->{unspent}) {
        my $tx = $me->navigate("$url", from => $idp->origin, follow => 0);
        is $tx->res->headers->location, '/auth/tokens', 'it is not used up';
    }
}

subtest states => sub {
    cmp_ok scalar @$rows, '>', 75, 'many';
    for my $one (@idp) {
        ($idp, $other_idp) = ($one, grep { $_ != $one } @idp);
        my $has_iss =
            $idp->metadata->{authorization_response_iss_parameter_supported};
        my $me = $gw->browser;
        for my $row (@$rows) {
            next if ($row->{only} // '') eq 'iss' && !$has_iss;
            my $new = ($row->{do} // '') eq 'used' || $row->{unspent};
            subtest $idp->kind . ": $row->{name}" => sub {
                attack($new ? $gw->browser : $me, $row);
            };
        }
        (undef, my $url) = comes_back($me);
        is $me->navigate("$url", from => $idp->origin, follow => 0)
            ->res->headers->location, '/auth/tokens',
            $idp->kind . ': what is not changed signs in';
    }
};

subtest 'the log' => sub {
    my @lines = split /\n/, $gw->log_text('amld.err');
    is_deeply [grep { !/^\d{4}-\d\d-\d\dT[\d:.]+Z (?:error|warn|info) / }
            @lines], [], 'each line is amld\'s';
    is scalar(grep {/[^\x20-\x7e]/} @lines), 0, 'and plain';
    is scalar(grep {/^2026-01-01T00:00:00\.000Z/} @lines), 0, 'none is forged';
    like join("\n", @lines), qr/access_denied: x\\x0a2026-01-01T/,
        'what a provider said is there, as text';
};

$gw->done;
