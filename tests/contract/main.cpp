// Runs the cases: contract_05_epoll [--queue=per-worker] [doctest's own switches]
#define DOCTEST_CONFIG_IMPLEMENT
#include <string_view>

#include "tests/contract/harness.h"
#include "tests/contract/platform.h"
#include <ladder/server.h>

int main(int argc, char** argv) {
  using namespace ladder::contract;
  users_thread = true;
  allow_descriptors();
  for (int i = 1; i < argc; ++i)
    if (argv[i] == "--queue=per-worker"sv) queue_under_test = ladder::Queue::per_worker;
  doctest::Context context(argc, argv);
  return context.run();
}
