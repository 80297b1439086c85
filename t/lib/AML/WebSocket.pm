package AML::WebSocket;

# A websocket connection with a blocking face, for tests.

use Mojo::Base -base, -signatures;
use Mojo::IOLoop;
use AML::Wait qw(wait_for);

has [qw(ua tx code reason failed closed_at)];
has messages => sub { [] };

# Connects; $ws->tx is the transaction of the handshake, a websocket or not.
sub open ($class, $ua, $url, $headers, $protocols) {
    my $self = $class->new(ua => $ua);
    $url =~ s/^http/ws/;
    my $done;
    $ua->websocket(
        $url => $headers => $protocols => sub ($ua, $tx) {
            $done = 1;
            $self->tx($tx);
            return unless $tx->is_websocket;
            $tx->max_websocket_size(16 * 1024 * 1024);
            $tx->on(text   => sub ($tx, $m) { push @{$self->messages}, $m });
            $tx->on(binary => sub ($tx, $m) { push @{$self->messages}, $m });
            $tx->on(
                finish => sub ($tx, $code, $reason = undef) {
                    $self->code($code // 1006)->reason($reason)
                        ->closed_at(Time::HiRes::time());
                }
            );
        }
    );
    wait_for(sub {$done}) or die "websocket $url: no answer\n";
    $self->failed($self->tx->res->code) unless $self->tx->is_websocket;
    return $self;
}

sub is_open ($self) {
    AML::Wait::turn(0.01);
    return $self->tx->is_websocket && !defined $self->code;
}

sub send ($self, $message) { $self->tx->send($message); return $self }

# The next message that `wanted` accepts; undef when none came in time.
sub next_message ($self, $seconds = 20, $wanted = sub {1}) {
    return wait_for(
        sub {
            while (@{$self->messages}) {
                my $m = shift @{$self->messages};
                local $_ = $m;
                return \$m if $wanted->($m);
            }
            return;
        },
        $seconds
    );
}

sub echoes ($self, $text) {
    return 0 unless $self->is_open;
    $self->send($text);
    my $m = $self->next_message(10) or return 0;
    return $$m eq $text;
}

# True when the connection ends within so many seconds.
sub closes ($self, $seconds) {
    my $patience = $ENV{AML_PATIENCE} || 1;
    return wait_for(sub { defined $self->code }, $seconds / $patience);
}

sub close ($self, $code = 1000) { $self->tx->finish($code); return $self }

1;
