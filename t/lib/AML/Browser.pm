package AML::Browser;

# A user agent that behaves as a browser does where the gateway looks: cookies
# by host, Fetch Metadata, Origin; or as a program, without any of them.
#
# Every *.localhost name is the loopback; certificates are checked against the
# gateway's own authority, always.

use Mojo::Base -base, -signatures;
use Mojo::Cookie::Request;
use Mojo::URL;
use Mojo::UserAgent;
use AML::WebSocket;

has 'ca';
has program => 0;
has ua => sub ($self) {
    my $ua = Mojo::UserAgent->new(ca => $self->ca, insecure => 0);
    $ua->socket_options({PeerAddr => '127.0.0.1'});
    $ua->connect_timeout(10)->request_timeout(60)->inactivity_timeout(60);
    $ua->max_redirects(0)->max_response_size(0);
    $ua->cookie_jar(AML::Browser::CookieJar->new);
    $ua->transactor->name('Mozilla/5.0 (aml test)');
    return $ua;
};

sub origin_of ($url) {
    $url = Mojo::URL->new("$url");
    return $url->scheme . '://' . $url->host_port;
}

# How a browser calls the relation of two origins; all hosts of a gateway
# under test are one site.
sub site_of ($from, $url) {
    return 'none' unless defined $from;
    my $to = origin_of($url);
    return 'same-origin' if $from eq $to;
    return 'same-site'
        if 2 == grep {/[.\/]aml\.localhost(?::\d+)?$/} $from, $to;
    return 'cross-site';
}

# Redirects stay what the least trusted step of their way was.
my %trust = ('same-origin' => 3, 'same-site' => 2, 'cross-site' => 1);

sub site_after ($before, $next) {
    return $next if !defined $before || $next eq 'none';
    return $trust{$before} < $trust{$next} ? $before : $next;
}

