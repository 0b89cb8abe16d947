// Presses a key in the console of another process: press_key PID break|c. Only who shares a console can do that, and
// a process has one console at most: so the suite, which keeps its own, has this done.
#include <windows.h>

#include <cstdlib>
#include <iostream>
#include <string_view>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const DWORD process = std::strtoul(argv[1], nullptr, 10);
  const DWORD key = std::string_view(argv[2]) == "c" ? CTRL_C_EVENT : CTRL_BREAK_EVENT;
  FreeConsole();  // fails if there is none
  constexpr DWORD all_who_share_it = 0;
  const bool pressed =
      AttachConsole(process) &&
      // We hear the key, too. Only now: each of the two calls above empties the table of handlers.
      SetConsoleCtrlHandler([](DWORD) { return TRUE; }, TRUE) &&
      GenerateConsoleCtrlEvent(key, all_who_share_it);
  if (const DWORD error = GetLastError(); !pressed)
    std::cerr << "no key pressed in the console of " << process << ": error " << error << '\n';
  return pressed ? EXIT_SUCCESS : EXIT_FAILURE;
}
