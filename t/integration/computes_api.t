# The control API of compute instances with everything around it: quotas that
# hold and are told of, instances for others, what a restart of amld counts.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP ();
use Mojo::File qw(path);
use Test::More;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw = AML::Test->start(
    accounts => {
        creator => 'Contributor', colleague => 'Contributor',
        reader  => 'Reader', admin => undef, operator => undef
    },
    amld => sub ($text) {
        return $text . <<'END';
size "Small" { family = "desk" cores = 2 memory = 4g }
size "Large" { family = "desk" cores = 8 memory = 16g }
size "Tesla" { family = "gpu" cores = 4 memory = 32g gpus = 1 }
quota "desk" { limit = 6 }
quota "total" { limit = 9 }
END
    }
);
my $SUB = '/subscriptions/' . AML::Test::SUBSCRIPTION;
my $L = "$SUB/providers/Microsoft.MachineLearningServices/locations/local";
$gw->assign('admin',    'Owner',  '/');
$gw->assign('operator', 'Reader', $SUB);

sub api ($method, $path, $account = 'creator', %o) {
    return $gw->api($method, $path, $account, %o)->res;
}

sub code ($res) { $res->code . ' ' . ($res->json('/error/code') // '') }

sub id ($account) {
    return $gw->amld_ok(qw(principal id --account), $account) =~ s/\n//r;
}

sub put ($name, $account = 'creator', %inner) {
    return api(PUT => $gw->compute($name), $account,
        json => $gw->compute_body(vmSize => 'Small', %inner));
}

sub audited {
    return map { JSON::PP->new->utf8->decode($_) } split /\n/,
        path($gw->dir, 'audit.log')->slurp;
}

sub used ($name) {
    my ($one) = grep { $_->{name}{value} eq $name }
        @{api(GET => "$L/usages", 'operator')->json('/value')};
    return $one->{currentValue};
}

sub limit ($name, $limit, $account = 'admin') {
    return api(POST => "$L/updateQuotas", $account,
        json => {value => [{id => "$L/quotas/$name", limit => $limit}]});
}

subtest 'who may see and set what a region has' => sub {
    for my $what (qw(vmSizes usages quotas)) {
        is code(api(GET => "$L/$what", 'operator')), '200 ', "$what: a reader";
        is code(api(GET => "$L/$what", 'creator')), '403 action_denied',
            "$what: not by a role of a workspace";
        is code(api(GET => "$L/$what", undef)), '401 sign_in_required',
            "$what: nobody";
    }
    is code(limit(desk => 100, 'operator')), '403 action_denied',
        'who reads can\'t set';
    is code(limit(desk => 100, 'creator')), '403 action_denied', 'nor others';
    my $sizes = api(GET => "$L/vmSizes", 'operator')->json('/value');
    is_deeply [map {"$_->{name} $_->{vCPUs} $_->{memoryGB} $_->{gpus}"} @$sizes],
        ['Small 2 4 0', 'Large 8 16 0', 'Tesla 4 32 1'], 'the catalogue';
};

subtest 'a size that there is not' => sub {
    my $res = put('first-lab', 'creator', vmSize => 'STANDARD_DS3_V2');
    is code($res), '400 UserError', 'is refused';
    like $res->json('/error/message'), qr/There are: Small, Large, Tesla\./,
        'and those told that there are';
    is $res->json('/error/target'), 'properties.properties.vmSize', 'where';
};

subtest 'a quota holds' => sub {
    is code(put('first-lab')), '201 ', 'one';
    is code(put('second-lab', 'creator', vmSize => 'small')), '201 ', 'two';
    is code(put('third-lab')), '201 ', 'three';
    my $res = put('fourth-lab');
    is code($res), '409 QuotaExceeded', 'and no more';
    like $res->json('/error/message'),
        qr/^The quota 'desk' in 'local' is 6 cores, of which 6 are in use; 'Small' has 2 cores, which is 2 too many\./,
        'which, how much, by how much';
    is_deeply $res->json('/error/additionalInfo/0/info'),
        {
            quota => 'desk', location => 'local', limit => 6,
            currentValue => 6, requested => 2, exceededBy => 2
        }, 'also for programs';
    like put('fourth-lab', 'creator', vmSize => 'Tesla')
        ->json('/error/message'), qr/'total' in 'local' is 9 cores.* 1 too many/,
        'all families together';
    is api(GET => $gw->compute('fourth-lab'))->code, 404, 'nothing was made';

    $gw->wait_state('third-lab', 'Running');
    api(POST => $gw->compute('third-lab') . '/stop');
    $gw->wait_state('third-lab', 'Stopped');
    is used('total'), 6, 'one that is stopped counts';
    is code(put('fourth-lab')), '409 QuotaExceeded', 'so it is no use';
    api(DELETE => $gw->compute('third-lab'), 'creator',
        query => {underlyingResourceAction => 'Delete'});
    ok wait_for(sub { $gw->state_of('third-lab') eq '' }), 'deleted';
    is used('total'), 4, 'one that is gone does not';
    is code(put('fourth-lab')), '201 ', 'and there is room';
};

subtest 'and is set at once' => sub {
    is code(put('fifth-lab')), '409 QuotaExceeded', 'no room';
    my $res = limit(desk => 8);
    is $res->code, 200, 'set';
    is $res->json('/value/0/status'), 'Success', 'with a status';
    is code(put('fifth-lab')), '201 ', 'room';
    limit(desk => 0);
    is code(put('fifth-lab')), '200 ', 'what there is may be changed';
    my ($line) = grep { $_->{event} eq 'quota' && $_->{target} =~ /: 8$/ }
        audited();
    is $line->{name}, 'admin', 'the audit log says who';
    is $line->{target}, 'local/desk: 8', 'and what';
    is $line->{action},
        'Microsoft.MachineLearningServices/locations/updateQuotas/action',
        'by which action';
    is $line->{scope}, $SUB, 'and where';
    limit(desk => undef);
    my ($desk) = grep { $_->{name}{value} eq 'desk' }
        @{api(GET => "$L/quotas", 'admin')->json('/value')};
    is $desk->{limit}, 6, 'and back to the configuration\'s';
};

subtest 'for another' => sub {
    limit(desk => -1);
    limit(total => -1);
    my $them = id('colleague');
    my $res = put('their-lab', 'creator', personalComputeInstanceSettings =>
            {assignedUser => {objectId => $them, tenantId => 'x'}});
    is code($res), '201 ', 'created';
    is $res->json('/properties/properties/createdBy/userName'), 'creator',
        'by whom';
    ok wait_for(sub { $gw->state_of('their-lab') eq 'Running' }), 'it runs';
    my $url = $gw->app_url('their-lab', '/lab');
    is $gw->program->get($url, headers => $gw->bearer('colleague'))->res->code,
        200, 'theirs to open';
    is $gw->program->get($url, headers => $gw->bearer('creator'))
        ->res->headers->header('X-AML-Reason'), 'not_creator',
        'and not whoever asked for it';
    ok -d $gw->share('Users', 'colleague'), 'their folder';
    my ($line) = grep { $_->{event} eq 'compute' && $_->{target} eq 'their-lab' }
        audited();
    is $line->{of}, $them, 'the audit log says for whom';
    is $line->{name}, 'creator', 'and who did it';

    is_deeply [map { $_->{name} } @{api(GET => $gw->workspace . '/computes',
            'colleague', query => {assignedUser => 'me'})->json('/value')}],
        ['their-lab'], 'they find it';
    is_deeply api(GET => $gw->workspace . '/computes', 'colleague',
        query => {createdBy => 'me'})->json('/value'), [],
        'which they have not asked for';
    is code(put('more-lab', 'creator', personalComputeInstanceSettings =>
            {assignedUser => {objectId => '99999999-9999-8999-8999-999999999999'}})),
        '400 PrincipalNotFound', 'not for nobody';
    is code(put('more-lab', 'reader', personalComputeInstanceSettings =>
            {assignedUser => {objectId => $them}})),
        '403 action_denied', 'not by who may not create';
};

subtest 'large bodies' => sub {
    my $res = api(PUT => $gw->compute('large-lab'), 'creator',
        body => '{"a":"' . 'x' x (1024 * 1024) . '"}');
    is $res->code, 413, 'too large';
    $res = put('large-lab', 'creator', setupScripts => {scripts => {
        startupScript => {scriptSource => 'inline',
            scriptData => 'QUFB' x 21_846}}});
    is code($res), '400 UserError', 'a script that is too large';
    is api(GET => $gw->compute('large-lab'))->code, 404, 'nothing was made';
};

# amld was killed, or an older release ran.
subtest 'what is used is counted at a start' => sub {
    my $before = used('total');
    $gw->kill_amld;
    $gw->start_amld;
    is used('total'), $before, 'the same after a kill';

    $gw->stop_amld;
    my $key = 'quota/local/total';
    my $wrong = unpack 'H*', '{"used":1000,"limit":-1}';
    $gw->edit({op => 'put', key => $key, hex => $wrong});
    $gw->edit({op => 'delete', key => 'compute-of/' . id('colleague')
        . "/$_/their-lab"}) for lc join '/', AML::Test::SUBSCRIPTION,
        AML::Test::GROUP, AML::Test::WORKSPACE;
    $gw->start_amld;
    is used('total'), $before, 'put right';
    my ($total) = grep { $_->{name}{value} eq 'total' }
        @{api(GET => "$L/quotas", 'admin')->json('/value')};
    is $total->{limit}, -1, 'and the limit is what was set';
    is api(GET => $gw->workspace . '/computes', 'colleague',
        query => {assignedUser => 'me'})->json('/value/0/name'), 'their-lab',
        'the index, too';
    my $log = $gw->log_text('amld.err');
    like $log, qr/quota total in local: $before cores are in use, not 1000/,
        'the log says so';
    like $log, qr/index of compute instances: 1 entries were put right/,
        'of both';
};

$gw->done;
