// The instruction set in force.
#pragma once
#include <string>
#include <vector>

#include "runtime/kernels.h"

namespace ponder {

const Kernels& kernels();                   // the best this CPU has, unless set_isa chose another
std::vector<std::string> available_isas();  // from plain to best
void set_isa(const std::string& name);      // throws std::invalid_argument for one this CPU or build lacks
bool runs_amx();                            // this CPU and system have tiles for us

// For tests alone: `amx` is there although this CPU lacks it, or no longer; the caller has installed an emulator of its
// instructions (tests/kernels/amx_emulator.cpp), without which the process dies. On a CPU that has them: nothing.
void emulate_amx(bool on);

}  // namespace ponder
