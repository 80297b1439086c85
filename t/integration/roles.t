# Microsoft.Authorization: who may assign which role to whom, where, and that
# nobody gets further by it than they may.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(encode_json false true);
use Mojo::URL;
use Mojo::Util qw(url_escape);
use Test::More;
use AML::Needs;
use AML::Raw;
use AML::Test;
use AML::Wait;

my %ROLE = (
    owner       => '8e3af657-a8ff-443c-a75c-2fe8c4bcb635',
    contributor => 'b24988ac-6180-42a0-ab88-20f7382dd24c',
    reader      => 'acdd72a7-3385-48ef-bd42-f606fba81ae7',
    operator    => 'e503ece1-11d0-4e8e-8e2c-7a6c3bf38815',
);

my $gw = AML::Test->start(
    accounts => {
        creator => 'Contributor', owner => 'Owner', reader => 'Reader',
        erin    => undef, admin => undef, other => undef
    },
    instances => {'first-lab' => 'creator'}
);
my $W   = $gw->workspace;
my $SUB = '/subscriptions/' . AML::Test::SUBSCRIPTION;
my $RG  = "$SUB/resourceGroups/" . AML::Test::GROUP;
my $LAB = $gw->compute('first-lab');
my $A   = 'providers/Microsoft.Authorization';
$gw->assign('admin', 'Owner', '/');
$gw->assign('other', 'Owner', $LAB);

