package AML::Bench::SignIn;

# Many people who sign in at once, and keys that rotate under load: with amld
# and nginx as the tests start them.

use strict;
use warnings;

use AML::Bench::Process qw(read_command);
use AML::Bench::Report qw(add_row note wanted);
use AML::Test;
use Exporter 'import';
use IO::Handle;
use JSON::PP;
use List::Util qw(max);
use Socket;
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(end_gateway in_order rotation sign_ins);

# `count` processes, each a browser with an account of its own.  They wait for
# one another with the form in front of them, and send it at the same time.
sub sign_ins {
    my ($b) = @_;

    my @people = map { sprintf 'person-%03d', $_ } 1 .. $b->{sign_ins};
    note("adding $b->{sign_ins} accounts");
    my $gw = AML::Test->start(
        accounts => {creator => 'Contributor', map { $_ => undef } @people});

    my ($go_out, $go_in, @from);
    socketpair $go_out, $go_in, AF_UNIX, SOCK_STREAM, 0 or die "socketpair: $!\n";
    for my $name (@people) {
        pipe my $in, my $out or die "pipe: $!\n";
        my $pid = fork // die "fork: $!\n";
        if ($pid == 0) {
            close $go_in;
            my $text = eval { sign_in($gw, $name, $go_out, $out) }
                // "failed $@";
            print {$out} $text;
            close $out;
            POSIX::_exit(0);
        }
        close $out;
        push @from, [$pid, $in];
    }
    close $go_out;

    # all have the form
    my $ready = grep { defined readline $_->[1] } @from;
    close $go_in;

    my (@seconds, $why);
    for my $child (@from) {
        my $text = do { local $/; readline $child->[1] } // '';
        waitpid $child->[0], 0;
        if ($text =~ /^ok ([\d.]+)/) {
            push @seconds, $1;
        }
        else {
            $why //= $text =~ s/\s+/ /gr;
        }
    }
    @seconds = in_order(@seconds);
    my $all = @people;
    add_row({
        case      => "$all people sign in at once with passwords",
        signed_in => @seconds + 0,
        ready     => $ready,
        seconds   => {
            p50 => ($seconds[@seconds / 2]        // 0) + 0,
            p99 => ($seconds[@seconds * 99 / 100] // 0) + 0,
            max => ($seconds[-1]                  // 0) + 0
        },
        met  => @seconds == @people,
        text => sprintf(
            '%d succeed; p50 %.1f s  p99 %.1f s  max %.1f s%s',
            scalar @seconds,
            $seconds[@seconds / 2]        // 0,
            $seconds[@seconds * 99 / 100] // 0,
            $seconds[-1]                  // 0,
            defined $why ? "; $why" : ''
        ),
    });
    end_gateway($gw);
    return;
}

sub in_order {
    return sort { $a <=> $b } @_;
}

sub sign_in {
    my ($gw, $name, $go, $out) = @_;

    my $browser = $gw->browser;
    my $page    = $browser->navigate($gw->studio_url('/auth/sign-in?to=/'));
    $out->autoflush(1);
    print {$out} "ready\n";
    sysread $go, my $nothing, 1;

    my $began = time;
    my $tx    = $gw->fill_sign_in($browser, $page, $name);
    my $took  = time - $began;
    return sprintf 'failed %d %s', $tx->res->code,
        $tx->res->headers->header('X-AML-Reason') // ''
        if $tx->res->code != 200 || $tx->res->body !~ /\Q$name\E/;
    return sprintf 'ok %.3f', $took;
}

# Requests with tokens of every key go on while the key changes: those of the
# load client with the first, and one with each that there was since, at once
# after each change.
sub rotation {
    my ($b) = @_;

    my $gw = AML::Test->start(instances => {lab => 'creator'});
    my @tokens = ($gw->token('creator'));
    my $host   = $gw->app_host('lab') . ':' . $gw->port;
    my $file   = $gw->dir . '/load.requests';
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} "GET /api/status HTTP/1.1\r\nHost: $host\r\n"
        . "Authorization: Bearer $tokens[0]\r\n\r\n";
    close $out or die "$file: $!\n";

    my $stop = $gw->dir . '/stop';
    pipe my $from, my $to or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        my %sum = (requests => 0, failed => 0);
        while (!-e $stop) {
            my ($r) = @{
                decode_json(
                    read_command(
                        "$b->{out}/load", '--connect',
                        '127.0.0.1:' . $gw->port, '--sni',
                        $gw->app_host('lab'), '--ca', $gw->ca, '--requests',
                        $file, '--count', 1000, '--connections', 8
                    )
                )
            };
            $sum{$_} += $r->{$_} for keys %sum;
            $sum{first} //= $r->{first_failure} if $r->{failed};
        }
        print {$to} encode_json(\%sum);
        close $to;
        POSIX::_exit(0);
    }
    close $to;

    my ($asked, @bad) = (0);
    for my $turn (1 .. $b->{rotations}) {
        $gw->amld_ok('key', 'rotate');
        push @tokens, $gw->token('creator', 1);
        for my $token (@tokens) {
            my $tx = $gw->program->get(
                $gw->app_url('lab', '/api/status'),
                headers => {Authorization => "Bearer $token"}
            );
            $asked++;
            push @bad, $tx->res->code if $tx->res->code != 200;
        }
        sleep 0.2;
    }
    open my $end, '>', $stop or die "$stop: $!\n";
    my $sum = decode_json(do { local $/; readline $from } || '{}');
    waitpid $pid, 0;

    my %kids = map { (split /[.]/)[0] => 1 } @tokens;
    my $done = $sum->{requests} // 0;
    add_row({
        case     => "keys rotate $b->{rotations} times under load",
        requests => $done + $asked,
        failed   => ($sum->{failed} // 0) + @bad,
        keys     => scalar keys %kids,
        met      => $done > 0
            && !$sum->{failed}
            && !@bad
            && keys %kids > $b->{rotations},
        text => sprintf(
            '%d requests with tokens of %d keys, %d failed',
            $done + $asked,
            scalar keys %kids,
            ($sum->{failed} // 0) + @bad
        ),
    });
    end_gateway($gw);
    return;
}

sub end_gateway {
    my ($gw) = @_;
    $gw->stop_nginx('TERM');
    $gw->stop_amld;
    my @complaints = $gw->complaints;
    die "the gateway's logs have errors:\n", join "\n", @complaints, ''
        if @complaints;
    return;
}

1;
