#!/bin/sh
# Each way to use the library, as a project outside the tree does it: it builds without a warning, and its echo server
# serves. And each way that must fail does, with a word that helps.
#
#   tests/packaging/packaging.sh TREE WORK CLIENT [TOOLCHAIN EMULATOR]     WORK is an empty folder
set -u
tree=$1
work=$2
client=$3
toolchain=${4-}
emulator=${5-}
consumer=$tree/tests/packaging/consumer
rm -rf "$work"
mkdir -p "$work" && cd "$work" || exit 1
failed=0

say() {
  echo "$1"
  failed=1
}
configure() { # configure FOLDER SOURCE OPTIONS…
  folder=$1
  source=$2
  shift 2
  cmake -S "$source" -B "$folder" -DCMAKE_BUILD_TYPE=Debug ${toolchain:+-DCMAKE_TOOLCHAIN_FILE="$toolchain"} "$@" >"$folder.log" 2>&1
}
build() { cmake --build "$1" --parallel 2 --target "${2-all}" >>"$1.log" 2>&1; }
failure() {
  say "$1: $2"
  tail -n 30 "$1.log"
}

# serves NAME PROGRAM: an echo comes back through it.
serves() {
  port=$(($(od -An -N2 -tu2 /dev/urandom) % 20000 + 10000))
  for _ in 1 2 3 4 5; do
    # shellcheck disable=SC2086
    $emulator "$2" "$port" >>"$1.log" 2>&1 &
    server=$!
    tries=0
    until "$client" load "127.0.0.1:$port" --connections 2 --messages 3 >>"$1.log" 2>&1; do
      tries=$((tries + 1))
      if ! kill -0 $server 2>/dev/null || [ $tries = 100 ]; then break; fi
      sleep 0.1
    done
    if kill -0 $server 2>/dev/null; then
      kill -TERM $server # which ends a program that has no handler, as this one
      wait $server 2>/dev/null
      [ $tries = 100 ] || { echo "$1: ok" && return; }
    else
      wait $server
    fi
    port=$((port + 1)) # somebody else's
  done
  failure "$1" 'its server does not serve'
}
exe=
[ -z "$toolchain" ] || exe=.exe

# A cross build looks for packages below its own root alone, so there the folder is named.
found() {
  if [ -z "$toolchain" ]; then
    echo "-DCMAKE_PREFIX_PATH=$1"
  else
    echo "-DSocketLadder_DIR=$1/lib/cmake/SocketLadder"
  fi
}

uses() { # uses NAME PREFIX OPTIONS…: by find_package
  name=$1
  package=$(found "$2")
  shift 2
  if configure "$name" "$consumer" "$package" "$@" && build "$name"; then
    serves "$name" "$work/$name/consumer$exe"
  else
    failure "$name" 'does not build'
  fi
}

inside() { # inside WAY: the tree is a part of the user's project
  if configure "$1" "$consumer" -DWAY="$1" -DLADDER_SOURCE="$tree" && build "$1" consumer; then
    serves "$1" "$work/$1/consumer$exe"
  else
    failure "$1" 'does not build'
  fi
}

installed() { # installed NAME OPTIONS…: the library alone, as a packager builds it
  name=$1
  shift
  if ! { configure "build_$name" "$tree" -DLADDER_PROGRAMS=OFF -DLADDER_TESTS=OFF -DCMAKE_INSTALL_PREFIX="$work/$name.first" "$@" &&
    build "build_$name" && cmake --install "build_$name" >>"build_$name.log" 2>&1; }; then
    failure "build_$name" 'is not installed'
    return 1
  fi
  mv "$name.first" "$name" # a package may be moved
  headers=$(cd "$name" && find . -name '*.h')
  [ "$headers" = ./include/ladder/server.h ] || say "$name: installs other headers: $headers"
}

refused() { # refused NAME WORDS COMMAND…: it ends with an error that has these words
  name=$1
  words=$2
  shift 2
  if "$@" >"$name.log" 2>&1; then
    failure "$name" 'is not refused'
  elif tr -s '\n ' '  ' <"$name.log" | grep -q -e "$words"; then
    echo "$name: refused, with a word that helps"
  else
    failure "$name" "does not say: $words"
  fi
}

inside subdirectory
if [ -z "$toolchain" ] && [ -e "$tree/.git" ] && command -v git >/dev/null; then
  inside fetch
fi
if installed static; then
  uses package "$work/static"
  if [ -z "$toolchain" ]; then
    for model in blocking thread_per_conn select epoll; do
      uses "package_$model" "$work/static" -DMODELS="$model"
    done
    if command -v pkg-config >/dev/null; then
      PKG_CONFIG_PATH=$(dirname "$(find "$work/static" -name '*.pc')")
      export PKG_CONFIG_PATH
      # shellcheck disable=SC2046
      if c++ -std=c++20 -o pkg_config "$consumer/main.cpp" $(pkg-config --cflags --libs socket-ladder) >pkg_config.log 2>&1; then
        serves pkg_config "$work/pkg_config"
      else
        failure pkg_config 'does not build'
      fi
      # shellcheck disable=SC2046
      refused cxx17 'needs C++20' c++ -std=c++17 -fsyntax-only "$consumer/main.cpp" $(pkg-config --cflags socket-ladder)
    else
      echo 'pkg_config: not tested: there is none'
    fi
  fi
  package=$(found "$work/static")
  refused two_models 'LADDER_MODEL' configure two_models "$consumer" "$package" '-DMODELS=select;blocking'
  refused no_such_model 'has no model "kqueue"' configure no_such_model "$consumer" "$package" -DMODELS=kqueue
fi
if installed shared -DBUILD_SHARED_LIBS=ON; then
  if [ -n "$toolchain" ]; then # Windows looks beside the program
    mkdir -p package_shared && cp shared/bin/*.dll package_shared/
  fi
  uses package_shared "$work/shared"
  if [ -z "$toolchain" ]; then
    # What leaves a shared library is the public API: all of it in the namespace, and nothing of the library's inside.
    inner=$(nm -D --defined-only -C "$(find "$work/shared" -name 'libladder_epoll.so')" | grep -E 'Session|Strand|ServerBase|EpollServer|ladder::os::')
    [ -z "$inner" ] || say "shared: it shows what is not public:
$inner"
  fi
fi
exit $failed
