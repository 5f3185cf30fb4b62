// Building and running a Program from Python. Instructions are read by their lists of fields and check themselves; every
// array, id and block number is checked when a program runs, so that none can read or write outside its buffers.
#include "bindings/bindings.h"

#include <cctype>
#include <map>

#include "packing/panels.h"
#include "program/program.h"

namespace {

using Vector = Array<const float, 1>;

// Set by any thread: a run that was given it is no longer wanted.
struct Flag {
    std::atomic<bool> set{false};
};

struct PyProgram {
    Program program;
    std::vector<nb::object> kept;  // weights, norms, rope tables: their memory is used where it lies; and the buffers
    std::map<PyObject*, int> numbers;  // of the buffers, by the Python object that describes one

    // buffer: a fuse.Buffer, or None. Any object with width, wanted and form stands for one buffer.
    int number(nb::handle buffer) {
        if (buffer.is_none()) return -1;
        if (auto found = numbers.find(buffer.ptr()); found != numbers.end()) return found->second;
        if (!nb::hasattr(buffer, "form")) throw nb::type_error("a buffer has width, wanted and form");
        nb::object form = buffer.attr("form");
        int64_t width = nb::cast<int64_t>(buffer.attr("width"));
        check(!form.is_none() || (width > 0 && width < 1 << 30), "a buffer needs a width");
        program.buffers.push_back({width, form.is_none() ? nullptr : matrix(form), nb::cast<bool>(buffer.attr("wanted"))});
        kept.push_back(nb::borrow(buffer));
        return numbers[buffer.ptr()] = (int)program.buffers.size() - 1;
    }

    // weight: a weight.Weight
    const Matrix* matrix(nb::handle weight) {
        nb::object handle = weight.attr("handle");
        kept.push_back(handle);
        return &nb::cast<const Weight&>(handle).m;
    }
};

// Fills in the fields of an instruction from the attributes of a Python object.
class Reader : public Fields {
public:
    Reader(PyProgram& program, nb::handle object, std::vector<int>& used) : self(program), object(object), used(used) {}

    void operator()(const char* name, BufferId& field) override { field = buffer(object.attr(name)); }
    void operator()(const char* name, std::vector<BufferId>& field) override {
        for (nb::handle item : object.attr(name)) field.push_back(buffer(item));
    }
    void operator()(const char* name, const Matrix*& field) override { field = self.matrix(object.attr(name)); }
    void operator()(const char* name, std::vector<const Matrix*>& field) override {
        for (nb::handle item : object.attr(name)) field.push_back(self.matrix(item));
    }
    void operator()(const char* name, ponder::Floats& field) override {
        nb::object array = object.attr(name);
        if (array.is_none()) return;
        auto values = nb::cast<Vector>(array);
        self.kept.push_back(array);
        field = {values.data(), (int64_t)values.shape(0)};
    }
    void operator()(const char* name, int64_t& field) override { field = nb::cast<int64_t>(object.attr(name)); }
    void operator()(const char* name, float& field) override { field = nb::cast<float>(object.attr(name)); }
    void operator()(const char* name, bool& field) override { field = nb::cast<bool>(object.attr(name)); }
    void each(const char* name, const std::function<void(Fields&)>& part) override {
        for (nb::handle item : object.attr(name)) {
            Reader reader(self, item, used);
            part(reader);
        }
    }

private:
    PyProgram& self;
    nb::handle object;
    std::vector<int>& used;

