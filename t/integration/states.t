# What people are told while an instance cannot serve them, and that others
# are told nothing of it.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Test::More;
use AML::Test;

my $gw = AML::Test->start(instances => {'first-lab' => 'creator'});
my $me = $gw->api(GET => $gw->compute('first-lab'), 'creator')
    ->res->json('/properties/properties/createdBy/userId');
like $me, qr/^[0-9a-f-]{36}$/, 'the creator is known';

my %states = (
    Creating   => [503, 'instance_starting'],
    Starting   => [503, 'instance_starting'],
    Restarting => [503, 'instance_starting'],
    Stopping   => [503, 'instance_stopping'],
    Deleting   => [503, 'instance_stopping'],
    Stopped    => [409, 'instance_stopped'],
    Failed     => [409, 'instance_failed'],
);

for my $state (sort keys %states) {
    my ($status, $reason) = @{$states{$state}};
    my $name = lc "in-$state";
    $gw->edit({
        op         => 'route', name => $name, port => 0, state => $state,
        creator    => $me, generation => 7, compute => $gw->compute($name)
    });
    subtest $state => sub {
        my $program = $gw->program->get($gw->app_url($name, '/api/status'),
            headers => $gw->bearer('creator'));
        $gw->refused($program, $status, $reason, 'the creator\'s program');
        if ($reason eq 'instance_starting') {
            like $program->res->headers->header('Retry-After') // '',
                qr/^\d+$/, 'is told when to try again';
        }
        my $page = $gw->signed_in('creator')->navigate($gw->app_url($name));
        $gw->refused($page, $status, $reason, 'the creator');
        like $page->res->headers->content_type, qr{^text/html}, 'as a page';
        $gw->refused(
            $gw->program->get(
                $gw->app_url($name), headers => $gw->bearer('colleague')
            ),
            403, 'not_creator', 'a colleague learns nothing of the state'
        );
    };
}

subtest 'real: stopped, started, deleted' => sub {
    my $ask = sub {
        $gw->program->get($gw->app_url('first-lab', '/api/status'),
            headers => $gw->bearer('creator'));
    };
    is $ask->()->res->code, 200, 'running';
    is $gw->api(POST => $gw->compute('first-lab') . '/stop', 'creator')
        ->res->code, 202;
    $gw->wait_state('first-lab', 'Stopped');
    $gw->refused($ask->(), 409, 'instance_stopped', 'stopped');
    is $gw->api(POST => $gw->compute('first-lab') . '/start', 'creator')
        ->res->code, 202;
    $gw->wait_state('first-lab', 'Running');
    is $ask->()->res->code, 200, 'running again';
    $gw->api(
        DELETE => $gw->compute('first-lab'), 'creator',
        query  => {underlyingResourceAction => 'Delete'}
    );
    ok AML::Wait::wait_for(
        sub { $gw->state_of('first-lab') eq '' }), 'deleted';
    $gw->refused($ask->(), 404, 'instance_not_found', 'deleted');
};

subtest 'an application that does not answer' => sub {
    my %route = (
        op => 'route', name => 'ghost', creator => $me, generation => 9,
        state => 'Running'
    );
    $gw->edit(
        {%route, port => 0, compute => $gw->compute('ghost')},
        {%route, port => 8888, address => 'unix:' . $gw->dir . '/gone.sock'}
    );
    my $ask = sub {
        $gw->program->get($gw->app_url('ghost'),
            headers => $gw->bearer('creator'));
    };
    $gw->refused($ask->(), 502, 'application_unreachable',
        'the socket is gone');
    path($gw->dir, 'gone.sock')->spurt('not a socket');
    $gw->refused($ask->(), 502, 'application_unreachable',
        'a file that is no socket');
    my $page = $gw->opened('creator', 'ghost')->navigate(
        $gw->app_url('ghost'));
    $gw->refused($page, 502, 'application_unreachable', 'as a page');

    $gw->edit({%route, port => 8888, address => 'unix:/' . 'x' x 120});
    my $bad = $ask->();
    is $bad->res->code, 502, 'an address that is too long: status';
    is $bad->res->headers->header('X-AML-Reason'), 'application_unreachable',
        'and reason';
};

subtest 'an application that takes too long' => sub {
    my $slow = AML::Test->start(
        instances => {'first-lab' => 'creator'},
        nginx     => sub ($t) {
            $t =~ s/proxy_read_timeout 24h/proxy_read_timeout 1s/r }
    );
    $slow->refused(
        $slow->program->get(
            $slow->app_url('first-lab', '/stand-in/silent'),
            headers => $slow->bearer('creator')
        ),
        504, 'application_timeout', 'says so'
    );
    is $slow->program->get($slow->app_url('first-lab', '/x'),
        headers => $slow->bearer('creator'))->res->code, 200,
        'and goes on';
    $slow->finish;
};

subtest 'records that are damaged' => sub {
    my $good = $gw->edit({op => 'get', key => 'route/in-stopped/0'});
    chomp $good;
    my $cut = substr $good, 0, 16;
    my %bad = (
        'cut short' => $cut, 'of another version' => 'ff7f' . substr($good, 4),
        'one byte'  => '01', 'a long length' => substr($good, 0, -2) . 'ffff'
    );
    for my $how (sort keys %bad) {
        $gw->edit(
            {op => 'put', key => 'route/in-stopped/0', hex => $bad{$how}});
        $gw->refused(
            $gw->program->get(
                $gw->app_url('in-stopped'), headers => $gw->bearer('creator')
            ),
            503, 'registry_unavailable', $how
        );
    }
};

# nginx says that it could not connect; it is what this test is about.
$gw->done;
