# Logs: who, what and why is in them; a token, a cookie, a password or a code
# never is.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::URL;
use Test::More;
use AML::Test;
use AML::Wait qw(wait_for);

my $gw = AML::Test->start(
    instances => {'first-lab' => 'creator'},
    nginx     => sub ($t) { $t =~ s/(error_log \S+) \w+;/$1 info;/r }
);
my $me      = $gw->opened('creator', 'first-lab');
my $id      = $gw->api(GET => $gw->compute('first-lab'), 'creator')
    ->res->json('/properties/properties/createdBy/userId');

# The last log line whose request has this path.
sub line ($path) {
    return wait_for(
        sub {
            (grep {/ \Q$path\E[" ]/} split /\n/, $gw->log_text('access.log'))
                [-1];
        }
    ) // '';
}

subtest 'an application' => sub {
    $me->fetch(GET => $gw->app_url('first-lab', '/log/one'));
    like line('/log/one'),
        qr/\Q$id\E first-lab:8888 "-?" allow ok [0-9a-f]{32}/, 'allowed';
    my $tx = $gw->program->get($gw->app_url('first-lab', '/log/two'),
        headers => $gw->bearer('colleague'));
    my $line = line('/log/two');
    like $line, qr/first-lab:8888 "-?" refuse not_creator/, 'refused';
    unlike $line, qr/\Q$id\E/, 'with who was refused';
    my $request = $tx->res->json('/error/requestId');
    like $line, qr/\Q$request\E/, 'and the request id that was shown';
    $gw->program->get($gw->app_url('first-lab', '/log/three'));
    like line('/log/three'), qr/ - \S+ "-?" refuse sign_in_required/,
        'nobody';
};

subtest 'the control API' => sub {
    $gw->api(GET => $gw->compute('any-lab'), 'reader');
    like line($gw->compute('any-lab')), qr{
        "Microsoft\.MachineLearningServices/workspaces/computes/read"
        \ allow\ ok}x, 'the action';
    $gw->api(PUT => $gw->compute('put-lab'), 'reader', json => {});
    like line($gw->compute('put-lab')), qr{
        "Microsoft\.MachineLearningServices/workspaces/computes/write"
        \ refuse\ action_denied}x, 'refused';
};

subtest 'what a client sends can\'t forge a line' => sub {
    $gw->program->get(
        $gw->studio_url('/log/four%0aforged%20line'),
        headers => {'X-AML-Principal' => "x", 'User-Agent' => "a\x7f\x1b[31m"}
    );
    ok wait_for(sub { $gw->log_text('access.log') =~ /four/ }), 'logged';
    unlike $gw->log_text('access.log'), qr/^forged/m, 'in one line';
    unlike $gw->log_text('access.log'), qr/\x1b/, 'without control characters';
};

subtest 'no secrets' => sub {
    my $other = $gw->browser;
    my $page  = $other->navigate($gw->app_url('first-lab', '/lab'));
    $gw->fill_sign_in($other, $page, 'colleague', 'a-wrong-password');
    $gw->fill_sign_in($other, $page, 'colleague');
    my @codes = map { Mojo::URL->new($_->req->url)->query->param('code') // () }
        @{$other->trail};
    ok scalar @codes, 'codes were used';
    my @secrets = (
        'a-wrong-password',
        values %{$gw->passwords},
        (map { $gw->token($_) } qw(creator colleague reader)),
        (map { (split /\./, $gw->token($_))[2] } qw(creator reader)),
        (map { $_->value } map { @{$_->ua->cookie_jar->all} } $me, $other),
        @codes
    );
    cmp_ok scalar(@secrets), '>', 12, 'secrets were used';
    for my $file (glob $gw->dir . '/{nginx,log}/*.{log,err,out}') {
        my $text = path($file)->slurp;
        is scalar(grep { length $_ && index($text, $_) >= 0 } @secrets), 0,
            path($file)->basename . ' has none';
    }
    my $dump = $gw->amld_ok('registry', 'dump');
    is scalar(grep { length $_ && index($dump, $_) >= 0 } @secrets), 0,
        'nor has the dump of the registry';
};

$gw->done;
