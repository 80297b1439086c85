package AML::Provider;

# A real identity provider of an organisation, on the loopback behind TLS: what
# all kinds have in common.  The kinds are AML::Provider::OidcProvider (panva's
# oidc-provider from npm) and AML::Provider::Glewlwyd (Debian's).
#
#     my $idp = AML::Provider->make('glewlwyd');       # knows its issuer
#     my $gw  = AML::Test->start(
#         providers => [$idp],                         # starts it before amld
#         amld => sub ($text) { $text . $idp->section });
#     my $tx = $browser->navigate($gw->studio_url('/…'));
#     $tx = $idp->sign_in($browser, $tx, 'alice');     # and back at the gateway
#
# Without a gateway it has a directory and an authority of its own:
#
#     my $idp = AML::Provider->make('oidc-provider')->start;
#
# People have an account (a word), a password, name, email, groups.

use Mojo::Base -base, -signatures;
use Crypt::PK::ECC;
use Crypt::PK::RSA;
use File::Temp ();
use IO::Socket::IP;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use Mojo::URL;
use Mojo::Util qw(sha1_sum);
use POSIX      qw(:sys_wait_h);
use AML::Browser;
use AML::JWT;
use AML::Port;
use AML::Reaper;
use AML::Wait qw(wait_for);

our $ROOT = path(__FILE__)->realpath->dirname->dirname->dirname->dirname;

my %kinds = (
    'oidc-provider' => 'AML::Provider::OidcProvider',
    'glewlwyd'      => 'AML::Provider::Glewlwyd',
);

has [qw(dir gw reaper)];
has port          => sub { AML::Port->take };
has client_id     => 'aml-gateway';
has client_secret => sub { random(32) };
has device_client => 'aml-cli';                  # public, device flow only
has audience      => 'https://api.aml.example';  # of access tokens for our API
has lifetime      => 600;                        # of tokens, in seconds
has algs          => sub { ['RS256', 'ES256'] };    # the first signs
has [qw(redirect_uris post_logout_uris)] => sub { [] };
has [qw(backchannel_uri keys)];

# Without a password each gets one of 24 random characters.
has users => sub {
    return {
        alice => {name => 'Alice Adams', email => 'alice@example.org',
            groups => ['researchers', 'staff']},
        bob  => {name => "B\x{f6}b Baker", email => 'bob@example.org',
            groups => ['staff']},
        carol => {name => 'Carol Clark', email => 'carol@example.org',
            groups => []},
        dave => {name => 'Dave Dunn', email => 'dave@example.org',
            groups => []},
    };
};

# The kinds that this machine can run; of the others, why it can't.
sub kinds ($class) { sort keys %kinds }

sub make ($class, $kind, %o) {
    my $module = $kinds{$kind} // die "no provider $kind\n";
    eval "require $module" or die $@;    ## no critic
    return $module->new(%o);
}

sub random ($n) { join '', map { ('a' .. 'z', 2 .. 9)[rand 34] } 1 .. $n }

# A host of its own: another site than the gateway's to a browser.
sub host ($self)   { $self->kind . '.localhost' }
sub origin ($self) { 'https://' . $self->host . ':' . $self->port }
sub discovery ($self) { $self->issuer . '/.well-known/openid-configuration' }
sub ca ($self)        { $self->dir . '/tls/ca.pem' }
sub callback ($self) { '/auth/callback/' . $self->kind }    # at the gateway
sub password ($self, $user) { $self->users->{$user}{password} }

# Options: gw, whose directory and authority are used and whose addresses the
# client has; without it the addresses are those that the caller has set.
sub start ($self, %o) {
    if (my $why = $self->missing) { die $self->kind . ": $why\n" }
    my $gw = $o{gw};
    $self->gw($gw);
    $_->{password} //= random(24) for values %{$self->users};
    if ($gw) {
        $self->dir($gw->dir . '/idp-' . $self->kind);
        $self->take_addresses($gw);
    }
    elsif (!$self->dir) {
        $self->dir(File::Temp::tempdir('/tmp/aml.XXXXXX'));
        $self->reaper(AML::Reaper->watch($self->dir));
    }
    path($self->dir, 'tls')->make_path;
    if ($gw) {
        path($gw->dir, 'tls', $_)->copy_to($self->dir . '/tls')
            for qw(ca.pem ca-key.pem);
    }
    $self->run('sh', "$ROOT/tls/dev-ca.sh", $self->dir . '/tls', $self->host);
    $self->keys([map { $self->new_key($_) } @{$self->algs}]);
    $self->write_secret;
    $self->prepare;
    $self->up;
    $self->configure;
    return $self;
}

sub take_addresses ($self, $gw) {
    @{$self->redirect_uris}
        or $self->redirect_uris([$gw->studio_url($self->callback)]);
    @{$self->post_logout_uris}
        or $self->post_logout_uris([$gw->studio_url('/auth/signed-out')]);
    $self->backchannel_uri
        // $self->backchannel_uri($gw->studio_url('/auth/backchannel-logout'));
}

