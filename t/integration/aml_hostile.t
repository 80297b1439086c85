# aml and a server that means no good, or is none of ours: what it says reaches
# no terminal as it is, the token goes nowhere else, and nothing grows without
# end.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::SSL;
use Mojo::File qw(path);
use Mojo::JSON qw(encode_json);
use POSIX ();
use Test::More;
use AML::Cli;
use AML::Port;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw = AML::Test->prepare;
my ($port, $elsewhere) = (AML::Port->take, AML::Port->take);
my $asked = path($gw->dir, 'asked');

sub item ($name) {
    return {name => $name, properties => {properties => {state => 'Running'}}};
}

# What the first word of the workspace's name makes it answer.
my %answer = (
    other => sub ($path) {
        my $list = {value => [item('one')],
            nextLink => "https://aml.localhost:$elsewhere/next"};
        return (200, encode_json($list));
    },
    user => sub ($path) {
        my $list = {value => [item('one')],
            nextLink => "https://aml.localhost:$port\@evil.localhost/next"};
        return (200, encode_json($list));
    },
    loop => sub ($path) {
        state $text = encode_json({value => [item('x' x 7_000_000)],
            nextLink => "https://aml.localhost:$port$path"});
        return (200, $text);
    },
    rude => sub ($path) {
        return (200, encode_json({value => [item("a\e]0;evil\a\x{9b}31m\nb")]}));
    },
    moved => sub ($path) {
        return (302, '', "Location: https://aml.localhost:$elsewhere/\r\n");
    },
    huge => sub ($path) { return (200, '[' . ('1,' x 5_000_000) . '1]') },
    deep => sub ($path) { return (200, '[' x 100_000) },
    html => sub ($path) { return (200, '<html>sign in</html>') },
    list => sub ($path) { return (200, '[1]') },
    error => sub ($path) {
        return (500, encode_json({error => {code => "E\e[2J",
                        message => "line one\nline two\e[31m"}}));
    },
    odd => sub ($path) { return (400, '{"error": 7}') },
    ssh => sub ($path) {
        state $user = {option => '-oProxyCommand=x', line => "x\n  User root",
            blank => 'x y', shell => '$(id)'};
        my ($what, $name) = $path =~ m{/computes(?:/(\w+)-(\w+))?[?]}
            ? ($1, $2) : ();
        my $as = {fevil => '-Fevil', dots => 'first.lab', other => 'other-lab',
            line => "first-lab\nHost *", path => '../first-lab'};
        my $item = sub ($name, $user) {
            return {name => $name, properties => {properties => {
                state        => 'Running',
                applications => [{endpointUri => "https://$name.apps.test/"}],
                sshSettings  => {sshPublicAccess => 'Enabled',
                    adminUserName => $user}
            }}};
        };
        return (200, encode_json({value => [$item->('first.lab', 'me')]}))
            unless $what;
        return (200, encode_json($what eq 'name'
                    ? $item->($as->{$name}, 'me')
                    : $item->("user-$name", $user->{$name})));
    },
);

