#!/bin/sh
# The self-contained servers share some code, and it is the same in each of them, byte for byte. So `diff` shows the model and
# nothing else, and a mend in one of them is not forgotten in the others.
#
#   tests/steps/alike.sh
set -u
cd "$(dirname "$0")/../.." || exit 2

# block NAME FILE: the function or type of that name, from its first line to the brace that ends it.
block() {
  awk -v name="$1" '
    /^[A-Za-z[]/ && /[{]$|[{]  \/\// { on = $0 ~ "[ *&]" name "[(]" || $0 ~ "^struct " name " " }
    on { print }
    /^}/ { on = 0 }' "$2"
}

status=0
# alike "CHAPTERS" NAME…: each of these is there, and is the same in all these chapters.
alike() {
  chapters=$1
  shift
  for name; do
    first=
    for chapter in $chapters; do
      file=$(echo "$chapter"_*/server.cpp)
      text=$(block "$name" "$file")
      : "${first:=$text}"
      if [ -z "$text" ]; then
        echo "$file has no $name"
      elif [ "$text" != "$first" ]; then
        echo "$name of $file is not that of $(echo "${chapters%% *}"_*/server.cpp)"
      else
        continue
      fi
      status=1
    done
  done
}

alike '01 02 03 04 05' Options refuse
alike '02 03 04 05' parse # 01's description is the same whatever its options say
alike '01 02 03 05' fail print unread
alike '01 02 05' log stop prepare_process
alike '03 05' advance look
alike '01 02' rest accept_client receive send_all advance look serve run listen_on
exit $status
