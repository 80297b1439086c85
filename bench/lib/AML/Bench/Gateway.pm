package AML::Bench::Gateway;

# What is measured: certificate, key, tokens, registries and the gateway
# itself, which is packaging/nginx.conf.in with a few lines
# changed.

use strict;
use warnings;

use AML::Bench::Peers qw(write_file);
use AML::Bench::Process qw(children free_port pinned read_command start
    temporary wait_for);
use AML::Bench::Report ();
use Cwd ();
use Exporter 'import';
use File::Path qw(make_path);

our @EXPORT_OK = qw(bench build gateway hosts mint prepare registry
    request_file service);

# What a benchmark knows of itself; the program's options are part of it.
sub bench {
    my ($root, $option) = @_;

    $root = Cwd::realpath($root);
    chdir $root or die "$root: $!\n";

    # Short paths: a socket's path has room for about a hundred bytes.
    my $b = {
        %{$option},
        root     => $root,
        out      => "$root/build/release/bench",
        module   => "$root/build/release/nginx/ngx_http_aml_module.so",
        npm      => "$root/bench",
        dir      => temporary($option->{keep}),
        studio   => 'bench.localhost',
        apps     => 'instances.bench.localhost',
        issuer   => 'https://bench.localhost',
        audience => 'https://bench.localhost',
    };
    AML::Bench::Report::begin($b, $option->{only});
    return $b;
}

sub build {
    my ($b, @programs) = @_;
    system('make', '-s', 'module', map {"build/release/bench/$_"} @programs)
        == 0
        or die "the build failed\n";
    make_path('build/bench');
    return;
}

sub prepare {
    my ($b) = @_;

    my @names = map {"DNS:$_"} $b->{studio}, "*.$b->{studio}", "*.$b->{apps}";
    $b->{cert} = "$b->{dir}/cert.pem";
    quiet('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
        'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj',
        "/CN=$b->{studio}", '-addext', 'subjectAltName=' . join(',', @names),
        '-keyout', "$b->{dir}/key.pem", '-out', $b->{cert});
    write_file("$b->{dir}/cert-and-key.pem",
        slurp($b->{cert}) . slurp("$b->{dir}/key.pem"));
    chmod 0600, "$b->{dir}/cert-and-key.pem";

    $b->{signing_key} = "$b->{dir}/signing-key.pem";
    quiet('openssl', 'genrsa', '-out', $b->{signing_key}, '2048');
    quiet('openssl', 'rsa', '-in', $b->{signing_key}, '-pubout', '-out',
        "$b->{dir}/public.pem");
    return;
}

sub quiet {
    my (@command) = @_;
    my $log = "/dev/null";
    my $pid = start($log, @command);
    waitpid $pid, 0;
    die "$command[0] $command[1] failed\n" if $?;
    return;
}

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    local $/;
    return <$in>;
}

# A JWKS document of the public key, for peers that want one.
sub jwks {
    my ($b) = @_;
    my $n = read_command('openssl', 'rsa', '-pubin', '-in',
        "$b->{dir}/public.pem", '-noout', '-modulus');
    my ($hex) = $n =~ /Modulus=([0-9A-F]+)/ or die "no modulus\n";
    require MIME::Base64;
    my $modulus = MIME::Base64::encode_base64url(pack 'H*', $hex);
    return qq({"keys":[{"kty":"RSA","use":"sig","alg":"RS256",)
        . qq("kid":"$b->{kid}","n":"$modulus","e":"AQAB"}]});
}

# The tokens, one a list's element.
sub mint {
    my ($b, $count) = @_;
    my @tokens = split /\n/,
        read_command("$b->{out}/mint_tokens", '--key', $b->{signing_key},
            '--issuer', $b->{issuer}, '--audience', $b->{audience},
            '--subject', 'me', '--count', $count);
    if (!$b->{kid}) {
        require MIME::Base64;
        my ($header) = split /[.]/, $tokens[0];
        ($b->{kid})
            = MIME::Base64::decode_base64url($header) =~ /"kid":"([^"]+)"/;
    }
    return @tokens;
}

# Makes a registry; returns [host, cookie] for each session of the person.
sub registry {
    my ($b, $dir, $instances, $own, $sessions, @more) = @_;
    make_path($dir);
    my $lines = read_command("$b->{out}/fill_registry", '--registry', $dir,
        '--key', $b->{signing_key}, '--issuer', $b->{issuer}, '--audience',
        $b->{audience}, '--subject', 'me', '--apps', $b->{apps}, '--address',
        "unix:$b->{upstream}", '--instances', $instances, '--own', $own,
        '--sessions', $sessions, @more);
    return map { [split / /] } split /\n/, $lines;
}

# Prepared requests for the load client; a request is [host, header…].
sub request_file {
    my ($b, $name, @requests) = @_;
    my $file = "$b->{dir}/$name.requests";
    open my $out, '>', $file or die "$file: $!\n";
    for my $request (@requests) {
        my ($host, @headers) = @{$request};
        print {$out} join "\r\n", 'GET /api/status HTTP/1.1', "Host: $host",
            @headers, '', '';
    }
    close $out or die "$file: $!\n";
    return $file;
}

