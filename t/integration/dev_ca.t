# The development CA: what it makes, what it keeps, what it makes anew.

use Mojo::Base -strict, -signatures;
use FindBin;
use File::Temp qw(tempdir);
use Mojo::File qw(path);
use Test::More;

my $script = "$FindBin::Bin/../../tls/dev-ca.sh";
my @names  = ('aml.localhost', '*.instances.aml.localhost');

# Output and status of a command, without a shell.
sub run (@command) {
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        open(STDERR, '>&', \*STDOUT);
        exec { $command[0] } @command or exit 127;
    }
    local $/;
    my $text = <$out> // '';
    close $out;
    return ($text, $? >> 8);
}

sub make ($dir, @for) {
    my ($out, $status) = run($script, $dir, @for);
    is $status, 0, "made for @for" or diag $out;
    return $out;
}

sub text_of ($file) {
    return (run(qw(openssl x509 -noout -text -in), $file))[0];
}

sub bytes ($dir) {
    return join '', map { path("$dir/$_")->slurp } 'server.pem',
        'server-key.pem';
}

# A server certificate of this CA for the usual names, good for so many days.
sub leaf_for_days ($dir, $days) {
    path("$dir/x.cnf")->spurt("subjectAltName = "
            . join(',', map {"DNS:$_"} @names)
            . "\nextendedKeyUsage = serverAuth\n");
    for my $command (
        [qw(req -new -subj /CN=x), -key => "$dir/server-key.pem",
            -out => "$dir/x.csr"],
        [qw(x509 -req -set_serial 7), -days => $days, -in => "$dir/x.csr",
            -CA => "$dir/ca.pem", -CAkey => "$dir/ca-key.pem",
            -extfile => "$dir/x.cnf", -out => "$dir/server.pem"],
        )
    {
        my ($out, $status) = run('openssl', @$command);
        $status == 0 or die $out;
    }
    unlink "$dir/x.cnf", "$dir/x.csr";
}

my $dir = tempdir(CLEANUP => 1) . '/with a space';
mkdir $dir;

subtest 'the first time' => sub {
    like make($dir, @names), qr/authority.*certificate for/s, 'says so';
    for my $file (qw(ca-key.pem server-key.pem)) {
        is sprintf('%o', (stat "$dir/$file")[2] & 0777), '600', $file;
    }
    is_deeply [sort map { $_->basename }
            path($dir)->list({hidden => 1, dir => 1})->each],
        [qw(.dev-ca.lock ca-key.pem ca.pem server-key.pem server.pem)],
        'nothing else is left';

    my $ca = text_of("$dir/ca.pem");
    like $ca, qr/CA:TRUE, pathlen:0/, 'an authority for leaves only';
    like $ca, qr/Certificate Sign/,   'that signs certificates';

    my $leaf = text_of("$dir/server.pem");
    like $leaf,   qr/DNS:\*\.instances\.aml\.localhost, DNS:aml\.localhost$/m;
    like $leaf,   qr/CA:FALSE/;
    like $leaf,   qr/NIST CURVE: P-256/;
    like $leaf,   qr/TLS Web Server Authentication/;
    unlike $leaf, qr/Certificate Sign/;

    my ($out, $status) = run('openssl', 'x509', '-in', "$dir/server.pem",
        '-noout', '-checkend', 397 * 86400);
    isnt $status, 0, 'it ends within 397 days';

    for my $host ('aml.localhost', 'lab-22.instances.aml.localhost') {
        ($out, $status) = run('openssl', 'verify', '-x509_strict', '-purpose',
            'sslserver', '-CAfile', "$dir/ca.pem", '-verify_hostname', $host,
            "$dir/server.pem");
        is $status, 0, "good for $host" or diag $out;
    }
    ($out, $status) = run('openssl', 'verify', '-CAfile', "$dir/ca.pem",
        '-verify_hostname', 'a.b.instances.aml.localhost', "$dir/server.pem");
    isnt $status, 0, 'and not for what is below';
};

my $ca = path("$dir/ca.pem")->slurp;

sub keeps ($what, @for) {
    my $before = bytes($dir);
    is make($dir, @for), '', "$what: says nothing";
    ok bytes($dir) eq $before, "$what: keeps the certificate";
}

sub renews ($what, @for) {
    my $before = bytes($dir);
    like make($dir, @for), qr/^dev-ca: made a certificate for/,
        "$what: a new certificate";
    ok bytes($dir) ne $before, "$what: it is another";
    ok path("$dir/ca.pem")->slurp eq $ca, "$what: of the same authority";
    is make($dir, @for), '', "$what: once";
}

keeps('again', @names);
keeps('other order, one twice', reverse(@names), $names[0]);
renews('one name less', $names[0]);
renews('one name more', @names);
leaf_for_days($dir, 29);
renews('29 days left', @names);
leaf_for_days($dir, 31);
keeps('31 days left', @names);
unlink "$dir/server.pem";
like make($dir, @names), qr/certificate/, 'the certificate is gone';
path("$dir/server-key.pem")->spurt('');
renews('the key is empty', @names);
path("$dir/server.pem")->spurt("half a cert");
renews('the certificate is cut', @names);

subtest 'another authority' => sub {
    unlink "$dir/ca-key.pem";
    like make($dir, @names), qr/authority.*certificate/s, 'makes both anew';
    ok path("$dir/ca.pem")->slurp ne $ca, 'it is another';
    is make($dir, @names), '', 'and keeps it';
};

subtest 'many at once' => sub {
    my $new = tempdir(CLEANUP => 1);
    my @pid;
    for (1 .. 4) {
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            open(STDOUT, '>', '/dev/null');
            exec $script, $new, @names or exit 127;
        }
        push @pid, $pid;
    }
    for my $pid (@pid) { waitpid $pid, 0; is $?, 0, 'one of four' }
    is make($new, @names), '', 'they agree';
};

subtest 'what is no name' => sub {
    my $before = bytes($dir);
    for my $bad ('', ' ', 'a b', "a\nb", '*', '*.*.x', 'a.*.x', 'x..y', '.x',
        'x.', '-a', 'a-', '127.0.0.1', '::1', 'a$(id)', '[x]', 'a,DNS:b',
        'a=b', 'x' x 64, join('.', ('abcdefgh') x 30), "\xc3\xa4.x")
    {
        my ($out, $status) = run($script, $dir, 'aml.localhost', $bad);
        is $status, 1, "refused: $bad";
        like $out, qr/^dev-ca: /, 'with a word';
    }
    for my $args ([], [$dir]) {
        my ($out, $status) = run($script, @$args);
        is $status, 2, 'too few arguments';
        like $out, qr/^usage: /, 'says the usage';
    }
    ok bytes($dir) eq $before, 'nothing was touched';
};

done_testing;
