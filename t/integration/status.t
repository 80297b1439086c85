# The gateway's counters, in Prometheus' text format.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw = AML::Test->start(instances => {'first-lab' => 'creator'});
my $bearer = $gw->bearer('creator');

sub metrics {
    my $res = $gw->program->get($gw->studio_url('/.aml/status'))->res;
    is $res->code, 200, 'answers' if $res->code != 200;
    my %m = $res->body =~ /^(\w+(?:\{[^}]*\})?) (\d+)$/mg;
    $m{TEXT} = $res;
    return \%m;
}

my $before = metrics();
like $before->{TEXT}->headers->content_type, qr{^text/plain; version=0\.0\.4},
    'content type';
is $before->{aml_registry_up}, 1, 'the registry is up';
for my $line (grep { !/^#/ } split /\n/, $before->{TEXT}->body) {
    next if $line =~ /^[a-z_]+(\{[a-z]+="[a-z_]+"\})? \d+$/;
    fail "malformed: $line";
}

$gw->program->get($gw->app_url('first-lab', '/x'), headers => $bearer)
    for 1 .. 10;
$gw->program->get($gw->app_url('first-lab', '/x'),
    headers => $gw->bearer('colleague'))
    for 1 .. 3;
$gw->program->get($gw->app_url('first-lab', '/x'),
    headers => {Authorization => 'Bearer x'});
$gw->program->get($gw->app_url('no-9'));
my $after = metrics();
my $grew  = sub ($reason) {
    my $name = qq(aml_decisions_total{reason="$reason"});
    return $after->{$name} - $before->{$name};
};
cmp_ok $grew->('ok'), '>=', 10, 'allowed requests are counted';
is $grew->('not_creator'),     3, 'refusals by reason';
is $grew->('token_malformed'), 1, 'a bad token';

subtest 'websockets' => sub {
    my $me  = $gw->opened('creator', 'first-lab');
    my $now = metrics()->{aml_websockets};
    my $closed = metrics()->{aml_websockets_closed_total};
    my @ws  = map { $me->websocket($gw->app_url('first-lab', '/ws')) } 1 .. 3;
    ok $_->echoes('x'), 'open' for @ws;
    is metrics()->{aml_websockets}, $now + 3, 'three more';
    $ws[0]->close;
    ok wait_for(sub { metrics()->{aml_websockets} == $now + 2 }), 'one less';

    # the application goes on: it is the gateway that closes
    $me->fetch(POST => $gw->app_url('first-lab', '/.aml/sign-out'));
    ok $_->closes(2), 'closed' for @ws[1, 2];
    ok wait_for(sub { metrics()->{aml_websockets} == $now }), 'none left';
    is metrics()->{aml_websockets_closed_total}, $closed + 2,
        'two were closed by the gateway';
};

subtest 'a reload goes on counting' => sub {
    my $name = 'aml_decisions_total{reason="not_creator"}';
    my $count = metrics()->{$name};
    $gw->reload_nginx;
    is metrics()->{$name}, $count, 'the same';
};

is $gw->program->request(POST => $gw->studio_url('/.aml/status'))->res->code,
    405, 'POST is no way to read it';

$gw->done;
