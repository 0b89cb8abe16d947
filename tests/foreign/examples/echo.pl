# An echo server with one loop for all clients: echo.pl PORT
use strict;
use warnings;
use Errno qw(EAGAIN EINTR);
use IO::Select;
use IO::Socket::INET;

$SIG{PIPE} = 'IGNORE';
my $listener = IO::Socket::INET->new(
  LocalAddr => '127.0.0.1', LocalPort => $ARGV[0], Listen => 128, ReuseAddr => 1, Blocking => 0)
  or die "cannot listen: $@\n";
my ($readers, $writers) = (IO::Select->new($listener), IO::Select->new);
my (%owed, %finished);    # the bytes that each client must still get; those that have finished sending

while (1) {
  my ($readable, $writable) = IO::Select->select($readers, $writers) or next;
  for my $socket (@$readable) { $socket == $listener ? accept_client() : receive($socket) }
  for my $socket (@$writable) { flush($socket) if exists $owed{$socket} }
}

sub accept_client {
  my $client = $listener->accept or return;    # it may be gone again
  $client->blocking(0);
  $owed{$client} = '';
  $readers->add($client);
}

sub receive {
  my ($client) = @_;
  my $count = sysread $client, $owed{$client}, 65536, length $owed{$client};
  if (!defined $count) { return $! == EAGAIN || $! == EINTR ? () : end($client) }
  $finished{$client} = 1 if $count == 0;
  flush($client);
}

sub flush {
  my ($client) = @_;
  my $count = length $owed{$client} ? syswrite $client, $owed{$client} : 0;
  if (!defined $count) { return $! == EAGAIN || $! == EINTR ? settle($client) : end($client) }
  substr $owed{$client}, 0, $count, '';
  settle($client);
}

# Waits for room for what is owed, and for input while little is.
sub settle {
  my ($client) = @_;
  my $waiting = length $owed{$client};
  return end($client) if $finished{$client} && !$waiting;
  $waiting ? $writers->add($client) : $writers->remove($client);
  $finished{$client} || $waiting > 65536 ? $readers->remove($client) : $readers->add($client);
}

sub end {
  my ($client) = @_;
  $_->remove($client) for $readers, $writers;
  delete $owed{$client};
  delete $finished{$client};
  close $client;
}
