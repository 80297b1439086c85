package AML::Reaper;

# Ends what a test started, also when the test itself was killed: a process
# that waits for the end of a pipe and then ends, by number, every process
# that lives in the test's directory.

use Mojo::Base -strict, -signatures;
use File::Path qw(remove_tree);
use POSIX      ();
use Time::HiRes ();

# The ends of other watchers' pipes: one that inherits them would keep those
# from ending.
my %pipes;

# `dir` must be a path that no other test has.  `cleanup` is called with it when
# all has ended, before it is removed.
sub watch ($class, $dir, $cleanup = undef) {
    pipe my $read, my $write or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        close $_ for $write, values %pipes;
        POSIX::setsid();
        @SIG{qw(INT TERM HUP)} = ('IGNORE') x 3;
        open STDIN,  '<', '/dev/null';
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null';
        sysread $read, my $byte, 1;
        end_all($dir);
        eval { $cleanup->($dir) } if $cleanup;
        remove_tree($dir) unless $ENV{AML_KEEP};
        POSIX::_exit(0);
    }
    close $read;
    $pipes{$dir} = $write;
    return bless {pid => $pid, pipe => $write, dir => $dir, owner => $$},
        $class;
}

sub finish ($self) {
    return unless $self->{owner} == $$ && $self->{pipe};
    delete $pipes{$self->{dir}};
    close delete $self->{pipe};
    waitpid $self->{pid}, 0;
}

sub DESTROY ($self) {
    local ($?, $!);
    $self->finish;
}

# Numbers of the processes whose command, directory or environment names the
# test's directory.
sub processes ($dir) {
    my @found;
    for my $proc (glob '/proc/[0-9]*') {
        my ($pid) = $proc =~ /(\d+)$/;
        next if $pid == $$ || $pid == getppid;
        my $about = readlink("$proc/cwd") // '';
        for my $name (qw(cmdline environ)) {
            open my $f, '<', "$proc/$name" or next;
            local $/;
            $about .= "\0" . (<$f> // '');
        }
        push @found, $pid if $about =~ m{\Q$dir\E(?:/|\0|$)}m;
    }
    return @found;
}

sub end_all ($dir) {
    for my $signal (('TERM') x 1, ('KILL') x 5) {
        my @found = processes($dir) or return;
        kill $signal, @found;
        for (1 .. 100) {
            last unless grep { kill 0, $_ } @found;
            Time::HiRes::usleep(20_000);
        }
    }
}

1;
