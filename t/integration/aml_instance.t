# aml makes instances and looks after them, and says how it goes.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);
use Test::More;
use AML::Cli;
use AML::Test;

my $gw  = AML::Test->start(instances => {});
my $cli = AML::Cli->new(gw => $gw, name => 'creator')->login;

sub refused ($status, $pattern, @args) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $r = $cli->aml(@args);
    is $r->{status}, $status, "@args";
    like $r->{err}, $pattern, "@args: said";
    is scalar(split /\n/, $r->{err}), 1, "@args: in a line";
}

sub script ($name, $text) {
    my $file = path($gw->dir, $name);
    $file->spurt($text);
    return "$file";
}

my $key = 'ssh-ed25519 '
    . 'AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl';

subtest 'create, and how it goes' => sub {
    is $cli->aml_ok('instance', 'list') =~ tr/\n//, 1, 'none: the headings';
    my $r = $cli->aml(
        qw(instance create first-lab --size STANDARD_DS2_V2 --idle 1h
            --tag team=a --tag cost=b=c), '--description', 'a "lab"',
        '--stop-at', '0 18 * * *', '--time-zone', 'Europe/Berlin',
        '--ssh-key', script('key.pub', "$key me\@box\n"),
        '--creation-script', script('create.sh', "echo one\n")
    );
    is $r->{status}, 0, 'created' or diag $r->{err};
    like $r->{err}, qr/creation script: \d+\.\d s$/mi, 'a step';
    like $r->{err}, qr/^Starting Jupyter: \d+\.\d s$/mi,       'another';
    like $r->{err}, qr/^first-lab is Running\.$/m,     'what it is';
    is $r->{out}, '', 'nothing where scripts read';

    my $show = decode_json($cli->aml_ok(qw(instance show first-lab --json)));
    my $p    = $show->{properties}{properties};
    is $p->{vmSize}, 'STANDARD_DS2_V2', 'the size';
    is $p->{idleTimeBeforeShutdown}, 'PT60M', 'the time';
    is $p->{sshSettings}{sshPublicAccess}, 'Enabled', 'the key';
    is $p->{schedules}{computeStartStop}[0]{cron}{timeZone},
        'Europe/Berlin', 'the schedule';
    is_deeply $show->{tags}, {team => 'a', cost => 'b=c'}, 'the tags';
    is $show->{properties}{description}, 'a "lab"', 'the description';
    like $cli->aml_ok(qw(instance show first-lab)),
        qr/^state +Running\n.*^Jupyter +https:/ms, 'show, for people';

    my $list = $cli->aml_ok('instance', 'list');
    like $list, qr/^NAME +STATE +SIZE +OWNER +LAST +AGO$/m, 'list';
    like $list,
        qr/^first-lab +Running +STANDARD_DS2_V2 +creator +Create Succeeded +\d+ s$/m,
        'has it';
    is decode_json($cli->aml_ok(qw(instance list --json)))->[0]{name},
        'first-lab', 'as JSON';
    refused(1, qr/already/, qw(instance create first-lab));
    refused(2, qr/UTF-8/, qw(instance create other-lab --description), "\xff");
};

subtest 'stop, start, restart' => sub {
    for my $step (['stop', 'Stopped'], ['start', 'Running'],
        ['restart', 'Running'])
    {
        my ($verb, $state) = @$step;
        my $r = $cli->aml('instance', $verb, 'first-lab');
        is $r->{status}, 0, $verb;
        like $r->{err}, qr/^first-lab is $state\.$/m, "is $state";
        is $gw->state_of('first-lab'), $state, 'which is so';
    }
    my $json = $cli->aml(qw(instance stop first-lab --json));
    is decode_json($json->{out})->{properties}{properties}{state}, 'Stopped',
        'with what it is as JSON';
    is $json->{err}, '', 'and not a word';
    is $cli->aml(qw(instance start --no-wait first-lab))->{status}, 0,
        'without waiting';
    $gw->wait_state('first-lab', 'Running');
    refused(1, qr/\(StartComputeInstanceOnlyAllowedInStoppedState\)/,
        qw(instance start first-lab));
};

