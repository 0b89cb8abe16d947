# Sourced by ./tour and ./check. Finds what is missing and installs it where that is possible; nothing else here.

# need COMMAND-OR-/FILE PACKAGE: notes the package if the command, or the file, is not there.
missing=
need() {
  case $1 in
  /*) [ -e "$1" ] ;;
  *) command -v "$1" >/dev/null 2>&1 ;; # not a file beside us: there is a folder called cmake
  esac || missing="$missing $2"
}

# For Windows programs on this machine: the compiler, and what runs them.
need_wine() {
  need x86_64-w64-mingw32-g++-posix g++-mingw-w64-x86-64-posix
  need wine 'wine wine64'
}
have_wine() {
  command -v x86_64-w64-mingw32-g++-posix >/dev/null 2>&1 && command -v wine >/dev/null 2>&1
}
# The newest clang that Debian 12, 13 and Ubuntu have alike, its own library, and its clang-format and clang-tidy: what
# they find is the same everywhere.
need_clang19() {
  need clang++-19 clang-19
  need clang-format-19 clang-format-19
  need clang-tidy-19 clang-tidy-19
  need /usr/lib/llvm-19/include/c++/v1/string 'libc++-19-dev libc++abi-19-dev'
}
have_clang19() {
  command -v clang++-19 >/dev/null 2>&1 && command -v clang-format-19 >/dev/null 2>&1 &&
    command -v clang-tidy-19 >/dev/null 2>&1 && [ -e /usr/lib/llvm-19/include/c++/v1/string ]
}
wine_version() { WINEDEBUG=-all wine --version; }

# install_missing: as root on Debian or Ubuntu the packages by name; else the line to type.
install_missing() {
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing:$missing"
    setup_log=$(mktemp)
    if { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } \
      >"$setup_log" 2>&1; then
      rm -f "$setup_log"
    else
      tail -n 5 "$setup_log" >&2
      echo "could not install:$missing (the whole log: $setup_log); going on with what is there" >&2
    fi
  else
    echo "missing here:$missing"
    echo "on Debian or Ubuntu type:  sudo apt-get install$missing"
  fi
  missing=
}

# build PRESET [TARGET…]: configures and builds, silently unless it fails. What $cmake_options says is added: ./check
# makes warnings errors.
build() {
  preset=$1
  shift
  if [ ! -d "build/$preset" ] && command -v ninja >/dev/null 2>&1; then
    CMAKE_GENERATOR=Ninja
    export CMAKE_GENERATOR
  fi
  build_log=build/$preset.log
  mkdir -p build
  # shellcheck disable=SC2086
  if ! cmake --preset "$preset" ${cmake_options-} >"$build_log" 2>&1 ||
    ! cmake --build --preset "$preset" --parallel "$(nproc)" ${1:+--target "$@"} >>"$build_log" 2>&1; then
    grep -E -A5 'error|Error|FAILED' "$build_log" | head -n 40 >&2
    echo "the build failed; the whole log is $build_log" >&2
    return 1
  fi
}
