# Two providers of which one is hostile, or was taken over: it leads people to the
# other one, so that the other one's code is brought to it (mix-up, RFC 9700
# section 4.4).  No answer says whose it is here: only the address that it comes
# to does.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::URL;
use Test::More;
use AML::Provider;
use AML::StandInProvider;
use AML::Test;

my @honest  = map { AML::Provider->make($_) } AML::Provider->kinds;
my $hostile = AML::StandInProvider->new(name => 'hostile');
$hostile->set(
    callback => {iss => undef},
    metadata => {authorization_response_iss_parameter_supported => undef});
my $gw = AML::Test->start(
    providers => [@honest, $hostile],
    amld      => sub ($text) {
        join '', $text, map { $_->section } @honest, $hostile;
    },
);
my $studio = $gw->studio;

sub signed_in ($me) { $me->cookie('__Host-aml', $gw->studio_host) }

# What a flow of the section `name` sends the browser to its provider with.
sub begun ($me, $name) {
    $me->stop_at(qr/[?&]state=/);
    my $tx = $me->navigate("$studio/auth/oidc/$name?to=/auth/tokens");
    $me->stop_at(undef);
    return Mojo::URL->new($tx->res->headers->location);
}

# Where people come back to, without `iss`.
sub comes_back ($idp, $me, $url) {
    $me->stop_at(qr{/auth/callback/});
    my $tx = $me->navigate("$url", from => $hostile->origin);
    $tx = $idp->sign_in($me, $tx, 'alice')
        if lc $tx->req->url->host eq $idp->host;
    $me->stop_at(undef);
    my $back = Mojo::URL->new($tx->res->headers->location // '');
    like $back->query->param('code') // '', qr/./, 'with a code'
        or diag $tx->res->body;
    $back->query->remove('iss');
    return $back;
}

# Nobody is signed in, and nobody was shown the code.
sub is_refused ($me, $url, $asked, $name) {
    my $said = () = $gw->log_text('amld.err') =~ /another provider's address/g;
    my $tx   = $me->navigate("$url", from => $hostile->origin);
    $gw->refused($tx, 502, 'provider_answer', $name)
        or diag $tx->res->body, $gw->log_text('amld.err');
    is signed_in($me), undef, 'nobody is signed in';
    is $asked->(), 0, 'no token endpoint is asked';
    is scalar(() = $gw->log_text('amld.err') =~ /another provider's address/g),
        $said + 1, 'amld\'s log says why';
    is $me->navigate("$url")->res->code, 400, 'and the sign-in is over';
}

my $asked = sub {
    $hostile->count('/token')
        + grep { $_ =~ m{^request: POST /token} }
        map { split /\n/, $_->log_text } grep { $_->can('requests') } @honest;
};

for my $idp (@honest) {
    my $kind = $idp->kind;
    subtest "a sign-in by the hostile one that is led to $kind" => sub {
        my $evil   = begun($gw->browser, $kind);
        my $victim = $gw->browser;
        my $led    = begun($victim, $hostile->name);
        is $led->query->param('redirect_uri'), "$studio/auth/callback/hostile",
            'each section has an address of its own';
        is $evil->query->param('redirect_uri'), "$studio/auth/callback/$kind",
            'and so has the other one';

        my $url = $evil->clone;
        $url->query({state => $led->query->param('state')});
        my $back = comes_back($idp, $victim, $url);
        is $back->path, "/auth/callback/$kind", 'comes back to its own address';
        is_refused $victim, $back, $asked, 'that is not the flow\'s';

        # nor is there a way to the address that would be
        $url->query({redirect_uri => $led->query->param('redirect_uri')});
        $victim = $gw->browser->stop_at(qr{/auth/callback/});
        my $tx = $victim->navigate("$url", from => $hostile->origin);
        $tx = eval { $idp->sign_in($victim, $tx, 'alice') } // $tx
            if ($tx->res->code // 0) == 200;
        unlike $tx->res->headers->location // '', qr{/auth/callback/},
            'the provider knows no other address of ours';
    };
}

subtest 'a code that is brought to another section\'s address' => sub {
    for my $pair ([0, 1], [1, 0]) {
        my ($from, $to) = @honest[@$pair];
        my $me   = $gw->browser;
        my $back = comes_back($from, $me, begun($me, $from->kind));
        is_refused $me, $back->path($to->callback), $asked,
            'of ' . $from->kind . ' to ' . $to->kind;
    }
    my $me   = $gw->browser;
    my $back = comes_back($honest[0], $me, begun($me, $honest[0]->kind));
    is_refused $me, $back->path('/auth/callback/hostile'), $asked,
        'to the hostile one';
    $me   = $gw->browser;
    $back = comes_back($honest[0], $me, begun($me, $honest[0]->kind));
    is_refused $me, $back->path('/auth/callback/nobody'), $asked, 'to nobody';
};

subtest 'there is no address for all' => sub {
    my $me   = $gw->browser;
    my $back = comes_back($honest[0], $me, begun($me, $honest[0]->kind));
    my $path = $back->path->to_string;
    is $me->navigate($back->path('/auth/callback')->to_string)->res->code, 404,
        'none';
    is $me->navigate($back->path($path)->to_string, from => $honest[0]->origin)
        ->req->url->path, '/auth/tokens', 'by its own it works';
    ok signed_in($me), 'and signs in';
};

$gw->done;
