# Reads the project's texts, from its root, and prints what in them is not true, a line each.
#
#   awk -v executables=FILE -v cases=FILE -f text.awk 01_blocking/README.md ...
#
# FILE: a name a line. Beyond the texts it looks only at whether files exist and what is in those excerpted.

function wrong(message) {
  print FILENAME ":" FNR ": " message
  failures++
}

function read_names(file, into, line) {
  while ((getline line < file) > 0) into[line] = 1
  close(file)
}

# Whole, without spaces at line ends. "" if there is no such file.
function content(file, line, text) {
  if (file in contents) return contents[file]
  while ((getline line < file) > 0) {
    sub(/[ \t\r]+$/, "", line)
    text = text line "\n"
  }
  close(file)
  return contents[file] = text
}

function has_word(text, word) {
  return match(text, "(^|[^A-Za-z0-9_])" word "([^A-Za-z0-9_]|$)")
}

function exists(path) { return system("test -e '" path "'") == 0 }

# By its path from the root, from the text's folder, or, for a bare name, anywhere; * stands for anything.
function known_path(path, folder) {
  if (path in known) return known[path]
  if (path !~ /\*/ && (exists(path) || exists(folder path))) return known[path] = 1
  sub(/\/$/, "", path)
  return known[path] = system("find . \\( -name .git -o -name build \\) -prune -o -path '*/" path "' -print | grep -q .") == 0
}

function looks_like_path(word, first) {
  if (word !~ /^[A-Za-z0-9_.*\/-]+$/ || word ~ /^[\/.*-]/ || word ~ /^NN_/ || word ~ /^build\//) return 0
  if (word ~ /\.(h|cpp|md|txt|cmake|json|sh|awk|svg)$/) return 1
  if (word ~ /[a-z]\.\*$/) return 1  # connection.*
  first = word
  return sub(/\/.*/, "", first) && exists(first)
}

function check_excerpt(text) {
  excerpts++
  if (content(excerpt_file) == "") wrong("excerpt of " excerpt_file ", which does not exist")
  else if (!has_word(content(excerpt_file), excerpt_name)) wrong(excerpt_file " has no " excerpt_name)
  else if (text == "" || !index(content(excerpt_file), text)) wrong("this is not in " excerpt_file ", " excerpt_name)
}

function check_links(line, target) {
  while (match(line, /\]\([^) ]*\)/)) {
    target = substr(line, RSTART + 2, RLENGTH - 3)
    line = substr(line, RSTART + RLENGTH)
    sub(/#.*/, "", target)
    if (target == "" || target ~ /^[a-z]+:/) continue
    links++
    if (target ~ /'/ || !exists(folder target)) wrong("link to " target ", which does not exist")
  }
}

# Names in `backticks`: files of the project, and in a chapter's section 7 what is said to cure a hazard.
function check_names(line, word) {
  while (match(line, /`[^`]+`/)) {
    word = substr(line, RSTART + 1, RLENGTH - 2)
    line = substr(line, RSTART + RLENGTH)
    if (looks_like_path(word)) {
      paths++
      if (!known_path(word, folder)) wrong("`" word "` does not exist")
    } else if (section == 7 && word ~ /^[a-z_]+$/) {
      names++
      if (!has_word(code, word)) wrong("`" word "` is in none of the files that section 7 speaks of")
    }
  }
}

# What another platform's build makes, or one with liburing, may not be in the list of this one's: there the source must
# exist, 04_iocp/sketch.cpp.
function has_source(program, chapter, rest) {
  rest = program
  if (sub(/_sketch$/, "", rest) && exists("docs/more_models/" rest ".cpp")) return 1
  if (!match(program, /^[0-9]+_[a-z]+/)) return 0
  chapter = substr(program, 1, RLENGTH)
  rest = substr(program, RLENGTH + 2)
  return exists(chapter "/" (rest == "" ? "backend" : rest) ".cpp")
}

function check_programs(line, program, elsewhere) {
  while (match(line, /build\/[a-z-]+\/bin\/[A-Za-z0-9_]+/)) {
    program = substr(line, RSTART, RLENGTH)
    line = substr(line, RSTART + RLENGTH)
    elsewhere = program ~ /^build\/windows|\/io_uring_sketch$/
    sub(/.*\//, "", program)
    programs++
    if (!(program in executable) && !(elsewhere && has_source(program))) wrong("no target makes bin/" program)
  }
}

function check_cases(line, id) {
  while (match(line, /[A-Z]+-[0-9][0-9]/)) {
    id = substr(line, RSTART, RLENGTH)
    line = substr(line, RSTART + RLENGTH)
    ids++
    if (!(id in case_id)) wrong("the suite has no case " id)
  }
}

BEGIN {
  read_names(executables, executable)
  read_names(cases, case_id)
}

FNR == 1 {
  if (fenced) wrong("the text before ends inside a code block")
  fenced = marked = section = 0
  folder = FILENAME
  sub(/[^\/]*$/, "", folder)
  chapter = folder ~ /^(\.\/)?0[0-9]_/
  code = chapter ? content(folder "backend.cpp") content(folder "server.cpp") content("common/library/server_base.h") content("common/library/connection_state.h") content("common/library/strand.h") (folder ~ /^0[12]_/ ? content("common/library/blocking_base.cpp") : "") : ""
}

chapter && /^## / { section = $2 + 0 }
{ line_before = this_line; this_line = $0 }
{ check_programs($0) }

/^ *```/ {
  if (!fenced) {
    fenced = 1
    excerpted = marked && marked == FNR - 1
    body = ""
    if (chapter && /```cpp/ && !excerpted) wrong("code without <!-- excerpt FILE NAME --> before it")
  } else {
    fenced = 0
    if (excerpted) check_excerpt(body)
  }
  next
}

fenced {
  sub(/[ \t\r]+$/, "")
  body = body $0 "\n"
  next
}

marked && marked == FNR - 1 { wrong("an excerpt's mark without code behind it") }

/^<!-- excerpt / {
  excerpt_file = $3
  excerpt_name = $4
  marked = FNR
  caption = "`" excerpt_file "`, `" excerpt_name "`:"
  if (line_before != caption) wrong("an excerpt has its file and name in the line before its mark: " caption)
  next
}

{
  check_links($0)
  check_names($0)
  if (chapter) check_cases($0)
}

END {
  if (fenced) wrong("ends inside a code block")
  printf "%d excerpts, %d links, %d paths, %d names, %d programs, %d cases\n", excerpts, links, paths, names, programs, ids
  exit (failures > 0)
}
