# What a host name names: the studio, an instance and a port, or nothing.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use AML::Test;
use AML::Raw qw(raw_http raw_h2);

my $gw = AML::Test->start(instances => {'first-lab' => 'creator'});
my $bearer = $gw->bearer('creator')->{Authorization};
my $apps   = $gw->apps;
my $port   = $gw->port;

# One GET with this Host; its status and reason, or the stand-in's answer.
sub ask ($host, @more) {
    my $r = raw_http($gw,
        join "\n", 'GET /x HTTP/1.1', (defined $host ? "Host: $host" : ()),
        "Authorization: $bearer", 'Connection: close', @more, '', '');
    return $r->{json} && $r->{json}{pid} ? 'served'
        : join ' ', $r->{code} // 'none', $r->{headers}{'x-aml-reason'}[0] // '';
}

subtest 'one instance, many spellings' => sub {
    for my $host (
        "first-lab.$apps",       "FIRST-LAB.$apps",
        "First-Lab.\U$apps",     "first-lab.$apps.",
        "first-lab.$apps:$port", "First-Lab.$apps.:$port"
    ) {
        is ask($host), 'served', $host;
    }
};

subtest 'names that name nothing' => sub {
    my @unknown = (
        "first-lab-8888.$apps",     # the default port has one spelling
        "first-lab-0.$apps", "first-lab-65536.$apps",
        "first-lab-99999999999999999999.$apps", "first-lab-08787.$apps",
        "first-lab-.$apps", "-first-lab.$apps", "1lab.$apps", "ab.$apps",
        "a.first-lab.$apps", "first_lab.$apps", ('a' x 25) . ".$apps",
        "first-lab..$apps", "first-lab.$apps..", "lab-1-2.$apps",
    );
    for my $host (@unknown) {
        like ask($host), qr/^(?:404 host_unknown|400 request_malformed)$/,
            $host;
    }
    is ask($apps),         '404 host_unknown', 'the apps domain itself';
    is ask('example.org'), '404 host_unknown', 'another domain';
    is ask('127.0.0.1'),   '404 host_unknown', 'an address';
    is ask('[::1]'),       '404 host_unknown', 'an address of IPv6';
    is ask("$apps.example.org"), '404 host_unknown', 'a domain behind';
    is ask("first-lab$apps"),    '404 host_unknown', 'no dot between';
};

subtest 'well-formed, but nothing there' => sub {
    is ask("other-lab.$apps"), '404 instance_not_found', 'no such instance';
    is ask("first-lab-8787.$apps"), '404 port_not_open',
        'no application on that port';
    is ask("first-lab-65535.$apps"), '404 port_not_open', 'the last port';
    is ask("first-lab-1.$apps"),     '404 port_not_open', 'the first port';
};

subtest 'requests that are not well-formed' => sub {
    is ask("first-lab.$apps", "Host: first-lab.$apps"),
        '400 request_malformed', 'the same Host twice';
    is ask("first-lab.$apps", "Host: aml.localhost"),
        '400 request_malformed', 'two different hosts';
    is ask(undef), '400 request_malformed', 'no Host in HTTP/1.1';
    is ask(''),    '400 request_malformed', 'an empty Host';
    for my $host (
        "first-lab.$apps/x", "first-lab.$apps\@evil", "first lab.$apps",
        "first-lab.$apps\0", "first\x{ff}lab.$apps",
        "first-lab.$apps:99999999", "first-lab.$apps:port"
    ) {
        like ask($host), qr/^(?:400 request_malformed|404 host_unknown)$/,
            'Host: ' . $host =~ s/[^ -~]/?/gr;
    }
    is ask("first-lab.$apps:1"), 'served',
        'another port in Host is the same instance: ports may be mapped';
};

subtest 'HTTP/1.0 without a host is told so' => sub {
    my $r = raw_http($gw, "GET / HTTP/1.0\n\n");
    is $r->{code}, 404;
    is $r->{headers}{'x-aml-reason'}[0], 'host_unknown';
};

subtest 'the absolute form of the address wins over Host' => sub {
    my $r = raw_http($gw, join "\n",
        "GET https://first-lab.$apps/x HTTP/1.1", "Host: other-lab.$apps",
        "Authorization: $bearer", 'Connection: close', '', '');
    isnt $r->{code}, 500;
    my $host = $r->{json}{headers}
        ? (map { $_->[1] } grep { lc $_->[0] eq 'host' }
            @{$r->{json}{headers}})[0]
        : '';
    isnt $host, "other-lab.$apps",
        'the application is not told another host than was decided on';
};

subtest 'HTTP/2' => sub {
    my @get = ([':method', 'GET'], [':scheme', 'https'], [':path', '/x']);
    my @auth = (['authorization', $bearer]);
    my $ask  = sub (@fields) {
        my $r = raw_h2($gw, [@fields]);
        return 'served' if $r->{json} && $r->{json}{pid};
        return join ' ', $r->{code} // 'error',
            $r->{json}{error}{code} // $r->{error} // '';
    };
    is $ask->(@get, [':authority', "first-lab.$apps"], @auth), 'served',
        ':authority';
    is $ask->(@get, @auth, ['host', "first-lab.$apps"]), 'served',
        'host alone';
    like $ask->(
        @get, [':authority', "first-lab.$apps"],
        @auth, ['host', "other-lab.$apps"]
        ),
        qr/^(?:400 request_malformed|error \d+)$/,
        ':authority and another host';
    like $ask->(
        @get, [':authority', "first-lab.$apps"],
        [':authority', "other-lab.$apps"], @auth
        ),
        qr/^(?:400 request_malformed|error \d+)$/, ':authority twice';
    like $ask->(@get, @auth), qr/^(?:400 request_malformed|error \d+)$/,
        'neither';
    like $ask->(@get, [':authority', ''], @auth),
        qr/^(?:400 request_malformed|error \d+)$/, 'an empty :authority';
    is $ask->(@get, [':authority', "other-lab.$apps"], @auth),
        '404 instance_not_found', 'a refusal over HTTP/2';
};

subtest 'a person gets a page, a program gets JSON' => sub {
    my $page = $gw->browser->navigate($gw->app_url('a-1'));
    is $page->res->code, 404;
    like $page->res->headers->content_type, qr{^text/html};
    like $page->res->dom->at('h1, title')->text, qr/No such address/;
    my $json = $gw->program->get($gw->app_url('a-1'));
    $gw->refused($json, 404, 'host_unknown', 'JSON');
    like $json->res->json('/error/requestId') // '', qr/^[0-9a-f]{32}$/,
        'with the request id';
};

$gw->done;