subtest 'what fails' => sub {
    my $r = $cli->aml(qw(instance create bad-lab --creation-script),
        script('bad.sh', "echo '\e]0;evil\a no such thing'\nexit 3\n"));
    is $r->{status}, 6, 'a script that fails';
    like $r->{err}, qr/Create has failed; the instance is SetupFailed$/m,
        'said';
    like $r->{err}, qr/no such thing/, 'with the end of the log';
    unlike $r->{err}, qr/[\e\a]/, 'without what it says to terminals';

    refused(4, qr/ResourceNotFound/, qw(instance show nowhere));
    refused(1, qr/vmSize|size/i, qw(instance create new --size NONE));
    refused(2, qr/no instance's name/, qw(instance show ../x));
    refused(2, qr/no such option: --frob/, qw(instance list --frob));
    refused(2, qr/no such command: instance frob/, qw(instance frob));
    refused(2, qr/wants NAME/, qw(instance start));
    refused(2, qr/too many arguments/, qw(instance start a b));
    refused(2, qr/private key/, qw(instance create new --ssh-key),
        script('id', "-----BEGIN OPENSSH PRIVATE KEY-----\n"));
    refused(2, qr/--idle wants/, qw(instance create new --idle soon));
    refused(2, qr/NAME=VALUE/, qw(instance create new --tag x));
    refused(2, qr/No such file/,
        qw(instance create new --startup-script /nowhere));
    is $gw->state_of('new'), '', 'nothing was made of these';
};

subtest 'a reader' => sub {
    my $reader = AML::Cli->new(gw => $gw, name => 'reader')->login;
    like $reader->aml_ok('instance', 'list'), qr/^first-lab/m, 'sees them';
    unlike $reader->aml_ok('instance', 'list', '--mine'), qr/first-lab/,
        'and that they are not theirs';
    my $r = $reader->aml(qw(instance stop first-lab));
    is $r->{status}, 1, 'and stops none';
    like $r->{err}, qr/\(action_denied\)/, 'and is told why';
};

subtest 'delete' => sub {
    refused(2, qr/--yes/, qw(instance delete bad-lab));
    is $cli->aml(qw(instance delete --yes bad-lab))->{status}, 0, 'deleted';
    my $r = $cli->aml(qw(instance delete -y first-lab));
    is $r->{status}, 0, 'and the other';
    like $r->{err}, qr/^first-lab is deleted\.$/m, 'said';
    is $gw->state_of('first-lab'), '', 'it is';
};

subtest 'completion' => sub {
    $gw->create_instance('my-lab', 'creator');
    my $words = sub (@line) { join ' ', split /\n/,
        $cli->aml_ok('complete', '--', @line) };
    is $words->('ins'), 'instance', 'a command';
    is $words->('instance', 'st'), 'start stop', 'its second word';
    is $words->('instance', 'start', ''), 'my-lab', 'names';
    is $words->('instance', 'start', '--no'), '--no-wait', 'options';
    is $words->('instance', 'create', 'x', '--ssh-key', ''), ':files', 'files';
    is $words->('-p', 'none', 'instance', 'start', ''), '',
        'nothing where nobody is signed in';
    is $words->('completion', ''), 'bash zsh', 'words';
    for my $shell ('bash', 'zsh') {
        my $file = path($gw->dir, "completion.$shell");
        $file->spurt($cli->aml_ok('completion', $shell));
        is $gw->run('', $shell, '-n', "$file")->{status}, 0, "$shell reads it";
    }
    my $dir  = path($AML::Cli::AML)->dirname;
    my $bash = $cli->program('bash', '-c', qq{PATH=$dir:\$PATH
        . <(aml completion bash)
        COMP_WORDS=(aml instance stop m); COMP_CWORD=3; _aml
        echo "\${COMPREPLY[*]}"});
    is $bash->wait, 0, 'bash completes';
    my $zsh = sub (@words) {
        my $p = $cli->program('zsh', '-f', '-c', qq{PATH=$dir:\$PATH
            compdef() { }; _files() { print files }
            compadd() { shift; print -r -- "\$# \$*" }
            source <(aml completion zsh)
            words=("\$@"); CURRENT=\$#; _aml}, 'zsh', 'aml', @words);
        is $p->wait, 0, "zsh completes @words";
        return $p->got;
    };
    is $zsh->('instance', 'stop', 'm'), "1 my-lab\n", 'names';
    is $zsh->('completion', ''), "2 bash zsh\n", 'words';
    is $zsh->('instance', 'create', 'x', '--ssh-key', ''), "files\n", 'files';
    is $zsh->('instance', 'stop', 'zzz'), "0 \n", 'nothing is no candidate';
    is $bash->look->got, "my-lab\n", 'the name of an instance';
};

$gw->done;
