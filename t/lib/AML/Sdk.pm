package AML::Sdk;

# Runs a client of Azure's, a module of t/sdk, against a gateway with nothing
# changed but its endpoint; what it says becomes tests.
#
#     my ($ended, $met) = AML::Sdk->run($gw, "$FindBin::Bin/x.mjs", more => 1);
#
# It is told where and who by AML_SDK, and says one JSON object a line:
# {ok, name, why}, {met: code of an error}, {end: 1}.

use Mojo::Base -strict, -signatures;
use Mojo::JSON qw(decode_json encode_json);
use Test::More ();
use AML::Test;

sub run ($class, $gw, $module, %more) {

    # The certificate is checked, by the authority that ./dev makes.
    local $ENV{NODE_EXTRA_CA_CERTS} = $gw->ca;
    local $ENV{AML_SDK} = encode_json({
        endpoint     => $gw->studio,
        subscription => AML::Test::SUBSCRIPTION,
        group        => AML::Test::GROUP,
        workspace    => $gw->workspace,
        passwords    => $gw->passwords,
        ids          => {
            map {
                $_ => $gw->amld_ok(qw(principal id --account), $_) =~ s/\n//r
            } keys %{$gw->passwords}
        },
        %more
    });
    delete local @ENV{
        qw(http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy)};

    open my $out, '-|', 'node', $module or die "node: $!\n";
    my ($ended, %met) = (0);
    while (my $line = <$out>) {
        my $m = eval { decode_json($line) }
            or do { Test::More::diag($line); next };
        Test::More::ok($m->{ok}, $m->{name})
            or Test::More::diag($m->{why} // '')
            if exists $m->{ok};
        $met{$m->{met}} = 1 if defined $m->{met};
        $ended = 1 if $m->{end};
    }
    close $out;
    Test::More::is($?, 0, 'the client ended well');
    return ($ended, \%met);
}

1;