my %id = map { $_ => $gw->amld_ok(qw(principal id --account), $_) =~ s/\n//r }
    keys %{$gw->passwords};
my $count = 0;
sub guid () { sprintf '%08x-0000-4000-8000-0000000000aa', ++$count }

sub api ($method, $path, $account, %o) {
    $o{query}{'api-version'} //= '2022-04-01';
    return $gw->api($method, $path, $account, %o)->res;
}
sub code ($res) { $res->code . ' ' . ($res->json('/error/code') // '') }
sub at ($scope, $type = 'roleAssignments') {
    return ($scope eq '/' ? '' : $scope) . "/$A/$type";
}

sub put ($scope, $account, $to, $role, %o) {
    my $guid = delete $o{guid} // guid;
    return api(
        PUT  => at($scope) . "/$guid",
        $account,
        json => {
            properties => {
                principalId      => $id{$to} // $to,
                roleDefinitionId => "/$A/roleDefinitions/"
                    . ($ROLE{$role} // $role),
                %o
            }
        }
    );
}

sub remove ($res, $account = 'admin') {
    return api(DELETE => $res->json('/id'), $account);
}

sub names ($scope, $account, $filter = undef) {
    my $res = api(GET => at($scope), $account,
        query => {$filter ? ('$filter' => $filter) : ()});
    return code($res) if $res->code != 200;
    return join ' ', sort map { $_->{name} } @{$res->json('/value')};
}

subtest 'where one may, and no higher' => sub {
    my %who = ('/' => ['admin'], $SUB => ['admin'], $RG => ['admin'],
        $W => ['admin', 'owner'], $LAB => ['admin', 'owner', 'other']);
    for my $scope ('/', $SUB, $RG, $W, $LAB) {
        for my $account (qw(admin owner other creator reader erin)) {
            my $may = grep { $_ eq $account } @{$who{$scope}};
            my $res = put($scope, $account, 'erin', 'reader');
            is code($res), $may ? '201 ' : '403 action_denied',
                "$account at $scope";
            next unless $may;
            is $res->json('/properties/scope'), $scope, 'there';
            is code(api(DELETE => $res->json('/id'), 'reader')),
                '403 action_denied', 'a reader deletes nothing';
            is remove($res, $account)->code, 200, 'and away';
        }
    }
    is code(put($W, undef, 'erin', 'reader')), '401 sign_in_required',
        'nobody';
    is $gw->amld_ok(qw(role list --account erin)), '', 'nothing is left';
};

subtest 'the next request' => sub {
    my $get = sub ($what = "$W/computes") {
        $gw->api(GET => $what, 'erin')->res->code;
    };
    is $get->(), 403, 'no role';
    my $res = put($W, 'owner', 'erin', 'reader');
    is $get->(), 200, 'assigned';
    my ($id) = $gw->amld_ok(qw(role list --account erin)) =~ /^(\S+)/;
    is $id, $res->json('/name'), 'the command line sees the same';
    remove($res, 'owner');
    is $get->(), 403, 'taken away';
    $res = put($LAB, 'other', 'erin', 'operator');
    is $get->(),     403, 'at one compute only';
    is $get->($LAB), 200, 'there';
    $gw->amld_ok(qw(role remove --id), $res->json('/name'));
    is $get->($LAB), 403, 'taken away at the command line';
    is code(api(GET => $res->json('/id'), 'owner')),
        '404 RoleAssignmentNotFound', 'it is gone for all';
};

subtest 'a group' => sub {
    my $group = $gw->amld_ok(qw(principal id --group team --space urn:x))
        =~ s/\n//r;
    is code(put($W, 'owner', $group, 'reader')), '400 PrincipalNotFound',
        'is not taken for a person';
    is code(put($W, 'owner', $group, 'reader', principalType => 'User')),
        '400 PrincipalNotFound', 'nor called one';
    my $res = put($W, 'owner', $group, 'reader', principalType => 'Group');
    is code($res), '201 ', 'need not have been seen';
    is $res->json('/properties/principalType'), 'Group', 'a group';
    is code(put($RG, 'admin', $group, 'reader')), '201 ', 'then it is known';
    is code(put($SUB, 'admin', $group, 'reader', principalType => 'User')),
        '400 UnmatchedPrincipalType', 'as no user';
    is code(put($W, 'owner', 'erin', 'reader', principalType => $_)),
        '400 UnmatchedPrincipalType', "an account is no $_"
        for qw(Group ServicePrincipal);
    my $service = '12345678-0000-8000-8000-000000000001';
    is code(put($W, 'owner', $service, 'reader',
        principalType => 'ServicePrincipal')), '201 ', 'a service';
};

subtest 'roles that are assignable elsewhere' => sub {
    my $role = guid;
    my $define = sub ($scope, $account, @scopes) {
        api(PUT => at($scope, 'roleDefinitions') . "/$role", $account,
            json => {
                properties => {
                    roleName => "Role $role", permissions => [{actions => ['*']}],
                    assignableScopes => [@scopes]
                }
            });
    };
    is code($define->($W, 'owner', $_)), '403 LinkedAuthorizationFailed',
        "an owner of the workspace makes none for $_"
        for '/', $SUB, $RG, "$W-2";
    is code($define->($W, 'owner', $W, $SUB)), '403 LinkedAuthorizationFailed',
        'nor for two, one of which is too high';
    is code($define->($SUB, 'owner', $W)), '403 action_denied',
        'nor at a scope that is';
    is code($define->($LAB, 'other', $LAB)), '201 ', 'one for a compute';
    is code(put($W, 'owner', 'erin', $role)),
        '400 RoleDefinitionDoesNotExist', 'is not assignable above';
    is code(api(GET => at($gw->compute('x-lab'), 'roleDefinitions') . "/$role",
        'owner')), '404 RoleDefinitionDoesNotExist', 'nor seen beside';
    my $seen = sub ($scope, $account, $filter = 'atScopeAndBelow()') {
        scalar grep { $_->{name} eq $role }
            @{api(GET => at($scope, 'roleDefinitions'), $account,
                query => {'$filter' => $filter})->json('/value')};
    };
    is $seen->($LAB, 'other'), 1, 'listed there';
    is $seen->($W,   'owner'), 1, 'and above, with what is below';
    is $seen->($W,   'owner', "type eq 'CustomRole'"), 0, 'not without';
    is $seen->($LAB, 'other', "type eq 'BuiltInRole'"), 0, 'by type';
    my $res = put($LAB, 'other', 'erin', $role);
    is code($res), '201 ', 'but there';
    is code($define->($W, 'owner', $W)), '201 ', 'who may more widens it';
    is code($define->($LAB, 'other', $LAB)), '403 LinkedAuthorizationFailed',
        'what is wider now is out of reach';
    is code(api(DELETE => at($LAB, 'roleDefinitions') . "/$role", 'other')),
        '403 LinkedAuthorizationFailed', 'also for deletion';
    is code(api(DELETE => at($W, 'roleDefinitions') . "/$role", 'owner')),
        '409 RoleDefinitionHasAssignments', 'which waits for assignments';
    is code(api(GET => at($LAB, 'roleDefinitions') . "/$role", 'other')),
        '200 ', 'it can be seen where it can be assigned';
    remove($res);
    is code(api(DELETE => at($W, 'roleDefinitions') . "/$role", 'owner')),
        '200 ', 'deleted';
    is code($define->($W, 'creator', $W)), '403 action_denied',
        'a contributor defines nothing';
};

subtest 'an instance takes its assignments along' => sub {
    my $lab = $gw->compute('short-lab');
    $gw->create_instance('short-lab', 'creator');
    put($lab, 'owner', 'erin', 'operator');
    is $gw->api(GET => $lab, 'erin')->res->code, 200, 'while it is there';
    api(DELETE => $lab, 'creator', query =>
        {'api-version' => '2022-10-01', underlyingResourceAction => 'Delete'});
    ok AML::Wait::wait_for(sub {
        $gw->api(GET => $lab, 'creator')->res->code == 404 }), 'deleted';
    is $gw->amld_ok(qw(role list --account erin)), '', 'and with it the role';
    $gw->create_instance('short-lab', 'creator');
    is $gw->api(GET => $lab, 'erin')->res->code, 403,
        'the next of its name inherits nothing';
    is code(put($gw->compute('no-lab'), 'owner', 'erin', 'reader')),
        '404 ResourceNotFound', 'nothing can be assigned where nothing is';
    is code(put("$W-2", 'admin', 'erin', 'reader')), '404 ResourceNotFound',
        'no workspace';
    is code(put("$SUB/resourceGroups/no", 'admin', 'erin', 'reader')),
        '404 ResourceGroupNotFound', 'no group';
    is code(put('/subscriptions/no', 'admin', 'erin', 'reader')),
        '404 SubscriptionNotFound', 'no subscription';
};

subtest 'filters' => sub {
    my $here  = put($W,   'admin', 'erin', 'reader')->json('/name');
    my $above = put($SUB, 'admin', 'erin', 'reader')->json('/name');
    my $below = put($LAB, 'admin', 'erin', 'reader')->json('/name');
    my $of    = "principalId eq '$id{erin}'";
    is names($W, 'owner', $of), join(' ', sort $here, $above, $below),
        'of a principal: above, here, below';
    is names($W, 'owner', "atScope() and $of"), join(' ', sort $here, $above),
        'not below';
    is names($LAB, 'owner', $of), join(' ', sort $here, $above, $below),
        'all that reaches a compute';
    is names('/', 'admin', "atScope()+and+$of" =~ tr/+/ /r), '', 'at the root';
    like names($W, 'owner'), qr/$_/, 'without a filter'
        for $here, $above, $below;
    unlike names($W, 'owner', 'atScope()'), qr/$below/, 'atScope()';
    is names($W, 'owner', "assignedTo('$id{erin}')"),
        join(' ', sort $here, $above, $below), 'assignedTo';
    is names($W, 'owner', $_), '400 UnsupportedQuery', $_
        for 'x', 'atScope', 'atScope() or atScope()', 'principalId eq 1',
        "principalId eq 'x'", "principalId ne '$id{erin}'", "$of and $of",
        "roleName eq 'Reader'", "$of)", "principalId eq '$id{erin}",
        'atScope() and ', "atScope()and $of", "$of" . ' ' x 600;
    my $res = api(GET => at($W), 'owner',
        query => {'$filter' => "assignedTo('$id{erin}')"});
    is $res->headers->header('X-AML-Groups'), 'unknown',
        'that groups are not known is said';
    $gw->amld_ok(qw(role remove --id), $_) for $here, $above, $below;
};

subtest 'groups of a person' => sub {
    my $group = $gw->amld_ok(qw(principal id --group g --space urn:x))
        =~ s/\n//r;
    my $name = put($W, 'owner', $group, 'reader', principalType => 'Group')
        ->json('/name');
    $gw->signed_in('erin');
    $gw->edit({
        op => 'grant', id => $id{erin}, principal => $id{erin},
        expires => time + 3600, groups => [$group]
    });
    is names($W, 'owner', "assignedTo('$id{erin}')"), $name,
        'what their groups are assigned';
    is names($W, 'owner', "principalId eq '$id{erin}'"), '',
        'is not assigned to them';
    my $res = api(GET => at($W), 'owner',
        query => {'$filter' => "assignedTo('$id{erin}')"});
    is $res->headers->header('X-AML-Groups'), undef, 'all is known';
};

subtest 'paging' => sub {
    my %made;
    for my $n (1 .. 230) {
        my $to = sprintf '%08x-0000-8000-8000-0000000000bb', $n;
        my $res = put($n % 2 ? $W : $LAB, 'owner', $to, 'reader',
            principalType => 'ServicePrincipal');
        $made{$res->json('/name')} = 1;
    }
    is scalar keys %made, 230, 'many';
    for my $filter (undef, 'atScope()') {
        my ($pages, %seen) = 0;
        my $url = Mojo::URL->new($gw->studio_url(at($W)));
        $url->query('api-version' => '2022-04-01',
            $filter ? ('$filter' => $filter) : ());
        while ($url) {
            my $res = $gw->program->get("$url", headers => $gw->bearer('owner'))
                ->res;
            is $res->code, 200, 'a page';
            cmp_ok scalar @{$res->json('/value')}, '<=', 100, 'not too large';
            $seen{$_->{name}}++ for @{$res->json('/value')};
            $url = $res->json('/nextLink');
            last if ++$pages > 9;
        }
        is scalar(grep { $_ != 1 } values %seen), 0, 'none twice';
        is scalar(grep { $seen{$_} } keys %made), $filter ? 115 : 230,
            'none is left out';
    }
    is code(api(GET => at($W), 'owner', query => {'$skipToken' => $_})),
        '400 InvalidSkipToken', "'$_'"
        for 'x', '', 'assignment/', 'session/', "assignment-at$SUB-2//x";
};

subtest 'bodies that are wrong' => sub {
    my $path = at($W) . '/' . guid;
    my %good = (principalId => $id{erin},
        roleDefinitionId => "/$A/roleDefinitions/$ROLE{reader}");
    my $body = sub (%more) { {properties => {%good, %more}} };
    my @bad = (
        ['InvalidRequestContent', body => ''],
        ['InvalidRequestContent', body => '{'],
        ['InvalidRequestContent', json => []],
        ['InvalidRequestContent', json => {}],
        ['InvalidRequestContent', json => {properties => []}],
        ['InvalidRequestContent', body =>
            '{"properties":{},"properties":{}}'],
        ['InvalidRequestContent', json => $body->(roleDefinitionId => undef)],
        ['InvalidRoleDefinitionId', json => $body->(roleDefinitionId => 'x')],
        ['InvalidRoleDefinitionId', json =>
            $body->(roleDefinitionId => "/x/$ROLE{reader}")],
        ['InvalidRoleDefinitionId', json =>
            $body->(roleDefinitionId => "/$A/roleDefinitions/../$ROLE{reader}")],
        ['RoleDefinitionDoesNotExist', json =>
            $body->(roleDefinitionId => guid)],
        ['InvalidPrincipalId', json => $body->(principalId => 'erin')],
        ['InvalidPrincipalId', json => $body->(principalId => undef)],
        ['InvalidPrincipalId', json => $body->(principalId => {})],
        ['PrincipalNotFound',  json => $body->(principalId => guid)],
        ['UnsupportedPrincipalType', json =>
            $body->(principalType => 'ForeignGroup')],
        ['UnsupportedPrincipalType', json => $body->(principalType => 7)],
        ['ConditionsNotSupported', json => $body->(condition => 'x')],
        ['ConditionsNotSupported', json => $body->(condition => {})],
        ['InvalidRequestContent', json =>
            $body->(delegatedManagedIdentityResourceId => '/x')],
        ['InvalidRequestContent', json => $body->(canDelegate => true)],
        ['InvalidRequestContent', json => $body->(scope => $SUB)],
        ['InvalidRequestContent', json => $body->(description => 'x' x 1025)],
        ['InvalidRequestContent', json => $body->(description => "x\e[2J")],
        ['InvalidRequestContent', json => $body->(description => 7)],
    );
    for my $case (@bad) {
        my ($want, @body) = @$case;
        my $res = api(PUT => $path, 'owner', @body);
        is code($res), "400 $want", encode_json([$body[1]]);
        ok length($res->json('/error/message') // ''), 'says why';
    }
    is code(api(PUT => at($W) . "/$_", 'owner', json => $body->())),
        '400 InvalidRoleAssignmentId', "a name that is none: $_"
        for 'x', 'reader', '0' x 36;
    is code(api(PUT => at($W, 'roleDefinitions') . '/x', 'owner', json => {})),
        '400 InvalidRoleDefinitionId', 'of a definition';
    is code(api(GET => at($W), 'owner', query => {'api-version' => 'x'})),
        '400 InvalidApiVersionParameter', 'api-version';
    is code(api(GET => at($W), 'owner', query => {'api-version' => $_})), '200 ',
        "api-version $_"
        for '2015-07-01', '2018-01-01-preview', '2022-04-01';
    is names($W, 'owner', "principalId eq '$id{erin}'"), '', 'nothing was made';

    my $res = api(PUT => $path, 'owner', json => $body->(
        scope => uc($W) =~ s{^/SUBS}{/subs}r, condition => undef,
        conditionVersion => '2.0', canDelegate => false, description => undef));
    is code($res), '201 ', 'what clients send without a need is no fault';
    remove($res);
};

subtest 'paths that mean something else' => sub {
    my $guid = guid;
    my $body = encode_json({properties => {principalId => $id{erin},
        roleDefinitionId => "/$A/roleDefinitions/$ROLE{owner}"}});
    my $try = sub ($path) {
        return AML::Raw::raw_http($gw, join "\r\n",
            "PUT $path?api-version=2022-04-01 HTTP/1.1",
            'Host: ' . $gw->studio_host,
            'Authorization: ' . $gw->bearer('other')->{Authorization},
            'Content-Type: application/json',
            'Content-Length: ' . length $body,
            'Connection: close', '', $body)->{code};
    };
    isnt $try->($_), 201, $_
        for "$LAB/../../$A/roleAssignments/$guid",
        "$LAB/%2e%2e/%2e%2e/$A/roleAssignments/$guid",
        "$LAB/$A/roleAssignments/$guid/../../../../../$A/roleAssignments/$guid",
        "$LAB/$A/roleAssignments/../roleAssignments/$guid",
        "$LAB//$A/roleAssignments/$guid", "///" . substr("$LAB/$A", 1),
        "$LAB/$A/roleAssignments/$guid/$A/roleAssignments/$guid",
        "$LAB/$A/roleAssignments/$guid/", "$LAB/$A/roleassignments%2f$guid",
        "$W/computes/$A/roleAssignments/$guid",
        "/providers/Microsoft.Management/managementGroups/x/$A/"
        . "roleAssignments/$guid";
    is names('/', 'admin', "principalId eq '$id{erin}'"), '', 'nothing was made';
    is $try->("/$LAB/$A/roleAssignments/$guid"), 201,
        'two slashes at the start are one, for both';
    is names($LAB, 'admin', "principalId eq '$id{erin}'"), $guid, 'it is there';
    $gw->amld_ok(qw(role remove --id), $guid);
};

subtest 'what the gateway allowed is what is done' => sub {
    needs 'there is no curl', -x '/usr/bin/curl';
    my $guid = guid;
    my $ask  = sub ($action) {
        return $gw->run(
            '', 'curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', '-X',
            'DELETE', '--unix-socket', $gw->socket, '-H',
            "X-AML-Principal: $id{reader}", '-H', 'X-AML-Credential: token',
            '-H', "X-AML-Action: $action", '-H', 'X-AML-Name: reader',
            'http://x' . at($W) . "/$guid?api-version=2022-04-01"
        )->{out};
    };
    is $ask->('Microsoft.Authorization/roleAssignments/read'), '403',
        'another action';
    is $ask->('Microsoft.Authorization/roleAssignments/delete'), '204',
        'this one';
};

subtest 'an earlier release\'s assignments' => sub {
    my $name = $gw->amld_ok(qw(role list --account reader)) =~ s/ .*//sr;
    $gw->stop_amld;
    for my $key ("assignment/$name", "assignment-at\L$W\E//$name",
        "assignment-of/$id{reader}/$name")
    {
        $gw->edit({op => 'delete', key => $key});
    }
    $gw->start_amld;
    is names($W, 'owner', "principalId eq '$id{reader}'"), $name,
        'get their GUIDs at the start, the same each time';
};

$gw->done;