# Another nginx on the other core.  Upstream while the first use of a route
# is measured (else the load client is), and it has the keys that peers fetch.
sub service {
    my ($b) = @_;

    $b->{upstream}      = "$b->{dir}/upstream.sock";
    $b->{upstream_port} = free_port();
    $b->{service}       = "$b->{dir}/service.sock";
    $b->{jwks_port}     = free_port();
    my $user = $> == 0 ? 'user root;' : '';
    my $jwks = jwks($b);
    my $temp = join '',
        map {"    ${_}_temp_path $b->{dir}/service-$_;\n"}
        qw(client_body proxy fastcgi uwsgi scgi);
    my $conf = write_file("$b->{dir}/service.conf", <<"CONF");
$user
daemon off;
worker_processes 1;
pid $b->{dir}/service.pid;
error_log $b->{dir}/service.log warn;
events { worker_connections 4096; }
http {
    access_log off;
$temp
    default_type application/json;
    large_client_header_buffers 8 16k;
    server {
        listen unix:$b->{service};
        listen 127.0.0.1:$b->{jwks_port} ssl;
        ssl_certificate $b->{cert};
        ssl_certificate_key $b->{dir}/key.pem;
        location / { return 200 '{}'; }
        location = /jwks { return 200 '$jwks'; }
    }
}
CONF
    my $pid = start("$b->{dir}/service.out",
        pinned(1, 'nginx', '-e', "$b->{dir}/service.log", '-c', $conf));
    wait_for($pid, $b->{service});

    # the peers' users have to reach the sockets
    chmod 0755, $b->{dir};
    return;
}

# Hosts of the servers beside the gateway in the same nginx, as long as an
# instance's host, so that requests differ in the name only.
sub hosts {
    my ($b) = @_;
    my $length = length("i00000000.$b->{apps}") - length(".$b->{studio}");
    for my $name (qw(plain usual same subrequest service once)) {
        $b->{host}{$name}
            = $name . 'x' x ($length - length $name) . ".$b->{studio}";
    }
    return;
}

# What other people's nginx would say for the same upstream.
sub servers {
    my ($b, $port) = @_;

    my $proxy = <<'CONF';
            proxy_pass http://plain;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_request_buffering off;
CONF
    my $usual = <<'CONF';
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
CONF
    my $same = "            proxy_pass http://plain;\n"
        . "            include $b->{root}/packaging/aml-proxy.conf;\n$usual";
    my $allow = "        location = /allow { internal; return 204; }\n";
    my $service = <<'CONF';
        location = /allow {
            internal;
            proxy_pass http://plain;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }
CONF
    my $once = <<'CONF';
        location = /allow {
            internal;
            proxy_pass http://plain;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }
CONF
    my %location = (
        plain      => [$proxy],
        usual      => [$proxy . $usual],
        same       => [$same],
        subrequest => ["            auth_request /allow;\n$proxy", $allow],
        once       => ["            auth_request /allow;\n$proxy", $once],
        service    => ["            auth_request /allow;\n$proxy", $service],
    );
    my $conf = "    upstream plain {\n        server unix:$b->{upstream};\n"
        . "        keepalive 64;\n    }\n";
    for my $name (sort keys %location) {
        my ($in, $more) = @{$location{$name}};
        $conf .= <<"CONF";
    server {
        listen 127.0.0.1:$port ssl http2;
        server_name $b->{host}{$name};
        location / {
$in        }
@{[$more // '']}    }
CONF
    }
    return $conf;
}

# The gateway with a registry of its own.  Returns {port, pids}.
sub gateway {
    my ($b, $name, $registry) = @_;

    my $port = free_port();
    my $run  = "$b->{dir}/$name";
    make_path("$run/nginx");
    my $text = read_command(
        'bash', "$b->{root}/packaging/render.sh",
        "$b->{root}/packaging/nginx.conf.in",
        'USER=' . ($> == 0 ? 'user root;' : ''),
        "ROOT=$b->{root}",       "MODULE=$b->{module}",
        "RUN=$run",              "LISTEN=127.0.0.1:$port",
        "STUDIO=$b->{studio}",   "APPS=$b->{apps}",
        "ORIGIN=$b->{issuer}",   "CERT=$b->{cert}",
        "KEY=$b->{dir}/key.pem", "REGISTRY=$registry",
        "AMLD=$run/amld.sock"
    );

    # one worker, room for thousands of websockets, no log on either side,
    # connections that last
    my %change = (
        qr/^worker_processes 2;$/m => "worker_processes 1;\ndaemon off;",
        qr/^    worker_connections \d+;$/m => '    worker_connections 12000;',
        qr/^    access_log \S+ aml;$/m  =>
            "    access_log off;\n    keepalive_requests 1000000000;",
        qr/^}\s*\z/m => servers($b, $port) . "}\n",
    );
    for my $from (sort keys %change) {
        $text =~ s/$from/$change{$from}/
            or die "packaging/nginx.conf.in has no $from\n";
    }
    my $conf = write_file("$run/nginx.conf", $text);
    my $pid  = start("$run/nginx.out",
        pinned(0, 'nginx', '-e', "$run/nginx/error.log", '-c', $conf));
    wait_for($pid, $port);
    return {
        port   => $port,
        pids   => [children($pid)],
        log    => "$run/nginx/error.log",
        master => $pid
    };
}

1;
