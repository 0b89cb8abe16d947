#!/bin/sh
# A service of inetd's own on a port: inetd.sh SERVICE PORT FOLDER, where FOLDER is for its files.
#
# inetd finds the port in /etc/services by the service's name, and leaves its process number in /run: so it gets its own
# of both, in a mount namespace.
PATH=$PATH:/usr/sbin
echo "$1 $2/tcp" >"$3/services"
echo "127.0.0.1:$1 stream tcp nowait.100000 root internal" >"$3/inetd.conf"
exec unshare --map-root-user --mount sh -c '
  mount --bind "$1/services" /etc/services && mount -t tmpfs none /run && exec inetd -i "$1/inetd.conf"' sh "$3"
