#!/bin/sh
# Runs a Windows program under Wine, in a prefix of the project's own: cmake/wine.sh build/windows-cross/bin/04_iocp.exe
# The program takes the place of this script, so a signal for one reaches the other; Wine makes SIGINT a Ctrl-C.
WINEPREFIX=${WINEPREFIX:-$(cd "$(dirname "$0")/.." && pwd)/build/wine}
WINEDEBUG=${WINEDEBUG:--all}
# Without Wine's debugger: some programs that crash end with exit 0 under it, as if all were well.
WINEDLLOVERRIDES=${WINEDLLOVERRIDES:-winedbg.exe=d}
export WINEPREFIX WINEDEBUG WINEDLLOVERRIDES
# Wine's server holds the sockets of all programs, and keeps the soft limit that it is started with: 1024, usually.
# shellcheck disable=SC3045  # dash, bash, ksh and busybox have both
ulimit -Sn "$(ulimit -Hn)" 2>/dev/null || :
if [ ! -e "$WINEPREFIX/system.reg" ]; then # written when the prefix is whole
  mkdir -p "$WINEPREFIX"
  # What Wine says of it is no output of the program's: shown only if it fails.
  flock "$WINEPREFIX" sh -c '[ -e "$WINEPREFIX/system.reg" ] || { wineboot -i && wineserver -w; } >"$WINEPREFIX/made.log" 2>&1' || {
    cat "$WINEPREFIX/made.log" >&2
    exit 125
  }
fi
# Wine needs a page at a fixed address, and one start in a thousand finds something else there: without a word, and with
# exit 1. Where it is allowed, addresses are not random.
fixed=
setarch -R true 2>/dev/null && fixed='setarch -R'
# Its server stays for ten seconds when the last program has gone. Debian's goes at once, and takes along a program that
# starts just then ("recvmsg: Connection reset by peer"). The server must not hold this program's output.
(wineserver -p10 && $fixed wine wineboot) </dev/null >/dev/null 2>&1 # not where one runs: status 2
exec $fixed wine "$@"
