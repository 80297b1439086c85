# The audit log: one JSON line for each refusal and each change, whatever a
# client writes; and in no log a token, a cookie or a code.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use JSON::PP ();
use Mojo::File qw(path);
use Mojo::URL;
use Test::More;
use AML::Raw qw(raw_h2 raw_http);
use AML::Test;
use AML::Wait qw(wait_for);

my $gw = AML::Test->start(instances => {'first-lab' => 'creator'});
my $me = $gw->opened('creator', 'first-lab');
my ($id) = $gw->api(GET => $gw->compute('first-lab'), 'creator')
    ->res->json('/properties/properties/createdBy/userId');
my $host = $gw->app_host('first-lab');

# Strictly: JSON::PP with utf8 takes nothing but UTF-8.
my $json = JSON::PP->new->utf8;

sub lines {
    my @lines;
    for my $line (split /\n/, $gw->log_text('audit.log')) {
        my $one = eval { $json->decode($line) };
        fail "no JSON: $line: $@" unless $one;
        push @lines, $one // {};
    }
    return @lines;
}

# The line of a request, by its path.
sub line ($path) {
    return wait_for(sub { (grep { ($_->{path} // '') eq $path } lines())[-1] },
        5)
        // {};
}

# No line of that path, though the request has been logged.
sub no_line ($path, $name) {
    ok wait_for(sub { $gw->log_text('access.log') =~ / \Q$path\E["? ]/ }),
        "$name is logged";
    is scalar(grep { $_->{path} eq $path } lines()), 0, 'but not here';
}

subtest 'changes' => sub {
    my $path = $gw->compute('made-lab');
    my $tx = $gw->api(PUT => $path, 'creator', json => $gw->compute_body);
    is $tx->res->code, 201, 'a creation';
    my $line = line($path);
    my $time = delete $line->{time};
    like $time, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d$/, 'when';
    like delete $line->{requestId}, qr/^[0-9a-f]{32}$/, 'which';
    is_deeply $line,
        {
            decision  => 'allow',
            reason    => 'ok',
            status    => '201',
            principal => $id,
            action    =>
                'Microsoft.MachineLearningServices/workspaces/computes/write',
            scope    => $path,
            instance => '',
            client   => '127.0.0.1',
            method   => 'PUT',
            host     => $gw->studio_host,
            path     => $path,
        },
        'who, what, where, and what was decided';
    $gw->wait_state('made-lab', 'Running');
    $gw->api(POST => "$path/stop", 'creator');
    is line("$path/stop")->{action},
        'Microsoft.MachineLearningServices/workspaces/computes/stop/action',
        'an operation';
    is line("$path/stop")->{scope}, $path, 'its scope is the resource';
    $gw->wait_state('made-lab', 'Stopped');
    $gw->api(DELETE => $path, 'creator');
    ok wait_for(sub { grep { $_->{method} eq 'DELETE' } lines() },
        5), 'a deletion';
};

subtest 'what is no change' => sub {
    $gw->api(GET => $gw->workspace . '/computes', 'reader');
    no_line($gw->workspace . '/computes', 'a read');
    $me->fetch(GET => $gw->app_url('first-lab', '/audit/read'));
    no_line('/audit/read', 'an application');
    $me->fetch(POST => $gw->app_url('first-lab', '/audit/write'));
    no_line('/audit/write', 'what one does with it');
    $me->navigate($gw->studio_url('/auth/sign-in'));
    no_line('/auth/sign-in', 'a page that is for everybody');
};

subtest 'refusals' => sub {
    my $tx = $gw->program->get($gw->app_url('first-lab', '/audit/not-mine'),
        headers => $gw->bearer('colleague'));
    my $line = line('/audit/not-mine');
    is $line->{reason},   'not_creator',    'reason';
    is $line->{decision}, 'refuse',         'decision';
    is $line->{status},   403,              'status';
    is $line->{instance}, 'first-lab:8888', 'instance';
    is $line->{host},     $host,            'host';
    like $line->{principal}, qr/^[0-9a-f-]{36}$/, 'who was refused';
    isnt $line->{principal}, $id, 'not whose it is';
    is $line->{requestId}, $tx->res->json('/error/requestId'),
        'the request id that was shown';

    $gw->program->get($gw->app_url('first-lab', '/audit/nobody'));
    is line('/audit/nobody')->{reason},    'sign_in_required', 'nobody';
    is line('/audit/nobody')->{principal}, '',                 'is nobody';

    $gw->browser->navigate($gw->app_url('first-lab', '/audit/person'),
        follow => 0);
    is line('/audit/person')->{status}, 302, 'who is sent to sign in';

    $gw->api(PUT => $gw->compute('put-lab'), 'reader', json => {});
    is line($gw->compute('put-lab'))->{reason}, 'action_denied', 'a role';

    raw_http($gw, "GET /audit/no-host HTTP/1.1\nHost: nowhere.localhost\n"
            . "Connection: close\n\n");
    is line('/audit/no-host')->{reason}, 'host_unknown', 'no host of ours';

    my $ws = $me->websocket($gw->app_url('first-lab', '/audit/ws'));
    ok $ws->echoes('x'), 'a websocket';
    $me->fetch(POST => $gw->app_url('first-lab', '/.aml/sign-out'));
    ok $ws->closes(2), 'is closed';
    my $end = line('/audit/ws');
    is join(' ', @$end{qw(decision reason status instance principal)}),
        "refuse session_unknown 101 first-lab:8888 $id", 'and that is said';
};

# Anything that gets through nginx, and some that does not.
subtest 'what a client writes' => sub {
    my $before = lines();
    my $bearer = $gw->bearer('colleague')->{Authorization};
    my @paths  = (
        '/a"b', '/a\\b', '/a\\u0022,"x":"y', "/a\xff\xfe", "/\xe2\x82",
        '/%01%0a%22%ff', '/' . 'x' x 4000, '/{"a":1}', "/\xc3\xa4",
        '/a?secret=hidden', '/?secret=hidden', '/a//../b/./c',
    );
    for my $path (@paths) {
        raw_http($gw, "GET $path HTTP/1.1\nHost: $host\n"
                . "Authorization: $bearer\nConnection: close\n\n");
    }
    my @hosts = ("x\xff.localhost", 'a"b', '"', 'x\\', ('y' x 500), "\xe4");
    for my $name (@hosts) {
        raw_http($gw, "GET /audit/host HTTP/1.1\nHost: $name\n"
                . "Connection: close\n\n");
    }
    for my $method ('GET', 'FOO', 'DELETE', 'M-SEARCH') {
        raw_http($gw, "$method /audit/method HTTP/1.1\nHost: $host\n"
                . "Connection: close\n\n");
    }
    raw_http($gw, "nonsense\n\n");
    raw_http($gw, "GET http://$host/audit/absolute?secret=hidden HTTP/1.1\n"
            . "Host: $host\nConnection: close\n\n");
    raw_h2(
        $gw,
        [
            [':method', 'GET'], [':scheme', 'https'],
            [':path', "/audit/h2\xff\"?secret=hidden"], [':authority', $host]
        ],
        sni => $host
    );
    ok wait_for(sub { grep { $_->{path} =~ m{^/audit/h2} } lines() }, 5),
        'all have been logged';
    my @lines = lines();
    cmp_ok scalar @lines, '>=', $before + @paths, 'as lines of JSON, all';
    my @fields = sort qw(time decision reason status principal action scope
        instance client method host path requestId);
    for my $line (@lines) {
        next if join(' ', sort keys %$line) eq "@fields";
        fail 'fields: ' . join ' ', sort keys %$line;
    }
    is scalar(grep { join(' ', map { $_ // '' } %$_) =~ /[^\x20-\x7e]/ } @lines),
        0, 'plain ones';
    ok((grep { $_->{path} eq '/a"b' } @lines), 'a quote is a quote');
    ok((grep { $_->{path} eq '/a%FF%FE' } @lines), 'a byte is named');
    ok((grep { $_->{path} eq '/%01%0a%22%ff' } @lines), 'as it was written');
    ok((grep { length $_->{path} == 1024 } @lines), 'a long one is cut');
    unlike $gw->log_text('audit.log'), qr/hidden/, 'without the query';
};

# The ways that codes go: an address that nginx can't bring anywhere, and the
# page after it.
subtest 'codes, tokens and cookies' => sub {
    my $other = $gw->browser;
    my $page  = $other->navigate($gw->app_url('first-lab', '/lab'));
    $gw->fill_sign_in($other, $page, 'creator');
    my ($with_code) = grep { $_->req->url->query->param('code') }
        @{$other->trail};
    my $used = $with_code->req->url->query->param('code');

    # another, that is not used but meets an amld that is down
    my $more = $gw->signed_in('creator');
    my $tx = $more->navigate($gw->app_url('first-lab', '/lab'), follow => 0);
    my $to;
    for (1 .. 6) {
        my $location = $tx->res->headers->location // last;
        $to = Mojo::URL->new($location)->to_abs($tx->req->url);
        last if $to->query->param('code');
        $tx = $more->navigate("$to", follow => 0);
    }
    my $fresh = $to->query->param('code');
    ok $used && $fresh, 'codes';
    $gw->kill_amld;
    is $more->navigate("$to", follow => 0)->res->code, 503, 'amld is down';
    is $more->fetch(
        GET     => $gw->studio_url('/auth/sign-in?token=in-a-query'),
        headers => {Referer => "$to", 'X-Token' => 'in-a-header'}
    )->res->code, 503, 'a page that was come to from there';
    is $gw->program->get($gw->app_url('first-lab', '/.aml/session?code=' . $fresh),
        headers => $gw->bearer('creator'))->res->code, 503, 'and a token';
    ok wait_for(
        sub { $gw->log_text('error.log') =~ /"GET \/\.aml\/session HTTP/ }),
        'the error log has the request';
    like $gw->log_text('error.log'),
        qr/failed .* while connecting to upstream, client: 127\.0\.0\.1, server: \S+, request: "GET \/\.aml\/session HTTP\/1\.1", upstream: "http:\/\/unix:[^"?]+", host: "\Q$host\E:\d+"/,
        'all of it, but for the query';

    my @secrets = (
        $used, $fresh, qw(in-a-query in-a-header hidden),
        values %{$gw->passwords},
        (map { $gw->token($_) } qw(creator colleague reader)),
        (map { $_->value } map { @{$_->ua->cookie_jar->all} } $me, $other,
            $more),
    );
    cmp_ok scalar @secrets, '>', 14, 'secrets were used';
    for my $file (glob $gw->dir . '/{nginx,log}/*.{log,err,out}') {
        my $text = path($file)->slurp;
        is join(' ', grep { length $_ && index($text, $_) >= 0 } @secrets), '',
            path($file)->basename . ' has none';
    }
    $gw->start_amld;
};

$gw->done;
