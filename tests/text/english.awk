# Reads texts, comments, messages and names of tests, and prints the sentences in them that are no plain English, a line
# each: file, line of the sentence's first word, name of the construction, sentence.
#
#   awk -v constructions=tests/text/english.txt -f tests/text/english.awk FILE ...
#   awk -v constructions=tests/text/english.txt -v self_test=1 -f tests/text/english.awk /dev/null
#
# The self-test looks at each construction's own samples instead.

function read_constructions(line, kind, text) {
  while ((getline line < constructions) > 0) {
    if (line !~ /^[a-z]+: /) continue
    kind = text = line
    sub(/: .*/, "", kind)
    sub(/^[a-z]+: +/, "", text)
    if (kind == "name") name[++count] = text
    else if (kind == "find") find[count] = find[count] (find[count] == "" ? "" : "|") text
    else if (kind == "unless") unless[count] = text
    else if (kind == "bad") bad[count, ++bads[count]] = text
    else if (kind == "good") good[++goods] = text
    else if (kind == "say") good[++goods] = text
  }
  close(constructions)
}

# Which construction is in the sentence; 0: none. A sentence is looked at as " Word word, word. ": a space at both ends.
function construction_of(sentence, asks, i) {
  asks = sentence ~ /\?["')*_]* *$/
  sentence = " " sentence " "
  for (i = 1; i <= count; i++)
    if (match(sentence, find[i]) && !(asks && unless[i] == "a question")) return i
  return 0
}

function judge(sentence, at, i) {
  # "/// What a receive came to." describes what stands below, and is no subject
  if (sentence !~ /[a-z] +[a-z]/ || (label && sentence ~ /^What /) || !(i = construction_of(sentence))) return
  print held_of ":" at ": " name[i] ": " sentence
  found++
}

# Adds a line to the paragraph, and remembers for each word in which line it stands.
function add(text, at, words, list, i) {
  words = split(text, list, /[ \t]+/)
  for (i = 1; i <= words; i++)
    if (list[i] != "") {
      word[++held] = list[i]
      line_of[held] = at
    }
  held_of = FILENAME
}

# A sentence ends at a stop with a capital, a quote or nothing behind it; so does what an end of a table's cell cuts off.
function flush_paragraph(i, sentence, at) {
  label = !prose && !patch
  for (i = 1; i <= held; i++) {
    if (sentence == "") at = line_of[i]
    if (word[i] == "|") {
      judge(sentence, at)
      sentence = ""
      continue
    }
    sentence = sentence (sentence == "" ? "" : " ") word[i]
    if (i == held || (word[i] ~ /[.?!:;]["')*_`]*$/ && (word[i + 1] ~ /^["'(*_`]*[A-Z]/ || word[i] !~ /[:;]/))) {
      judge(sentence, at)
      sentence = ""
      label = 0
    }
  }
  held = 0
}

# What of a line is text; `kind` says of which sort, so that only neighbours of one sort make a paragraph.
function take(line) {
  kind = "text"
  if (prose) {
    if (line ~ /^ *```/) {
      fenced = !fenced
      kind = "fence"
      return ""
    }
    if (fenced) {  # what commands print is shown as it is; comments beside commands are ours
      kind = "code"
      if (line !~ /(^| )# /) return ""
      sub(/.*(^| )# /, "", line)
      return line
    }
    if (line ~ /^#/) kind = "heading"
    if (line ~ /^ *([-*]|[0-9]+\.) /) flush_paragraph()
    if (line ~ /^[|#]/ || line ~ /^<!--/) flush_paragraph()
    gsub(/`[^`]*`/, "`x`", line)
    gsub(/\]\([^)]*\)/, "", line)
    gsub(/\|/, " | ", line)
    gsub(/[*_[]+/, "", line)
    sub(/^ *(-|[0-9]+\.|#+) +/, "", line)
    return line
  }
  if (match(line, /(^|[ \t])(\/\/\/?<?|#) /) && line !~ /^ *#(include|if|else|endif|define)/) {
    kind = line ~ /^[ \t]*(\/\/|#)/ ? "comment" : "remark"
    line = substr(line, RSTART + RLENGTH)
  } else if (line ~ /^[ \t]*(\/\/|#)!?$/) {
    kind = "blank"
    return ""
  } else {
    kind = line ~ /^[ \t]*"/ ? "string" : "code"
    gsub(/\\n/, " ", line)
    gsub(/[{}()<>=]+/, " | ", line)  # code is not prose: no sentence goes on beyond these
  }
  if (line ~ /^ *- /) flush_paragraph()
  gsub(/["`]+/, kind == "string" ? " " : " | ", line)
  gsub(/\\/, "", line)
  return line
}

BEGIN {
  read_constructions()
  if (self_test) {
    for (i = 1; i <= count; i++) {
      if (!bads[i]) failed[++failures] = name[i] ": has no sample"
      for (k = 1; k <= bads[i]; k++)
        if (!match(" " bad[i, k] " ", find[i]) || construction_of(bad[i, k]) == 0)
          failed[++failures] = name[i] ": does not find: " bad[i, k]
    }
    for (k = 1; k <= goods; k++)
      if (i = construction_of(good[k])) failed[++failures] = name[i] ": finds: " good[k]
    if (count < 10 || goods < count) failed[++failures] = count " constructions, " goods " good samples"
    for (i = 1; i <= failures; i++) print constructions ": " failed[i]
    if (!failures) print count " constructions find their samples, and none of " goods " good ones"
    exit (failures > 0)
  }
}

FNR == 1 {
  flush_paragraph()
  prose = FILENAME ~ /\.md$/
  fenced = 0
  patch = FILENAME ~ /\.patch$/
  head = 1
}

patch && /^(--- |diff )/ { head = 0 }
patch && !head { next }

{
  text = patch ? $0 : take($0)
  if (patch) {
    kind = "text"
    if ($0 ~ /^[A-Z][a-z]*: /) {
      flush_paragraph()
      sub(/^[A-Z][a-z]*: /, "", text)
    }
  }
  if (text ~ /^[ \t]*$/ || kind == "remark" || kind == "code" || kind != last_kind) flush_paragraph()
  last_kind = kind
  if (kind != "heading") add(text, FNR)
}

END {
  if (self_test) exit (failures > 0)
  flush_paragraph()
  exit (found > 0)
}
