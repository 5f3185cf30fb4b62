// Building and running a Program from Python. Every buffer number and width is checked while the table is built, every
// array, id and block number when it runs, so that no program can read or write outside its buffers.
#include "bindings/bindings.h"
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
    std::vector<nb::object> kept;  // weights, norms and rope tables: their memory is used where it lies
    int64_t layers = 0, words = 0, table_rows = 0;
    Attend shape = {};  // of every attention

    const Matrix* matrix(nb::object weight) {
        kept.push_back(weight);
        return &nb::cast<const Weight&>(weight).m;
    }

    const float* vector(const char* name, nb::object array, int64_t n) {
        if (array.is_none()) return nullptr;
        auto values = nb::cast<Vector>(array);
        check_shape(name, values, n);
        kept.push_back(array);
        return values.data();
    }

    const Buffer& buffer(int b) const {
        check(b >= 0 && b < (int)program.buffers.size(), "there is no buffer " + std::to_string(b));
        return program.buffers[b];
    }

    // A buffer of floats, `width` to a row; rows as those of `like`
    void plain(int b, int64_t width, int like) const {
        const Buffer& found = buffer(b);
        check(found.form == nullptr && found.width == width, "buffer " + std::to_string(b) + " is " +
              std::to_string(found.width) + " wide, not " + std::to_string(width));
        check(found.wanted == buffer(like).wanted, "buffer " + std::to_string(b) + " has other rows");
    }

    // A buffer of activations packed for matrices like w
    void packed(int b, const Matrix& w) const {
        const Matrix* form = buffer(b).form;
        check(form && form->kind == w.kind && form->group == w.group && form->k == w.k,
              "buffer " + std::to_string(b) + " is packed for another kind of matrix");
    }
};

int add_buffer(PyProgram& self, int64_t width, bool wanted) {
    check(width > 0 && width < 1 << 30, "a buffer needs a width");
    self.program.buffers.push_back({width, nullptr, wanted});
    return (int)self.program.buffers.size() - 1;
}

int add_packed(PyProgram& self, nb::object weight, bool wanted) {
    self.program.buffers.push_back({0, self.matrix(weight), wanted});
    return (int)self.program.buffers.size() - 1;
}

void add_embed(PyProgram& self, nb::object weight, int out) {
    const Matrix* table = self.matrix(weight);
    self.plain(out, table->k, out);
    check(!self.buffer(out).wanted, "the embedding has a row for each token");
    self.table_rows = table->n;
    self.program.add(Embed{table, out}, {out});
}

void add_prepare(PyProgram& self, int x, bool gather, int add, int sum, nb::object norm, float eps, int out,
                 const std::vector<int>& packed) {
    int64_t width = self.buffer(x).width;
    int like = add >= 0 ? sum : out >= 0 ? out : packed.empty() ? -1 : packed[0];
    self.plain(x, width, x);
    check(self.buffer(like).wanted == (gather || self.buffer(x).wanted), "prepare: rows differ");
    if (add >= 0) {
        self.plain(add, width, like);
        self.plain(sum, width, like);
    }
    check(sum != x || !gather, "rows cannot be gathered in place");
    if (out >= 0) self.plain(out, width, like);
    for (int b : packed) {
        check(self.buffer(b).form && self.buffer(b).form->k == width, "prepare: a packed buffer has another width");
        check(self.buffer(b).wanted == self.buffer(like).wanted, "prepare: rows differ");
    }
    std::vector<int> used = packed;
    used.insert(used.end(), {x, add, sum, out});
    self.program.add(Prepare{x, add, sum, out, gather, self.vector("norm", norm, width), eps, packed}, used);
}

void add_linear(PyProgram& self, const std::vector<nb::object>& weights, const std::vector<int>& xs,
                const std::vector<int>& outs, const std::vector<nb::object>& biases, bool swiglu) {
    size_t n = weights.size();
    check(n > 0 && xs.size() == n && outs.size() == n && biases.size() == n, "linear: lists differ in length");
    check(!swiglu || n == 2, "swiglu has two parts");
    Linear linear = {{}, swiglu};
    std::vector<int> used = xs;
    for (size_t i = 0; i < n; i++) {
        const Matrix* w = self.matrix(weights[i]);
        self.packed(xs[i], *w);
        check(self.buffer(xs[i]).wanted == self.buffer(xs[0]).wanted, "linear: rows differ");
        self.plain(outs[i], w->n, xs[0]);
        used.push_back(outs[i]);
        linear.parts.push_back({w, xs[i], outs[i], self.vector("bias", biases[i], w->n)});
    }
    check(!swiglu || linear.parts[0].w->n == linear.parts[1].w->n, "gate and up differ in shape");
    self.program.add(std::move(linear), used);
}

