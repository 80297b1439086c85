# @azure/arm-authorization against a gateway, with nothing changed but its
# endpoint.  What the client does is in roles.mjs.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Needs;
use AML::Sdk;
use AML::Test;

needs '@azure/arm-authorization is not installed: npm ci in t/sdk',
    -d "$FindBin::Bin/node_modules/\@azure/arm-authorization";

my $gw = AML::Test->start(
    accounts => {
        creator => 'Contributor', owner => 'Owner', reader => undef,
        admin   => undef
    },
    instances => {'first-lab' => 'creator'}
);
$gw->assign('admin', 'Owner', '/');

my ($ended) = AML::Sdk->run($gw, "$FindBin::Bin/roles.mjs",
    compute => $gw->compute('first-lab'));
ok $ended, 'the client came to its end';

$gw->done;
