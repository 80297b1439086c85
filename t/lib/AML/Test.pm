package AML::Test;

# One whole gateway a test: certificate authority, registry, amld, nginx with
# the module, accounts, instances; in a directory and on ports of its own.
# The configuration is made from the templates that ship (packaging/*.in).
#
#     my $gw = AML::Test->start(instances => {'first-lab' => 'creator'});
#     my $browser = $gw->signed_in('creator');
#     is $browser->navigate($gw->app_url('first-lab', '/lab'))->res->code, 200;
#     $gw->done;
#
# Environment: AML_NGINX, AML_MODULE, AML_AMLD, AML_VARIANT, AML_VENV;
# AML_PATIENCE multiplies deadlines, AML_KEEP keeps the directory.

# EV, where it is installed, would reap our children in our place.
BEGIN { $ENV{MOJO_REACTOR} = 'Mojo::Reactor::Poll' }

use Mojo::Base -base, -signatures;
use Cwd ();
use File::Temp ();
use IO::Socket::IP;
use IO::Socket::UNIX;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json encode_json);
use Mojo::URL;
use Mojo::Util qw(b64_encode url_escape);
use POSIX      qw(:sys_wait_h);
use Test::More ();
use Time::HiRes qw(time);
use AML::Browser;
use AML::Port;
use AML::Reaper;
use AML::Wait qw(wait_for);

our $ROOT = path(__FILE__)->realpath->dirname->dirname->dirname->dirname;

our $VARIANT = $ENV{AML_VARIANT} || 'release';
our $NGINX   = $ENV{AML_NGINX}
    || ($VARIANT eq 'asan' ? "$ROOT/build/asan/nginx/nginx" : '/usr/sbin/nginx');
our $MODULE = $ENV{AML_MODULE}
    || "$ROOT/build/$VARIANT/nginx/ngx_http_aml_module.so";
our $AMLD = $ENV{AML_AMLD} || "$ROOT/build/$VARIANT/amld";
our $VENV = $ENV{AML_VENV} || "$ROOT/build/venv";
our $EDIT = "$ROOT/build/$VARIANT/t/registry_edit";

$_ = path($_)->to_abs->to_string for $MODULE, $AMLD, $VENV;
$ENV{AML_PATIENCE} //= $VARIANT eq 'asan' ? 3 : 1;
$ENV{ASAN_OPTIONS} //= 'detect_odr_violation=0:abort_on_error=0';
$ENV{UBSAN_OPTIONS} //= 'print_stacktrace=1';

use constant {
    SUBSCRIPTION => '00000000-0000-4000-8000-000000000001',
    GROUP        => 'demo',
    WORKSPACE    => 'demo',
};

has [qw(dir port reaper application)];
has studio_host => 'aml.localhost';
has apps        => 'instances.aml.localhost';
has passwords   => sub { {} };
has tolerated   => sub { [] };
has providers   => sub { [] };    # of identities, see AML::Provider
has [qw(edit_nginx edit_amld)];

sub start ($class, %o) {
    my $self = $class->prepare(%o);
    $_->start(gw => $self) for @{$self->providers};
    $self->start_amld;
    my $accounts = $o{accounts} // {
        creator   => 'Contributor',
        colleague => 'Contributor',
        reader    => 'Reader'
    };
    $self->add_account($_, $accounts->{$_}) for sort keys %$accounts;
    $self->start_nginx;
    my %instances = %{$o{instances} // {}};
    for my $name (sort keys %instances) {
        $self->create_instance($name, $instances{$name});
    }
    return $self;
}

