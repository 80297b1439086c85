# Accounts of the machine, by PAM: pam_unix and real users, which this test
# makes and removes.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Mojo::File qw(path);
use Test::More;
use Time::HiRes qw(time);
use AML::Test;
use AML::Wait qw(turn wait_for);

plan skip_all => 'users are made by root' if $< != 0;

my $user     = "amlt$$";
my $other    = "amlu$$";
my $group    = "amlg$$";
my $password = "unix-$$-open-sesame";
my $owner    = $$;

sub command (@command) {
    system(@command) == 0 or die "@command: $?\n";
}

sub set_password ($name, $password) {
    open my $pipe, '|-', 'chpasswd' or die "chpasswd: $!";
    print $pipe "$name:$password\n";
    close $pipe or die "chpasswd: $?";
}

END {
    if ($owner == $$) {
        my $status = $?;
        system "userdel $_ 2>/dev/null" for $user, $other;
        system "groupdel $group 2>/dev/null";
        $? = $status;
    }
}

command('groupadd', $group);
command('useradd', '-M', '-N', '-G', $group, $user);
command('useradd', '-M', '-N', $other);
set_password($_, $password) for $user, $other;

# The service; a new one holds for the next question.
my $service;
my $unix = "auth required pam_unix.so\naccount required pam_unix.so\n";
sub service ($text) { path($service)->spurt($text) }

my $gw = AML::Test->start(
    accounts => {creator => 'Contributor', boss => undef},
    amld     => sub ($text) {
        my ($dir) = $text =~ m{^state = "(.*)/state"}m;
        path("$dir/pam.d")->make_path;
        $service = "$dir/pam.d/aml";
        service($unix);
        return $text . <<~END;
            backoff_account = 1000
            backoff_address = 1000
            pam {
                service = "aml"
                directory = "$dir/pam.d"
                allowed_groups = { "$group", "no-such-group" }
            }
            END
    }
);
my $url = $gw->studio_url('/auth/sign-in');

# At an address of its own, so that no attempt waits for another's.
my $address = 0;
sub at ($who = $gw->browser, $where = ++$address) {
    $who->ua->socket_options(
        {PeerAddr => '127.0.0.1', LocalAddr => "127.0.8.$where"});
    return $who;
}

sub try_form ($name, $password, $who = at()) {
    return $who->navigate($url, method => 'POST', from => $gw->studio,
        follow => 0, form => {name => $name, password => $password, to => '/'});
}

sub try_basic ($name, $password) {
    return at($gw->program)->request(
        POST    => $gw->studio_url('/auth/token'),
        headers => {Authorization => $gw->basic($name, $password)}
    );
}

subtest 'signing in' => sub {
    my $me = at();
    is try_form($user, $password, $me)->res->code, 303, 'with the password';
    my ($s) = @{$me->fetch(GET => $gw->studio_url('/auth/sessions'))
        ->res->json('/value')};
    is $s->{method}, 'pam', 'how is told';
    my $id = $gw->amld_ok('principal', 'id', '--subject', $user, '--space',
        'urn:aml:pam') =~ s/\s//gr;
    like $gw->amld_ok('principal', 'list'), qr/^$id .* $user +urn:aml:pam$/m,
        'as whom is fixed';
    like $me->navigate($gw->studio_url('/'))->res->body, qr/\b$user\b/,
        'the studio knows the name';
    my %page = map { $_ => try_form($_, 'wrong')->res } $user, "nobody$$",
        'creator';
    is $page{$_}->code, 403, "refused: $_" for sort keys %page;
    my %text = map { $_ => $page{$_}->body =~ s/\Q$_\E/NAME/gr } keys %page;
    is $text{"nobody$$"}, $text{$user}, 'no such user: the same answer';
    is $text{creator}, $text{$user}, 'a local account: the same answer';
    is try_form($user, '')->res->code, 403, 'an empty password';
    is try_form('', $password)->res->code, 403, 'no name';
    is try_form($_, $password)->res->code, 403, "no name: $_"
        for "$user\n", "../$user", "-$user", 'x' x 100;
    is try_form('creator', $gw->passwords->{creator})->res->code, 303,
        'local accounts go on';
};

