// What this machine can do at best: the two lines of the roofline that `ponder bench` draws.
#pragma once
#include <cstdint>

#include "runtime/kernels.h"

namespace ponder {

// Bytes a second that all threads of the pool read from memory together: the best of `tries` runs over `bytes`.
double read_bandwidth(int64_t bytes, int tries);

// Operations a second (a multiplication and an addition are two) of all threads of the pool with the best instruction
// that this CPU has for weights of this kind, on registers or tiles alone: the best of `tries` runs of some 5 ms.
double compute_peak(Kind kind, int tries);

}  // namespace ponder
