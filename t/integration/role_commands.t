# Roles and principals from the command line, and what the gateway makes of
# them with the next request.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::JSON qw(encode_json);
use Test::More;
use AML::JWT;
use AML::Test;

my $UUID = qr/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

my $gw = AML::Test->start(
    accounts  => {creator => 'Contributor', erin => undef, rita => 'Reader'},
    instances => {'first-lab' => 'creator'}
);
my $W = $gw->workspace;
my $M = 'Microsoft.MachineLearningServices/workspaces';

sub fails ($r, $what, $name, $status = 1) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is "$r->{status}/$r->{signal}", "$status/0", "$name: fails";
    like $r->{err}, $what, "$name: says why";
}

sub may ($account, $path = "$W/computes") {
    return $gw->api(GET => $path, $account)->res->code;
}

subtest 'assign and remove' => sub {
    my ($id) = $gw->amld_ok(qw(role assign --account erin --role Reader),
        '--scope', $W) =~ /^($UUID)$/m;
    ok $id, 'assign prints the GUID';
    is may('erin'), 200, 'it holds with the next request';
    my ($again) = $gw->amld_ok(qw(role assign --account ERIN --role reader),
        '--scope', uc $W) =~ /^($UUID)$/m;
    is $again, $id, 'twice is once';
    my $list = $gw->amld_ok(qw(role list --account erin));
    like $list, qr/^$id  User +erin +Reader +\Q$W\E$/m, 'list';
    is scalar(my @lines = split /\n/, $list), 1, 'one line';
    like $gw->amld_ok('role', 'list'), qr/^$UUID  User +rita +Reader /m,
        'list of all';
    $gw->amld_ok(qw(role remove --id), $id);
    is may('erin'), 403, 'taken away by its GUID';
    fails $gw->amld(qw(role remove --id), $id), qr/no such assignment/,
        'taking it away again';
    fails $gw->amld(qw(role remove --account erin --role Reader --scope), $W),
        qr/does not have/, 'nor by name';
    is $gw->amld_ok(qw(role list --account erin)), '', 'nothing is left';
};

subtest 'principals by their ids' => sub {
    my $erin = $gw->amld_ok(qw(principal id --account erin)) =~ s/\n//r;
    like $erin, qr/^$UUID$/, 'id of an account';
    $gw->amld_ok(qw(role assign --role Reader --scope), $W, '--principal',
        $erin);
    is may('erin'), 200, 'assigned to the principal';
    $gw->amld_ok(qw(role remove --role Reader --scope), $W, '--principal',
        uc $erin);
    is may('erin'), 403, 'and taken away';
    my $stranger = $gw->amld_ok(qw(principal id --space urn:x --subject who))
        =~ s/\n//r;
    my @assign = (qw(role assign --role Reader --scope /), '--principal',
        $stranger);
    fails $gw->amld(@assign), qr/no such principal/, 'one that nobody knows';
    $gw->amld_ok(@assign, '--type', 'serviceprincipal');
    like $gw->amld_ok(qw(role list --principal), $stranger),
        qr/^$UUID  ServicePrincipal +\Q$stranger\E /m, 'unless that is meant';
    fails $gw->amld(@assign, '--type', 'Group'), qr/no group/,
        'which it is then not';
};

subtest 'groups and app roles' => sub {
    my @group = qw(--group Admins --space tenant-1);
    my @role  = qw(--app-role Admins --space tenant-1);
    my $group = $gw->amld_ok(qw(principal id), @group) =~ s/\n//r;
    my $role  = $gw->amld_ok(qw(principal id), @role) =~ s/\n//r;
    isnt $group, $role, 'are not the same';
    isnt $group, $gw->amld_ok(qw(principal id --group Admins --space tenant-2))
        =~ s/\n//r, 'nor are those of two tenants';
    $gw->amld_ok(qw(role assign --role Reader --scope), $W, @group);
    like $gw->amld_ok(qw(role list --principal), $group),
        qr/^$UUID  Group +Admins +Reader /m, 'a group that nobody was seen in';
    like $gw->amld_ok(qw(principal list)), qr/^$group  group +Admins +tenant-1$/m,
        'it has a record';
    fails $gw->amld(qw(role assign --role Reader --scope), $W, @group,
        '--type', 'User'), qr/is a group/, 'it is no user';
    fails $gw->amld(qw(principal id --group Admins --issuer nowhere)),
        qr/no such issuer/, 'an issuer that is not configured';
    $gw->amld_ok(qw(role remove --role Reader --scope), $W, @group);
    is $gw->amld_ok(qw(role list), @group), '', 'removed';
};

