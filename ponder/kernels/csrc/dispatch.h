// The instruction set in force.
#pragma once
#include <string>
#include <vector>

#include "kernels.h"

namespace ponder {

const Kernels& kernels();                   // the best this CPU has, unless set_isa chose another
std::vector<std::string> available_isas();  // from plain to best
void set_isa(const std::string& name);      // throws std::invalid_argument for one this CPU or build lacks

}  // namespace ponder
