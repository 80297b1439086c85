# A podman that fails, hangs, babbles, lies or is not there, by stand-ins for it;
# and a configuration that is wrong.  The reason reaches the creator, and once
# podman is well, so is the instance.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use File::Temp ();
use Mojo::File qw(path);
use Test::More;
use Time::HiRes qw(time);
use AML::Podman;
use AML::Wait qw(wait_for);

AML::Podman->need;

# What "podman" does is in a file; it is the real one otherwise.
my $dir = path(File::Temp::tempdir(CLEANUP => 1));
chmod 0755, $dir;
my $standin = $dir->child('podman');
$standin->spurt(<<"EOF")->chmod(0755);
#!/bin/bash
# a stand-in for podman that misbehaves on demand
mode=\$(cat $dir/mode 2>/dev/null)
verb=
for word; do case \$word in -*) ;; *) verb=\$word; break ;; esac; done
case "\$mode \$verb" in
"fails run") echo 'Error: disk quota exceeded' >&2; exit 125 ;;
"fails-ps ps") echo 'Error: database is locked' >&2; exit 125 ;;
"hangs run") exec sleep 1000 ;;
"babbles run") exec yes ;;
"dies run") kill -KILL \$\$ ;;
"lies run") printf '%064d\\n' 7 ;;
"lies container") printf '%064d\\trunc\\n' 7 ;;
"garbage container") echo '<html>' ;;
"fails-stop stop" | "fails-stop rm") echo 'Error: busy' >&2; exit 125 ;;
*) exec /usr/bin/podman "\$@" ;;
esac
EOF

my $gw = AML::Podman->start(
    podman => {program => "$standin", timeout => '3s'},
    sizes  => {STANDARD_DS3_V2 => {cores => 1, memory => '512m'}}
);

sub mode ($mode) { $dir->child('mode')->spurt("$mode\n") }

sub reason ($name) {
    return $gw->api(GET => $gw->compute($name), 'creator')
        ->res->json('/properties/properties/errors/0/error/message')
        // $gw->api(GET => $gw->compute($name), 'creator')->res->body;
}

subtest 'podman' => sub {
    my $rx = sub ($text) {qr/\Q$text\E/};
    for (
        ['fails', $rx->('ended with exit status 125: Error: disk quota')],
        ['fails-ps', $rx->('ended with exit status 125: Error: database is')],
        ['hangs',    $rx->('run did not end within 3 seconds')],
        ['babbles',  $rx->('run did not end within 3 seconds')],
        ['dies',     $rx->('run was ended by signal 9')],
        ['lies',     qr/runc state ended with exit status 1: .*does not exist/],
        ['garbage',  $rx->('can\'t say which: "<html>"')],
        )
    {
        my ($mode, $words) = @$_;
        mode($mode);
        my $since = time;
        $gw->api(PUT => $gw->compute("a-$mode"), 'creator',
            json => $gw->compute_body);
        $gw->wait_state("a-$mode", 'CreateFailed');
        like reason("a-$mode"), $words, "that $mode is said";
        cmp_ok time - $since, '<', 30, 'in time';
        mode('works');
        $gw->remove("a-$mode");
    }
};

subtest 'podman that is not there' => sub {
    rename $standin, "$standin.away";
    $gw->api(PUT => $gw->compute('gone'), 'creator', json => $gw->compute_body);
    $gw->wait_state('gone', 'CreateFailed');
    like reason('gone'), qr/cannot run \Q$standin\E: No such file/,
        'is said not to be there';
    rename "$standin.away", $standin;
    $gw->create('gone', 'creator');
    pass 'the next try makes the instance';
};

subtest 'podman that can\'t stop' => sub {
    mode('fails-stop');
    $gw->api(DELETE => $gw->compute('gone'), 'creator',
        query => {underlyingResourceAction => 'Delete'});
    ok wait_for(sub { $gw->state_of('gone') eq 'Unusable' }),
        'a deletion that fails is seen to';
    like reason('gone'), qr/Error: busy/, 'with its reason';
    mode('works');
    $gw->remove('gone');
    pass 'and done when it can be';
};

subtest 'an image that is not there' => sub {
    my $other = AML::Podman->start(
        podman => {image => 'localhost/no-such-image', timeout => '20s'});
    $other->api(PUT => $other->compute('lab'), 'creator',
        json => $other->compute_body);
    $other->wait_state('lab', 'CreateFailed');
    like $other->api(GET => $other->compute('lab'), 'creator')->res->body,
        qr/no-such-image.*image not known/, 'is named';
    $other->finish;
};

subtest 'amld -t' => sub {
    my $conf = path($gw->dir, 'amld.conf')->slurp;
    my $test = sub ($text) {
        path($gw->dir, 'try.conf')->spurt($text);
        return $gw->run('', $AML::Test::AMLD, '-t', '-c',
            $gw->dir . '/try.conf');
    };
    is $test->($conf)->{status}, 0, 'the configuration of this test is right';
    for (
        ['program', '/nowhere/podman', qr{program: /nowhere/podman: No such}],
        ['runtime', 'kata',            qr/"kata" is not auto, crun, runc or a/],
        ['runtime', '/nowhere/runc',   qr{runtime: /nowhere/runc: No such file}],
        ['image',   '--privileged',    qr/"--privileged" is not the name of an/],
        ['uid_base',   '1000', qr/"1000" is not a number from 65536 to/],
        ['pids',       '1',    qr/"1" is not a number from 64 to/],
        ['gpu',        'gpu',  qr/"gpu" is not a kind of CDI devices/],
        ['host_ports', '{ 0, 443 }', qr/"0" is not a port from 1 to 65535/],
        ['images', '{ "a b" }', qr/"a b" is not the name of an image/],
        ['timeout',    '0s',         qr/timeout:/],
        ['nonsense',   '1',          qr/nonsense/],
        )
    {
        my ($option, $value, $words) = @$_;
        $value = qq{"$value"} unless $value =~ /^\{/;
        my $text = $conf =~ s/^(podman \{\n(?:.*\n)*?)    $option = .*\n/$1/mr;
        $text =~ s/^podman \{\n/podman {\n    $option = $value\n/m;
        my $r = $test->($text);
        is $r->{status}, 1, "$option = $value is refused";
        like $r->{err}, $words, 'with its reason';
        like $r->{err}, qr/try\.conf:\d+: /, 'and its line';
    }
    my $r = $gw->run('', 'setpriv', '--reuid=nobody', '--clear-groups',
        $AML::Test::AMLD, '-t', '-c', $gw->dir . '/amld.conf');
    like $r->{err}, qr/the engine podman needs amld to be root/,
        'an account that is not root is told so';
};

subtest 'steps by hand' => sub {
    for (
        [[],                               2, qr/usage:/],
        [['prepare'],                      2, qr/usage:/],
        [['exec', '/x', 'ls'],             2, qr/usage:/],
        [['prepare', '/nowhere.json'],     1, qr/nowhere\.json/],
        [['fly', "$dir/mode"],             1, qr/mode/],
        )
    {
        my $r = $gw->run('', $AML::Test::AMLD, 'engine-podman', @{$_->[0]});
        is $r->{status}, $_->[1], "engine-podman @{$_->[0]}";
        like $r->{err}, $_->[2], 'says why';
    }
};

$gw->done;
