# Wrong passwords make the next attempt wait, longer each time: by account and
# by address. Nobody is locked out by what others do, and nobody learns which
# accounts there are.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::IOLoop;
use Mojo::Promise;
use Test::More;
use Time::HiRes qw(time);
use AML::Test;
use AML::Wait qw(turn wait_for);

my $gw = AML::Test->start(
    accounts => {map { $_ => undef } qw(alice bob carol dave)},
    amld     => sub ($text) {"backoff_address = 12\n$text"}
);
my $url = $gw->studio_url('/auth/sign-in');

# A user agent at some address of this machine.
sub at ($address, $who = $gw->browser) {
    $who->ua->socket_options(
        {PeerAddr => '127.0.0.1', LocalAddr => $address});
    return $who;
}

sub try_form ($who, $name, $password = 'wrong') {
    return $who->navigate($url, method => 'POST', from => $gw->studio,
        follow => 0, form => {name => $name, password => $password, to => '/'});
}

sub try_basic ($who, $name, $password = 'wrong') {
    return $who->request(POST => $gw->studio_url('/auth/token'),
        headers => {Authorization => $gw->basic($name, $password)});
}

sub pause ($seconds) {
    my $until = time + $seconds;
    turn(0.05) while time < $until;
}

subtest 'an account' => sub {
    my $who = at('127.0.1.1');
    is try_form($who, 'alice')->res->code, 403, "attempt $_" for 1 .. 5;
    my $tx = try_form($who, 'alice');
    is $tx->res->code, 429, 'then one has to wait';
    is $tx->res->headers->header('Retry-After'), 1, 'for a second';
    is $tx->res->headers->header('X-AML-Reason'), 'try_later', 'the reason';
    like $tx->res->dom->at('#alert')->text, qr/Try again in 1 second\./,
        'a person is told';
    ok $tx->res->dom->at('input[type=password]'), 'and has the form';
    $tx = try_basic(at('127.0.1.2', $gw->program), 'ALICE');
    is $tx->res->code, 429, 'a program at another address too';
    is $tx->res->json('/error/code'), 'try_later', 'in JSON';
    is try_form($who, 'alice', $gw->passwords->{alice})->res->code, 429,
        'even with the right password';
    pause(1);
    is try_form($who, 'alice')->res->code, 403, 'the second is over';
    $tx = try_form($who, 'alice');
    is $tx->res->headers->header('Retry-After'), 2, 'twice as long';
    is try_form(at('127.0.1.2'), 'bob')->res->code, 403,
        'another account does not wait';
    pause(2);
    is try_form($who, 'alice', $gw->passwords->{alice})->res->code, 303,
        'the right password after the wait';
};

subtest 'where one is known' => sub {
    my $home = at('127.0.2.1');
    is try_form($home, 'bob', $gw->passwords->{bob})->res->code, 303,
        'signed in at home';
    for my $i (1 .. 8) {
        try_form(at("127.0.3.$i"), 'bob');
    }
    is try_form(at('127.0.3.99'), 'bob')->res->code, 429,
        'the account waits elsewhere';
    is try_form(at('127.0.2.1'), 'bob', $gw->passwords->{bob})->res->code,
        303, 'not at home';

    # As after an update: amld remembers nothing, but who is signed in.
    $gw->stop_amld;
    $gw->start_amld;
    for my $i (1 .. 8) {
        try_form(at("127.0.3.$i"), 'bob');
    }
    is try_form(at('127.0.3.99'), 'bob')->res->code, 429,
        'after a restart it waits elsewhere';
    is try_form(at('127.0.2.1'), 'bob', $gw->passwords->{bob})->res->code,
        303, 'and still not at home';
};

subtest 'an address' => sub {
    my $who = at('127.0.4.1');
    is try_form($who, "name$_")->res->code, 403, "name $_" for 1 .. 12;
    is try_form($who, 'carol', $gw->passwords->{carol})->res->code, 429,
        'then every name waits';
    is try_form(at('127.0.4.2'), 'carol', $gw->passwords->{carol})->res->code,
        303, 'at other addresses none does';
};

subtest 'who exists is not told' => sub {
    my (%seen, %sum);
    for my $round (1 .. 3) {
        for my $name ('dave', 'eves') {
            my $who = at("127.0.5.$round");
            my $tx;
            for (1 .. 3) {
                $tx = try_form($who, $name);
                my $text = $tx->res->code . ' ' . $tx->res->body;
                $text =~ s/\b$name\b/NAME/g;
                $text =~ s/Request: <code>\K[0-9a-f]{32}/ID/;
                push @{$seen{$name}}, $text;
                my $h = $tx->res->headers;
                push @{$seen{$name}}, join ' ',
                    map { $h->header($_) // '' }
                    qw(Retry-After X-AML-Reason Set-Cookie Content-Type);
            }
        }
    }
    is_deeply $seen{dave}, $seen{eves}, 'the same answers';
    is scalar(grep {/^429/} @{$seen{dave}}), 4, 'of both kinds';
};

subtest 'many at once' => sub {
    my @browsers = map { at('127.0.6.1') } 1 .. 40;
    my %codes;
    my @all;
    my $since = time;
    for my $b (@browsers) {
        push @all, $b->ua->start_p(
            $b->ua->build_tx(
                POST => $url,
                {Origin => $gw->studio},
                form => {name => 'carol', password => 'wrong', to => '/'}
            )
        )->then(sub ($tx) { $codes{$tx->res->code}++ });
    }
    my $done;
    Mojo::Promise->all(@all)->then(sub (@) { $done = 1 });
    ok wait_for(sub {$done}), 'all are answered';
    is $codes{403} + ($codes{429} // 0), 40, 'each with a refusal';

    # as one after the other: five, then the waits
    cmp_ok $codes{403}, '<=', 5 + 1 + int(time - $since),
        'guessing in parallel gains nothing';
    my $tx = try_form(at('127.0.6.1'), 'carol');
    is $tx->res->code, 429, 'and costs the more';
    cmp_ok $tx->res->headers->header('Retry-After'), '>=', 1, 'time';
};

subtest 'a page elsewhere' => sub {
    my $who = at('127.0.7.1');
    for (1 .. 20) {
        $who->navigate($url, method => 'POST', follow => 0,
            from => 'https://evil.example',
            form => {name => 'dave2', password => 'wrong', to => '/'});
    }
    is try_form(at('127.0.7.1'), 'dave2')->res->code, 403,
        'makes nobody wait';
};

$gw->done;
