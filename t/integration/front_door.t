# The front door, with a real JupyterLab: its creator gets in, by browser and
# by program; a colleague of the same role does not; a reader reads.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::JSON qw(decode_json encode_json);
use Test::More;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw = AML::Test->start(
    application => 'jupyter',
    instances   => {'first-lab' => 'creator'}
);
my $lab = $gw->app_url('first-lab', '/lab');
my $api = $gw->app_url('first-lab', '/api');
my $me  = $gw->browser;

subtest 'the creator, by browser' => sub {
    my $tx = $me->navigate($lab);
    is $tx->req->url->host, $gw->studio_host, 'is asked to sign in';
    $tx = $gw->fill_sign_in($me, $tx, 'creator');
    is $tx->res->code, 200, 'and is in JupyterLab';
    is $tx->req->url->to_string, $lab, 'at the address that was opened';
    like $tx->res->body, qr/jupyter-config-data/, 'it is JupyterLab';
    $tx = $me->navigate($gw->app_url('first-lab', '/tree'));
    like $tx->res->body, qr/jupyter-config-data/, 'Notebook 7 is there';
    my $status = $me->fetch(GET => "$api/status");
    is $status->res->code, 200, '/api/status';
    ok defined $status->res->json('/kernels'), 'says how many kernels';
};

# Jupyter's own protection against forged requests stays on.
my $xsrf = $me->cookie('_xsrf', $gw->app_host('first-lab'));
ok $xsrf, 'Jupyter\'s _xsrf cookie arrives';

sub jupyter ($method, $path, %o) {
    $o{headers}{'X-XSRFToken'} //= $xsrf;
    return $me->fetch($method => "$api/$path", %o)->res;
}

subtest 'the creator, by token' => sub {
    my $tx = $gw->program->get("$api/status",
        headers => $gw->bearer('creator'));
    is $tx->res->code, 200, 'GET /api/status';
};

subtest 'Jupyter\'s own checks are on' => sub {
    my $res = $me->fetch(POST => "$api/kernels", json => {})->res;
    is $res->code, 403, 'a POST without its _xsrf is refused by Jupyter';
    is $res->headers->header('X-AML-Reason'), undef, 'not by the gateway';
};

subtest 'files' => sub {
    my $nb = {
        type => 'notebook', format => 'json',
        content => {
            cells => [], metadata => {}, nbformat => 4, nbformat_minor => 5
        }
    };
    is jupyter(PUT => 'contents/a.ipynb', json => $nb)->code, 201, 'saved';
    my ($file) = grep { $_->basename eq 'a.ipynb' }
        $gw->share->list_tree->each;
    ok $file, 'and on the share' or return;
    is decode_json($file->slurp)->{nbformat}, 4, 'as a notebook';
    is jupyter(GET => 'contents/a.ipynb')->json('/content/nbformat'), 4,
        'and read again';
    my $big = 'x' x 8_000_000;
    is jupyter(PUT => 'contents/big.txt', json => {type => 'file',
        format => 'text', content => $big})->code, 201, '8 MB are no matter';
    is length(jupyter(GET => 'contents/big.txt')->json('/content')),
        length $big, 'both ways';
};