    BufferId buffer(nb::handle value) {
        int b = self.number(value);
        used.push_back(b);
        return {b};
    }
};

// instruction: of fuse.py, with the fields of its namesake in instructions.cpp.
void add(PyProgram& self, nb::handle instruction) {
    std::string kind = nb::cast<std::string>(instruction.type().attr("__name__"));
    for (char& c : kind) c = (char)std::tolower((unsigned char)c);
    for (size_t i = 0; i < instruction_kinds.size(); i++) {
        if (kind != instruction_kinds[i].name) continue;
        std::unique_ptr<Instruction> made = instruction_kinds[i].make();
        std::vector<int> used;
        Reader reader(self, instruction, used);
        made->fields(reader);
        made->check(self.program);
        self.program.add(i, std::move(made), used);
        return;
    }
    throw std::invalid_argument("there is no instruction " + kind);
}

// From now on the buffer is this array of 4-byte values, a row for each token.
void place(PyProgram& self, nb::handle buffer, nb::ndarray<nb::c_contig, nb::device::cpu> array) {
    int number = self.number(buffer);
    check(self.program.buffer(number).form == nullptr, "a packed buffer is the program's own");
    Buffer& b = self.program.buffers[number];
    check(array.itemsize() == 4 && array.ndim() > 0, "an array of 4-byte values, with rows");
    int64_t rows = array.shape(0);
    check((int64_t)array.size() == rows * b.width, "the array has rows of another width");
    self.kept.push_back(nb::cast(array));
    b.own = (char*)array.data();
    b.own_rows = rows;
}

void set_output(PyProgram& self, nb::handle buffer) {
    int b = self.number(buffer);
    const Buffer& found = self.program.buffer(b);
    check(found.form == nullptr && found.wanted, "the output has a row for each row of logits");
    self.program.output = b;
}

void set_rope(PyProgram& self, float factor, int64_t chunk, nb::object cos, nb::object sin) {
    const float* tables[2];
    int i = 0;
    for (nb::object& table : {std::ref(cos), std::ref(sin)}) {
        auto values = nb::cast<Array<const float, 2>>(table);
        check_shape("rope table", values, Program::rope_chunk, self.program.head_dim / 2);
        tables[i++] = values.data();
        self.kept.push_back(table);
    }
    self.program.set_rope(factor, chunk, tables[0], tables[1]);
}

using Ints = Array<const int32_t, 1>;

// The rope tables that a batch needs and the program lacks: pairs (sequence, chunk of positions)
std::vector<std::pair<int64_t, int64_t>> missing_rope(const PyProgram& self, Ints positions, Ints starts, Vector factor) {
    std::vector<std::pair<int64_t, int64_t>> missing;
    check_shape("rope_factor", factor, (int64_t)starts.shape(0) - 1);
    for (size_t b = 0; b + 1 < starts.shape(0); b++) {
        int32_t start = starts.data()[b], end = starts.data()[b + 1];
        if (start < 0 || end > (int64_t)positions.shape(0) || start >= end) continue;  // run() says what is wrong
        int64_t first = positions.data()[start], last = first + end - start - 1;
        for (int64_t c = first / Program::rope_chunk; c <= last / Program::rope_chunk; c++)
            if (!self.program.has_rope(factor.data()[b], c)) missing.push_back({(int64_t)b, c});
    }
    return missing;
}

// False when `cancelled` ended it early.
bool run(PyProgram& self, Ints ids, Ints positions, Ints starts, Ints logit_rows, Vector rope_factor,
         std::optional<Array<const int32_t, 2>> tables, std::optional<CacheArray> cache,
         const std::string& kind, int64_t block_size, std::optional<Balance> balance, Array<float, 2> logits,
         const Flag* cancelled) {
    Input in = {};
    in.tokens = (int64_t)ids.shape(0);
    in.wanted = (int64_t)logit_rows.shape(0);
    in.ids = ids.data();
    in.logit_rows = logit_rows.data();
    in.rope_factor = rope_factor.data();
    const Program& p = self.program;
    in.attention.heads = p.heads;
    in.attention.cache.heads = p.kv_heads;
    in.attention.cache.c = p.head_dim;
    check(p.output >= 0, "the program has no output");
    for (const Buffer& b : p.buffers) check(!b.own, "a program with placed buffers runs alone");
    in.layer_bytes = set_batch(in.attention, in.tokens, positions, starts, tables, cache, kind, block_size,
                               balance, p.layers);
    check_shape("rope_factor", rope_factor, in.attention.sequences);
    check_shape("logits", logits, in.wanted, p.buffers[p.output].width);
    check_ids(ids, p.table_rows);
    for (int64_t r = 0; r < in.wanted; r++)
        check(in.logit_rows[r] >= 0 && in.logit_rows[r] < in.tokens, "logit_rows lie outside the batch");
    return self.program.run(in, logits.data(), cancelled ? &cancelled->set : nullptr);
}

// Without a batch, for as many rows as the placed arrays have: what works row by row.
void run_alone(PyProgram& self) {
    Input in = {};
    check(!self.program.needs_batch && self.program.output < 0, "this needs a batch");
    in.tokens = -1;
    for (const Buffer& b : self.program.buffers) {
        if (!b.own) continue;
        check(in.tokens < 0 || in.tokens == b.own_rows, "the arrays differ in their number of rows");
        in.tokens = b.own_rows;
    }
    check(in.tokens >= 0, "no buffer is placed");
    in.wanted = in.tokens;
    if (in.tokens > 0) self.program.run(in, nullptr, nullptr);
}

}  // namespace

void bind_program(nb::module_& m) {
    using NoGil = nb::call_guard<nb::gil_scoped_release>;
    nb::class_<Flag>(m, "Flag")
        .def(nb::init<>())
        .def("set", [](Flag& self) { self.set.store(true, std::memory_order_relaxed); })
        .def("is_set", [](const Flag& self) { return self.set.load(std::memory_order_relaxed); });
    nb::class_<PyProgram>(m, "Program")
        .def(nb::init<>())
        .def("add", &add, "instruction"_a)
        .def("place", &place, "buffer"_a, "array"_a.noconvert())
        .def("run_alone", &run_alone, NoGil())
        .def("output", &set_output, "buffer"_a)
        .def("set_rope", &set_rope, "factor"_a, "chunk"_a, "cos"_a, "sin"_a)
        .def("missing_rope", &missing_rope, "positions"_a.noconvert(), "starts"_a.noconvert(), "factor"_a.noconvert())
        .def("run", &run, "ids"_a.noconvert(), "positions"_a.noconvert(), "starts"_a.noconvert(),
             "logit_rows"_a.noconvert(), "rope_factor"_a.noconvert(), "tables"_a.noconvert().none(),
             "cache"_a.noconvert().none(), "kind"_a, "block_size"_a,
             "balance"_a.noconvert().none(), "logits"_a.noconvert(), "cancelled"_a.none(), NoGil())
        .def_prop_ro("buffer_bytes", [](PyProgram& self) { return self.program.buffer_bytes(); })
        .def_prop_rw("profiling", [](PyProgram& self) { return self.program.profiling; },
                     [](PyProgram& self, bool on) { self.program.profiling = on; })
        .def("spent", [](PyProgram& self) {  // kind -> (runs, nanoseconds) since the last call
            nb::dict spent;
            for (size_t i = 0; i < instruction_kinds.size(); i++)
                spent[instruction_kinds[i].name] = nb::make_tuple(self.program.spent[i].runs, self.program.spent[i].nanoseconds);
            self.program.spent.assign(instruction_kinds.size(), {});
            return spent;
        });
}
