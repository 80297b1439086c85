# What a provider's answer to one sign-in means for that one and for all others,
# by a stand-in that answers some people otherwise than the rest.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(decode_json);
use Test::More;
use AML::StandInProvider;
use AML::Test;
use AML::Wait qw(wait_for);

my $idp  = AML::StandInProvider->new(name => 'corp');
my %more = (kind => 'dex');
my $gw   = AML::Test->start(
    providers => [$idp],
    amld      => sub ($text) {
        return $text . (%more ? $idp->section(%more) : '');
    },
);
my $studio = $gw->studio;
$idp->set(token => {expires_in => 2});    # renewed after five seconds

sub enter ($sub) {
    $idp->set(user => {sub => $sub, sid => "s-$sub", name => ucfirst $sub});
    my $me = $gw->browser;
    is $me->navigate("$studio/auth/oidc/corp?to=/auth/tokens")->req->url->path,
        '/auth/tokens', "$sub is signed in"
        or diag $gw->log_text('amld.err');
    $idp->set(user => undef);
    return $me;
}

sub is_in ($me) {
    $me->navigate("$studio/auth/tokens")->req->url->path eq '/auth/tokens';
}

sub is_out ($me, $name, $seconds = 30) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok wait_for(sub { !is_in($me) }, $seconds), $name
        or diag $gw->log_text('amld.err');
}

# How often the log has that.
sub logged ($pattern) { scalar(() = $gw->log_text('amld.err') =~ /$pattern/mg) }

sub audited ($name) {
    my ($end) = grep { $_->{event} eq 'session-end' && $_->{name} eq $name }
        map { decode_json($_) } split /\n/,
        Mojo::File->new($gw->dir, 'audit.log')->slurp;
    return $end ? $end->{reason} : undef;
}

subtest 'some whom it cannot renew do not keep it from the others' => sub {
    my @some = map { "some$_" } 1 .. 8;
    $idp->set(refuse => {map { $_ => [500, 'invalid_request'] } @some});
    my @in = map { enter($_) } @some;
    for my $name (@some) {
        ok wait_for(sub { logged(qr/renewal: by "corp": \u$name: /) }, 60),
            "$name is tried" or diag $gw->log_text('amld.err');
    }
    my $ada = enter('ada');
    $idp->set(refuse => {%{$idp->state->{refuse}},
        ada => [400, 'invalid_request']});
    is_out($ada, 'who is let in no more is out', 60);
    is audited('Ada'), 'provider_refused', 'as the audit log says';
    ok is_in($_), 'the others stay' for @in;
    $idp->set(refuse => undef);
};

subtest 'a refusal after an error is a refusal' => sub {
    my $dan = enter('dan');
    $idp->set(refuse => {dan => [500, 'invalid_request']});
    ok wait_for(sub { logged(qr/renewal: by "corp": Dan: /) }, 60),
        'the provider could not say' or diag $gw->log_text('amld.err');
    ok is_in($dan), 'so they stay';
    $idp->set(refuse => {dan => [400, 'invalid_request']});
    is_out($dan, 'until it says no', 60);
};

subtest 'who has to be asked there anew is out' => sub {
    my $bob = enter('bob');
    $idp->set(refuse => {bob => [400, 'interaction_required']});
    is_out($bob, 'is out');
    is audited('Bob'), 'provider_refused', 'as the audit log says';
};

# With these options of the section, or without a section.
sub restart (%o) {
    %more = %o;
    $gw->write_amld_conf;
    is $gw->stop_amld, 0, 'amld ends';
    $gw->start_amld;
}

subtest 'somebody else, whatever UserInfo says' => sub {
    restart(kind => 'dex', userinfo => 'true');
    my $carol = enter('carol');
    $idp->set(claims => {sub => 'eve'}, mode => 'error', only => 'userinfo');
    is_out($carol, 'does not go on in their name');
    is audited('Carol'), 'provider_answer', 'as the audit log says';
    $idp->set(map { $_ => undef } qw(claims mode only));
};

subtest 'a section that offers no sign-in any more' => sub {
    restart(kind => 'dex');
    my ($ada, $bob) = map { enter($_) } qw(ada bob);
    restart(kind => 'dex', sign_in => 'false');
    is $gw->browser->navigate("$studio/auth/oidc/corp?to=/")->res->code, 404,
        'nobody signs in';
    ok is_in($ada), 'who had is in';
    $idp->set(refuse => {bob => [400, 'invalid_grant']});
    is_out($bob, 'until they are let in no more', 60);
    is $idp->log_out($gw, sub => 'ada', sid => 's-ada')->code, 200,
        'or sign out there';
    ok !is_in($ada), 'which is heard';
    $idp->set(refuse => undef);
};

subtest 'a section that is taken out' => sub {
    restart(kind => 'dex');
    my $eva = enter('eva');
    restart();
    ok !is_in($eva), 'ends its sign-ins';
    ok logged(qr/warn sign-out: \d+ by providers/), 'as the log says'
        or diag $gw->log_text('amld.err');
};

subtest 'a provider that has nowhere to ask any more' => sub {
    restart(kind => 'dex');
    my $gil = enter('gil');
    $idp->set(metadata => {token_endpoint => undef});
    restart(kind => 'dex');
    my $why = qr/renewal: by "corp": nobody is renewed: .*token_endpoint/;
    ok wait_for(sub { logged($why) }, 60), 'is told of'
        or diag $gw->log_text('amld.err');
    ok is_in($gil), 'and ends nothing';
    $idp->set(metadata => undef, refuse => {gil => [400, 'invalid_grant']});
    restart(kind => 'dex');
    is_out($gil, 'until it can be asked', 60);
    is logged($why), 1, 'of which the log has one line';
    $idp->set(refuse => undef);
};

subtest 'a key that is lost' => sub {
    restart(kind => 'dex');
    my $fay = enter('fay');
    ok unlink($gw->dir . '/state/sealing-keys'), 'a file is lost';
    restart(kind => 'dex');
    ok logged(qr{warn 1 sign-in can't be renewed: }), 'as the log says';
    ok is_in($fay), 'is in all the same';
};

$gw->done;