# Everything but running processes.
sub prepare ($class, %o) {
    -x $AMLD   or die "$AMLD is not built\n";
    -e $MODULE or die "$MODULE is not built\n";
    ($o{application} // '') ne 'jupyter' || -x "$VENV/bin/jupyter"
        or die "$VENV has no jupyter\n";

    # Short: addresses of unix sockets have at most 107 bytes.
    my $dir = File::Temp::tempdir('/tmp/aml.XXXXXX');
    chmod 0755, $dir;
    my $self = $class->new(
        dir         => $dir,
        port        => AML::Port->take,
        application => $o{application} // 'stand-in',
        edit_nginx  => $o{nginx},
        edit_amld   => $o{amld},
        providers   => $o{providers} // [],
    );
    $self->reaper(AML::Reaper->watch($dir, $o{cleanup}));
    path($dir, $_)->make_path for qw(log nginx share venv/bin);
    symlink "$ROOT/t/lib/stand-in-application", "$dir/venv/bin/jupyter"
        or die "symlink: $!";
    $self->make_ca;
    $self->write_amld_conf;
    $self->write_nginx_conf;
    return $self;
}


# ---- where things are ----

sub studio ($self) { 'https://' . $self->studio_host . ':' . $self->port }
sub studio_url ($self, $path = '/') { $self->studio . $path }

sub app_host ($self, $name, $port = 8888) {
    return ($port == 8888 ? $name : "$name-$port") . '.' . $self->apps;
}

sub app_origin ($self, $name, $port = 8888) {
    return 'https://' . $self->app_host($name, $port) . ':' . $self->port;
}

sub app_url ($self, $name, $path = '/', $port = 8888) {
    return $self->app_origin($name, $port) . $path;
}

sub workspace ($self) {
    return
          '/subscriptions/' . SUBSCRIPTION
        . '/resourceGroups/' . GROUP
        . '/providers/Microsoft.MachineLearningServices/workspaces/'
        . WORKSPACE;
}

sub compute ($self, $name) { $self->workspace . "/computes/$name" }
sub registry ($self) { $self->dir . '/registry' }
sub socket ($self) { $self->dir . '/amld.sock' }
sub ca ($self) { $self->dir . '/tls/ca.pem' }
sub share ($self, @path) { path($self->dir, 'share', @path) }


# ---- processes ----

sub spawn ($self, $name, @command) {
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>>', $self->dir . "/log/$name.out";
        open STDERR, '>>', $self->dir . "/log/$name.err";
        chdir $self->dir;
        exec @command or POSIX::_exit(127);
    }
    $self->{pid}{$name} = $pid;
    return $pid;
}

sub pid ($self, $name) { $self->{pid}{$name} }

sub alive ($self, $name) {
    my $pid = $self->{pid}{$name} or return 0;
    if (waitpid($pid, WNOHANG) == $pid) {
        $self->{exit}{$name} = $?;
        delete $self->{pid}{$name};
        return 0;
    }
    return 1;
}

# Sends a signal and waits for the end; the exit status, or undef.
sub end ($self, $name, $signal, $seconds = 20) {
    my $pid = $self->{pid}{$name} or return $self->{exit}{$name};
    kill $signal, $pid;
    wait_for(sub { !$self->alive($name) }, $seconds)
        or do { kill 'KILL', $pid; waitpid $pid, 0; return undef };
    return $self->{exit}{$name};
}

sub start_amld ($self) {
    unlink $self->socket;
    $self->spawn(amld => $AMLD, '-c', $self->dir . '/amld.conf', 'run');
    wait_for(
        sub {
            $self->alive('amld') or $self->give_up('amld ended at once');
            IO::Socket::UNIX->new(Peer => $self->socket);
        }
    ) or $self->give_up('amld does not listen');
}

sub stop_amld ($self) { $self->end(amld => 'TERM') }
sub kill_amld ($self) { $self->end(amld => 'KILL') }

sub nginx_command ($self, @more) {
    return ($NGINX, '-p', $self->dir, '-c', $self->dir . '/nginx.conf',
        '-e', $self->dir . '/nginx/error.log', '-g', 'daemon off;', @more);
}

sub start_nginx ($self) {
    $self->spawn(nginx => $self->nginx_command);
    wait_for(
        sub {
            $self->alive('nginx') or $self->give_up('nginx ended at once');
            IO::Socket::IP->new(
                PeerHost => '127.0.0.1',
                PeerPort => $self->port
            );
        }
    ) or $self->give_up('nginx does not listen');
}