# One request.  Options: headers => {…}, form => {…}, json => …, body => bytes.
# A header whose value is undef is not sent.
sub request ($self, $method, $url, %o) {
    my %headers = %{$o{headers} // {}};
    delete @headers{grep { !defined $headers{$_} } keys %headers};
    my @body =
          $o{form} ? (form => $o{form})
        : exists $o{json} ? (json => $o{json})
        : defined $o{body} ? ($o{body})
        :                    ();
    my $tx = $self->ua->build_tx($method => $url, \%headers, @body);
    $self->ua->cookie_jar->empty if $self->program;
    $tx = $self->ua->start($tx);
    if (my $err = $tx->error) {
        die "$method $url: $err->{message}\n" unless $err->{code};
    }
    return $tx;
}

sub get ($self, $url, %o) { $self->request(GET => $url, %o) }

# The address bar, or a link on the page `from`.  Follows redirects unless
# follow => 0, and not to addresses that match `stop_at`; what it went through
# is in $browser->trail.
has trail => sub { [] };
has 'stop_at';

sub navigate ($self, $url, %o) {
    my ($method, $form) = (delete $o{method} // 'GET', delete $o{form});
    my $from   = delete $o{from};
    my $follow = delete $o{follow} // 1;
    my (@trail, $site);
    while (1) {
        $site = site_after($site, site_of($from, $url));
        my $tx   = $self->request(
            $method, $url,
            $form ? (form => $form) : (),
            headers => {
                Accept => 'text/html,application/xhtml+xml,*/*;q=0.8',
                'Sec-Fetch-Mode' => 'navigate',
                'Sec-Fetch-Dest' => 'document',
                'Sec-Fetch-User' => '?1',
                'Sec-Fetch-Site' => $site,
                'Upgrade-Insecure-Requests' => 1,
                $method eq 'POST' ? (Origin => $from // origin_of($url)) : (),
                %{$o{headers} // {}},
            }
        );
        push @trail, $tx;
        my $location = $tx->res->headers->location;
        if (!$follow || $tx->res->code !~ /^30[1238]$/ || !$location) {
            $self->trail(\@trail);
            return $tx;
        }
        die "too many redirects from $trail[0]{req}{url}\n" if @trail > 20;
        $url  = Mojo::URL->new($location)->to_abs($tx->req->url)->to_string;
        if ($self->stop_at && $url =~ $self->stop_at) {
            $self->trail(\@trail);
            return $tx;
        }
        ($method, $form) = ('GET', undef) if $tx->res->code =~ /^30[123]$/;
    }
}

# Where a page's program leads to: as navigate, but an address that matches
# `stop_at` is the Location of what is returned.
sub led_to ($self, $url, %o) {
    return $self->navigate($url, %o)
        unless $self->stop_at && $url =~ $self->stop_at;
    my $tx = $self->ua->build_tx(GET => $o{from});
    $tx->res->code(302)->headers->location($url);
    return $tx;
}

# Where a page leads by itself, or undef.
sub refresh_of ($self, $tx) {
    my $meta = $tx->res->dom->at('meta[http-equiv=refresh]') // return undef;
    my ($url) = $meta->{content} =~ /^0; url=(\S+)$/;
    return $url;
}

# Fills and sends the form of the page that `tx` brought.
sub submit ($self, $tx, $values, %o) {
    my $dom   = $tx->res->dom;
    my $form  = $dom->at($o{form} // 'form[method=post i]')
        // die "no form on " . $tx->req->url . "\n";
    my %fields = map { $_->{name} => $_->{value} // '' }
        grep { $_->{name} } $form->find('input, button[type=submit]')->each;
    my $url = Mojo::URL->new($form->{action} // '')->to_abs($tx->req->url);
    return $self->navigate(
        "$url",
        method => 'POST',
        form   => {%fields, %$values},
        from   => origin_of($tx->req->url),
        %{$o{navigate} // {}}
    );
}

# What a page's script does.  from: the page's origin.
sub fetch ($self, $method, $url, %o) {
    my $from = delete $o{from} // origin_of($url);
    my %h    = (
        Accept           => '*/*',
        'Sec-Fetch-Mode' => 'cors',
        'Sec-Fetch-Dest' => 'empty',
        'Sec-Fetch-Site' => site_of($from, $url),
        $method =~ /^(?:GET|HEAD)$/ && $from eq origin_of($url)
        ? ()
        : (Origin => $from),
        %{$o{headers} // {}},
    );
    return $self->request($method, $url, %o, headers => \%h);
}

sub websocket ($self, $url, %o) {
    my $headers = $o{headers} // {};
    my %h = $self->program ? () : (
        Origin           => $o{from} // origin_of($url),
        'Sec-Fetch-Mode' => 'websocket',
        'Sec-Fetch-Dest' => 'websocket',
        'Sec-Fetch-Site' => site_of($o{from} // origin_of($url), $url),
    );
    my %all = (%h, %$headers);
    delete @all{grep { !defined $all{$_} } keys %all};
    $self->ua->cookie_jar->empty if $self->program;
    return AML::WebSocket->open($self->ua, $url, \%all, $o{protocols} // []);
}

# Value of a cookie that a host has set; undef when there is none.
sub cookie ($self, $name, $host) {
    my ($cookie) = grep { $_->name eq $name && $_->domain eq $host }
        @{$self->ua->cookie_jar->all};
    return $cookie ? $cookie->value : undef;
}

sub set_cookie ($self, $name, $value, $host) {
    $self->ua->cookie_jar->add(
        Mojo::Cookie::Response->new(
            name      => $name,
            value     => $value,
            domain    => $host,
            host_only => 1,
            path      => '/',
            secure    => 1
        )
    );
}

package AML::Browser::CookieJar;

# Cookies as browsers keep them, where Mojolicious 9.31 does not: it takes none
# for another path than that of the request, any with the prefix __Host-, and
# loses those of one host when it looks for those of a host below.
use Mojo::Base 'Mojo::UserAgent::CookieJar', -signatures;

sub collect ($self, $tx) {
    my $host = lc $tx->req->url->ihost;
    for my $cookie (@{$tx->res->cookies}) {
        my $domain = lc($cookie->domain // '') =~ s/^\.//r;
        next if $cookie->name =~ /^__Host-/i
            && (length $domain || !$cookie->secure
                || ($cookie->path // '') ne '/');
        next if $cookie->name =~ /^__Secure-/i && !$cookie->secure;
        next if length $domain && $domain !~ /\./;
        next if length $domain && $host !~ /(?:^|\.)\Q$domain\E$/;
        $cookie->domain(length $domain ? $domain : $host)
            ->host_only(!length $domain);
        $cookie->path($tx->req->url->path->to_dir->to_abs_string)
            unless ($cookie->path // '') =~ m{^/};
        $self->add($cookie);
    }
}

sub find ($self, $url) {
    my $host = lc $url->ihost;
    return [
        map { Mojo::Cookie::Request->new(name => $_->name, value => $_->value) }
            grep {
            my $domain = $_->domain;
            ($domain eq $host || !$_->host_only && $host =~ /\.\Q$domain\E$/)
                && (!defined $_->expires || $_->expires > time)
                && (!$_->secure || $url->protocol =~ /^(?:https|wss)$/)
                && Mojo::UserAgent::CookieJar::_path(
                $_->path =~ s{(?<=.)/$}{}r,
                $url->path->to_abs_string)
            } @{$self->all}
    ];
}

1;
