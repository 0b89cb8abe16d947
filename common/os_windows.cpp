// os.h for Windows: being written.
#include "common/os.h"
