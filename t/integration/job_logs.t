# Logs of jobs through the gateway: ranges, and streams that are followed while
# they are written, by those who may and as fast as they can; and which roles
# jobs are for.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Test::More;
use Time::HiRes qw(time);
use AML::Jobs;
use AML::Raw qw(connect_tls);
use AML::Test;
use AML::Wait qw(wait_for);

my $gw = AML::Test->start(
    accounts => {
        creator   => 'Contributor', colleague => 'Contributor',
        scientist => 'AzureML Data Scientist',
        operator  => 'AzureML Compute Operator', reader => 'Reader'
    },
    instances => {lab => 'creator'}
);

# One that was made for somebody who may make none.
my $id = $gw->amld_ok(qw(principal id --account scientist)) =~ s/\n//r;
$gw->api(
    PUT => $gw->compute('theirs'), 'creator',
    json => $gw->compute_body(
        personalComputeInstanceSettings => {assignedUser => {objectId => $id}}
    )
);
$gw->wait_state('theirs', 'Running');

my $jobs = AML::Jobs->new(gw => $gw, compute => 'lab');

# A follower that can be read from when one likes.
sub follower ($name, $account = 'creator', $more = '') {
    my $socket = connect_tls($gw, $gw->studio_host);
    print {$socket} 'GET ' . $jobs->url($name, '/logs')
        . "?api-version=2022-10-01 HTTP/1.1\r\nHost: "
        . $gw->studio_host . ':' . $gw->port
        . "\r\nConnection: close\r\n$more"
        . 'Authorization: '
        . $gw->bearer($account)->{Authorization} . "\r\n\r\n";
    return $socket;
}
my $SSE = "Accept: text/event-stream\r\n";

# What comes, up to a line that matches; the last is '' where none did.
sub until_line ($socket, $pattern) {
    my @lines;
    while (defined(my $line = <$socket>)) {
        $line =~ s/\r?\n$//;
        push @lines, $line;
        return @lines if $line =~ $pattern;
    }
    return (@lines, '');
}

