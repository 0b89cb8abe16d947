# The ladder as one page that needs nothing else: a table, and a plot of each of its columns. ./tour --html runs it.
#
#   awk -v machine=TEXT -v idle=N -v busy=N -f tour.awk FIGURES      a program a line, its figures between tabs

BEGIN { FS = "\t" }

function escape(text) {
  gsub(/&/, "\\&amp;", text)
  gsub(/</, "\\&lt;", text)
  return text
}

# short VALUE COLUMN: counts as they are, other figures with three digits: 0.4, 12, 4 700 or 191 000.
function short(value, column, digits, head) {
  if (value < 10) return sprintf("%.3g", value)
  digits = sprintf("%.0f", value)
  if (column != 5 && column != 3 && length(digits) > 3) digits = substr(digits, 1, 3) substr("000000000", 1, length(digits) - 3)
  for (head = length(digits) - 3; head > 0; head -= 3) digits = substr(digits, 1, head) " " substr(digits, head + 1)
  return digits
}

# plot TITLE SAYS COLUMN UNIT: a bar for each program that has the figure.
function plot(title, says, column, unit, i, most, y, width) {
  most = 0
  for (i = 1; i <= n; ++i) if (figure[i, column] ~ /^[0-9]/ && figure[i, column] + 0 > most) most = figure[i, column] + 0
  if (most == 0) return
  printf "<h2>%s</h2>\n<p>%s</p>\n<svg viewBox=\"0 0 760 %d\" role=\"img\" aria-label=\"%s\">\n", title, says, n * 26, title
  for (i = 1; i <= n; ++i) {
    y = (i - 1) * 26
    printf "<text x=\"205\" y=\"%d\" text-anchor=\"end\">%s</text>\n", y + 17, escape(figure[i, 1])
    if (figure[i, column] !~ /^[0-9]/) {
      printf "<text x=\"215\" y=\"%d\" class=\"none\">no figure</text>\n", y + 17
      continue
    }
    width = figure[i, column] / most * 420
    printf "<rect x=\"215\" y=\"%d\" width=\"%.1f\" height=\"18\" class=\"%s\"/>", y + 4, width < 1 ? 1 : width, figure[i, 1] ~ /_server$/ ? "server" : "backend"
    printf "<text x=\"%.1f\" y=\"%d\">%s%s</text>\n", 221 + width, y + 17, short(figure[i, column], column), unit
  }
  print "</svg>"
}

{
  ++n
  for (i = 1; i <= NF; ++i) figure[n, i] = $i
}

END {
  print "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">"
  print "<title>Socket Ladder: the tour</title>\n<style>"
  print ":root { color-scheme: light dark; --ink: #1f2328; --paper: #fff; --pale: #59636e; --line: #d1d9e0; --backend: #0969da; --server: #8250df }"
  print "@media (prefers-color-scheme: dark) { :root { --ink: #f0f6fc; --paper: #0d1117; --pale: #9198a1; --line: #3d444d; --backend: #4493f8; --server: #ab7df8 } }"
  print "body { max-width: 58rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper) }"
  print "div { overflow-x: auto } table { border-collapse: collapse } th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }"
  print "th:first-child, td:first-child { text-align: left } h2 { font-size: 1.1rem; margin: 2rem 0 0 } p { margin: .3rem 0 } .none { color: var(--pale); fill: var(--pale) }"
  print "svg { width: 100%; font-size: 13px; fill: var(--ink) } .backend { fill: var(--backend) } .server { fill: var(--server) }"
  print "</style>\n<h1>Socket Ladder: the tour</h1>"
  printf "<p>The same scenes on each rung, with the same client, in one run on one machine (%s). <b style=\"color:var(--backend)\">Blue</b>: the\n", escape(machine)
  print "chapter's backend, behind the library's interface. <b style=\"color:var(--server)\">Violet</b>: its <code>server.cpp</code>, the same model in one file."
  print "Draw no conclusion from one run's speed.</p>"
  print "<div><table>\n<tr><th>program<th>second client<th>held<th>threads<th>bytes each<th>echoes/s<th>p99, µs<th>beside the idle"
  for (i = 1; i <= n; ++i) {
    printf "<tr><td>%s<td>%s<td>%s of %s", escape(figure[i, 1]), escape(figure[i, 2]), figure[i, 3], figure[i, 4]
    for (k = 5; k <= 9; ++k) printf "<td>%s", figure[i, k] ~ /^[0-9]/ ? short(figure[i, k], k) (k == 9 ? " ×" : "") : "–"
    print ""
  }
  print "</table></div>"
  plot("Clients held at once, and served", "All of them connect, send a message, expect its echo, stay, and do so once more.", 3, "")
  plot("Threads while they were held", "The most at any moment.", 5, "")
  plot("Memory for each", "Of the process, between no client and all of them. Where Wine runs a program, its server holds the sockets.", 6, " B")
  plot("Echoes a second", "Clients that send 64 bytes and wait for their echo, again and again. 01 has one.", 7, "")
  plot("The slowest hundredth of them", "The p99 of the same echoes.", 8, " µs")
  plot("What an echo costs beside " idle " silent clients", "Processor time with " busy " busy clients, over the same without the silent ones.", 9, " ×")
  print "<h2>What ends each rung</h2>\n<ul>"
  for (i = 1; i <= n; ++i) if (figure[i, 1] !~ /_server$/) printf "<li>%s: %s\n", escape(figure[i, 1]), escape(figure[i, 10])
  print "</ul>\n</html>"
}
