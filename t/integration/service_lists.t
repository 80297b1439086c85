# Two who change the list of an instance's services at once: who says by
# If-Match what they have read loses nothing of the other's.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Cli;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw = AML::Test->start(
    accounts => {
        creator => 'Contributor', colleague => 'Contributor',
        reader  => 'Reader'
    },
    instances => {'first-lab' => 'creator'}
);
my $COMPUTE = $gw->compute('first-lab');
my $PATH    = "$COMPUTE/customServices";
my $ETAG    = qr/^"[0-9a-f]{32}"$/;

sub service ($name) {
    return {name => $name, command => 'sleep 1000', autoStart => \0};
}

sub show ($account = 'creator') { $gw->api(GET => $PATH, $account)->res }
sub names () { join ' ', sort map { $_->{name} } @{show()->json('/customServices')} }

sub give ($if_match, @names) {
    my $known = {map { $_->{name} => 1 } @{show()->json('/customServices')}};
    return $gw->api(POST => $PATH, 'creator',
        json => [map { $known->{$_} ? {name => $_} : service($_) } @names],
        $if_match ? (headers => {'If-Match' => $if_match}) : ())->res;
}

subtest 'a tag of the list' => sub {
    my $res = show();
    is $res->code, 200, 'the list';
    like my $none = $res->json('/etag'), $ETAG, 'has a tag';
    is $res->headers->etag, $none, 'which is in the header, too';
    is $gw->api(GET => $COMPUTE, 'creator')
        ->res->json('/properties/properties/customServicesEtag'), $none,
        'and in what a GET of the instance says';
    $res = give(undef, 'a');
    is $res->code, 200, 'a change';
    like my $one = $res->json('/etag'), $ETAG, 'has the tag of what it made';
    is $res->headers->etag, $one, 'in the header, too';
    isnt $one, $none, 'which is another';
    is $gw->api(PUT => $COMPUTE, 'creator', json => $gw->compute_body())
        ->res->json('/properties/properties/customServicesEtag'), $one,
        'a PUT says it as well';
    $gw->api(POST => "$PATH/a/start", 'creator');
    ok wait_for(sub {
        show()->json('/customServices/0/state') eq 'Running'
    }), 'it runs';
    is show()->json('/etag'), $one, 'which is no change of the list';

    # it has a hash of what is the creator's alone
    for my $account (qw(colleague reader)) {
        my $res = show($account);
        is $res->code, 200, "$account reads the list";
        is_deeply [sort keys %{$res->json('/customServices/0')}],
            [qw(autoStart endpoints name since state)], 'as ever';
        ok !exists $res->json->{etag}, 'without a tag';
        ok !$res->headers->etag, 'also in the header';
        ok !exists $gw->api(GET => $COMPUTE, $account)
            ->res->json('/properties/properties')->{customServicesEtag},
            'also of the instance';
    }
};

subtest 'If-Match' => sub {
    my $read = show()->json('/etag');
    my $res  = give($read, qw(a b));
    is $res->code, 200, 'the first of two who have read the same';
    isnt $res->json('/etag'), $read, 'changes it';
    $res = give($read, qw(a c));
    is $res->code, 412, 'the second is refused';
    is_deeply [sort keys %{$res->json('/error')}],
        [qw(additionalInfo code details message requestId target)],
        'in ARM\'s shape';
    is $res->json('/error/code'), 'PreconditionFailed', 'by its code';
    is $res->json('/error/target'), 'If-Match', 'and its target';
    is names(), 'a b', 'nothing is lost';

    # what is only named may be gone: it is the tag that is told of
    is $gw->api(POST => $PATH, 'creator', json => [{name => 'gone'}],
        headers => {'If-Match' => $read})->res->code, 412,
        'before what the list says';
    is give(qq("none", W/${\ show()->json('/etag')}), qw(a b c))->code, 200,
        'a list of tags, and one that was made weak on the way';
    is give('*', qw(a b))->code, 200, 'anything that there is';
    is give('nonsense', 'a')->code, 412, 'nonsense is none of them';
    is $gw->api(POST => $PATH, 'colleague', json => [],
        headers => {'If-Match' => $read})->res->json('/error/code'),
        'OwnerOnly', 'somebody else learns nothing by it';
    is give(undef, 'a')->code, 200, 'without, the last one wins, as ever';
    is names(), 'a', 'whatever there was';
};

# Each reads, and writes what it has read with one more: as `aml` does.
subtest 'two writers at once' => sub {
    my %left = (x => [1 .. 5], y => [1 .. 5]);
    my (%read, $refused);
    while (@{$left{x}} || @{$left{y}}) {
        $read{$_} = show()->json for qw(x y);
        for my $writer (qw(x y)) {
            my $next = $left{$writer}[0] // next;
            my $res  = give($read{$writer}{etag},
                (map { $_->{name} } @{$read{$writer}{customServices}}),
                "$writer$next");
            shift @{$left{$writer}} if $res->code == 200;
            $refused++ if $res->code == 412;
        }
    }
    cmp_ok $refused, '>=', 5, 'they were in each other\'s way';
    is names(), join(' ', 'a', (map {"x$_"} 1 .. 5), map {"y$_"} 1 .. 5),
        'and no change is lost';
    is give(undef)->code, 200, 'all are taken away';
};

subtest 'aml, many at once' => sub {
    my $cli  = AML::Cli->new(gw => $gw, name => 'creator')->login;
    my @name = map {"s$_"} 1 .. 6;
    my @add  = map {
        $cli->begin(qw(service add first-lab), $_, '--no-auto-start', '--',
            'sleep 1000')
    } @name;
    is $_->wait, 0, 'added' or diag $_->errors for @add;
    is names(), "@name", 'no change is lost';
    my @mixed = (
        (map { $cli->begin(qw(service remove first-lab), $_) } @name[0 .. 2]),
        map {
            $cli->begin(qw(service add first-lab), $_, '--no-auto-start', '--',
                'sleep 1000')
        } qw(t1 t2 t3)
    );
    is $_->wait, 0, 'added or removed' or diag $_->errors for @mixed;
    is names(), 's4 s5 s6 t1 t2 t3', 'nor here';
    my @same = map {
        $cli->begin(qw(service add first-lab once --no-auto-start --),
            "echo $_; sleep 1000")
    } 1 .. 2;
    is join(' ', sort map { $_->wait } @same), '0 1',
        'of two who add the same, one does';
};

$gw->done;
