#!/bin/sh
# A service of xinetd's own on a port: xinetd.sh SERVICE PORT FOLDER, where FOLDER is for its configuration.
PATH=$PATH:/usr/sbin
cat >"$3/xinetd.conf" <<END
service $1
{
    type = INTERNAL UNLISTED
    id = $1-stream
    socket_type = stream
    protocol = tcp
    wait = no
    user = root
    bind = 127.0.0.1
    port = $2
    instances = UNLIMITED
    cps = 100000 1
}
END
exec xinetd -dontfork -filelog /dev/null -f "$3/xinetd.conf"