sub stop_nginx ($self, $signal = 'QUIT') { $self->end(nginx => $signal) }

sub restart_nginx ($self) {
    $self->stop_nginx('TERM');
    $self->start_nginx;
}

sub workers ($self) {
    my $master = $self->{pid}{nginx} or return;
    return grep { my $p = $_; $p } map { split ' ' }
        eval { path("/proc/$master/task/$master/children")->slurp } // '';
}

# Returns when new workers have taken over.
sub reload_nginx ($self) {
    my %old = map { $_ => 1 } $self->workers;
    kill 'HUP', $self->{pid}{nginx};
    wait_for(sub { grep { !$old{$_} } $self->workers })
        or $self->give_up('nginx did not reload');
}

# Runs a command to its end: {status, out, err}.
sub run ($self, $input, @command) {
    my $base = $self->dir . '/log/run.' . ++$self->{runs};
    path("$base.in")->spurt($input // '');
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDIN,  '<', "$base.in";
        open STDOUT, '>', "$base.out";
        open STDERR, '>', "$base.err";
        exec @command or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    my %r = (
        status => $? >> 8,
        signal => $? & 127,
        out    => path("$base.out")->slurp,
        err    => path("$base.err")->slurp
    );
    unlink glob "$base.*";
    return \%r;
}

sub amld ($self, @args) {
    my $input = ref $args[-1] ? ${pop @args} : '';
    return $self->run($input, $AMLD, '-c', $self->dir . '/amld.conf', @args);
}

sub amld_ok ($self, @args) {
    my $r = $self->amld(@args);
    return $r->{out} if $r->{status} == 0 && $r->{signal} == 0;
    die "amld @{[map { ref ? '…' : $_ } @args]}: $r->{status} $r->{err}\n";
}

# Crafted records, see t/tools/registry_edit.c.
sub edit ($self, @ops) {
    -x $EDIT or die "$EDIT is not built\n";
    my $r = $self->run(join('', map { encode_json($_) . "\n" } @ops),
        $EDIT, $self->registry);
    die "registry_edit: $r->{err}" if $r->{status} || $r->{signal};
    return $r->{out};
}


# ---- what runs ----

# The values that a template asks for.
sub values_of_templates ($self) {
    return (
        ROOT         => $ROOT,
        MODULE       => $MODULE,
        USER         => $< == 0 ? 'user root;' : '',
        UID          => $<,
        RUN          => $self->dir,
        LISTEN       => '127.0.0.1:' . $self->port,
        PORT         => ':' . $self->port,
        STUDIO       => $self->studio_host,
        APPS         => $self->apps,
        ORIGIN       => $self->studio,
        CERT         => $self->dir . '/tls/server.pem',
        KEY          => $self->dir . '/tls/server-key.pem',
        REGISTRY     => $self->registry,
        AMLD         => $self->socket,
        SUBSCRIPTION => SUBSCRIPTION,
        SHARE        => $self->dir . '/share',
        VENV => $self->application eq 'jupyter' ? $VENV
            : $self->dir . '/venv',
    );
}

sub render ($self, $template) {
    my %values = $self->values_of_templates;
    my $text   = path($ROOT, 'packaging', $template)->slurp;
    $text =~ s/\@([A-Z]+)\@/$values{$1} \/\/ die "$template: \@$1\@"/ge;
    return $text;
}

sub write_nginx_conf ($self) {
    my $text = $self->render('nginx.conf.in');

    # a test that is slow must not find its connections closed
    $text =~ s/^(http \{)$/$1\n    keepalive_timeout 20m;/m;
    $text = $self->edit_nginx->($text) if $self->edit_nginx;
    path($self->dir, 'nginx.conf')->spurt($text);
}

sub write_amld_conf ($self) {
    my $text = $self->render('amld.conf.in');
    $text = $self->edit_amld->($text) if $self->edit_amld;
    path($self->dir, 'amld.conf')->spurt($text);
}

sub make_ca ($self) {
    my $r = $self->run(
        '', 'sh', "$ROOT/tls/dev-ca.sh", $self->dir . '/tls',
        $self->studio_host, '*.' . $self->apps
    );
    die "dev-ca.sh: $r->{out}$r->{err}" if $r->{status};
}

sub add_account ($self, $name, $role = undef) {
    my $password = join '', map { ('a' .. 'z', 2 .. 9)[rand 34] } 1 .. 24;
    $self->passwords->{$name} = $password;
    $self->amld_ok('account', 'add', $name, '--password-stdin', \"$password\n");
    $self->assign($name, $role) if $role;
}

sub assign ($self, $name, $role, $scope = $self->workspace) {
    $self->role('assign', $name, $role, $scope);
}

sub role ($self, $verb, $account, $role, $scope = $self->workspace) {
    $self->amld_ok('role', $verb, '--account', $account, '--role', $role,
        '--scope', $scope);
}

sub create_instance ($self, $name, $creator) {
    my $tx = $self->api(PUT => $self->compute($name), $creator,
        json => $self->compute_body);
    $tx->res->code =~ /^20[01]$/
        or $self->give_up("PUT $name: " . $tx->res->code . $tx->res->body);
    $self->wait_state($name, 'Running');
}

sub compute_body ($self, %properties) {
    return {
        location   => 'local',
        properties => {
            computeType => 'ComputeInstance',
            properties  => {vmSize => 'STANDARD_DS3_V2', %properties}
        }
    };
}

sub state_of ($self, $name, $account = 'creator') {
    my $tx = $self->api(GET => $self->compute($name), $account);
    return '' if $tx->res->code == 404;
    return $tx->res->json('/properties/properties/state')
        // $self->give_up("GET $name: " . $tx->res->body);
}

sub wait_state ($self, $name, $state, $seconds = 60) {
    my $last = '';
    wait_for(
        sub {
            $last = $self->state_of($name);
            $self->give_up("$name is $last instead of $state")
                if $last =~ /Failed|Unusable/ && $state ne $last;
            $last eq $state;
        },
        $seconds
    ) or $self->give_up("$name is $last, not $state");
}


# ---- who asks ----

sub browser ($self) { AML::Browser->new(ca => $self->ca) }
sub program ($self) { AML::Browser->new(ca => $self->ca, program => 1) }

sub basic ($self, $account, $password = $self->passwords->{$account}) {
    return 'Basic ' . b64_encode("$account:$password", '');
}

# A bearer token, new each time that `fresh` is true.
sub token ($self, $account, $fresh = 0) {
    delete $self->{token}{$account} if $fresh;
    return $self->{token}{$account} //= do {
        my $tx = $self->program->request(
            POST    => $self->studio_url('/auth/token'),
            headers => {Authorization => $self->basic($account)}
        );
        $tx->res->json('/access_token')
            // die "/auth/token: " . $tx->res->code . ' ' . $tx->res->body;
    };
}

sub bearer ($self, $account) {
    return {Authorization => 'Bearer ' . $self->token($account)};
}

# A call of the control API with an account's token.
sub api ($self, $method, $path, $account, %o) {
    my $url = Mojo::URL->new($self->studio . $path);
    my %query = ('api-version' => '2022-10-01', %{delete $o{query} // {}});
    $url->query([map { $_ => $query{$_} } sort keys %query]);
    return $self->program->request(
        $method, "$url", %o,
        headers => {
            ($account ? %{$self->bearer($account)} : ()),
            %{$o{headers} // {}}
        }
    );
}

# Fills the sign-in form of the page `tx`.
sub fill_sign_in ($self, $browser, $tx, $account,
    $password = $self->passwords->{$account})
{
    my ($name) = map { $_->{name} }
        $tx->res->dom->find('form input')
        ->grep(sub { ($_->{type} // 'text') =~ /^(?:text|email)$/ })->each;
    my ($secret) = map { $_->{name} }
        $tx->res->dom->find('form input[type=password]')->each;
    die 'no sign-in form on ' . $tx->req->url . ': ' . $tx->res->code . "\n"
        unless $name && $secret;
    return $browser->submit(
        $tx,
        {$name => $account, $secret => $password},
        form => 'form:has(input[type=password])'
    );
}

# A browser that has signed in at the studio.
sub signed_in ($self, $account, $browser = $self->browser) {
    my $tx = $browser->navigate($self->studio_url('/auth/sign-in?to=/'));
    $self->fill_sign_in($browser, $tx, $account);
    $browser->cookie('__Host-aml', $self->studio_host)
        // die "$account could not sign in\n";
    return $browser;
}

# And has opened an application, so that it has a session there.
sub opened ($self, $account, $name, $port = 8888) {
    my $browser = $self->signed_in($account);
    $browser->navigate($self->app_url($name, '/', $port));
    return $browser;
}


# ---- the end ----

# Lines of a log that would fail the test, but are expected in this one.
sub tolerate ($self, @patterns) { push @{$self->tolerated}, @patterns }

sub log_text ($self, $name) {
    my ($file) = grep { -e } map { $self->dir . "/$_/$name" } qw(nginx log);
    return $file ? path($file)->slurp : '';
}

sub complaints ($self) {
    my @found = map {"access.log: $_"} grep {/" 500 \d/} split /\n/,
        $self->log_text('access.log');
    for my $file (glob($self->dir . '/{log,nginx}/*.{err,out,log}')) {
        next if $file =~ m{/access};
        for my $line (split /\n/, path($file)->slurp) {
            next unless $line =~ /\[(?:alert|emerg)\]|Sanitizer|runtime\ error
                |exited\ on\ signal|Assertion.*failed/x;
            next if grep { $line =~ $_ } @{$self->tolerated};
            push @found, path($file)->basename . ": $line";
        }
    }
    return @found;
}

sub give_up ($self, $why) {
    my $status = $self->{exit} // {};
    $self->show_logs;
    $why .= '; ' . $self->dir . ' is gone' unless -d $self->dir;
    die "$why; statuses: @{[%$status]}\n";
}

sub show_logs ($self) {
    for my $file (glob($self->dir . '/log/*.{err,out} ' . $self->dir
        . '/nginx/error.log'))
    {
        my @lines = split /\n/, eval { path($file)->slurp } // '';
        splice @lines, 0, -12 if @lines > 12;
        Test::More::diag(path($file)->basename . ": $_") for @lines;
    }
}

# Ends the gateway and asserts that nothing went wrong behind the answers.
sub finish ($self) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $nginx = $self->{pid}{nginx} ? $self->stop_nginx('TERM') : 0;
    my $amld  = $self->{pid}{amld}  ? $self->stop_amld          : 0;
    Test::More::is($nginx, 0, 'nginx ended cleanly');
    Test::More::is($amld,  0, 'amld ended cleanly');
    $_->stop for @{$self->providers};
    my @complaints = $self->complaints;
    Test::More::is(join("\n", @complaints), '', 'nothing alarming in the logs');
    $self->show_logs unless Test::More->builder->is_passing;
    $self->reaper->finish;
}

sub done ($self) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $self->finish;
    Test::More::done_testing();
}

# Assertions that many tests share: status and reason code of a refusal, in
# the form that suits who asked, with the request's id.
sub refused ($self, $tx, $status, $reason, $name) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $res  = $tx->res;
    my $got  = $res->headers->header('X-AML-Reason') // 'none';
    my $form = ($res->headers->content_type // '') =~ m{^application/json}
        ? $res->json('/error/code') // 'no code'
        : $res->body =~ /\Q$reason\E/ || $res->headers->location ? $reason
        :                                                          'no words';
    my $id = $res->headers->header('X-AML-Request-Id') // 'none';
    $form .= ' without its id'
        unless $res->headers->location
        || ($id =~ /^[0-9a-f]{32}$/ && $res->body =~ /\b$id\b/);
    return Test::More::is(
        join(' ', $res->code, $got,    $form),
        join(' ', $status,    $reason, $reason), $name
    );
}

1;