sub serve ($port) {
    my $listen = IO::Socket::SSL->new(
        LocalAddr     => '127.0.0.1',
        LocalPort     => $port,
        Listen        => 16,
        ReuseAddr     => 1,
        SSL_cert_file => $gw->dir . '/tls/server.pem',
        SSL_key_file  => $gw->dir . '/tls/server-key.pem',
        SSL_alpn_protocols => ['http/1.1']
    ) or die "listen: $@";
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    chdir $gw->dir;
    $SIG{PIPE} = 'IGNORE';
    while (1) {
        my $s = $listen->accept or next;
        while (1) {
            my $head = '';
            while ($head !~ /\r\n\r\n/) {
                sysread($s, $head, 8192, length $head) or last;
            }
            my ($path, $name) = $head =~ m{^GET (\S*?/workspaces/(\w+)\S*)}
                or last;
            open my $log, '>>', $asked;
            syswrite $log, "$port $name\n";
            my ($status, $body, $more) = $answer{$name}->($path);
            my $out = "HTTP/1.1 $status X\r\n" . ($more // '')
                . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
            my $at = 0;
            while ($at < length $out) {
                $at += syswrite($s, $out, 65536, $at) || last;
            }
        }
        close $s;
    }
}

my @servers = map { serve($_) } $port, $elsewhere;
my $cli = AML::Cli->new(gw => $gw, name => 'somebody', env => {
    AML_SERVER => "https://aml.localhost:$port",
    AML_TOKEN  => 'a-token',
    AML_CA     => $gw->ca
});

sub list ($name, @more) {
    $asked->spurt('');
    return $cli->aml(qw(instance list -w), "s/g/$name", @more);
}

subtest 'the token goes nowhere else' => sub {
    for my $name (qw(other user)) {
        my $r = list($name);
        is $r->{status}, 1, "$name: refused";
        like $r->{err}, qr/goes on at another server/, 'and said';
        is $asked->slurp, "$port $name\n", 'nobody else was asked';
    }
    my $r = list('moved');
    is $r->{status}, 1, 'elsewhere by a redirect';
    is $asked->slurp, "$port moved\n", 'is not followed';
};

subtest 'nothing grows without end' => sub {
    my $r = list('huge');
    is $r->{status}, 5, 'a huge answer';
    like $r->{err}, qr/too large/, 'is refused';
    is list('deep')->{status}, 1, 'a deep one';
    $r = list('loop');
    is $r->{status}, 1, 'a list that leads to itself';
    like $r->{err}, qr/has no end|too large/, 'ends';
};

subtest 'words of a server' => sub {
    for my $args ([], ['--json']) {
        my $r = list('rude', @$args);
        is $r->{status}, 0, "list @$args";
        unlike $r->{out}, qr/[\e\a\x{9b}]/, 'nothing that a terminal obeys';
    }
    is scalar(split /\n/, list('rude')->{out}), 2, 'a row stays one';
    my $r = list('error');
    is $r->{status}, 1, 'an error';
    is scalar(split /\n/, $r->{err}), 1, 'in one line';
    unlike $r->{err}, qr/\e/, 'and to no terminal';
    is list($_)->{status}, 1, "$_ is no answer" for qw(html list odd);
};

# What the server answers becomes arguments of ssh and lines of its
# configuration.
subtest 'an instance of a server' => sub {
    my $bin = path($gw->dir, 'bin')->make_path;
    my $ran = path($gw->dir, 'ran');
    $bin->child('ssh')->spurt("#!/bin/sh\necho \"\$@\" > $ran\n");
    chmod 0755, $bin->child('ssh');
    my @workspace = ('-w', 's/g/ssh');
    local $cli->env->{PATH} = "$bin:$ENV{PATH}";
    for my $name (qw(name-fevil name-dots name-other name-line name-path
        user-option user-line user-blank user-shell)) {
        my $said = $name =~ /^name/ ? qr/was not asked for/ : qr/can't be a user/;
        my $r = $cli->aml(@workspace, 'ssh', $name, 'true');
        is $r->{status}, 1, "ssh $name";
        like $r->{err}, $said, 'is refused';
        ok !-e $ran, 'ssh is not run';
        $r = $cli->aml(@workspace, 'ssh-config', $name);
        is "$r->{status} $r->{out}", '1 ', "ssh-config $name has no entry";
    }
    my $r = $cli->aml(@workspace, 'ssh-config');
    is "$r->{status} $r->{out}", '1 ', 'nor has a list';
    like $r->{err}, qr/can't be one's name/, 'with words';
    $r = $cli->aml(@workspace, 'ssh-config', '--write', 'user-shell');
    is $r->{status}, 2, 'without a profile nothing is kept';
    like $r->{err}, qr/AML_SERVER/, 'with words, too';
    ok !-e $cli->home . '/.ssh', 'it is not';
};

kill 'KILL', @servers;
waitpid $_, 0 for @servers;
$gw->done;