subtest 'a kernel, by websocket' => sub {
    my $res = jupyter(POST => 'kernels', json => {name => 'python3'});
    is $res->code, 201, 'started' or return;
    my $id = $res->json('/id');
    my $ws = $me->websocket("$api/kernels/$id/channels?session_id=test");
    ok $ws->is_open, 'the websocket is open' or return;
    my $out;
    my $ask = sub ($code) {
        $ws->send({json => {
            channel => 'shell', content => {code => $code, silent => \0},
            header  => {
                msg_id => "m$code" =~ tr/a-zA-Z0-9//cdr, session => 'test',
                msg_type => 'execute_request', username => '', version => '5.3'
            },
            parent_header => {}, metadata => {}, buffers => []
        }});
        $out = '';
        my $m = $ws->next_message(60, sub ($m) {
            my $j = eval { decode_json($m) } or return 0;
            return 0 if ($j->{msg_type} // '') ne 'stream';

            # a kernel may send a line in pieces
            $out .= $j->{content}{text};
            return $out =~ /\n\z/;
        });
        return $m ? $out : 'no output';
    };
    is $ask->('print(6 * 7)'), "42\n", 'a cell and its output';
    like $ask->('import os; print(os.getcwd())'), qr{/share/},
        'it works in the share';
    unlike $ask->('import os; print(dict(os.environ))'),
        qr/@{[join '|', map quotemeta, values %{$gw->passwords}]}/,
        'and knows no password';

    subtest 'a restart of amld does not touch it' => sub {
        is $ask->('x = 4711; print(x)'), "4711\n", 'a variable';
        $gw->kill_amld;
        $gw->start_amld;
        is $ask->('print(x)'), "4711\n", 'is still there';
        is $gw->state_of('first-lab'), 'Running', 'amld knows the instance';
    };

    subtest 'nor does a restart of nginx' => sub {
        $gw->restart_nginx;
        ok $ws->closes(5), 'the websocket ends with nginx';
        $ws = $me->websocket("$api/kernels/$id/channels?session_id=test");
        is $ask->('print(x + 1)'), "4712\n", 'the kernel does not';
    };

    my $other = $gw->browser;
    is $me->websocket("$api/kernels/$id/channels",
        from => $gw->app_origin('evil-lab'))->failed, 403,
        'another origin can\'t open it';
    is $other->websocket("$api/kernels/$id/channels")->failed, 401,
        'nor can a stranger';
    my $you = $gw->opened('colleague', 'first-lab');
    is $you->websocket("$api/kernels/$id/channels")->failed, 403,
        'nor a colleague';
};

subtest 'a terminal, by websocket' => sub {
    my $res = jupyter(POST => 'terminals', json => {});
    is $res->code, 200, 'started' or return;
    my $ws = $me->websocket($gw->app_url('first-lab',
        '/terminals/websocket/' . $res->json('/name')));
    ok $ws->is_open, 'the websocket is open' or return;
    $ws->send({json => ['stdin', "echo \$((40+2))-x\r"]});
    ok $ws->next_message(30, sub ($m) { $m =~ /42-x/ }), 'and it answers';
    jupyter(DELETE => 'terminals/' . $res->json('/name'));
};

subtest 'a colleague' => sub {
    my $you = $gw->browser;
    my $tx  = $gw->fill_sign_in($you, $you->navigate($lab), 'colleague');
    $gw->refused($tx, 403, 'not_creator', 'sees a page');
    like $tx->res->headers->content_type, qr{^text/html}, 'HTML';
    like $tx->res->dom->at('h1')->text, qr/not yours/, 'that says so';
    unlike $tx->res->body, qr/\bcreator</, 'and does not say whose it is';
    ok $tx->res->dom->at('a[href^="' . $gw->studio . '"]'),
        'and leads to the studio';
    $gw->refused($you->fetch(GET => "$api/status"), 403, 'not_creator',
        'a script gets JSON');
    $gw->refused(
        $gw->program->get("$api/status", headers => $gw->bearer('colleague')),
        403, 'not_creator', 'a program gets JSON'
    );
    for my $method (qw(GET HEAD POST PUT PATCH DELETE OPTIONS)) {
        is $gw->program->request($method => "$api/contents",
            headers => $gw->bearer('colleague'))->res->code, 403, $method;
    }
};

subtest 'a reader' => sub {
    my $c = $gw->compute('first-lab');
    is $gw->api(GET => $c, 'reader')->res->code, 200, 'may read';
    $gw->refused($gw->api(PUT => $c, 'reader', json => $gw->compute_body),
        403, 'action_denied', 'may not write');
    $gw->refused($gw->api(POST => "$c/stop", 'reader'), 403, 'action_denied',
        'may not stop');
    $gw->refused(
        $gw->program->get("$api/status", headers => $gw->bearer('reader')),
        403, 'not_creator', 'and may not open it');
};

subtest 'nobody' => sub {
    $gw->refused($gw->program->get("$api/status"), 401, 'sign_in_required',
        'a program is told');
    $gw->refused($gw->browser->fetch(GET => "$api/status"), 401,
        'sign_in_required', 'a script as well');
    is $gw->browser->navigate($lab, follow => 0)->res->headers->location,
        '/.aml/sign-in?to=%2Flab', 'a person is led to sign in';
    is $gw->browser->navigate($lab, method => 'POST', form => {},
        follow => 0)->res->code, 401, 'but not with a POST';
};

subtest 'stop and start' => sub {
    is $gw->api(POST => $gw->compute('first-lab') . '/stop', 'creator')
        ->res->code, 202, 'stop';
    $gw->wait_state('first-lab', 'Stopped');
    my @left = map { eval { Mojo::File->new("/proc/$_/cmdline")->slurp } // '' }
        AML::Reaper::processes($gw->dir);
    is scalar(grep {/ipykernel|jupyter/} @left), 0,
        'neither Jupyter nor a kernel is left';
    $gw->refused($me->navigate($lab), 409, 'instance_stopped', 'stopped');
    $gw->api(POST => $gw->compute('first-lab') . '/start', 'creator');
    $gw->wait_state('first-lab', 'Running');
    is $me->navigate($lab)->res->code, 200, 'the same session gets in again';
    is $me->fetch(GET => "$api/contents/a.ipynb")->res->code, 200,
        'and finds its notebook';
};

$gw->done;