subtest 'check' => sub {
    my $check = sub ($account, $action, $scope = "$W/computes/first-lab") {
        $gw->amld(qw(role check --account), $account, '--action', $action,
            '--scope', $scope);
    };
    my $r = $check->('rita', "$M/computes/READ");
    is $r->{status}, 0, 'allowed';
    like $r->{out}, qr/^$UUID  Reader at \Q$W\E allows it\nallowed$/m,
        'by which assignment';
    $r = $check->('rita', "$M/computes/start/action");
    is $r->{status}, 1, 'denied';
    like $r->{out}, qr/Reader at \Q$W\E does not allow it\ndenied$/m,
        'and what there is';
    $r = $check->('creator', 'Microsoft.Authorization/roleAssignments/write');
    is $r->{status}, 1, 'taken back';
    like $r->{out}, qr/NotActions/, 'is said';
    $r = $check->('rita', "$M/computes/read", '/subscriptions/other');
    is $r->{status}, 1, 'elsewhere';
    like $r->{out}, qr/^denied: no role is assigned there$/m, 'nothing';
    fails $check->('rita', 'read'), qr/action/, 'no action', 2;
    fails $check->('rita', '*/read'), qr/action/, 'a pattern', 2;
    fails $check->('nobody', "$M/read"), qr/nobody/, 'nobody';

    my $group = sub (@more) {
        $gw->edit({op => 'grant', expires => time + 3600, @more,
            (map { $_ => $gw->amld_ok(qw(principal id --account erin))
                =~ s/\n//r } qw(id principal))});
        return $check->('erin', "$M/computes/read");
    };
    my $id = $gw->amld_ok(qw(principal id --group Team --space t)) =~ s/\n//r;
    $r = $group->(groups => [$id]);
    is $r->{status}, 1, 'a group without a role';
    $gw->amld_ok(qw(role assign --group Team --space t --role Reader --scope),
        $W);
    $r = $group->(groups => [$id]);
    is $r->{status}, 0, 'a group with one';
    like $r->{out}, qr/Reader at \Q$W\E of the group Team allows it\nallowed/,
        'is named';
    $r = $group->(groups => [], unknown => 1);
    is $r->{status}, 1, 'groups that are not known';
    like $r->{out}, qr/^not known: /m, 'are not the same as none';
    $r = $group->(groups => [$id], expires => time - 1);
    like $r->{out}, qr/^not known: /m, 'nor are those of long ago';

    $gw->amld_ok(qw(principal disable --account rita));
    $r = $check->('rita', "$M/computes/read");
    is $r->{status}, 1, 'a disabled principal';
    like $r->{out}, qr/disabled/, 'is said';
    $gw->amld_ok(qw(principal enable --account rita));
};

subtest 'custom roles' => sub {
    my $define = sub ($role, @more) {
        my $file = path($gw->dir, 'role.json');
        $file->spurt(ref $role ? encode_json($role) : $role);
        return $gw->amld(qw(role define), "$file", @more);
    };
    my %trainer = (
        Name => 'Trainer', IsCustom => \1, Description => 'starts and stops',
        Actions => ["$M/computes/read", "$M/computes/*/action"],
        NotActions => ["$M/computes/restart/action"],
        AssignableScopes => [$W]
    );
    my $r = $define->(\%trainer);
    my ($id) = $r->{out} =~ /^($UUID)  Trainer$/m;
    ok $id, 'define prints the GUID' or diag $r->{err};
    like $gw->amld_ok(qw(role definitions)), qr/^$id  custom +Trainer$/m,
        'it is there';
    like $gw->amld_ok(qw(role definitions)), qr/^$UUID  built-in +Owner$/m,
        'beside the built-in ones';
    $gw->assign('erin', 'trainer');
    is may('erin'), 200, 'it can be assigned';
    is $gw->api(POST => $gw->compute('first-lab') . '/restart', 'erin')
        ->res->code, 403, 'NotActions hold';
    fails $gw->amld(qw(role assign --account erin --role Trainer --scope /)),
        qr/not assignable/, 'where it is not assignable';
    fails $define->({%trainer, Name => 'Other', Id => $id,
        AssignableScopes => ['/subscriptions/x']}), qr/is assigned/,
        'away from under an assignment';
    fails $define->(\%trainer), qr/name/, 'the name again';
    $r = $define->({
        properties => {
            roleName => 'Trainer', type => 'CustomRole',
            assignableScopes => [$W], permissions => [{actions => []}]
        },
        name => $id
    });
    is $r->{status}, 0, 'in the other format, by its GUID' or diag $r->{err};
    is may('erin'), 403, 'the change holds with the next request';
    fails $gw->amld(qw(role undefine Trainer)), qr/assigned/, 'in use';
    $gw->role('remove', 'erin', 'Trainer');
    $gw->amld_ok(qw(role undefine Trainer));
    unlike $gw->amld_ok(qw(role definitions)), qr/Trainer/, 'it is gone';

    fails $gw->amld(qw(role undefine Owner)), qr/built-in/, 'a built-in one';
    fails $gw->amld(qw(role undefine Trainer)), qr/no such role/, 'none';
    fails $define->({%trainer, Name => 'Owner'}), qr/name/,
        'the name of a built-in one';
    fails $define->({%trainer, Id => '8e3af657-a8ff-443c-a75c-2fe8c4bcb635'}),
        qr/built-in/, 'a built-in one\'s GUID';
    fails $define->('{'), qr/role\.json:1/, 'no JSON';
    fails $define->({%trainer, NotAction => ['*']}), qr/NotAction/,
        'a member that would not be read';
    fails $define->({%trainer, Name => "x\e[2J"}), qr/control/, 'a name that '
        . 'would drive a terminal';
    fails $define->([{%trainer}, {%trainer, Actions => 7}]), qr/role 2/,
        'the second of two';
    unlike $gw->amld_ok(qw(role definitions)), qr/Trainer/, 'nothing was made';
    fails $gw->amld(qw(role define), $gw->dir . '/none'), qr/none/, 'no file';
    $r = $gw->amld(qw(role define -), \encode_json([{%trainer},
        {%trainer, Name => 'Coach'}]));
    is $r->{status}, 0, 'from standard input' or diag $r->{err};
    like $r->{out}, qr/Trainer\n$UUID  Coach\n/, 'both';
};

subtest 'disable, enable, revoke' => sub {
    my $browser = $gw->signed_in('creator');
    my $page    = sub {
        $browser->navigate($gw->studio_url('/'))->req->url->path->to_string;
    };
    my $token   = $gw->token('creator');
    my $api     = sub ($t) {
        $gw->program->get(
            $gw->studio_url("$W/computes?api-version=2022-10-01"),
            headers => {Authorization => "Bearer $t"}
        )->res->code;
    };
    is $api->($token), 200, 'before';
    is $page->(), '/', 'a session';
    $gw->amld_ok(qw(principal revoke --account creator));
    is $api->($token), 401, 'revoked: the token is void';
    is $page->(), '/auth/sign-in', 'and the session has ended';
    unlike $gw->amld_ok(qw(registry dump)), qr/^sign-in-of/m,
        'nothing of the sign-in is left';
    $token = $gw->token('creator', 1);
    is $api->($token), 200, 'a new one is good within the same second';

    my $id = $gw->amld_ok(qw(principal id --account creator)) =~ s/\n//r;
    $gw->amld_ok(qw(principal disable), $id);
    is $api->($token), 401, 'disabled';
    isnt $gw->program->request(
        POST    => $gw->studio_url('/auth/token'),
        headers => {Authorization => $gw->basic('creator')}
    )->res->code, 200, 'not even a new token';
    like $gw->amld_ok(qw(principal list)), qr/^$id  disabled +creator/m, 'list';
    $gw->amld_ok(qw(account password creator --password-stdin),
        \($gw->passwords->{creator} . "\n"));
    isnt $gw->program->request(
        POST    => $gw->studio_url('/auth/token'),
        headers => {Authorization => $gw->basic('creator')}
    )->res->code, 200, 'a new password does not enable it';
    $gw->amld_ok(qw(principal enable), $id);
    is $api->($token), 401, 'what was issued before stays void';
    is $api->($gw->token('creator', 1)), 200, 'enabled';

    my $other = $gw->amld_ok(qw(principal id --space t --subject x)) =~ s/\n//r;
    fails $gw->amld(qw(principal enable), $other), qr/no such/,
        'one without a record';
    $gw->amld_ok(qw(principal disable), $other);
    like $gw->amld_ok(qw(principal list)), qr/^$other  disabled/m,
        'can be disabled before it is seen';
};

# A provider's clock may be ahead: what it gave out before does not pass for
# later.
subtest 'revoke what a provider has issued' => sub {
    use constant PROVIDER => 'https://issuer.test';
    my $key = AML::JWT::new_key($gw->dir, 'RS256');
    $gw->edit(
        {
            op        => 'issuer', iss => PROVIDER, algs => ['RS256'],
            audiences => ['api://aml'], leeway => 60
        },
        {op => 'key', iss => PROVIDER, kid => 'one', pem => $key}
    );
    my $reason = sub ($ahead) {
        my $token = AML::JWT::make(
            'RS256', $key,
            {alg => 'RS256', kid => 'one'},
            {
                iss => PROVIDER, aud => 'api://aml', sub => 'alice',
                iat => time + $ahead, exp => time + 600
            }
        );
        return sub {
            $gw->program->get(
                $gw->studio_url("$W/computes?api-version=2022-10-01"),
                headers => {Authorization => "Bearer $token"}
            )->res->headers->header('X-AML-Reason');
        };
    };
    my ($ahead, $plain) = map { $reason->($_) } 50, -5;
    is $_->(), 'action_denied', 'known, without a role' for $ahead, $plain;
    $gw->amld_ok(qw(principal revoke --subject alice --space), PROVIDER);
    is $_->(), 'principal_revoked', 'revoked' for $plain, $ahead;
};

subtest 'arguments' => sub {
    for my $words (
        [qw(role)], [qw(role frobnicate)], [qw(role assign)],
        [qw(role assign --role Reader --scope /)],
        [qw(role assign --account erin --role Reader)],
        [qw(role assign --account erin --scope /)],
        [qw(role assign --account erin --principal x --role Reader --scope /)],
        [qw(role assign --group g --role Reader --scope /)],
        [qw(role assign --account erin --space x --role Reader --scope /)],
        [qw(role assign --account erin --role Reader --scope / --type Robot)],
        [qw(role assign --account erin --role Reader --scope x)],
        [qw(role assign --principal x --role Reader --scope /)],
        [qw(role remove --id x)], [qw(role remove --id x --account erin)],
        [qw(role list --role Reader)], [qw(role check --account erin)],
        [qw(role define)], [qw(role define a b)], [qw(role undefine)],
        [qw(role definitions x)], [qw(principal)], [qw(principal id)],
        [qw(principal id --space x)], [qw(principal id --subject x)],
        [qw(principal id --issuer x)], [qw(principal id --account erin
            --issuer x)], [qw(principal id --group g --issuer x --space x)],
        [qw(principal disable x)], [qw(principal list x)],
    ) {
        my $r = $gw->amld(@$words);
        is "$r->{status}/$r->{signal}", '2/0', "@$words";
        ok length $r->{err}, 'says something';
    }
    for my $words ([qw(role --help)], [qw(role assign --help)],
        [qw(role define --help)], [qw(principal --help)],
        [qw(principal id --help)])
    {
        my $r = $gw->amld(@$words);
        is $r->{status}, 0, "@$words";
        like $r->{out}, qr/^Usage: /, 'is the usage';
    }
};

$gw->done;
