# @azure/arm-authorization against a gateway, with nothing changed but its
# endpoint.  What the client does is in roles.mjs.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(decode_json encode_json);
use Test::More;
use AML::Test;

-d "$FindBin::Bin/node_modules/\@azure/arm-authorization"
    or plan skip_all => '@azure/arm-authorization is not installed: npm ci in t/sdk';

my $gw = AML::Test->start(
    accounts => {
        creator => 'Contributor', owner => 'Owner', reader => undef,
        admin   => undef
    },
    instances => {'first-lab' => 'creator'}
);
$gw->assign('admin', 'Owner', '/');

sub id ($account) {
    return $gw->amld_ok(qw(principal id --account), $account) =~ s/\n//r;
}

# The certificate is checked, by the authority that ./dev makes.
local $ENV{NODE_EXTRA_CA_CERTS} = $gw->ca;
local $ENV{AML_SDK} = encode_json({
    endpoint     => $gw->studio,
    subscription => AML::Test::SUBSCRIPTION,
    group        => AML::Test::GROUP,
    workspace    => $gw->workspace,
    compute      => $gw->compute('first-lab'),
    passwords    => $gw->passwords,
    ids          => {map { $_ => id($_) } qw(creator owner reader admin)},
});
delete local @ENV{qw(http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy)};

open my $out, '-|', 'node', "$FindBin::Bin/roles.mjs" or die "node: $!\n";
my $ended = 0;
while (my $line = <$out>) {
    my $m = eval { decode_json($line) } or do { diag $line; next };
    if (exists $m->{ok}) { ok $m->{ok}, $m->{name} or diag $m->{why} // '' }
    $ended = 1 if $m->{end};
}
close $out;
is $?, 0, 'the client ended well';
ok $ended, 'and came to its end';

$gw->done;
