#!/bin/sh
# Builds and tests in Debian 13, whose compilers and Wine are newer: a chroot of its own in build/debian13.
#
#   tests/debian13.sh              all of it, in this order; or one or more by name:
#   tests/debian13.sh prepare      makes the chroot if there is none: needs root, debootstrap and Debian's archive
#   tests/debian13.sh clang        clang 19, with g++ 14's library and with its own: builds, and the unit tests of both
#   tests/debian13.sh windows      Windows programs under Wine 10: their own tests, and the suite from there
#   tests/debian13.sh tour         ./tour as an ordinary user with the usual soft limit of 1024 descriptors
#   tests/debian13.sh check        g++ 14 and the rest: ./check, the quick one, as that user
#   tests/debian13.sh run WORD…    a command there, in the copy of this tree
set -u
cd "$(dirname "$0")/.." || exit 1
chroot=$PWD/build/debian13
packages='g++ cmake ninja-build make git doctest-dev clang-19 clang-format-19 clang-tidy-19 libc++-19-dev libc++abi-19-dev g++-mingw-w64-x86-64-posix wine wine64
  patch socat netcat-openbsd curl wrk python3 perl procps iproute2 strace gawk'

fail() {
  echo "debian13: $*" >&2
  exit 1
}

# alone COMMAND…: mounts and processes of its own. Both end with the command, so that nothing is ever left mounted below
# build/, and no server of Wine's goes on.
alone() { unshare --mount --propagation private --pid --fork --kill-child "$@"; }

# there COMMAND…: in the chroot, with what a system has and with nothing of this shell's environment.
there() {
  # shellcheck disable=SC2016  # $1 is the inner shell's
  alone sh -c '
    mount -t proc proc "$1/proc" && mount -t sysfs -o ro sysfs "$1/sys" && mount --rbind /dev "$1/dev" || exit 1
    root=$1
    shift
    exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
      ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} chroot "$root" "$@"' sh "$chroot" "$@"
}

prepare() {
  [ "$(id -u)" = 0 ] || fail 'a chroot takes root'
  command -v debootstrap >/dev/null 2>&1 || fail 'debootstrap is missing (Debian: apt-get install debootstrap)'
  alone true 2>/dev/null || fail 'no mount namespace may be made here (unshare)'
  mkdir -p build
  log=build/debian13.log
  if [ ! -d "$chroot" ]; then
    # The mirror of this system, if it is a Debian; else debootstrap's own. Moved into its place when it is whole.
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 2>/dev/null | head -n 1)
    rm -rf --one-file-system "$chroot.new"
    echo "debian13: debootstrap (its log: $log)"
    alone debootstrap --variant=minbase trixie "$chroot.new" ${mirror:+"$mirror"} >"$log" 2>&1 ||
      fail "debootstrap failed: $(tail -n 1 "$log")"
    mv "$chroot.new" "$chroot"
  fi
  cp /etc/resolv.conf "$chroot/etc/resolv.conf"
  apt-config dump | grep -E '^Acquire::https?::' >"$chroot/etc/apt/apt.conf.d/50host"
  [ "$(cat "$chroot/installed" 2>/dev/null)" = "$packages" ] && return
  echo "debian13: its packages (the log: $log)"
  # shellcheck disable=SC2086
  { there apt-get update && there env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages &&
    { there id ladder || there useradd --create-home --shell /bin/sh ladder; }; } >>"$log" 2>&1 ||
    fail "its packages could not be installed: $(tail -n 1 "$log")"
  echo "$packages" >"$chroot/installed"
}

# copy FOLDER: this tree as it is now, without what was built, as a repository of its own in the chroot.
copy() {
  rm -rf --one-file-system "${chroot:?}/$1"
  mkdir -p "$chroot/$1"
  git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from=- --ignore-failed-read 2>/dev/null |
    tar --extract --directory "$chroot/$1"
  there sh -c "cd /$1 && git init -q && git add -A && git config user.name check && git config user.email check@localhost &&
    git commit -qm copy && for _ in 1 2 3; do git commit -q --allow-empty -m 'nothing changed: clang-tidy has been here'; done"
}

# tree COMMANDS: a shell's words in the copy, with the functions of cmake/setup.sh.
tree() {
  there sh -c 'cd /ladder && . cmake/setup.sh && cmake_options=-DCMAKE_COMPILE_WARNING_AS_ERROR=ON && eval "$1"' sh "$1"
}

# shellcheck disable=SC2016  # the words are for the shell there
clang() {
  copy ladder || return 1
  tree 'clang++-19 --version | head -n 1
    build libcxx && build/libcxx/bin/unit && CXX=clang++-19 && export CXX && build linux && build/linux/bin/unit'
}

# shellcheck disable=SC2016
windows() {
  copy ladder || return 1
  tree 'wine_version; build linux conformance && build windows-cross || exit 1
    failures=0
    ctest --preset windows-cross -R "^unit$|^contract\." || failures=1
    for rung in 01_blocking 02_thread_per_conn 03_select 04_iocp; do
      build/linux/bin/conformance --server "cmake/wine.sh build/windows-cross/bin/$rung.exe" -tce="SCALE-*" || failures=1
    done
    exit $failures'
}

tour() {
  copy srv/ladder || return 1
  there chown -R ladder: /srv/ladder
  there su ladder -c 'ulimit -Sn 1024 && cd /srv/ladder && ./tour'
}

check() {
  copy srv/ladder || return 1
  there chown -R ladder: /srv/ladder
  there su ladder -c 'ulimit -Sn 1024 && cd /srv/ladder && ./check'
}

case ${1-} in
-h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0" && exit 0 ;;
run)
  shift
  [ $# -gt 0 ] || fail 'run takes the words of a command'
  [ -e "$chroot/ladder" ] || copy ladder || exit 1
  tree "$*"
  exit
  ;;
'') set -- prepare clang windows tour check ;;
esac
for part; do
  case $part in
  prepare | clang | windows | tour | check) "$part" || exit 1 ;;
  *) fail "unknown argument '$part' (--help tells)" ;;
  esac
done
