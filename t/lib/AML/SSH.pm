package AML::SSH;

# OpenSSH's own programs as clients of an instance: a key, known hosts and a
# configuration of this test's alone, in the directory of its gateway.
#
#     my $ssh = AML::SSH->new(gw => $gw, name => 'first-lab');
#     $gw->create_instance(...)->with($ssh->settings)
#     is $ssh->run('pwd')->{out}, ...;
#
# `proxy` is the ProxyCommand, which says how to get there.

use Mojo::Base -base, -signatures;
use Mojo::File qw(path);
use POSIX      ();
use AML::Wait  qw(wait_for);

has [qw(gw name proxy user)];
has key   => sub ($self) { $self->make_key('id') };
has known => sub ($self) { $self->gw->dir . '/known_hosts' };

sub make_key ($self, $name, @options) {
    my $file = $self->gw->dir . "/ssh.$name";
    return $file if -e $file;
    @options = qw(-t ed25519) unless @options;
    my $r = $self->gw->run('', 'ssh-keygen', '-q', '-N', '', '-C', 'tester',
        @options, '-f', $file);
    die "ssh-keygen: $r->{err}" if $r->{status};
    return $file;
}

sub public ($self) {
    chomp(my $text = path($self->key . '.pub')->slurp);
    return $text;
}

# For the body of a PUT.
sub settings ($self) {
    return (
        sshSettings => {
            sshPublicAccess => 'Enabled',
            adminPublicKey  => $self->public
        }
    );
}

# Straight to the socket.
sub to_socket ($self, $socket) {
    return $self->proxy("socat - UNIX-CONNECT:$socket");
}

# A ProxyCommand: `aml tunnel` as a person's ssh would run it, with the
# environment of an account's aml (AML::Cli).
sub by_aml ($cli, $name) {
    my %env = %{$cli->environment};
    return join ' ', 'env', '-i',
        map({ quote("$_=$env{$_}") } sort keys %env), $AML::Cli::AML,
        'tunnel', $name;
}

# What ssh, scp and sftp have in common; `more` is "Option=value".
sub options ($self, @more) {
    my %default = (
        BatchMode             => 'yes',
        IdentitiesOnly        => 'yes',
        IdentityFile          => $self->key,
        UserKnownHostsFile    => $self->known,
        GlobalKnownHostsFile  => '/dev/null',
        StrictHostKeyChecking => 'accept-new',
        ProxyCommand          => $self->proxy,
        User                  => $self->user,
        ConnectTimeout        => 20,
        LogLevel              => 'ERROR',
    );
    my @given = map { /^(\w+)=/ ? $1 : () } @more;
    delete @default{@given};
    return ('-F', 'none',
        map { ('-o', $_) } @more,
        map {"$_=$default{$_}"} sort keys %default);
}

# {status, out, err}
sub run ($self, $command, %o) {
    return $self->gw->run(
        $o{input} // '', 'timeout', 60, 'ssh',
        $self->options(@{$o{options} // []}), @{$o{flags} // []}, $self->name,
        defined $command ? $command : ()
    );
}

sub sftp ($self, $batch) {
    return $self->gw->run($batch, 'timeout', 60, 'sftp', $self->options,
        '-b', '-', $self->name);
}

sub scp ($self, @args) {
    return $self->gw->run('', 'timeout', 60, 'scp', $self->options, @args);
}

sub rsync ($self, @args) {
    # rsync takes its words apart by rules of its own
    my $ssh = path($self->gw->dir, 'ssh.rsync')->spurt("#!/bin/sh\nexec ",
        join(' ', map { quote($_) } 'ssh', $self->options), qq( "\$@"\n));
    $ssh->chmod(0755);
    return $self->gw->run('', 'timeout', 60, 'rsync', '-e', $ssh, @args);
}

# One that stays: `ssh -N` or with a command; ended by ->end.
sub open ($self, %o) {
    my $log = $self->gw->dir . '/log/ssh.' . ++$self->{opened};
    pipe my $in, my $write or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        close $write;
        CORE::open STDIN,  '<&', $in;
        CORE::open STDOUT, '>',  "$log.out";
        CORE::open STDERR, '>',  "$log.err";
        exec('ssh',
            $self->options('ExitOnForwardFailure=yes', @{$o{options} // []}),
            @{$o{flags} // []}, $self->name, $o{command} // ())
            or POSIX::_exit(127);
    }
    close $in;
    return bless {pid => $pid, log => $log, write => $write},
        'AML::SSH::Session';
}

sub quote ($text) { $text =~ s/'/'\\''/g; return "'$text'" }

package AML::SSH::Session;

use Mojo::Base -base, -signatures;
use POSIX qw(WNOHANG);

sub out ($self) { $self->told("out") }
sub err ($self) { $self->told("err") }

# It may not have begun yet.
sub told ($self, $what) {
    my $file = Mojo::File::path("$self->{log}.$what");
    return -e $file ? $file->slurp : "";
}

sub says ($self, $pattern, $seconds = 20) {
    return AML::Wait::wait_for(sub { $self->out =~ $pattern }, $seconds);
}

sub type ($self, $text) { syswrite $self->{write}, $text }

sub ended ($self) {
    return 1 if !$self->{pid};
    return 0 if waitpid($self->{pid}, WNOHANG) != $self->{pid};
    $self->{status} = $? >> 8;
    delete $self->{pid};
    return 1;
}

sub status ($self) { $self->{status} }

sub wait ($self, $seconds = 20) {
    return AML::Wait::wait_for(sub { $self->ended }, $seconds);
}

sub end ($self) {
    close delete $self->{write} if $self->{write};
    return if $self->ended;
    kill 'TERM', $self->{pid};
    $self->wait or do { kill 'KILL', $self->{pid}; $self->wait };
}

sub DESTROY ($self) {
    local ($?, $!);
    $self->end;
}

1;