subtest 'who is let in' => sub {
    is try_form($other, $password)->res->code, 403, 'in no allowed group';
    like $gw->log_text('amld.err'), qr/"$other" is in no group/, 'the log says';
    service("auth required pam_permit.so\naccount required pam_permit.so\n");
    is try_form('root', 'x')->res->code, 403, 'root never';
    is try_form($user, 'x')->res->code, 303, 'whatever the service says';
    service("auth required pam_permit.so\naccount required pam_deny.so\n");
    is try_form($user, 'x')->res->code, 403, 'but for the account';
    service($unix);
    command('chage', '-E', '2020-01-01', $user);
    is try_form($user, $password)->res->code, 403, 'an account that is over';
    command('chage', '-E', '-1', $user);
    command('chage', '-d', '0', $user);
    is try_form($user, $password)->res->code, 403, 'a password that is over';
    command('chage', '-d', '19000', $user);
    command('passwd', '-q', '-d', $user);
    is try_form($user, $_)->res->code, 403, 'no password at all' for '', 'x';
    set_password($user, $password);
    is try_form($user, $password)->res->code, 303, 'all is well again';
};

subtest 'one name, one account' => sub {
    $gw->passwords->{$user} = 'local open sesame';
    $gw->amld_ok('account', 'add', $user, '--password-stdin',
        \"local open sesame\n");
    is try_form($user, $password)->res->code, 403,
        'a name that is a local account\'s is not the machine\'s';
    is try_form(uc $user, $password)->res->code, 403, 'in any case';
    my $me = at();
    is try_form($user, 'local open sesame', $me)->res->code, 303,
        'it is the local account\'s';
    my ($s) = @{$me->fetch(GET => $gw->studio_url('/auth/sessions'))
        ->res->json('/value')};
    is $s->{method}, 'password', 'which is somebody else';
    $gw->amld_ok('account', 'remove', $user);
    is try_form($user, 'local open sesame')->res->code, 403, 'and goes';
    is try_form($user, $password)->res->code, 303, 'the machine\'s is back';
};

subtest 'Unix groups' => sub {
    my $list = $gw->studio_url($gw->workspace
            . '/computes?api-version=2022-10-01');
    my $me = at();
    try_form($user, $password, $me);
    my $tx = try_basic($user, $password);
    is $tx->res->code, 200, 'a token by HTTP Basic';
    my %by = (Authorization => 'Bearer ' . $tx->res->json('/access_token'));
    is $me->fetch(GET => $list)->res->code, 403, 'no role';
    $gw->amld_ok('role', 'assign', '--group', $group, '--space',
        'urn:aml:pam', '--role', 'Reader', '--scope', $gw->workspace);
    is $me->fetch(GET => $list)->res->code, 200, 'a role of a group';
    is $gw->program->get($list, headers => \%by)->res->code, 200,
        'also by the token';
    my ($s) = grep { $_->{client} ne 'a browser' || !$_->{current} }
        grep { $_->{method} eq 'pam' && !$_->{current} }
        @{$gw->program->get($gw->studio_url('/auth/sessions'),
            headers => \%by)->res->json('/value')};
    my ($own) = grep { $_->{current} }
        @{$gw->program->get($gw->studio_url('/auth/sessions'),
            headers => \%by)->res->json('/value')};
    ok $own, 'the token is among the sessions';
    $me->fetch(DELETE => $gw->studio_url("/auth/sessions/$own->{id}"));
    is $gw->program->get($list, headers => \%by)->res->code, 401,
        'and ends there';
    is try_basic($user, 'wrong')->res->code, 401, 'a wrong password';
};

subtest 'a service that is not there, or does not work' => sub {
    unlink $service;
    my $who = at();
    my $tx;
    for (1 .. 8) { $tx = try_form($user, $password, $who) }
    is $tx->res->code, 503, 'nothing is taken for it';
    is $tx->res->headers->header('X-AML-Reason'), 'accounts_unavailable',
        'the reason';
    is try_basic($user, $password)->res->json('/error/code'),
        'accounts_unavailable', 'for a program too';
    is try_form('creator', $gw->passwords->{creator})->res->code, 303,
        'local accounts go on';
    service("auth required pam_no_such_module.so\n");
    is try_form($user, $password)->res->code, 503, 'a module that is not there';
    service($unix);
    is try_form($user, $password, $who)->res->code, 303,
        'and nobody waits for that afterwards';
    unlink $service;
    my $r = $gw->amld('--test');
    isnt $r->{status}, 0, 'amld -t';
    like $r->{err}, qr/service: there is no PAM service "aml" in/, 'says so';
    service($unix);
};

