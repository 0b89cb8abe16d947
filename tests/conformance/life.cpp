#include "tests/conformance/suite.h"
