# amld's audit log: who signed in, was refused, ended what, made or revoked
# which token, changed which role, did what to an instance; and no secret.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Test::More;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw   = AML::Test->start(instances => {'first-lab' => 'creator'});
my $file = path($gw->dir, 'audit.log');
my $uuid = qr/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
my @secrets = values %{$gw->passwords};
my $seen    = 0;

# The lines since the last call.
sub lines {
    my @lines = split /\n/, $file->slurp;
    my @new   = @lines[$seen .. $#lines];
    $seen = @lines;
    return map { decode_json($_) } @new;
}

# Those of one kind since the last call: what was asked of each, joined.
sub said ($event, @members) {
    return [map { join ' ', @{$_}{@members} }
            grep { $_->{event} eq $event } lines()];
}

my ($id) = $gw->amld_ok('principal', 'id', '--account', 'creator') =~ /(\S+)/;

subtest 'how it was set up' => sub {
    my @all = lines();
    cmp_ok scalar @all, '>', 5, 'there are lines';
    for my $l (@all) {
        is join(' ', sort keys %$l), join(' ', sort qw(time event decision
            reason principal name method of id target action scope client
            requestId)), "$l->{event}: always the same members";
        like $l->{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'when';
    }
    my ($made) = grep { $_->{event} eq 'account' } @all;
    is $made->{action}, 'add', 'an account was made';
    is $made->{method}, 'command', 'by a command';
    is $made->{name}, (getpwuid $<)[0], 'of whoever ran it';
    my ($role) = grep { $_->{event} eq 'role' && $_->{of} eq $id } @all;
    is "$role->{action} $role->{target} $role->{scope}",
        'assign Contributor ' . $gw->workspace, 'a role was assigned';
    my ($put) = grep { $_->{event} eq 'compute' } @all;
    is $put->{action},
        'Microsoft.MachineLearningServices/workspaces/computes/write',
        'an instance was made';
    is $put->{scope}, $gw->compute('first-lab'), 'where';
    is $put->{principal}, $id, 'by whom';
    is $put->{name}, 'creator', 'called so';
    like $put->{requestId}, qr/^[0-9a-f]{32}$/, 'in which request';
};

my $me;

subtest 'sign-ins and refusals' => sub {
    $me = $gw->signed_in('creator');
    push @secrets, $me->cookie('__Host-aml', $gw->studio_host);
    my ($in) = lines();
    is "$in->{event} $in->{decision} $in->{reason}", 'sign-in allow ok', 'in';
    is $in->{principal}, $id, 'who';
    is $in->{name}, 'creator', 'called so';
    is $in->{method}, 'password', 'how';
    is $in->{client}, '127.0.0.1', 'from where';
    my ($s) = @{$me->fetch(GET => $gw->studio_url('/auth/sessions'))
        ->res->json('/value')};
    is $in->{id}, $s->{id}, 'which';

    my $try = sub ($name, $password) {
        push @secrets, $password;
        my $who = $gw->browser;
        $who->navigate($gw->studio_url('/auth/sign-in'), method => 'POST',
            from => $gw->studio, follow => 0,
            form => {name => $name, password => $password, to => '/'});
    };
    $try->('nobody', 'wrong-password-1');
    is_deeply said('sign-in', qw(decision reason name principal)),
        ['refuse wrong_password nobody '], 'a wrong one';
    my $typo = 'pass word typed as a name';
    push @secrets, $typo;
    $try->($typo, 'x-typed-too');
    is_deeply said('sign-in', qw(decision name)), ['refuse '],
        'what can be no name is not written';
    $try->("nobody", 'wrong-password-1') for 1 .. 5;
    is said('sign-in', 'reason')->[-1], 'try_later', 'too many';

    $gw->program->request(POST => $gw->studio_url('/auth/token'),
        headers => {Authorization => $gw->basic('creator', 'wrong-basic-1')});
    push @secrets, 'wrong-basic-1', $gw->basic('creator') =~ s/Basic //r;
    push @secrets, $gw->token('creator', 1);
    is_deeply said('token', qw(decision reason name)),
        ['refuse wrong_password creator', 'allow ok creator'], 'tokens';

    my $other = $gw->signed_in('creator');
    lines();
    $other->navigate($gw->studio_url('/auth/sign-out'), method => 'POST',
        form => {}, from => $gw->studio);
    is_deeply said('sign-out', qw(principal method)), ["$id session"], 'out';
};

subtest 'sessions and tokens' => sub {
    my $other = $gw->signed_in('creator');
    my ($one) = map { $_->{id} } grep { !$_->{current} }
        @{$me->fetch(GET => $gw->studio_url('/auth/sessions'))
            ->res->json('/value')};
    lines();
    $me->fetch(DELETE => $gw->studio_url("/auth/sessions/$one"));
    $me->fetch(DELETE => $gw->studio_url('/auth/sessions'));
    $gw->amld_ok('session', 'end', '--account', 'colleague');
    is_deeply said('session-end', qw(principal of id target)),
        ["$id $id $one ", "$id $id  others"], 'ended';
    $other = $gw->signed_in('colleague');
    my ($theirs) = $gw->amld_ok('session', 'list', '--account', 'colleague')
        =~ /^(\S+)/;
    $gw->amld_ok('session', 'end', '--account', 'colleague');
    is_deeply said('session-end', qw(method id)), ["command $theirs"],
        'by a command';

    my $url = $gw->studio_url('/auth/tokens');
    my $t   = $me->fetch(POST => $url,
        json => {name => 'nightly', instances => 'all'})->res->json;
    push @secrets, $t->{token};
    is_deeply said('token-new', qw(principal id target)),
        ["$id $t->{id} nightly"], 'a token is made';
    $gw->program->get($gw->app_url('first-lab', '/x'),
        headers => {Authorization => "Bearer $t->{token}"});

    # amld writes what it has heard of when it ends
    ok wait_for(
        sub {
            $me->fetch(GET => $url)->res->json('/value/0/lastUsed');
        }
    ), 'it is used';
    $gw->stop_amld;
    $gw->start_amld;
    is_deeply said('token-first-use', qw(principal id target)),
        ["$id $t->{id} nightly"], 'for the first time';
    $me->fetch(DELETE => "$url/$t->{id}");
    is_deeply said('token-revoke', qw(principal id)), ["$id $t->{id}"],
        'and revoked';
};

subtest 'devices' => sub {
    my $d = $gw->program->request(POST => $gw->studio_url('/auth/device'),
        form => {client_id => 'aml'})->res->json;
    push @secrets, $d->{device_code}, $d->{user_code};
    my $tx = $me->navigate($d->{verification_uri_complete});
    $me->submit($tx, {answer => 'approve'}, form => 'form[action$=answer]');
    is_deeply said('device-answer', qw(principal target)), ["$id approved"],
        'approved';
    my $token = sub (%form) {
        my $json = $gw->program->request(
            POST => $gw->studio_url('/auth/token'),
            form => \%form
        )->res->json;
        push @secrets, grep {defined} @{$json}{qw(access_token refresh_token)};
        return $json;
    };
    my $t = $token->(
        grant_type  => 'urn:ietf:params:oauth:grant-type:device_code',
        device_code => $d->{device_code}
    );
    is_deeply said('sign-in', qw(principal method decision)),
        ["$id device allow"], 'signed in';
    $token->(grant_type => 'refresh_token', client_id => 'aml',
        refresh_token => $t->{refresh_token}) for 1 .. 3;
    is_deeply said('session-end', qw(reason method)),
        ['refresh_token_reused device'], 'a refresh token came too often';
};

subtest 'roles and instances' => sub {
    $gw->amld_ok('role', 'assign', '--account', 'creator', '--role', 'Owner',
        '--scope', '/');
    my ($colleague) =
        $gw->amld_ok('principal', 'id', '--account', 'colleague') =~ /(\S+)/;
    my $name = '11111111-2222-4333-8444-555555555555';
    my $at   = $gw->workspace
        . "/providers/Microsoft.Authorization/roleAssignments/$name";
    my $role = (grep {/Reader/} split /\n/,
        $gw->amld_ok('role', 'definitions'))[0] =~ s/\s.*//r;
    lines();
    my %query = (query => {'api-version' => '2022-04-01'});
    my $tx = $gw->api(
        PUT => $at, 'creator', %query,
        json => {
            properties => {
                roleDefinitionId =>
                    "/providers/Microsoft.Authorization/roleDefinitions/$role",
                principalId => $colleague
            }
        }
    );
    is $tx->res->code, 201, 'assigned';
    $gw->api(DELETE => $at, 'creator', %query);
    is_deeply said('role', qw(principal of id action scope)),
        [map {"$id $colleague $name Microsoft.Authorization/roleAssignments/$_ "
                . $gw->workspace} qw(write delete)], 'roles';
    $gw->api(POST => $gw->compute('first-lab') . '/stop', 'creator');
    $gw->wait_state('first-lab', 'Stopped');
    $gw->api(POST => $gw->compute('first-lab') . '/start', 'creator');
    $gw->wait_state('first-lab', 'Running');
    $gw->api(DELETE => $gw->compute('first-lab'), 'creator',
        query => {underlyingResourceAction => 'Delete'});
    is_deeply said('compute', qw(principal action scope)),
        [map {
            "$id Microsoft.MachineLearningServices/workspaces/computes/$_ "
                . $gw->compute('first-lab')
        } qw(stop/action start/action delete)], 'instances';
    $gw->amld_ok('principal', 'disable', '--account', 'colleague');
    $gw->amld_ok('key', 'rotate');
    is_deeply [map { join ' ', @{$_}{qw(event action)} } lines()],
        ['principal disable', 'key rotate'], 'commands';
};

subtest 'moved away' => sub {
    rename $file, "$file.1" or die $!;
    $gw->signed_in('creator');
    is_deeply [map { $_->{event} } map { decode_json($_) }
            (split /\n/, path("$file.1")->slurp)[-1]], ['sign-in'],
        'it goes on there';
    kill HUP => $gw->pid('amld');
    ok wait_for(sub { -e $file }), 'SIGHUP makes a new one';
    $seen = 0;
    $gw->signed_in('creator');
    is_deeply said('sign-in', 'name'), ['creator'], 'in which it goes on';
    ok wait_for(sub { $gw->log_text('amld.err')
                =~ / SIGHUP: the audit log is opened anew; the configuration is read at a start only$/m }),
        'and the log says what it did, and did not';
};

subtest 'amld\'s log names the request' => sub {
    my $tx = $gw->api(PUT => $gw->compute('logged-lab'), 'creator',
        json => $gw->compute_body);
    is $tx->res->code, 201, 'created';
    my $id = $tx->res->headers->header('x-ms-request-id');
    like $gw->log_text('amld.err'),
        qr/ info\ logged-lab:\ created\ by\ [^\n]+\ \[\Q$id\E\]$/mx,
        'as the access log does';
    like $gw->log_text('access.log'), qr/logged-lab" 201 .* \Q$id\E$/m,
        'whose line has the same';
};

# What amld refuses by itself, whom nginx has let through.
subtest 'whoever is refused' => sub {
    $gw->add_account(prober => 'Contributor');
    my $their = $gw->signed_in('prober');
    my ($prober) =
        $gw->amld_ok('principal', 'id', '--account', 'prober') =~ /(\S+)/;
    my $t = $their->fetch(POST => $gw->studio_url('/auth/tokens'),
        json => {name => 'probe', instances => 'all'})->res->json('/token');
    push @secrets, $t, 'made-up-refresh-1', 'wrong-password-2';
    my $nobody   = $gw->program;
    my $sessions = '/auth/sessions';
    my $others   = "/auth/principals/$id/sessions";
    my $services = $gw->compute('logged-lab') . '/customServices';
    my $studio   = sub ($path) { $gw->studio_url($path) };
    my @table    = (
        ['another\'s sessions', $prober, 'DELETE', $others,
            'refusal action_denied',
            sub ($path) { $their->fetch(DELETE => $studio->($path)) }],
        ['another\'s instance', $prober, 'POST', $services,
            'refusal OwnerOnly',
            sub ($path) { $gw->api(POST => $path, 'prober', json => {
                customServices => []}) }],
        ['nobody', '', 'GET', $sessions, 'refusal sign_in_required',
            sub ($path) { $nobody->get($studio->($path)) }],
        ['from elsewhere', '', 'DELETE', $sessions,
            'refusal cross_origin',
            sub ($path) { $their->fetch(DELETE => $studio->($path),
                from => $gw->app_origin('logged-lab')) }],
        ['a token', $prober, 'GET', $sessions, 'refusal token_scope',
            sub ($path) { $nobody->get($studio->($path),
                headers => {Authorization => "Bearer $t"}) }],
        ['no such host', $prober, 'GET', '/auth/handoff',
            'refusal host_unknown',
            sub ($path) { $their->navigate($studio->("$path?host=x"
                . '&browser=' . 'a' x 64)) }],
        ['a wrong code', $prober, 'GET', '/auth/device',
            'refusal wrong_code',
            sub ($path) { $their->navigate($studio->(
                "$path?user_code=BBBB-BBBB")) }],
        ['a made-up refresh token', '', 'POST', '/auth/token',
            'refusal invalid_grant',
            sub ($path) { $nobody->request(POST => $studio->($path), form => {
                grant_type => 'refresh_token', client_id => 'aml',
                refresh_token => 'made-up-refresh-1'}) }],
        ['no password', '', 'POST', '/auth/token', 'refusal sign_in_required',
            sub ($path) { $nobody->request(POST => $studio->($path)) }],
        ['a wrong password', '', 'POST', '/auth/sign-in',
            'sign-in wrong_password',
            sub ($path) { $gw->browser->navigate($studio->($path),
                method => 'POST', from => $gw->studio, form => {to => '/',
                    name => 'somebody', password => 'wrong-password-2'}) }],
    );
    $seen = 0;
    for (@table) {
        my ($name, $who, $method, $path, $said, $ask) = @$_;
        lines();
        my $tx = $ask->($path);
        like $tx->res->code, qr/^40[0134]$/, "$name: refused";
        my $request = $tx->res->headers->header('x-ms-request-id');
        my @lines   = grep { $_->{requestId} eq $request } lines();
        is_deeply [map { join ' ', @{$_}{qw(event reason decision principal)} }
                @lines], ["$said refuse $who"], "$name: one line";
        next unless $said =~ /^refusal/;
        is $lines[0]{target}, "$method " . $gw->studio_host . ':' . $gw->port
            . $path, "$name: for what";
    }
    $gw->api(POST => $services, 'prober', json => {customServices => []});
    is_deeply said('refusal', qw(action scope)), [
        'Microsoft.MachineLearningServices/workspaces/computes/'
            . 'customServices/action ' . $gw->compute('logged-lab')
        ], 'of a call of the control API';
    $their->fetch(GET => $studio->('/auth/nothing'));
    $gw->api(GET => $gw->compute('no-lab'), 'creator');
    is_deeply said('refusal', 'target'), [], 'what is not there refuses nobody';
};

subtest 'a disk that is full' => sub {
    my $conf = path($gw->dir, 'amld.conf');
    my $was  = $conf->slurp;
    $conf->spurt($was =~ s{^audit = .*$}{audit = "file:/dev/full"}mr);
    $gw->stop_amld;
    $gw->start_amld;
    $gw->signed_in('creator');
    pass 'keeps nobody out';
    like $gw->log_text('amld.err'),
        qr{audit /dev/full: No space left on device: 1 lines are lost},
        'amld\'s log says so';
    $conf->spurt($was =~ s{^audit = .*$}{audit = "file:/nonexistent/x"}mr);
    my $r = $gw->amld('run');
    is $r->{status}, 1, 'where there can be no log amld does not start';
    like $r->{err}, qr{audit /nonexistent/x: No such file}, 'and says why';
    $conf->spurt($was =~ s{^audit = .*$}{audit = "nowhere"}mr);
    like $gw->amld('-t')->{err}, qr/audit: "nowhere" is neither file/,
        'amld -t';
    $conf->spurt($was);
    $gw->stop_amld;
    $gw->start_amld;
};

subtest 'no secret in any log' => sub {
    my $logs = join '', map { path($_)->slurp } $file, "$file.1",
        glob $gw->dir . '/{log,nginx}/*.{log,err,out}';
    cmp_ok scalar @secrets, '>', 15, 'there are secrets';
    ok length > 3, 'worth to be one' for @secrets;
    is_deeply [grep { index($logs, $_) >= 0 } @secrets], [], 'none is there';
};

$gw->done;
