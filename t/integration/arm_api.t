# The control API, in the shape that Azure's own clients expect.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::URL;
use Test::More;
use AML::Raw;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw = AML::Test->start(
    accounts => {
        creator => 'Contributor', colleague => 'Contributor',
        reader  => 'Reader', stranger => undef,
        operator => 'AzureML Compute Operator', owner => 'Owner'
    }
);
my $W = $gw->workspace;

sub api ($method, $path, $account = 'creator', %o) {
    return $gw->api($method, $path, $account, %o)->res;
}

sub code ($res) { $res->code . ' ' . ($res->json('/error/code') // '') }

sub delete_it ($name, $account = 'creator') {
    return api(DELETE => $gw->compute($name), $account,
        query => {underlyingResourceAction => 'Delete'});
}

# Follows an operation as the SDKs do; its last status.
sub operation ($res, $account = 'creator') {
    my $url = Mojo::URL->new($res->headers->header('Azure-AsyncOperation'));
    my $status;
    wait_for(
        sub {
            my $r = $gw->program->get("$url", headers => $gw->bearer($account))
                ->res;
            is $r->code, 200, 'the operation answers' if $r->code != 200;
            $status = $r->json('/status') // '';
            $status ne 'InProgress';
        },
        60
    );
    return $status;
}

subtest 'create' => sub {
    my $res = api(PUT => $gw->compute('first-lab'), 'creator',
        json => $gw->compute_body);
    like $res->code, qr/^20[01]$/, 'PUT';
    is $res->json('/name'), 'first-lab', 'name';
    is $res->json('/type'),
        'Microsoft.MachineLearningServices/workspaces/computes', 'type';
    is lc $res->json('/id'), lc $gw->compute('first-lab'), 'id';
    is $res->json('/location'), 'local', 'location';
    my $p = $res->json('/properties');
    is $p->{computeType}, 'ComputeInstance', 'computeType';
    is $p->{properties}{vmSize}, 'STANDARD_DS3_V2', 'what was asked for';
    is $p->{properties}{applicationSharingPolicy}, 'Personal',
        'applications are the creator\'s alone';
    like $p->{properties}{state}, qr/^(?:Creating|Running)$/, 'state';
    like $p->{createdOn}, qr/^\d{4}-\d\d-\d\dT/, 'createdOn';
    my $async = $res->headers->header('Azure-AsyncOperation');
    like $async, qr/^\Q@{[$gw->studio]}\E\//, 'Azure-AsyncOperation, absolute';
    like $res->headers->header('Retry-After'), qr/^[1-5]$/, 'Retry-After';
    is operation($res), 'Succeeded', 'the operation ends';
    $res = api(GET => $gw->compute('first-lab'));
    is $res->json('/properties/provisioningState'), 'Succeeded',
        'provisioningState';
    is $res->json('/properties/properties/state'), 'Running', 'Running';
    is $res->json('/properties/properties/createdBy/userName'), 'creator',
        'createdBy';
    my %apps = map { $_->{displayName} => $_->{endpointUri} }
        @{$res->json('/properties/properties/applications')};
    is $apps{'Jupyter Lab'}, $gw->app_url('first-lab', '/lab'), 'Jupyter Lab';
    is $apps{'Jupyter'}, $gw->app_url('first-lab', '/tree'), 'Jupyter';
    is $res->json('/properties/properties/lastOperation/operationName'),
        'Create', 'lastOperation';
    is $gw->program->get($apps{'Jupyter Lab'},
        headers => $gw->bearer('creator'))->res->code, 200,
        'the application answers at its address';
};

subtest 'create again' => sub {
    my $res = api(PUT => $gw->compute('first-lab'), 'creator',
        json => $gw->compute_body);
    like $res->code, qr/^20[01]$/, 'the same PUT is no error';
    $res = api(PUT => $gw->compute('FIRST-LAB'), 'creator',
        json => $gw->compute_body);
    like $res->code, qr/^20[01]$/, 'nor is it in other case';
    $res = api(PUT => $gw->compute('first-lab'), 'creator',
        json => $gw->compute_body(vmSize => 'STANDARD_DS4_V2'));
    like $res->code, qr/^4\d\d$/, 'another size is';
    $res = api(PUT => $gw->compute('first-lab'), 'colleague',
        json => $gw->compute_body);
    is api(GET => $gw->compute('first-lab'))
        ->json('/properties/properties/createdBy/userName'), 'creator',
        'nobody takes it over';
};

subtest 'names' => sub {
    for my $name (qw(ab 1lab lab-1 lab- a--1 lab_x), 'x' x 25, 'lab%20x',
        'l%C3%A4b', 'lab.x')
    {
        my $res = api(PUT => $gw->compute($name), 'creator',
            json => $gw->compute_body);
        like $res->code, qr/^40[04]$/, "$name is refused"
            or diag code($res);
        ok $res->json('/error/message'), 'with a reason';
    }
};

subtest 'read and list' => sub {
    is api(GET => $gw->compute('first-lab'), 'reader')->code, 200, 'read';
    is api(GET => $gw->compute('FIRST-lab'), 'reader')->code, 200,
        'in any case';
    is code(api(GET => $gw->compute('no-lab'))), '404 ResourceNotFound',
        'one that does not exist';
    my $res = api(GET => "$W/computes", 'reader');
    is $res->code, 200, 'list';
    is_deeply [map { $_->{name} } @{$res->json('/value')}], ['first-lab'],
        'has it';
    is api(GET => $W, 'reader')->json('/location'), 'local',
        'the workspace\'s location';
    is api(HEAD => $gw->compute('first-lab'), 'reader')->code, 200, 'HEAD';
};

subtest 'who may do what' => sub {
    my $put = sub ($name, $account) {
        api(PUT => $gw->compute($name), $account, json => $gw->compute_body);
    };
    for my $account (qw(reader stranger)) {
        is code($put->('x-lab', $account)), '403 action_denied',
            "$account can't create";
        is code(api(POST => $gw->compute('first-lab') . '/stop', $account)),
            '403 action_denied', "$account can't stop";
        is code(delete_it('first-lab', $account)), '403 action_denied',
            "$account can't delete";
    }
    is code(api(GET => "$W/computes", 'stranger')), '403 action_denied',
        'a stranger can\'t even list';
    is api(GET => "$W/computes", 'operator')->code, 200,
        'a compute operator may list';
    is code(api(GET => $W, 'operator')), '403 action_denied',
        'but not read the workspace';
    is code(api(GET => "$W/computes", undef)), '401 sign_in_required',
        'nobody needs to sign in';
    my $other = $W =~ s{/demo$}{/other}r;
    is code(api(GET => "$other/computes")), '403 action_denied',
        'roles end at their scope';
    is code(api(GET => "$W-2/computes")), '403 action_denied',
        'which ends at a slash';
};

subtest 'what is no operation' => sub {
    for my $case (
        [GET     => '/subscriptions/x'],
        [BREW    => $gw->compute('first-lab')],
        [GET     => $gw->compute('first-lab') . '/'],
        [OPTIONS => $gw->compute('first-lab')],
        [TRACE   => $gw->compute('first-lab')],
        )
    {
        my $res = api(@$case, 'creator');
        like $res->code, qr/^40[0345]$/, "@$case" or diag code($res);
    }
    is api(POST => $gw->compute('first-lab') . '/explode', 'owner')->code, 404,
        'an operation that does not exist';
    for my $path (
        "$W//computes", "$W/./computes", "$W/x/../computes",
        "$W/computes%2ffirst-lab", "$W/%63omputes", "$W/computes/first-lab%00"
        )
    {
        my $r = AML::Raw::raw_http($gw, join "\n",
            "GET $path?api-version=2022-10-01 HTTP/1.1",
            'Host: ' . $gw->studio_host,
            'Authorization: ' . $gw->bearer('creator')->{Authorization},
            'Connection: close', '', '');
        like $r->{code}, qr/^40[04]$/, "GET $path";
    }
};

subtest 'api-version' => sub {
    my $ask = sub ($version) {
        my $url = Mojo::URL->new($gw->studio_url("$W/computes"));
        $url->query('api-version' => $version) if defined $version;
        code($gw->program->get("$url", headers => $gw->bearer('creator'))
            ->res);
    };
    is $ask->(undef), '400 MissingApiVersionParameter', 'missing';
    is $ask->($_), '400 InvalidApiVersionParameter', "'$_'"
        for '2022', 'latest', '2022-10-01-beta2', '2022-10-1';
    is $ask->($_), '200 ', $_
        for qw(2020-08-01 2022-10-01 2022-10-01-preview 2023-08-01-preview);
};

subtest 'bodies that are wrong' => sub {
    my $put = sub (%o) { api(PUT => $gw->compute('bad-lab'), 'creator', %o) };
    my @bad = (
        ['no body',  body => ''],
        ['not JSON', body => '{'],
        ['a list',   json => []],
        ['another type', json => {
            location => 'local',
            properties => {computeType => 'Kubernetes', properties => {}}}],
        ['no type', json => {location => 'local', properties => {}}],
        ['types that are wrong', json => {location => 7, properties => 'x'}],
        ['not UTF-8', body => "{\"location\":\"\xff\"}"],
        ['members twice', body => '{"location":"local","location":"x"}'],
        ['nested deep', body => '{"a":' x 3000 . '1' . '}' x 3000],
        ['another region',
            json => {%{$gw->compute_body}, location => 'westeurope'}],
    );
    for my $case (@bad) {
        my ($name, @body) = @$case;
        my $res = $put->(@body);
        is $res->code, 400, $name or diag code($res);
        ok $res->json('/error/code'), 'says what is wrong';
    }
    my $res = $put->(body => 'x' x 2_000_000);
    is $res->code, 413, 'too large';
    is api(GET => $gw->compute('bad-lab'))->code, 404, 'nothing was made';
};

subtest 'stop, start, restart' => sub {
    my $c = $gw->compute('first-lab');
    my $res = api(POST => "$c/stop");
    is $res->code, 202, 'stop';
    my $location = $res->headers->location;
    ok $location && $res->headers->header('Azure-AsyncOperation'),
        'both headers';
    is operation($res), 'Succeeded', 'ends';
    is $gw->program->get($location, headers => $gw->bearer('creator'))
        ->res->code, 200, 'Location is 200 then';
    is $gw->state_of('first-lab'), 'Stopped', 'Stopped';
    is api(POST => "$c/stop")->code, 202, 'stopping again is no error';
    is operation(api(POST => "$c/restart")), 'Succeeded',
        'restarting what is stopped starts it';
    is operation(api(POST => "$c/stop")), 'Succeeded', 'and stopped again';
    $res = api(POST => "$c/start");
    is $res->code, 202, 'start';
    is operation($res), 'Succeeded', 'ends';
    is $gw->state_of('first-lab'), 'Running', 'Running';
    is code(api(POST => "$c/start")),
        '409 StartComputeInstanceOnlyAllowedInStoppedState',
        'starting what runs';
    $res = api(POST => "$c/restart");
    is $res->code, 202, 'restart';
    is operation($res), 'Succeeded', 'ends';
    is api(POST => "$c/start", 'creator',
        query => {'api-version' => '2020-08-01'})->code, 409, '2020-08-01';
    is api(POST => "$c/stop", 'creator',
        query => {'api-version' => '2020-08-01'})->code, 200,
        'which wants 200 of a POST';
    $gw->wait_state('first-lab', 'Stopped');
};

subtest 'delete' => sub {
    my $c = $gw->compute('first-lab');
    is api(DELETE => $c)->code, 400, 'the parameter is required';
    is api(DELETE => $c, 'creator',
        query => {underlyingResourceAction => 'Burn'})->code, 400,
        'and has two values';
    $gw->share->child('kept')->spurt('x');
    my $res = delete_it('first-lab');
    like $res->code, qr/^20[024]$/, 'deleted';
    operation($res) if $res->headers->header('Azure-AsyncOperation');
    is api(GET => $c)->code, 404, 'it is gone';
    like delete_it('first-lab')->code, qr/^(?:204|404)$/, 'twice';
    ok -e $gw->share->child('kept'), 'the share is not';
    is_deeply api(GET => "$W/computes")->json('/value'), [],
        'nor is it in the list';
};

subtest 'many, and paging' => sub {
    my @names = map {"lab-a$_-x"} 10 .. 13;
    for my $name (@names) {
        like api(PUT => $gw->compute($name), 'colleague',
            json => $gw->compute_body)->code, qr/^20[01]$/, $name;
    }
    my @all;
    my $url = $gw->studio_url("$W/computes?api-version=2022-10-01");
    while ($url) {
        my $res = $gw->program->get($url, headers => $gw->bearer('reader'))
            ->res;
        push @all, map { $_->{name} } @{$res->json('/value')};
        $url = $res->json('/nextLink');
    }
    is_deeply [sort @all], \@names, 'all of them';
    for my $name (@names) {
        ok wait_for(sub { $gw->state_of($name) eq 'Running' }),
            "$name runs";
    }
    like api(PUT => $gw->compute(uc $names[0]), 'creator',
        json => $gw->compute_body(vmSize => 'OTHER'))->code, qr/^4/,
        'a name is taken without regard to case';
};

$gw->done;
