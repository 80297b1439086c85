package AML::Cli;

# A person's command line: aml with a home directory of its own.
#
#     my $cli = AML::Cli->new(gw => $gw, name => 'creator');
#     $cli->login;
#     is $cli->aml('instance', 'list')->{status}, 0;
#
# What runs on is started with `begin`, which gives an AML::Cli::Process.

use Mojo::Base -base, -signatures;
use Mojo::File qw(path);
use AML::Test;
use AML::Wait qw(wait_for);

our $AML = $ENV{AML_CLI} || "$AML::Test::ROOT/build/$AML::Test::VARIANT/aml";
$AML = path($AML)->to_abs->to_string;

has [qw(gw name)];
has home => sub ($self) {
    my $home = path($self->gw->dir, 'home-' . $self->name)->make_path;
    chmod 0700, $home;
    return "$home";
};
has env => sub { {} };

# Its environment: nothing of who runs the test.
sub environment ($self) {
    my %keep = map { $_ => $ENV{$_} } grep { defined $ENV{$_} }
        qw(PATH TMPDIR ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS);
    return {
        %keep,
        HOME   => $self->home,
        LC_ALL => 'C.UTF-8',
        TERM   => 'dumb',
        %{$self->env}
    };
}

# Runs it to its end: {status, signal, out, err}.  The last argument may be a
# reference to what it reads.
sub aml ($self, @args) {
    my $input = ref $args[-1] ? ${pop @args} : '';
    local %ENV = %{$self->environment};
    return $self->gw->run($input, $AML, @args);
}

sub aml_ok ($self, @args) {
    my $r = $self->aml(@args);
    return $r->{out} if $r->{status} == 0 && $r->{signal} == 0;
    die "aml @{[map { ref ? '…' : $_ } @args]}: $r->{status} $r->{err}\n";
}

sub begin ($self, @args) {
    return AML::Cli::Process->start($self, $AML, @args);
}

# Another program in the same environment.
sub program ($self, @command) {
    return AML::Cli::Process->start($self, @command);
}

# Signs in with the account's password.
sub login ($self, @more) {
    my $gw = $self->gw;
    $self->aml_ok(
        'login', '--server', $gw->studio, '--ca', $gw->ca, '--workspace',
        $gw->workspace, '--account', $self->name, @more,
        \"@{[$gw->passwords->{$self->name}]}\n"
    );
    return $self;
}

sub credentials ($self) { path($self->home, '.config/aml/credentials.json') }

package AML::Cli::Process;

use Mojo::Base -base, -signatures;
use IO::Select;
use POSIX qw(:sys_wait_h);
use AML::Wait qw(wait_for);

has [qw(pid in out err status signal)];
has got    => '';
has errors => '';

sub start ($class, $cli, @command) {
    pipe my $in_read,  my $in  or die "pipe: $!";
    pipe my $out,      my $out_write or die "pipe: $!";
    pipe my $err,      my $err_write or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDIN,  '<&', $in_read;
        open STDOUT, '>&', $out_write;
        open STDERR, '>&', $err_write;
        close $_ for $in, $out, $err;
        %ENV = %{$cli->environment};
        exec @command or POSIX::_exit(127);
    }
    close $_ for $in_read, $out_write, $err_write;
    binmode $_ for $in, $out, $err;
    $_->blocking(0) for $out, $err;
    $in->autoflush(1);
    return $class->new(pid => $pid, in => $in, out => $out, err => $err);
}

# Takes what has come.
sub look ($self) {
    for my $pair (['out', 'got'], ['err', 'errors']) {
        my ($from, $to) = @$pair;
        my $handle = $self->$from // next;
        while (1) {
            my $n = sysread $handle, my $bytes, 65536;
            last unless defined $n;
            if ($n == 0) { $self->$from(undef); last }
            $self->$to($self->$to . $bytes);
        }
    }
    return $self;
}

sub says ($self, $pattern, $seconds = 30) {
    return wait_for(sub { $self->look->got =~ $pattern }, $seconds);
}

sub complains ($self, $pattern, $seconds = 30) {
    return wait_for(sub { $self->look->errors =~ $pattern }, $seconds);
}

sub send ($self, $bytes) {
    my $at = 0;
    while ($at < length $bytes) {
        my $n = syswrite $self->in, $bytes, 65536, $at;
        die "write: $!" unless defined $n;
        $at += $n;
    }
    return $self;
}

sub close_in ($self) { close $self->in; return $self }

sub over ($self) {
    return 1 if defined $self->status;
    $self->look;
    return 0 unless waitpid($self->pid, WNOHANG) == $self->pid;
    my $how = $?;
    $self->status($how >> 8)->signal($how & 127);
    $self->look;
    return 1;
}

# Its exit status; undef where it does not end.
sub wait ($self, $seconds = 30) {
    return wait_for(sub { $self->over }, $seconds) ? $self->status : undef;
}

sub kill ($self, $signal = 'TERM') {
    CORE::kill($signal, $self->pid) unless $self->over;
    $self->wait(10) // CORE::kill('KILL', $self->pid);
    return $self;
}

sub DESTROY ($self) {
    return if defined $self->status || !$self->pid;
    CORE::kill('KILL', $self->pid);
    local ($?, $!);
    waitpid $self->pid, 0;
}

1;