void add_heads(PyProgram& self, const std::vector<int>& xs, const std::vector<int64_t>& heads,
               const std::vector<nb::object>& norms, int64_t c, float eps) {
    check(!xs.empty() && heads.size() == xs.size() && norms.size() == xs.size(), "heads: lists differ in length");
    check(c > 0 && c % 2 == 0 && (self.shape.c == 0 || self.shape.c == c), "heads must be even and all of one size");
    self.shape.c = c;
    Heads h = {{}, c, eps};
    for (size_t i = 0; i < xs.size(); i++) {
        self.plain(xs[i], heads[i] * c, xs[i]);
        check(!self.buffer(xs[i]).wanted, "heads have a row for each token");
        h.parts.push_back({xs[i], heads[i], self.vector("norm", norms[i], c)});
    }
    self.program.add(std::move(h), xs);
}

void add_attend(PyProgram& self, int q, int k, int v, int out, int64_t layer, int64_t heads, int64_t kv_heads,
                int64_t c) {
    check(kv_heads > 0 && c > 0 && c <= max_head && heads % kv_heads == 0,
          "query heads must be a multiple of the key heads, their size between 1 and 1024");
    check(layer >= 0 && layer < 1 << 20, "no such layer");
    check(self.shape.c == c && (self.layers == 0 || self.shape.kv_heads == kv_heads), "attentions differ in shape");
    self.plain(q, heads * c, q);
    self.plain(k, kv_heads * c, q);
    self.plain(v, kv_heads * c, q);
    self.plain(out, heads * c, q);
    check(!self.buffer(q).wanted, "attention has a row for each token");
    self.shape = {q, k, v, out, layer, heads, kv_heads, c};
    self.layers = std::max(self.layers, layer + 1);
    self.program.add(self.shape, {q, k, v, out});
}

void add_route(PyProgram& self, int scores, bool normalise, int ids, int weights) {
    int64_t top_k = self.buffer(ids).width;
    self.plain(scores, self.buffer(scores).width, scores);
    check(top_k >= 1 && top_k <= self.buffer(scores).width, "top_k must lie between 1 and the number of experts");
    self.plain(ids, top_k, scores);
    self.plain(weights, top_k, scores);
    self.program.add(Route{scores, ids, weights, normalise}, {scores, ids, weights});
}

void add_experts(PyProgram& self, int x, int ids, int weights, const std::vector<nb::object>& gate,
                 const std::vector<nb::object>& up, const std::vector<nb::object>& down, int out) {
    auto handles = [&](const std::vector<nb::object>& objects) {
        std::vector<const Weight*> all;
        for (const nb::object& object : objects) {
            self.kept.push_back(object);
            all.push_back(&nb::cast<const Weight&>(object));
        }
        return all;
    };
    int64_t d = self.buffer(out).width;
    Experts e = {x, ids, weights, out, expert_weights(handles(gate), handles(up), handles(down), d)};
    self.packed(x, *e.w.gate[0]);
    self.plain(out, d, x);
    self.plain(ids, self.buffer(ids).width, x);
    self.plain(weights, self.buffer(ids).width, x);
    self.program.add(std::move(e), {x, ids, weights, out});
}

void add_rescore(PyProgram& self, nb::object weight, int x, int logits, int64_t panels, float margin) {
    const Matrix* w = self.matrix(weight);
    check(in_panels(*w), "rescore: an int8 or int4 matrix");
    check(panels > 0 && margin >= 0, "rescore: one panel or more, a margin of 0 or more");
    self.packed(x, *w);
    self.plain(logits, w->n, x);
    self.program.add(Rescore{w, x, logits, {panels, margin}}, {x, logits});
}

void set_output(PyProgram& self, int b) {
    check(self.buffer(b).form == nullptr && self.buffer(b).wanted, "the output has a row for each row of logits");
    self.program.output = b;
    self.words = self.buffer(b).width;
}

