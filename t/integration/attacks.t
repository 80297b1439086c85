# Every attack of t/data/identity-attacks.json on a whole gateway: each is
# refused, with its own reason.

use Mojo::Base -strict, -signatures;
use utf8;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Digest::SHA qw(sha256_hex);
use Encode     qw(encode_utf8);
use Mojo::JSON qw(encode_json);
use Mojo::URL;
use Mojo::Util qw(url_escape);
use Test::More;
use AML::Attacks;
use AML::JWT;
use AML::Raw qw(raw_http);
use AML::Test;

my $judge = "$AML::Test::ROOT/build/$AML::Test::VARIANT/t/libjwt_judge";
my $gw    = AML::Test->start(
    instances => {'first-lab' => 'creator', 'evil-lab' => 'colleague'});
my $attacks = AML::Attacks->new(gw => $gw)->establish;
my $table   = $attacks->table;
$attacks->values({
    apps          => $gw->apps,
    port          => $gw->port,
    studio        => $gw->studio,
    'studio-host' => $gw->studio_host,
    evil          => $gw->app_origin('evil-lab'),
    workspace     => $gw->workspace,
    password      => $gw->passwords->{colleague},
});

sub shown ($text) { substr $text =~ s/[^ -~]/?/gr, 0, 70 }

# Compares status and reason; `got` is "status reason".
sub refused ($row, $got, $status, $name = $row->{name}) {
    is $got, ($row->{status} // $status) . ' ' . $row->{reason}, shown($name);
}

# ---- tokens ----

sub ask_api (@values) {
    my $r = raw_http($gw, join "\n",
        'GET ' . $gw->compute('any-lab') . '?api-version=2022-10-01 HTTP/1.1',
        'Host: ' . $gw->studio_host,
        (map {"Authorization: $_"} @values),
        'Connection: close', '', '');
    my $reason = $r->{headers}{'x-aml-reason'}[0] // 'none';
    my $code   = $r->{json}{error}{code}          // 'no code';
    return join ' ', $r->{code} // 'none', $reason,
        $reason eq $code ? () : "but $code";
}

# What libjwt is asked about: [row, token, the key of its issuer].
my @asked;

subtest tokens => sub {
    $attacks->now(time);
    for my $row (@{$table->{tokens}}) {
        my $token  = $attacks->token($row);
        my @values = $row->{authorization} // "Bearer $token";
        push @values, @values if ($row->{repeat} // '') eq '2';
        push @values, 'Bearer x.y.z' if ($row->{repeat} // '') eq 'other';
        refused($row, ask_api(@values), 401);
        push @asked, [$row, $token, 'one']
            unless $row->{repeat} || defined $row->{authorization}
            || $token =~ /[^\x21-\x7e]/;
    }
};

subtest 'tokens by their text' => sub {
    $attacks->now(time);
    is ask_api('Bearer ' . $attacks->text_token(
        {header_text => '@head', claims_text => '@good'})),
        '403 action_denied', 'a good one';
    for my $row (@{$table->{texts}}) {
        my $token = $attacks->text_token($row);
        refused($row, ask_api("Bearer $token"), 401);
        push @asked, [$row, $token, 'rsa'];
    }
};

subtest 'libjwt agrees' => sub {
    my %pem = map { $_ => AML::JWT::public_pem($attacks->key->{$_}) }
        qw(one rsa p256 p384 p521);
    my @good = map {
        my $kid = $_->[1];
        [
            {name => "a good $_->[0]", good => 1},
            AML::JWT::make($_->[0], $attacks->key->{$kid},
                {alg => $_->[0], kid => $kid},
                {%{$attacks->claims}, iss => AML::Attacks::MANY}),
            $kid
        ]
    } [RS256 => 'rsa'], [RS384 => 'rsa'], [RS512 => 'rsa'],
        [ES256 => 'p256'], [ES384 => 'p384'], [ES512 => 'p521'];
    is ask_api("Bearer $_->[1]"), '403 action_denied', $_->[0]{name}
        for @good;

    my @all = (@good, @asked);
    my $r   = $gw->run(
        join('', map { encode_json({token => $_->[1], pem => $pem{$_->[2]}})
            . "\n" } @all),
        $judge
    );
    is $r->{status}, 0, 'it judges' or diag $r->{err};
    my ($version, @verdicts) = split /\n/, $r->{out};
    note "judged by $version";
    like $version, qr/^libjwt \d+\.\d+/, 'its version is known';
    is scalar @verdicts, scalar @all, 'and all of them';

    # Form, header and signature are what it can judge.  It knows nothing of
    # our issuers, their keys and algorithms, nor of claims.
    my %counts;
    for my $i (0 .. $#all) {
        my ($row, $verdict) = ($all[$i][0], $verdicts[$i]);
        $counts{$verdict}++;
        next if $verdict eq 'cannot';
        my $reason = $row->{reason} // '';
        if ($row->{good}
            || $reason =~ /^token_(?:expired|not_yet|audience)$/)
        {
            is $verdict, 'accepts', shown("the signature of: $row->{name}");
        }
        elsif ($reason =~ /^token_(?:malformed|signature|algorithm|critical)$/)
        {
            is $verdict, 'refuses', shown($row->{name})
                unless ($row->{libjwt} // '') eq 'accepts';
        }
    }
    note join ', ', map {"$_ $counts{$_}"} sort keys %counts;
};


# ---- cookies ----

# A principal of our own, made by hand, who owns the instance "hand-lab"; it
# is stopped, and whoever is told so has been taken for its owner.
my $me        = '11111111-2222-4333-8444-555555555555';
my $handlab   = $gw->app_host('hand-lab');
my %principal = (
    op => 'principal', id => $me, not_before => 0, flags => 0, name => 'Hand',
    issuer => 'test', assignments => []
);
$gw->edit(
    \%principal,
    {
        op => 'route', name => 'hand-lab', port => 0, state => 'Stopped',
        creator => $me, generation => 3, compute => $gw->compute('hand-lab')
    }
);

sub new_session (%o) {
    state $count = 0;
    my $cookie = sprintf '%042d0', ++$count;    # 256 bits, none behind them
    $gw->edit({
        op        => 'session', cookie => $cookie, host => $handlab,
        principal => $me, sign_in => '99999999-2222-4333-8444-555555555555',
        created => $attacks->now - 50, expires => $attacks->now + 600, %o
    });
    return $cookie;
}

sub ask_app (@cookies) {
    my $r = raw_http($gw, join "\n", 'GET /x HTTP/1.1', "Host: $handlab",
        'Sec-Fetch-Site: same-origin',
        (map {"Cookie: $_"} @cookies), 'Connection: close', '', '');
    return join ' ', $r->{code} // 'none',
        $r->{headers}{'x-aml-reason'}[0] // 'none';
}

my %cookie = (
    cut    => sub ($v) { substr $v, 0, -1 },
    long   => sub ($v) { $v . 'A' },
    latin1 => sub ($v) { "\xe9" . substr $v, 1 },
    quotes => sub ($v) {qq("$v")},
    huge   => sub ($v) { 'A' x 4000 },
    hash   => sub ($v) { sha256_hex($v) },
    case   => sub ($v) { 'a' . substr $v, 1 },
);

subtest cookies => sub {
    $attacks->now(time);
    my $good = new_session();
    is ask_app("__Host-aml=$good"), '409 instance_stopped', 'a good one';
    for my $row (@{$table->{cookies}}) {
        my $value = $row->{value} // $good;
        $value = new_session(%{$attacks->filled($row->{session})})
            if $row->{session};
        $gw->edit({%principal, %{$attacks->filled($row->{principal})}})
            if $row->{principal};
        $value = $cookie{$row->{mangle}}->($value) if $row->{mangle};
        my $pair   = ($row->{cookie} // '__Host-aml') . "=$value";
        my $repeat = $row->{repeat} // '';
        my @sent =
              $repeat eq 'header'  ? "$pair; $pair"
            : $repeat eq 'headers' ? ($pair, $pair)
            :                        $pair;
        refused($row, ask_app(@sent), 401);
        $gw->edit(\%principal) if $row->{principal};
    }
    is ask_app("__Host-aml=$good"), '409 instance_stopped', 'still good';
};


# ---- codes of the hand-over ----

my $host = $gw->app_host('first-lab');

# A browser that has come as far as the address with the code, and that code.
sub code_for ($name = 'first-lab') {
    my $browser = $gw->signed_in('creator');
    my $tx      = $browser->navigate(
        $gw->app_url($name, '/.aml/sign-in?to=/lab'), follow => 0);
    for (1 .. 5) {
        my $to = Mojo::URL->new($tx->res->headers->location)
            ->to_abs($tx->req->url);
        return ($browser, $to->query->param('code'))
            if $to->path eq '/.aml/session';
        $tx = $browser->navigate("$to", follow => 0);
    }
    die "no code\n";
}

sub redeem ($browser, $query, $name = 'first-lab', %o) {
    return $browser->navigate(
        $gw->app_url($name, "/.aml/session?$query&again=1&to=/lab",
            $o{port} // 8888),
        follow => 0,
        %o{grep { $_ ne 'port' } keys %o}
    );
}

# A browser with the cookie that binds `browser` at its host.
sub bound_as ($browser, $at = $host, $other = $gw->browser) {
    $other->set_cookie('__Host-aml-browser',
        $browser->cookie('__Host-aml-browser', $host), $at);
    return $other;
}

my %code_changed = (
    cut         => sub ($c) { substr $c, 0, -1 },
    long        => sub ($c) { $c . 'A' },
    'last bits' => sub ($c) {
        $c =~ s{(.)$}{(sort { abs(ord($a) - ord $1) <=> abs(ord($b) - ord $1) }
            grep { $_ ne $1 } 'A' .. 'Z', 'a' .. 'z', 0 .. 9)[0]}er;
    },
    hash      => sub ($c) { sha256_hex($c) },
    huge      => sub ($c) { $c x 120 },
    nul       => sub ($c) {"$c%00"},
    pollution => sub ($c) {"x&code=$c"},
);

my %code_used = (
    'twice' => sub ($browser, $code) {
        is redeem($browser, "code=$code")->res->code, 303, '(once)';
        return redeem(bound_as($browser), "code=$code");
    },
    'no cookie' => sub ($browser, $code) {
        return redeem($gw->browser, "code=$code");
    },
    'other cookie' => sub ($browser, $code) {
        my ($other) = code_for();
        return redeem($other, "code=$code");
    },
    'other host' => sub ($browser, $code) {
        my $other = bound_as($browser, $gw->app_host('evil-lab'));
        return redeem($other, "code=$code", 'evil-lab');
    },
    'other port' => sub ($browser, $code) {
        my $other = bound_as($browser, $gw->app_host('first-lab', 8787));
        return redeem($other, "code=$code", 'first-lab', port => 8787);
    },
    'gone' => sub ($browser, $code) {
        $gw->edit({op => 'delete', key => 'code/' . sha256_hex($code)});
        return redeem($browser, "code=$code");
    },
    'signed out' => sub ($browser, $code) {
        my $other = bound_as($browser);
        my $tx = $browser->submit($browser->navigate($gw->studio_url('/')),
            {}, form => 'form[action*=sign-out]');
        is $tx->res->code, 200, '(signed out)';
        return redeem($other, "code=$code");
    },
    'cookie' => sub ($browser, $code) {
        my $cookie = $browser->cookie('__Host-aml', $gw->studio_host);
        return redeem($browser, "code=$cookie");
    },
    'post' => sub ($browser, $code) {
        return redeem($browser, "code=$code", 'first-lab', method => 'POST');
    },
);

subtest codes => sub {
    for my $row (@{$table->{codes}}) {
        my ($browser, $code) = code_for();
        my $do = $row->{do} // '';
        my $tx =
              $code_used{$do} ? $code_used{$do}->($browser, $code)
            : $code_changed{$do}
            ? redeem($browser, 'code=' . $code_changed{$do}->($code))
            : defined $row->{code}
            ? redeem($browser, 'code=' . url_escape($row->{code}))
            : redeem($browser, 'x=y');
        my $set = join ' ', @{$tx->res->headers->every_header('Set-Cookie')};
        unlike $set, qr/__Host-aml=[^;]/, shown("$row->{name}: no session");
        refused($row, join(' ', $tx->res->code,
            $tx->res->headers->header('X-AML-Reason') // 'none'), 403);
    }
};


# ---- where `to` and `host` lead ----

# An answer that leads out of the gateway, or has a header of `to` in it.
sub strays ($tx) {
    my $h  = $tx->res->headers;
    my $to = $h->location;
    return
           $tx->res->code >= 500
        || ($h->header('Set-Cookie') // '') =~ /^a=b/
        || $to && (
            $to =~ m{^(?:[/\\]{2}|/\\)}
            || (Mojo::URL->new($to)->to_abs($tx->req->url)->host // '')
            !~ /(?:^|\.)aml\.localhost$/
        );
}

subtest redirects => sub {
    my $browser = $gw->signed_in('creator');
    for my $row (@{$table->{redirects}}) {
        my $to = url_escape(encode_utf8($row->{to}));
        for my $start (
            $gw->studio_url("/auth/sign-in?to=$to"),
            $gw->app_url('first-lab', "/.aml/sign-in?to=$to"),
            $gw->studio_url("/auth/handoff?host=$host:" . $gw->port
                    . '&browser=' . ('a' x 64) . "&to=$to"),
            $gw->app_url('first-lab', "/.aml/session?code=x&to=$to"),
            )
        {
            my $tx    = $browser->navigate($start, follow => 0);
            my @steps = ($tx);
            while (my $l = $tx->res->headers->location) {
                my $next = Mojo::URL->new($l)->to_abs($tx->req->url);
                last unless ($next->host // '') =~ /(?:^|\.)aml\.localhost$/
                    && @steps < 6;
                $tx = $browser->navigate("$next", follow => 0);
                push @steps, $tx;
            }
            my $name = shown($row->{to}) . ' at '
                . Mojo::URL->new($start)->path;
            if ($row->{reason} eq 'ok') {
                is $steps[-1]->req->url->path, $row->{leads_to} // '/', $name;
            }
            else {
                refused($row, join(' ', $tx->res->code,
                    $tx->res->headers->header('X-AML-Reason') // 'none'), 400,
                    $name);
            }
            ok !(grep { strays($_) } @steps), "$name, not elsewhere"
                or diag map { $_->res->code, ' ', $_->res->headers->location
                    // '', "\n" } @steps;
        }
    }
};

subtest handoffs => sub {
    my $browser = $gw->signed_in('creator');
    for my $row (@{$table->{handoffs}}) {
        my $tx = $browser->navigate(
            $gw->studio_url('/auth/handoff?browser=' . ('a' x 64) . '&to=/lab'
                    . '&host=' . url_escape($attacks->filled($row->{host}))),
            follow => 0
        );
        unlike $tx->res->headers->location // '', qr/code=/,
            shown("$row->{host}: no code");
        refused($row, join(' ', $tx->res->code,
            $tx->res->headers->header('X-AML-Reason') // 'none'), 404,
            $row->{host});
    }
};


# ---- requests ----

subtest requests => sub {
    my %browser;
    for my $row (@{$table->{requests}}) {
        my $as = $row->{as} // '';
        $browser{$as} //= do {
            my $b = $gw->signed_in($as);
            $b->navigate($gw->app_url($_, '/')) for qw(first-lab evil-lab);
            $b;
        } if $as;
        my $at = $row->{at} eq 'studio' ? $gw->studio_host
            : $gw->app_host($row->{at});
        my %headers = %{$attacks->filled($row->{headers})};
        my $hosts   = delete $headers{Host} // $at . ':' . $gw->port;
        my $cookie  = $as ? $browser{$as}->cookie('__Host-aml', $at) : undef;
        my $body    = $row->{form}
            ? Mojo::Parameters->new(%{$attacks->filled($row->{form})})
            ->to_string
            : '';
        my $r = raw_http(
            $gw,
            join(
                "\n",
                "$row->{method} " . $attacks->filled($row->{path}) . ' HTTP/1.1',
                (map {"Host: $_"} ref $hosts ? @$hosts : $hosts),
                ($cookie ? "Cookie: __Host-aml=$cookie" : ()),
                (map {"$_: $headers{$_}"} sort keys %headers),
                ($row->{form}
                    ? 'Content-Type: application/x-www-form-urlencoded'
                    : ()),
                ($row->{method} eq 'POST'
                    ? 'Content-Length: ' . length $body
                    : ()),
                'Connection: close', '', $body
            ),
            sni => $at
        );
        my @set = @{$r->{headers}{'set-cookie'} // []};
        ok !(grep {/^__Host-aml=[^;]/} @set), shown("$row->{name}: no session");
        refused($row, join(' ', $r->{code} // 'none',
            $r->{headers}{'x-aml-reason'}[0] // 'none'), 403);
    }
    is $gw->state_of('first-lab'), 'Running', 'the instance still runs';
};

$gw->done;
