// Linked with a program, this layers a Winsock provider under it.
#include "tests/os_windows/double.h"

namespace {
[[maybe_unused]] const bool layered = ladder::winsock::in_place().layered = true;
}
