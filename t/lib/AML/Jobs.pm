package AML::Jobs;

# Jobs by the control API, for tests: what is submitted, and how it is.
#
#     my $jobs = AML::Jobs->new(gw => $gw, compute => 'lab');
#     $jobs->submit('train-1', 'echo hello', limits => {timeout => 'PT1M'});
#     $jobs->ends('train-1', 'Completed');

use Mojo::Base -base, -signatures;
use Mojo::File qw(path);
use Test::More ();
use AML::Wait qw(wait_for);

has [qw(gw compute)];
has account => 'creator';
has seconds => 30;

sub url ($self, $name, $more = '') { $self->gw->workspace . "/jobs/$name$more" }

sub put ($self, $name, $command, %more) {
    my $compute = delete $more{computeId} // $self->compute;
    return $self->gw->api(
        PUT => $self->url($name),
        $self->account,
        json => {
            properties => {
                jobType   => 'Command',
                computeId => $compute,
                command   => $command,
                %more
            }
        }
    );
}

sub submit ($self, $name, $command, %more) {
    my $res = $self->put($name, $command, %more)->res;
    $res->code == 201
        or $self->gw->give_up("PUT job $name: " . $res->code . $res->body);
}

# Its properties; {} where there is none.
sub get ($self, $name) {
    my $res = $self->gw->api(GET => $self->url($name), $self->account)->res;
    return $res->code == 200 ? $res->json('/properties') : {};
}

sub status ($self, $name) { $self->get($name)->{status} // '' }

sub cancel ($self, $name) {
    return $self->gw->api(POST => $self->url($name, '/cancel'), $self->account)
        ->res->code;
}

# Waits until it is so, and answers its properties.
sub becomes ($self, $name, $status) {
    my $is;
    wait_for(
        sub {
            $is = $self->get($name);
            ($is->{status} // '') =~ /^(?:$status)$/;
        },
        $self->seconds
    ) or $self->gw->give_up("$name is " . ($is->{status} // 'none')
            . ", not $status: " . ($is->{message} // ''));
    return $is;
}

sub ends ($self, $name, $status, $message = undef) {
    my $is = $self->becomes($name, 'Completed|Failed|Canceled');
    Test::More::is $is->{status}, $status, "$name: $status"
        or Test::More::diag $is->{message} // '';
    Test::More::like $is->{message} // '', $message, "$name: $message"
        if defined $message;
    return $is;
}

sub log ($self, $name) {
    return $self->gw->api(GET => $self->url($name, '/logs'), $self->account)
        ->res->body;
}

# In the creator's folder.
sub file ($self, @path) { $self->gw->share('Users', $self->account, @path) }

# A command that notes that it has begun, and goes on until it is let.
sub waits ($self, $more = 'true') {
    return 'echo $AML_JOB_ID >> ../../order; touch ../../$AML_JOB_ID.up; '
        . 'until [ -e ../../$AML_JOB_ID.go ]; do sleep 0.02; done; ' . $more;
}

sub up ($self, $name) {
    wait_for(sub { -e $self->file("$name.up") }, $self->seconds)
        or $self->gw->give_up("$name does not begin: " . $self->status($name));
}

sub go ($self, @names) { $self->file("$_.go")->touch for @names }

sub order ($self) { return split /\n/, $self->file('order')->slurp }

1;
