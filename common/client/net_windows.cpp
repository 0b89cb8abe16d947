// net.h for Windows: being written.
#include "common/client/net.h"
