# The TLS policy: nginx does not start with less, and says where it is said;
# clients that want less are turned away.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use IO::Socket::SSL;
use Mojo::File qw(path);
use Test::More;
use AML::Port;
use AML::Test;

my $gw = AML::Test->start;

# `nginx -t` of the template, changed: {status, err}.
sub check ($change) {
    my $text = $change->($gw->render('nginx.conf.in'));
    my $file = $gw->dir . '/checked.conf';
    path($file)->spurt($text);
    my $r = $gw->run('', $AML::Test::NGINX, '-t', '-p', $gw->dir, '-c', $file,
        '-e', $gw->dir . '/nginx/checked.err');
    $r->{text} = $text;
    unlink $gw->dir . '/nginx/checked.err';
    return $r;
}

# Number of the first line of the changed file that has this.
sub line_of ($r, $pattern) {
    my @lines = split /\n/, $r->{text};
    for my $i (0 .. $#lines) { return $i + 1 if $lines[$i] =~ $pattern }
    return 'none';
}

sub fails ($name, $change, $what, $where) {
    my $r = check($change);
    isnt $r->{status}, 0, "$name: nginx -t fails";
    is $r->{signal}, 0, "$name: and does not crash";
    like $r->{err}, $what, "$name: says what";
    my $line = line_of($r, $where);
    like $r->{err}, qr/checked\.conf:$line\b/, "$name: names line $line"
        or diag $r->{err};
}

is check(sub ($t) {$t})->{status}, 0, 'the template as it ships passes';

# Into the server of the studio, or that of the instances.
sub into ($server, $text) {
    return sub ($t) {
        $t =~ s/(server_name \Q$server\E;\n)/$1        $text\n/ or die;
        $t;
    };
}
my $studio = $gw->studio_host;
my $apps   = '*.' . $gw->apps;

for my $server ($studio, $apps) {
    subtest "in the server $server" => sub {
        for my $protocols ('TLSv1 TLSv1.2', 'TLSv1.1 TLSv1.2 TLSv1.3', 'TLSv1')
        {
            fails $protocols, into($server, "ssl_protocols $protocols;"),
                qr/ssl_protocols/, qr/ssl_protocols \Q$protocols\E;/;
        }
        for my $ciphers (
            'ALL', 'AES128-SHA', 'ECDHE-RSA-AES128-SHA256',
            'ECDHE-RSA-AES128-GCM-SHA256:AES256-GCM-SHA384', 'NULL-SHA256',
            'DHE-RSA-AES256-SHA:ECDHE-RSA-AES128-GCM-SHA256',
            '"ALL:@SECLEVEL=0"',
        ) {
            fails $ciphers, into($server, "ssl_ciphers $ciphers;"),
                qr/ssl_ciphers/i, qr/ssl_ciphers \Q$ciphers\E;/;
        }
    };
}

subtest 'in the http block' => sub {
    my $r = check(
        sub ($t) {
            $t =~ s{include \S+/aml-tls\.conf;}{ssl_protocols TLSv1.1 TLSv1.2;}
                or die;
            $t;
        }
    );
    isnt $r->{status}, 0, 'fails';
    like $r->{err}, qr/ssl_protocols/, 'says what';
    like $r->{err}, qr/checked\.conf:\d+/, 'names a line';
    $r = check(sub ($t) { $t =~ s{include \S+/aml-tls\.conf;}{}r });
    isnt $r->{status}, 0, 'nginx\'s own defaults are too little in 1.22';
};

subtest 'only the default server of an address' => sub {
    fails 'weak', into('_', 'ssl_protocols TLSv1 TLSv1.2;'),
        qr/ssl_protocols/, qr/ssl_protocols TLSv1 /;
};

subtest 'without TLS' => sub {
    my $port = AML::Port->take;
    fails 'listen without ssl', into($apps, "listen 127.0.0.1:$port;"),
        qr/listen/, qr/listen 127\.0\.0\.1:$port;/;
    my $r = check(
        sub ($t) {
            $t =~ s/(upstream amld)/server { listen 127.0.0.1:$port;
                return 301 https:\/\/\$host\$request_uri; }\n    $1/r;
        }
    );
    is $r->{status}, 0, 'a redirect may' or diag $r->{err};
    fails 'a server with both',
        sub ($t) {
            $t =~ s/(upstream amld)/server { listen 127.0.0.1:$port;
                server_name x;
                location \/ { aml_require signed-in; return 204; } }\n    $1/r;
        },
        qr/listen/, qr/listen 127\.0\.0\.1:$port;/;
};

subtest 'directives that are wrong' => sub {
    my @wrong = (
        ['a registry twice', sub ($t) {
            $t =~ s/(aml_registry \S+;)/$1 $1/r }, qr/duplicate/],
        ['no registry', sub ($t) { $t =~ s/aml_registry \S+;//r },
            qr/aml_registry/],
        ['no apps domain', sub ($t) { $t =~ s/aml_apps_domain \S+;//r },
            qr/aml_apps_domain/],
        ['a domain with a port', sub ($t) {
            $t =~ s/aml_apps_domain (\S+);/aml_apps_domain $1:1;/r },
            qr/domain/],
        ['a studio without https', sub ($t) {
            $t =~ s/aml_studio https/aml_studio http/r }, qr/origin/],
        ['a studio with a path', sub ($t) {
            $t =~ s/(aml_studio [^;]+);/$1\/x;/r }, qr/origin/],
        ['an unknown requirement', sub ($t) {
            $t =~ s/aml_require creator/aml_require owner/r }, qr/owner/],
        ['an unknown reason', sub ($t) {
            $t =~ s/aml_refuse host_unknown/aml_refuse because/r },
            qr/because/],
        ['a cache of nothing', sub ($t) {
            $t =~ s/(aml_registry \S+;)/$1 aml_token_cache 0;/r },
            qr/aml_token_cache|value/],
    );
    for my $case (@wrong) {
        my ($name, $change, $what) = @$case;
        my $r = check($change);
        isnt $r->{status}, 0, "$name: nginx -t fails";
        like $r->{err}, $what, "$name: says what";
        like $r->{err}, qr/checked\.conf:\d+/, "$name: names the line";
    }
};

subtest 'clients' => sub {
    my $connect = sub (%o) {
        IO::Socket::SSL->new(
            PeerHost     => '127.0.0.1',
            PeerPort     => $gw->port,
            SSL_ca_file  => $gw->ca,
            SSL_hostname => $gw->studio_host,
            SSL_verifycn_name => $gw->studio_host,
            %o
        );
    };
    my $loose = 'ALL:@SECLEVEL=0';
    for my $version (qw(TLSv1 TLSv1_1)) {
        ok !$connect->(SSL_version => $version, SSL_cipher_list => $loose),
            "$version is refused";
    }
    for my $version (qw(TLSv1_2 TLSv1_3)) {
        my $s = $connect->(SSL_version => $version);
        ok $s, "$version is taken" or diag $SSL_ERROR;
    }
    for my $cipher (qw(AES128-SHA AES256-GCM-SHA384 ECDHE-ECDSA-AES128-SHA
        ECDHE-ECDSA-AES128-SHA256 AECDH-AES128-SHA))
    {
        ok !$connect->(
            SSL_version     => 'TLSv1_2',
            SSL_cipher_list => "$cipher:\@SECLEVEL=0"
        ), "$cipher is refused";
    }
    my $s = $connect->(SSL_version => 'TLSv1_2');
    like $s->get_cipher, qr/^ECDHE-.*(?:GCM|POLY1305)/, 'what is chosen';
    ok !$connect->(SSL_hostname => 'x', SSL_verifycn_name => 'other.test'),
        'the certificate is for these names only';
};

subtest 'plain HTTP on the TLS port' => sub {
    my $s = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $gw->port);
    print $s "GET /x HTTP/1.1\r\nHost: @{[$gw->studio_host]}:@{[$gw->port]}"
        . "\r\nConnection: close\r\n\r\n";
    my $answer = do { local $/; <$s> };
    like $answer, qr{^HTTP/1\.1 (?:301|400) }, 'is answered without content';
    like $answer, qr{Location: https://@{[$gw->studio_host]}:@{[$gw->port]}/x}i,
        'and led to https' if $answer =~ / 301 /;
};

$gw->done;
