// What an instruction of a program is. Each is told once, in instructions.cpp (Linear: in linear_instruction.cpp): its fields, what must hold for them, and
// what it does. The binding reads an instruction from Python by its list of fields (kernels/program/fuse.py has classes
// with the same ones).
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "program/ops.h"
#include "runtime/pool.h"

namespace ponder {

class Program;

struct BufferId {  // the number of a buffer of the program; -1: not there
    int at = -1;
    operator int() const { return at; }
};

struct Floats {  // a norm or a bias; null: not there
    const float* data = nullptr;
    int64_t size = 0;
};

// Goes through the fields of an instruction by name and fills them in.
class Fields {
public:
    virtual ~Fields() = default;
    virtual void operator()(const char* name, BufferId& field) = 0;
    virtual void operator()(const char* name, std::vector<BufferId>& field) = 0;
    virtual void operator()(const char* name, const Matrix*& field) = 0;
    virtual void operator()(const char* name, std::vector<const Matrix*>& field) = 0;
    virtual void operator()(const char* name, Floats& field) = 0;
    virtual void operator()(const char* name, int64_t& field) = 0;
    virtual void operator()(const char* name, float& field) = 0;
    virtual void operator()(const char* name, bool& field) = 0;
    // A list of parts that have fields themselves: `part` is called for each.
    virtual void each(const char* name, const std::function<void(Fields&)>& part) = 0;
};

struct Instruction {
    virtual ~Instruction() = default;
    virtual void fields(Fields& f) = 0;
    // Throws std::invalid_argument unless all buffers have the right widths and rows; leaves in the program what a batch
    // must be checked against.
    virtual void check(Program& p) = 0;
    virtual void run(Operation& op, Program& p) const = 0;
};

struct InstructionKind {
    const char* name;
    std::unique_ptr<Instruction> (*make)();
};
extern const std::vector<InstructionKind> instruction_kinds;
std::unique_ptr<Instruction> make_linear();  // linear_instruction.cpp

}  // namespace ponder
