# An echo server with one loop for all clients, as one writes it first: first_try.pl PORT
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;

my $listener = IO::Socket::INET->new(
  LocalAddr => '127.0.0.1', LocalPort => $ARGV[0], Listen => 128, ReuseAddr => 1) or die "cannot listen: $@\n";
my $readers = IO::Select->new($listener);
while (my @readable = $readers->can_read) {
  for my $socket (@readable) {
    if ($socket == $listener) {
      $readers->add($listener->accept);
    } elsif (sysread $socket, my $bytes, 65536) {
      syswrite $socket, $bytes;
    } else {
      $readers->remove($socket);
      close $socket;
    }
  }
}
