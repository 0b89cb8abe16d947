#!/bin/sh
# The archive that cpack makes: what is in it, and that its programs run where nothing else is, neither a library nor a
# system.
#
#   tests/packaging/archive.sh BUILD WORK SERVER [EMULATOR]     SERVER: an echo server of this system; WORK is emptied
set -u
build=$1
work=$2
server=$3
emulator=${4-}
exe=${emulator:+.exe}

fail() {
  echo "archive: $*"
  exit 1
}
rm -rf "$work"
mkdir -p "$work" && work=$(realpath "$work") || exit 1
cpack --config "$build/CPackConfig.cmake" -B "$work" >"$work/cpack.log" 2>&1 || { cat "$work/cpack.log" && exit 1; }
archive=$(ls "$work"/SocketLadder-*) || fail 'cpack has made none'
mkdir "$work/root" && cd "$work/root" || exit 1
cmake -E tar xf "$archive" || exit 1
mv SocketLadder-*/* . || exit 1
for file in bin/client$exe bin/conformance$exe include/ladder/server.h lib*/cmake/SocketLadder/SocketLadderConfig.cmake; do
  [ -e "$file" ] || fail "$file is not in it"
done
cd - >/dev/null || exit 1

# there PROGRAM…: in an empty root, if this system lets us have one; for Windows, in Wine's.
if [ -n "$emulator" ]; then
  there() { program=$1 && shift && "$emulator" "$work/root/$program.exe" "$@"; }
elif [ "$(id -u)" = 0 ]; then
  there() { chroot "$work/root" "$@"; }
elif unshare --map-root-user true 2>/dev/null; then
  there() { unshare --map-root-user chroot "$work/root" "$@"; }
else
  echo 'archive: no empty root can be had here; the programs need no library, and run as they are'
  there() { program=$1 && shift && "$work/root/$program" "$@"; }
fi
if [ -z "$emulator" ]; then
  for program in client conformance; do
    ! ldd "$work/root/bin/$program" >"$work/ldd.log" 2>&1 || ! grep -q '=>' "$work/ldd.log" || fail "$program needs a library"
  done
fi

"$server" >"$work/server.log" 2>&1 &
process=$!
trap 'kill -KILL $process 2>/dev/null' EXIT
tries=100
until grep -qs READY "$work/server.log"; do
  tries=$((tries - 1))
  [ $tries -gt 0 ] || fail "$server is not ready"
  sleep 0.1
done
port=$(sed -n 's/.* port=\([0-9]*\).*/\1/p' "$work/server.log")
there /bin/client load "127.0.0.1:$port" --connections 20 --messages 20 >"$work/client.log" 2>&1 || { cat "$work/client.log" && fail 'its client fails'; }
there /bin/conformance --connect "127.0.0.1:$port" -tc='IO-01*,IO-02*,CLOSE-01*' >"$work/suite.log" 2>&1 || { cat "$work/suite.log" && fail 'its suite fails'; }
kill -TERM $process && wait $process || fail "$server did not end in order"
echo "$(basename "$archive"): $(wc -c <"$archive") bytes, $(sed -n 's/^\(PASS [0-9]*\).*/\1/p' "$work/suite.log" | tail -n 1) of its suite"