subtest 'slow modules' => sub {
    my $sleep = path($gw->dir, 'slow.sh');
    $sleep->spurt("#!/bin/sh\nsleep 2\n")->chmod(0755);
    service("auth required pam_exec.so quiet $sleep\n$unix");
    my %took;
    my $run = sub ($name) {
        my $began = time;
        my $code  = try_form($name, 'wrong')->res->code;
        $took{$name} = time - $began;
        return $code;
    };
    is $run->($_), 403, $_ for 'creator', "nobody$$";
    cmp_ok $took{$_}, '>=', 2, "$_: as long as any" for sort keys %took;

    my ($done, @slow) = (0, map { at() } 1 .. 20);
    for my $who (@slow) {
        $who->ua->inactivity_timeout(0)->connect_timeout(60);
        $who->ua->start(
            $who->ua->build_tx(
                POST => $url,
                {Origin => $gw->studio},
                form => {name => $user, password => $password, to => '/'}
            ),
            sub ($ua, $tx) { $done++ if ($tx->res->code // 0) == 303 }
        );
    }
    turn(0.3);
    my $began = time;
    for (1 .. 5) {
        $gw->api(GET => $gw->workspace . '/computes', 'creator');
    }
    cmp_ok time - $began, '<', 1.5 * ($ENV{AML_PATIENCE} || 1),
        'keep nobody else waiting';
    ok wait_for(sub { $done == @slow }, 60), 'and everybody is served';
    service($unix);
};

# As where what PAM asks is down: until the file is gone.
subtest 'modules that hang' => sub {
    my $hang = path($gw->dir, 'hang')->spurt('');
    my $wait = path($gw->dir, 'hang.sh');
    $wait->spurt("#!/bin/sh\nwhile [ -e $hang ]; do sleep 0.2; done\n")
        ->chmod(0755);
    service("auth required pam_exec.so quiet $wait\n$unix");

    my (%reasons, $retry);
    my @who = map { at() } 1 .. 80;
    for my $i (0 .. $#who) {
        my $ua = $who[$i]->ua;
        $ua->inactivity_timeout(0)->connect_timeout(60);
        $ua->start(
            $ua->build_tx(
                POST => $url,
                {Origin => $gw->studio},
                form => {name => "nobody$i", password => 'x', to => '/'}
            ),
            sub ($ua, $tx) {
                my $h = $tx->res->headers;
                $reasons{$h->header('X-AML-Reason') // $tx->res->code}++;
                $retry //= $h->header('Retry-After');
            }
        );
    }
    my $answered = sub {
        return ($reasons{daemon_busy} // 0)
            + ($reasons{accounts_unavailable} // 0);
    };
    ok wait_for(sub { $answered->() >= 80 - 24 }, 60), 'most do not wait';
    cmp_ok $reasons{daemon_busy}, '>=', 1, 'they are told that many do';
    is $retry, 5, 'and when to try again';

    my $began = time;
    is try_form('creator', $gw->passwords->{creator})->res->code, 303,
        'local accounts sign in';
    is try_basic('creator', $gw->passwords->{creator})->res->code, 200,
        'and get tokens';
    cmp_ok time - $began, '<', 3 * ($ENV{AML_PATIENCE} || 1), 'at once';
    is try_form('creator', 'wrong')->res->code, 403,
        'not with a wrong password';
    like try_basic("nobody$$", 'x')->res->json('/error/code'),
        qr/^(?:daemon_busy|accounts_unavailable)$/, 'a program is told the same';

    ok wait_for(sub { $answered->() == 80 - 8 }, 60), 'none waits for long';
    cmp_ok $reasons{accounts_unavailable}, '>=', 16,
        'and is told that there is no answer';
    like $gw->log_text('amld.err'), qr/those who were asked before have no/,
        'the log says';
    unlink $hang;
    ok wait_for(sub { ($reasons{403} // 0) == 8 }, 30),
        'who was asked for gets what comes of it';
    is try_form($user, $password)->res->code, 303, 'all is well again';
    service($unix);
};

subtest 'guessing' => sub {
    my $conf = path($gw->dir, 'amld.conf');
    $conf->spurt($conf->slurp =~ s/^backoff_account.*$//mr);
    $gw->stop_amld;
    $gw->start_amld;
    is try_form($user, 'wrong')->res->code, 403, "attempt $_" for 1 .. 5;
    my $tx = try_form($user, $password);
    is $tx->res->code, 429, 'is slowed down';
    is try_form($user, $password, at($gw->browser, 1))->res->code, 303,
        'not where one is known';
};

subtest 'in no log' => sub {
    my $logs = join '', map { path($_)->slurp }
        glob $gw->dir . '/{log,nginx}/*.{log,err,out}';
    unlike $logs, qr/\Q$_\E/, 'no password'
        for $password, 'local open sesame';
};

$gw->done;
