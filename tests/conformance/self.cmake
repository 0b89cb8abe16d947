# The suite judged: each of the broken servers must turn its case red, and the same server in good order none.
#   cmake -DCONFORMANCE=… -DBROKEN_SERVER=… -DFOLDER=… -P self.cmake

set(wrong_ones 0)

# Runs the suite with these arguments. It must end with `status`, and its output must match `pattern`.
function(demand status pattern)
  execute_process(COMMAND ${CONFORMANCE} ${ARGN} RESULT_VARIABLE ended OUTPUT_VARIABLE output ERROR_VARIABLE output)
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
demand_red(closes_at_end_of_input CLOSE-01)
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

set(good "\"${BROKEN_SERVER}\" good {port}")
demand(0 "\n26 passed, 0 failed, " --server "${good}")
# It knows no signal: who says that it stops on one is told otherwise.
demand(1 "\nFAIL  STOP-01 " --server "${good}" --stops-on SIGTERM "-tc=STOP-01*")

# A failure that was listed is a limit; one that was listed and does not come is a failure; so is a wrong list.
set(drops "\"${BROKEN_SERVER}\" drops_bytes {port}")
set(list ${FOLDER}/conformance_self_list.txt)
file(WRITE ${list} "IO-02 each thousandth byte is lost\n")
demand(0 "\nLIMIT IO-02 .*each thousandth byte is lost" --server "${drops}" --expect ${list} "-tc=IO-02*")
demand(1 "\nFAIL  IO-02 .*it did not fail" --server "${good}" --expect ${list} "-tc=IO-02*")
file(WRITE ${list} "IO-99 no such case\n")
demand(1 "\nFAIL  IO-99 " --server "${good}" --expect ${list} "-tc=IO-01*")

demand(2 "no case" --server "${good}" "-tc=IO-99*")
demand(2 "{port}" --server "${BROKEN_SERVER}")
demand(2 "no_such_program" --server no_such_program)
demand(2 "--sever" --sever "${good}")
