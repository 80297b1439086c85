package AML::Bench::Peers;

# The peers: each starts as it would be used for the same job, with one
# process or thread where it can be told to, logs off, the same certificate,
# and the same socket behind it.  Each returns {port, pids} and its version.

use strict;
use warnings;

use AML::Bench::Process qw(children free_port pinned start version_of
    wait_for);
use Exporter 'import';

our @EXPORT_OK = qw(apache chp haproxy write_file);

sub write_file {
    my ($file, $text) = @_;
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} $text;
    close $out or die "$file: $!\n";
    return $file;
}

# What HAProxy's own documentation shows for bearer tokens: algorithm,
# issuer, audience and expiry, and the signature last.
sub haproxy {
    my ($b) = @_;

    my $version = version_of('haproxy -v') or return;
    my ($port, $plain) = (free_port(), free_port());
    my $user  = $> == 0 ? 'user root' : '';
    my $bind  = "ssl crt $b->{dir}/cert-and-key.pem";
    my $conf = write_file("$b->{dir}/haproxy.cfg", <<"CONF");
global
    nbthread 1
    maxconn 1000
    $user
    ssl-default-bind-options ssl-min-ver TLSv1.3

defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option http-keep-alive
    http-reuse always

frontend jwt
    bind 127.0.0.1:$port $bind
    http-request set-var(txn.alg) http_auth_bearer,jwt_header_query('\$.alg')
    http-request set-var(txn.iss) http_auth_bearer,jwt_payload_query('\$.iss')
    http-request set-var(txn.aud) http_auth_bearer,jwt_payload_query('\$.aud')
    http-request set-var(txn.exp) http_auth_bearer,jwt_payload_query('\$.exp','int')
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 unless { var(txn.alg) -m str RS256 }
    http-request deny deny_status 401 unless { var(txn.iss) -m str $b->{issuer} }
    http-request deny deny_status 401 unless { var(txn.aud) -m str $b->{audience} }
    http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int lt 0 }
    http-request deny deny_status 401 unless { http_auth_bearer,jwt_verify(txn.alg,"$b->{dir}/public.pem") 1 }
    default_backend upstream

frontend plain
    bind 127.0.0.1:$plain $bind
    default_backend upstream

backend upstream
    server s unix\@$b->{upstream}
CONF
    my $pid = start("$b->{dir}/haproxy.log",
        pinned(0, 'haproxy', '-db', '-f', $conf));
    wait_for($pid, $_) for $port, $plain;
    return {version => $version, port => $port, plain => $plain,
        pid => $pid, pids => [$pid]};
}

# mod_auth_openidc as a resource server: keys from a JWKS document, which it
# fetches once and keeps.
sub apache {
    my ($b) = @_;

    my $modules = '/usr/lib/apache2/modules';
    return if !-e "$modules/mod_auth_openidc.so";
    my $version = version_of('/usr/sbin/apache2 -v') or return;
    my $oidc = `dpkg-query -W -f '\${Version}' libapache2-mod-auth-openidc`;
    my $port = free_port();
    my $user = $> == 0 ? "User www-data\nGroup www-data" : '';
    my @load = qw(mpm_event authn_core authz_core authz_user proxy proxy_http
        socache_shmcb ssl auth_openidc);
    my $load = join '',
        map {"LoadModule ${_}_module $modules/mod_$_.so\n"} @load;
    my $conf = write_file("$b->{dir}/apache.conf", <<"CONF");
ServerRoot $b->{dir}
ServerName bench.localhost
PidFile $b->{dir}/apache.pid
DefaultRuntimeDir $b->{dir}
Mutex file:$b->{dir} default
ErrorLog $b->{dir}/apache-error.log
LogLevel warn
$load
$user
Listen 127.0.0.1:$port
ServerLimit 1
StartServers 1
ThreadsPerChild 64
ThreadLimit 64
MaxRequestWorkers 64
MinSpareThreads 1
MaxSpareThreads 64
MaxConnectionsPerChild 0
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
SSLEngine on
SSLProtocol -all +TLSv1.3
SSLCertificateFile $b->{cert}
SSLCertificateKeyFile $b->{dir}/key.pem
SSLSessionCache none
OIDCOAuthVerifyJwksUri https://$b->{studio}:$b->{jwks_port}/jwks
OIDCCABundlePath $b->{cert}
OIDCOAuthRemoteUserClaim sub
OIDCCryptoPassphrase bench
ProxyPreserveHost On
<Location "/">
    AuthType oauth20
    Require claim aud:$b->{audience}
    ProxyPass "unix:$b->{upstream}|http://upstream/" enablereuse=on keepalive=on
</Location>
CONF
    my $pid = start("$b->{dir}/apache.log",
        pinned(0, '/usr/sbin/apache2', '-DFOREGROUND', '-f', $conf));
    wait_for($pid, $port);
    return {
        version => "$version, mod_auth_openidc $oidc",
        port    => $port,
        pid     => $pid,
        pids    => [children($pid)]
    };
}

# JupyterHub's proxy.  It checks no credential: the applications behind it do.
# With a unix socket behind it, it closes the client's connection after each
# request, so it has the same upstream over loopback TCP.
sub chp {
    my ($b) = @_;

    my $program = "$b->{npm}/node_modules/.bin/configurable-http-proxy";
    return if !-e $program;
    my $version = version_of("$program --version") or return;
    my ($port, $api) = (free_port(), free_port());
    local $ENV{NODE_ENV} = 'production';
    my $pid = start("$b->{dir}/chp.log",
        pinned(0, 'node', $program, '--ip', '127.0.0.1', '--port', $port,
            '--api-ip', '127.0.0.1', '--api-port', $api,
            '--ssl-key', "$b->{dir}/key.pem", '--ssl-cert', $b->{cert},
            '--log-level', 'error',
            '--default-target', "http://127.0.0.1:$b->{upstream_port}"));
    wait_for($pid, $port);
    my $node = version_of('node --version');
    return {version => "$version, Node $node", port => $port, pid => $pid,
        pids => [$pid]};
}

1;