# The provider in amld's configuration, for a gateway that starts it.  Options
# are further ones of the section, as they stand in the file.
sub section ($self, %o) {
    my $dir     = 'idp-' . $self->kind;
    my %options = (
        issuer             => $self->issuer,
        client_id          => $self->client_id,
        client_secret_file => "$dir/client.secret",
        ca                 => 'tls/ca.pem',
        label              => 'Sign in at ' . $self->kind,
        $self->options,
        %o
    );
    return join '', qq(\nissuer "@{[$self->kind]}" {\n),
        (map { "    $_ = " . value($options{$_}) . "\n" } sort keys %options),
        "}\n";
}

sub value ($value) {
    return $value =~ /^(?:true|false|\d\w*)$|^\{/ ? $value : qq("$value");
}

sub write_secret ($self) {
    my $file = path($self->dir, 'client.secret');
    $file->spurt($self->client_secret . "\n");
    chmod 0600, $file;
}

# What kinds add to files before the process starts, and to the process after.
sub prepare ($self)   { }
sub configure ($self) { }


# ---- the process ----

sub run ($self, @command) {
    my $log = $self->dir . '/run.log';
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>>', $log;
        open STDERR, '>>', $log;
        exec @command or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    $? == 0 or die "@command: $?\n" . path($log)->slurp;
}

# Starts the process and waits until it listens.
sub up ($self) {
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>>', $self->dir . '/out.log';
        open STDERR, '>>', $self->dir . '/err.log';
        chdir $self->dir;
        delete @ENV{grep {/_proxy$/i} keys %ENV};
        exec $self->command or POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    wait_for(
        sub {
            waitpid($pid, WNOHANG) == 0 or $self->give_up('ended at once');
            $self->listens;
        }
    ) or $self->give_up('does not listen');
    return $self;
}

sub pid ($self) { $self->{pid} }

sub listens ($self) {
    return !!IO::Socket::IP->new(
        PeerHost => '127.0.0.1',
        PeerPort => $self->port
    );
}

sub down ($self, $signal = 'TERM') {
    my $pid = delete $self->{pid} or return;
    kill $signal, $pid;
    my $status;
    wait_for(
        sub { waitpid($pid, WNOHANG) == $pid and $status = [$?] }, 20)
        or do { kill 'KILL', $pid; waitpid $pid, 0 };
    return $status ? $status->[0] : undef;
}

# on: the process ends, connections are refused; off: it is back, with the
# keys, sessions and grants that it had.
sub outage ($self, $on) {
    return $on ? $self->down : $self->{pid} ? undef : $self->up;
}

sub stop ($self) {
    my $status = $self->down;
    $self->reaper->finish if $self->reaper;
    return $status;
}

sub log_text ($self) {
    return join '', map { -e ? path($_)->slurp : '' }
        map { $self->dir . "/$_.log" } qw(out err);
}

sub give_up ($self, $why) {
    my @lines = split /\n/, eval { $self->log_text } // '';
    splice @lines, 0, -12 if @lines > 12;
    die join("\n", $self->kind . ' ' . $why, @lines) . "\n";
}


# ---- keys ----

sub new_key ($self, $alg) {
    my $pem  = AML::JWT::new_key($self->dir, $alg);
    my $jwk  = decode_json(
        ($alg =~ /^ES/ ? 'Crypt::PK::ECC' : 'Crypt::PK::RSA')->new($pem)
            ->export_key_jwk('private'));
    unlink $pem;
    return {%$jwk, alg => $alg, use => 'sig', kid => 'k-' . random(10)};
}

# Publishes the keys that the next rotate_keys signs with.
sub announce_keys ($self) {
    $self->{next} = [map { $self->new_key($_) } @{$self->algs}];
    $self->publish(@{$self->keys}, @{$self->{next}});
}

# A new key of each algorithm signs from now on.  keep: how many generations
# of old ones stay published, one by default.
sub rotate_keys ($self, %o) {
    my $n    = @{$self->algs};
    my $next = delete $self->{next};
    my @old  = @{$self->keys};
    splice @old, -$n if $next;
    splice @old, $n * ($o{keep} // 1) if @old > $n * ($o{keep} // 1);
    $self->publish(
        $next ? @$next : (map { $self->new_key($_) } @{$self->algs}), @old);
    return $self->keys->[0]{kid};
}

sub publish ($self, @keys) {
    $self->keys(\@keys);
    $self->reload;
    wait_for(sub { $self->published eq $self->kids })
        or $self->give_up('does not publish its new keys');
}

sub kids ($self) { join ' ', sort map { $_->{kid} } @{$self->keys} }

sub published ($self) {
    return join ' ', sort map { $_->{kid} } @{$self->jwks->{keys}};
}

# The documents, as anybody sees them.
sub fetch ($self, $url) {
    my $tx = AML::Browser->new(ca => $self->ca, program => 1)->get($url);
    $tx->res->code == 200 or die "$url: " . $tx->res->code . "\n";
    return $tx->res->json // die "$url is not JSON\n";
}

sub metadata ($self) { $self->fetch($self->discovery) }
sub jwks ($self)     { $self->fetch($self->metadata->{jwks_uri}) }


# ---- people ----

# Opens an address of the gateway, chooses this provider where there is a
# choice, and signs in where it asks for that: as far as redirects lead.
sub enter ($self, $browser, $user, $url) {
    my $tx   = $browser->navigate($url);
    my $link = $tx->res->dom->at(
        'a[href^="/auth/oidc/' . $self->kind . '?"]');
    if ($link) {
        my $from = $tx->req->url;
        $tx = $browser->navigate(
            Mojo::URL->new($link->{href})->to_abs($from)->to_string,
            from => AML::Browser::origin_of($from)
        );
    }
    return $tx unless lc $tx->req->url->host eq $self->host;
    return $self->sign_in($browser, $tx, $user);
}

# Changes what the provider knows of somebody: name, email, groups, password,
# or disabled => 1.
sub change_user ($self, $user, %change) {
    my $u = $self->users->{$user} // die "no user $user\n";
    %$u = (%$u, %change);
    $self->write_user($user);
}

1;
