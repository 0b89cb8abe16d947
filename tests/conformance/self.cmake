# The suite judged: each of the broken servers must turn its case red, and the same server in good order none.
#   cmake -DCONFORMANCE=… -DBROKEN_SERVER=… -DFOLDER=… -P self.cmake

set(within 60)
# Runs the suite with these arguments. It must end with `status` within that many seconds, and its output must match
# `pattern`.
function(demand status pattern)
  execute_process(COMMAND ${CONFORMANCE} ${ARGN} TIMEOUT ${within} RESULT_VARIABLE ended OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(ended STREQUAL status AND output MATCHES "${pattern}")
    message(STATUS "as it must be: ${ARGN}")
  else()
    message(SEND_ERROR "conformance ${ARGN}\nmust end with ${status} and say '${pattern}'. It ended with ${ended}:\n${output}")
  endif()
endfunction()

function(demand_red mode case)
  demand(1 "\nFAIL  ${case} " --server "\"${BROKEN_SERVER}\" ${mode} {port}" "-tc=${case}*")
endfunction()

demand_red(drops_bytes IO-04)
demand(1 " after 0 bytes, FIN.* It closed when its peer had finished sending.*\nFAIL  CLOSE-01 " # and says what that means
       --server "\"${BROKEN_SERVER}\" closes_at_end_of_input {port}" "-tc=CLOSE-01*")
demand_red(closes_at_end_of_input CLOSE-08)
demand_red(ignores_short_sends IO-05)
demand_red(ignores_short_sends CLOSE-08)
demand_red(spins SVC-01)
demand_red(resets CLOSE-02)
demand_red(leaks_descriptors CLOSE-02)
demand_red(answers_one_burst IO-09)
demand_red(shares_a_queue IO-10)
demand_red(exits_at_a_reset CLOSE-03)
demand_red(dies_of_sigpipe CLOSE-11)
demand_red(keeps_closed_ones CLOSE-06)
demand_red(goes_deaf CLOSE-04)
demand_red(ignores_short_sends BP-01)
demand_red(queues_without_end BP-02)
demand_red(waits_in_send BP-03)
demand_red(queues_without_end BP-04)
demand_red(asks_for_what_it_leaves BP-05)
demand_red(takes_full_for_broken BP-06)
# CONC-01 is red for a server that stays with one client: 01's sketch, whose list says so.
demand_red(turns_away_who_waits CONC-02)
demand_red(shares_a_queue CONC-03)
demand_red(stays_with_one CONC-04)
demand_red(accepts_all_first CONC-05)
demand_red(waits_for_the_first_bytes CONC-06)
demand_red(answers_out_of_order CONC-07)
demand_red(leaks_descriptors CONC-08)
demand_red(spins_without_descriptors LIM-02)
demand_red(gives_up_without_descriptors LIM-02)
demand_red(exits_at_a_reset ABUSE-01)
demand_red(keeps_closed_ones ABUSE-02)
demand_red(waits_for_the_first_bytes ABUSE-03)
demand_red(waits_for_the_first_bytes ABUSE-06)
demand_red(leaks_descriptors LEAK-01)
demand_red(leaks_threads LEAK-02)
demand_red(leaks_memory LEAK-03)

# All that is for anybody's server, on one that fails nearly all of it: two minutes, at a tenth of all patience.
set(within 12)
foreach(mode never_answers closes_at_once resets_at_once answers_garbage exits_after_a_client floods)
  demand(1 "\nFAIL  SVC-03 .*\nFAIL  CLOSE-08 " --server "\"${BROKEN_SERVER}\" ${mode} {port}" --timeout-scale 0.1)
endforeach()
demand(1 "\nFAIL  SVC-03 .*it drags on" --server "\"${BROKEN_SERVER}\" drips {port}" --timeout-scale 0.1 "-tc=SVC-03*")
set(within 60)

set(good "\"${BROKEN_SERVER}\" good {port}")
# Without a network of its own (an ordinary user in a container may not make one) the suite does not judge CLOSE-02.
demand(0 "\nPASS (48, LIMIT 0, FAIL 0, INFO 2|47, LIMIT 0, FAIL 0, INFO 3), N/A 78\n" --server "${good}")
# It knows no signal: if you say that it stops on one, the suite disagrees.
demand(1 "\nFAIL  STOP-01 " --server "${good}" --stops-on SIGTERM "-tc=STOP-01*")

# A failure that was listed is a limit; one that was listed and does not come is a failure; so is a wrong list.
set(drops "\"${BROKEN_SERVER}\" drops_bytes {port}")
set(list ${FOLDER}/conformance_self_list.txt)
file(WRITE ${list} "IO-02 each thousandth byte is lost\n")
demand(0 "\nLIMIT IO-02 .*each thousandth byte is lost" --server "${drops}" --expect ${list} "-tc=IO-02*")
demand(1 "\nFAIL  IO-02 .*it did not fail" --server "${good}" --expect ${list} "-tc=IO-02*")
file(WRITE ${list} "IO-99 no such case\n")
demand(1 "\nFAIL  IO-99 " --server "${good}" --expect ${list} "-tc=IO-01*")

file(WRITE ${list} "IO-02 each thousandth byte is lost\n")

demand(2 "no case" --server "${good}" "-tc=IO-99*")
demand(2 "{port}" --server "${BROKEN_SERVER}")
demand(2 "no_such_program" --server no_such_program)
demand(2 "listens on .* exit 3; it says: no disk" --server "sh -c 'echo no disk && exit 3' {port}")
demand(2 "^nobody answers at 127.0.0.1:1: [^\n]*\n$" --connect 127.0.0.1:1)
demand(2 "^not a numeric address: nowhere\n$" --connect nowhere:80)
demand(2 "--sever" --sever "${good}")

# Nobody sees a table that could not be written.
foreach(arguments "--help" "--list-test-cases" "--server;${good};-tc=SVC-01*")
  execute_process(COMMAND ${CONFORMANCE} ${arguments} TIMEOUT ${within} OUTPUT_FILE /dev/full RESULT_VARIABLE ended ERROR_QUIET)
  if(NOT ended STREQUAL 2)
    message(SEND_ERROR "conformance ${arguments} >/dev/full must end with 2. It ended with ${ended}")
  endif()
endforeach()

# Several servers in one run: a grid, a page and JUnit's XML. A server's words are text, and never more.
set(page ${FOLDER}/conformance_self.html)
set(junit ${FOLDER}/conformance_self.xml)
set(garbage "\"${BROKEN_SERVER}\" answers_garbage {port}")
demand(1 "\n +good +lossy +<b>&\" *\n.*\nIO-02 +PASS +LIMIT +FAIL +1 000.*\nIO-12 +PASS +FAIL +FAIL "
       --html ${page} --junit ${junit} "-tc=SVC-0*,IO-02*,IO-12*" --server "${good}" --name good
       --server "${drops}" --name lossy --expect ${list} --server "${garbage}" --name "<b>&\"")

# demand_text(FILE COUNT REGEX): so many matches
function(demand_text file count regex)
  file(READ ${file} text)
  string(REPLACE ";" "," text "${text}")  # it divides lists
  string(REGEX MATCHALL "${regex}" found "${text}")
  list(LENGTH found times)
  if(times EQUAL count)
    message(STATUS "as it must be: ${count} × ${regex}")
  else()
    message(SEND_ERROR "${file} must have ${count} × '${regex}'. It has ${times}.")
  endif()
endfunction()

demand_text(${junit} 3 "<testsuite name=\"(good|lossy|&lt,b&gt,&amp,&quot,)\"")
demand_text(${junit} 36 "<testcase ")  # nine of SVC, two of IO and the end, for each
demand_text(${junit} 8 "<failure message=")
demand_text(${junit} 18 "<skipped message=\"N/A: ")
demand_text(${junit} 1 "<skipped message=\"LIMIT: each thousandth byte is lost\"")
demand_text(${page} 36 "<a class=\"verdict (pass|limit|fail|none)\" href=\"#[A-Z0-9-]+\">")
demand_text(${page} 12 "<dt>wire</dt><dd><pre>\\+0\\.[0-9]+ C[0-9]*&gt,S connect\n")  # garbage is seen before a case begins
demand_text(${page} 1 "<dt>reason</dt><dd>each thousandth byte is lost</dd>")
demand_text(${page} 0 "<script|<b>&|\"&'")
foreach(tool "xmllint;--noout" "python3;-c;import sys, xml.dom.minidom as x; [x.parse(f) for f in sys.argv[1:]]")
  list(POP_FRONT tool program)
  find_program(${program}_FOUND ${program})
  if(NOT ${program}_FOUND)
    message(STATUS "not looked at by ${program}, which is not here")
    continue()
  endif()
  execute_process(COMMAND ${${program}_FOUND} ${tool} ${page} ${junit} RESULT_VARIABLE ended ERROR_VARIABLE output)
  if(NOT ended STREQUAL 0)
    message(SEND_ERROR "${program} finds these not well formed:\n${output}")
  endif()
endforeach()

demand(2 "^cannot write ${FOLDER}/nowhere/page.html: [^\n]*\n$" --html ${FOLDER}/nowhere/page.html --server "${good}")
demand(2 "^cannot write ${FOLDER}: [^\n]*\n$" --server "${good}" --junit ${FOLDER})
if(EXISTS /dev/full)
  demand(2 "\ncannot write /dev/full: " --html /dev/full --server "${good}" "-tc=IO-02*")
endif()