subtest 'followed while it is written' => sub {
    $jobs->submit('told', 'echo one; echo two; '
            . $jobs->waits('echo three; printf "the rest"'));
    my $socket = follower('told', 'creator', $SSE);
    my @head   = until_line($socket, qr/^$/);
    like $head[0], qr{^HTTP/1.1 200}, 'a stream';
    ok scalar(grep {m{^Content-Type: text/event-stream}i} @head), 'of events';
    my @seen = until_line($socket, qr/^data: two$/);
    is $seen[-1], 'data: two', 'what is there comes at once';
    is $jobs->becomes('told', 'Running')->{status}, 'Running',
        'before it has ended';
    $jobs->go('told');
    push @seen, until_line($socket, qr/^event: end/);
    is_deeply [grep {/^data: [^{]/} @seen],
        ['data: one', 'data: two', 'data: three', 'data: the rest'],
        'and the rest, each line once';
    my $end = <$socket>;
    is_deeply [@{decode_json($end =~ s/^data: //r)}{qw(status exitCode)}],
        ['Completed', 0], 'and how it ended';
    $jobs->ends('told', 'Completed');

    my ($id) = (grep {/^id: /} @seen)[0] =~ /(\d+)/;
    my $tx = $gw->api(
        GET => $jobs->url('told', '/logs'), 'creator',
        headers => {Accept => 'text/event-stream', 'Last-Event-ID' => $id}
    );
    unlike $tx->res->body, qr/^data: one$/m, 'from where it was cut off';
    like $tx->res->body,   qr/^data: the rest$/m;
};

subtest 'ranges' => sub {
    $jobs->submit('numbers', 'seq 1 20000');
    $jobs->ends('numbers', 'Completed');
    my $all = $jobs->log('numbers');
    is length $all, 108894, 'all of it';
    my $part = sub ($range, $method = 'GET') {
        return $gw->api(
            $method => $jobs->url('numbers', '/logs'), 'creator',
            headers => {Range => $range}
        )->res;
    };
    my $r = $part->('bytes=100-299');
    is $r->code, 206, 'a range';
    is $r->body, substr($all, 100, 200), 'those bytes';
    is $r->headers->content_range, 'bytes 100-299/108894';
    $r = $part->('bytes=90000-');
    is $r->body, substr($all, 90000), 'to the end';
    $r = $part->('bytes=108894-');
    is $r->code, 416, 'behind it';
    is $r->headers->content_range, 'bytes */108894';
    $r = $part->('bytes=-6', 'HEAD');
    is $r->code, 206, 'HEAD';
    is $r->headers->content_length, 6;
    is length $r->body, 0;
};

# KiB
sub resident ($pid) {
    my ($kib) = path("/proc/$pid/status")->slurp =~ /^VmRSS:\s*(\d+)/m;
    return $kib;
}

subtest 'those who read slowly, or not at all' => sub {
    $jobs->submit('much', 'yes "a line of the log" | head -c 50000000');
    $jobs->ends('much', 'Completed');
    my $before = resident($gw->pid('amld'));
    my @idle   = map { follower('much', 'creator', $_) } ($SSE, '') x 4;
    for my $socket (@idle) {
        like scalar readline $socket, qr{^HTTP/1.1 200}, 'begins';
    }
    my $from = time;
    is $jobs->status('much'), 'Completed', 'others are answered';
    cmp_ok time - $from, '<', 5 * $ENV{AML_PATIENCE}, 'at once';
    my $reader = follower('much', 'creator', $SSE);
    my $lines  = 0;
    while (defined(my $line = <$reader>)) {
        last if $line =~ /^event: end/;
        $lines += $line =~ /^data: a line/;
        last if $lines >= 100_000;
    }
    is $lines, 100_000, 'and one reads on';
    close $reader;
    # The sanitizer keeps what is freed, for a while.
    cmp_ok resident($gw->pid('amld')) - $before, '<', 32 * 1024,
        'amld keeps none of it' if $AML::Test::VARIANT ne 'asan';
    my $kept = 0;
    $kept += -s $_ for path($gw->dir, 'nginx')->list_tree->each;
    cmp_ok $kept, '<', 8_000_000, 'nor does the gateway, on its disk';
    close $_ for @idle;
};

subtest 'too many, each for themselves' => sub {
    my @all = map { follower('much', 'creator', $SSE) } 1 .. 20;
    my %codes;
    $codes{(readline($_) // '') =~ m{^HTTP/1.1 (\d+)} ? $1 : ''}++ for @all;
    is_deeply [sort keys %codes], [200, 503], 'there is a limit';
    my $r = $gw->api(
        GET => $jobs->url('much', '/logs'), 'creator',
        headers => {Range => 'bytes=-10'}
    )->res;
    is $r->code, 206, 'what is short is answered';
    close $_ for @all;
    ok wait_for(sub {
        my $socket = follower('much', 'creator', $SSE);
        (readline($socket) // '') =~ / 200 /;
    }), 'those who are gone make room';
};

subtest 'amld ends, and goes on' => sub {
    $jobs->submit('long', 'echo before; ' . $jobs->waits('echo after'));
    my $socket = follower('long', 'creator', $SSE);
    my @seen = until_line($socket, qr/^data: before/);
    my ($id) = (grep {/^id: /} @seen)[-1] =~ /(\d+)/;
    is $gw->stop_amld, 0, 'nobody holds it';
    my @rest = until_line($socket, qr/^event: end/);
    is $rest[-1], '', 'the stream is cut off, without an end';
    $gw->start_amld;
    $jobs->go('long');
    $socket = follower('long', 'creator', "${SSE}Last-Event-ID: $id\r\n");
    @rest = until_line($socket, qr/^event: end/);
    is scalar(grep { $_ eq 'data: before' } @rest), 0, 'from there';
    is scalar(grep { $_ eq 'data: after' } @rest),  1, 'it goes on';
    $jobs->ends('long', 'Completed');
};

subtest 'whoever may no longer' => sub {
    $jobs->submit('on', 'echo begun; ' . $jobs->waits);
    my $socket = follower('on', 'creator', $SSE);
    until_line($socket, qr/^data: begun/);
    $gw->role(remove => 'creator', 'Contributor');
    my $from = time;
    1 while defined readline $socket;
    cmp_ok time - $from, '<', 2 * $ENV{AML_PATIENCE}, 'is out at once';
    $gw->assign('creator', 'Contributor');
    $jobs->go('on');
    $jobs->ends('on', 'Completed');
};

subtest 'roles' => sub {
    my $of = sub ($account) {
        AML::Jobs->new(gw => $gw, compute => 'theirs', account => $account);
    };
    my $scientist = $of->('scientist');
    $scientist->submit('science', 'echo it is');
    $scientist->ends('science', 'Completed');
    is $scientist->log('science'), "it is\n", 'a data scientist submits';
    is $scientist->cancel('science'), 200, 'cancels';
    is $gw->api(GET => $jobs->url('science'), 'reader')->res->code, 200,
        'a reader sees it';
    is $gw->api(GET => $jobs->url('science', '/logs'), 'reader')
        ->res->json('/error/code'), 'OwnerOnly', 'but no log';
    for my $other (qw(colleague reader operator)) {
        is $of->($other)->put("$other-1", 'true')->res->code, 403,
            "$other may not submit to it";
        is $gw->api(DELETE => $jobs->url('science'), $other)->res->code, 403,
            'nor delete';
    }
    is $gw->api(GET => $jobs->url('science'), 'operator')
        ->res->json('/error/code'), 'action_denied',
        'a compute operator has no business with jobs';
    is $gw->api(DELETE => $jobs->url('science'), 'scientist')->res->code, 200,
        'deleted by whose it is';
    ok -e $gw->share(qw(Users scientist jobs science std_log.txt)),
        'its files are kept';
};

subtest 'audit' => sub {
    my @lines = grep { $_->{event} eq 'job' && $_->{target} eq 'science' }
        map { decode_json($_) } path($gw->dir, 'audit.log')->slurp =~ /(.+)/g;
    is_deeply [map { $_->{action} =~ s{.*/workspaces/}{}r } @lines],
        [qw(jobs/write jobs/delete)], 'what was done';
    is $lines[0]{name}, 'scientist', 'by whom';
    like $lines[0]{scope}, qr{/jobs/science$}, 'to what';
    unlike path($gw->dir, 'audit.log')->slurp, qr/it is/, 'and no command';
};

$gw->done;