void set_rope(PyProgram& self, float factor, int64_t chunk, nb::object cos, nb::object sin) {
    const float* tables[2];
    int i = 0;
    for (nb::object& table : {std::ref(cos), std::ref(sin)}) {
        auto values = nb::cast<Array<const float, 2>>(table);
        check_shape("rope table", values, Program::rope_chunk, self.shape.c / 2);
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

// False when `unwanted` ended it early.
bool run(PyProgram& self, Ints ids, Ints positions, Ints starts, Ints logit_rows, Vector rope_factor,
         std::optional<Array<const int32_t, 2>> tables, std::optional<CacheArray> cache,
         const std::string& kind, int64_t block_size, std::optional<Balance> balance, Array<float, 2> logits,
         const Flag* unwanted) {
    Input in = {};
    in.tokens = (int64_t)ids.shape(0);
    in.wanted = (int64_t)logit_rows.shape(0);
    in.ids = ids.data();
    in.logit_rows = logit_rows.data();
    in.rope_factor = rope_factor.data();
    in.attention.heads = self.shape.heads;
    in.attention.cache.heads = self.shape.kv_heads;
    in.attention.cache.c = self.shape.c;
    check(self.program.output >= 0, "the program has no output");
    in.layer_bytes = set_batch(in.attention, in.tokens, positions, starts, tables, cache, kind, block_size,
                               balance, self.layers);
    check_shape("rope_factor", rope_factor, in.attention.sequences);
    check_shape("logits", logits, in.wanted, self.words);
    check_ids(ids, self.table_rows);
    for (int64_t r = 0; r < in.wanted; r++)
        check(in.logit_rows[r] >= 0 && in.logit_rows[r] < in.tokens, "logit_rows lie outside the batch");
    return self.program.run(in, logits.data(), unwanted ? &unwanted->set : nullptr);
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
        .def("buffer", &add_buffer, "width"_a, "wanted"_a)
        .def("packed", &add_packed, "weight"_a, "wanted"_a)
        .def("embed", &add_embed, "weight"_a, "out"_a)
        .def("prepare", &add_prepare, "x"_a, "gather"_a, "add"_a, "sum"_a, "norm"_a.none(), "eps"_a, "out"_a, "packed"_a)
        .def("linear", &add_linear, "weights"_a, "xs"_a, "outs"_a, "biases"_a, "swiglu"_a)
        .def("heads", &add_heads, "xs"_a, "heads"_a, "norms"_a, "c"_a, "eps"_a)
        .def("attend", &add_attend, "q"_a, "k"_a, "v"_a, "out"_a, "layer"_a, "heads"_a, "kv_heads"_a, "c"_a)
        .def("route", &add_route, "scores"_a, "normalise"_a, "ids"_a, "weights"_a)
        .def("experts", &add_experts, "x"_a, "ids"_a, "weights"_a, "gate"_a, "up"_a, "down"_a, "out"_a)
        .def("rescore", &add_rescore, "weight"_a, "x"_a, "logits"_a, "panels"_a, "margin"_a)
        .def("output", &set_output, "buffer"_a)
        .def("set_rope", &set_rope, "factor"_a, "chunk"_a, "cos"_a, "sin"_a)
        .def("missing_rope", &missing_rope, "positions"_a.noconvert(), "starts"_a.noconvert(), "factor"_a.noconvert())
        .def("run", &run, "ids"_a.noconvert(), "positions"_a.noconvert(), "starts"_a.noconvert(),
             "logit_rows"_a.noconvert(), "rope_factor"_a.noconvert(), "tables"_a.noconvert().none(),
             "cache"_a.noconvert().none(), "kind"_a, "block_size"_a,
             "balance"_a.noconvert().none(), "logits"_a.noconvert(), "unwanted"_a.none(), NoGil())
        .def_prop_ro("buffer_bytes", [](PyProgram& self) { return self.program.buffer_bytes(); })
        .def_prop_rw("profiling", [](PyProgram& self) { return self.program.profiling; },
                     [](PyProgram& self, bool on) { self.program.profiling = on; })
        .def("spent", [](PyProgram& self) {  // kind -> (runs, nanoseconds) since the last call
            nb::dict spent;
            for (size_t i = 0; i < instruction_names.size(); i++)
                spent[instruction_names[i]] = nb::make_tuple(self.program.spent[i].runs, self.program.spent[i].nanoseconds);
            self.program.spent = {};
            return spent;
        });
}
