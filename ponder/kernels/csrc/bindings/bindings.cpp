// The Python face of the kernels. Every array's dtype, rank, contiguity and shape, every id and block number is checked
// here (ValueError, or TypeError for a wrong kind of array), so that no call can read or write outside its arrays.
#include "bindings/bindings.h"

#include "runtime/dispatch.h"
#include "packing/panels.h"
#include "runtime/peak.h"
#include "runtime/pool.h"

namespace {

// f32 and bf16: data [n, k]. int8, int4 and uint4: the buffer of `to_panels`.
void make_weight(Weight* self, const std::string& kind, int64_t n, int64_t k, int64_t group, nb::object data_object) {
    auto data = nb::cast<AnyArray>(data_object);
    Matrix m = {kind_of(kind), n, k, group, data.data(), nullptr};
    check(n > 0 && k > 0, "a weight needs at least one row and column");
    if (in_panels(m)) {
        check(data.dtype() == nb::dtype<uint8_t>(), "panels must be uint8");
        check_panels(m, data.ndim() == 1 ? (int64_t)data.shape(0) : -1);
        m.scale = (const uint16_t*)((const char*)m.data + code_bytes(m));
    } else {
        check(data.dtype() == type_of(m.kind), kind + " data has the wrong dtype");
        check_shape("weight data", data, n, k);
        check((uintptr_t)m.data % (type_of(m.kind).bits / 8) == 0, "weight data is not aligned");
    }
    new (self) Weight{m, std::move(data_object)};
}

void bind_embed(const Weight& w, Array<const int32_t, 1> ids, Array<float, 2> out) {
    check_shape("out", out, ids.shape(0), w.m.k);
    check_ids(ids, w.m.n);
    embed(w.m, ids.data(), ids.shape(0), out.data());
}

void bind_linear(Array<const float, 2> x, const Weight& w, std::optional<Array<const float, 1>> bias,
                 Array<float, 2> out) {
    int64_t tokens = x.shape(0);
    check_shape("x", x, tokens, w.m.k);
    check_shape("out", out, tokens, w.m.n);
    if (bias) check_shape("bias", *bias, w.m.n);
    linear(x.data(), tokens, w.m, bias ? bias->data() : nullptr, out.data());
}

void bind_attention(Array<const float, 3> q, Array<const float, 3> k, Array<const float, 3> v,
                    Array<const int32_t, 1> positions, Array<const int32_t, 1> starts,
                    std::optional<Array<const int32_t, 2>> tables, std::optional<CacheArray> cache,
                    const std::string& kind, int64_t block_size, std::optional<Balance> balance, int64_t layer,
                    Array<float, 2> out) {
    int64_t tokens = q.shape(0), heads = q.shape(1), c = q.shape(2), kv_heads = k.shape(1);
    check(kv_heads > 0 && c > 0 && c <= max_head && heads % kv_heads == 0,
          "query heads must be a multiple of the key heads, their size between 1 and 1024");
    check_shape("k", k, tokens, kv_heads, c);
    check_shape("v", v, tokens, kv_heads, c);
    check_shape("out", out, tokens, heads * c);
    Attention a = {};
    a.q = q.data();
    a.k = k.data();
    a.v = v.data();
    a.out = out.data();
    a.heads = heads;
    a.cache.heads = kv_heads;
    a.cache.c = c;
    int64_t bytes = set_batch(a, tokens, positions, starts, tables, cache, kind, block_size, balance, layer + 1);
    check(layer >= 0, "layer outside the cache");
    if (tables) a.cache = a.cache.of_layer(layer, bytes);
    attention(a);
}

std::vector<const Matrix*> matrices(const std::vector<const Weight*>& weights) {
    std::vector<const Matrix*> out;
    for (const Weight* w : weights) {
        check(w != nullptr, "a weight is None");
        out.push_back(&w->m);
    }
    return out;
}

void bind_experts(Array<const float, 2> x, Array<const int32_t, 2> ids, Array<const float, 2> weights,
                  const std::vector<const Weight*>& gate, const std::vector<const Weight*>& up,
                  const std::vector<const Weight*>& down, Array<float, 2> out) {
    int64_t tokens = x.shape(0), d = x.shape(1), top_k = ids.shape(1);
    ExpertWeights w = {matrices(gate), matrices(up), matrices(down), reads_ahead() ? read_ahead : nullptr};
    check_experts(w, d);
    check_shape("ids", ids, tokens, top_k);
    check_shape("weights", weights, tokens, top_k);
    check_shape("out", out, tokens, d);
    for (int64_t i = 0; i < tokens * top_k; i++)
        check(ids.data()[i] >= 0 && ids.data()[i] < (int64_t)gate.size(), "expert id out of range");
    experts(x.data(), tokens, ids.data(), weights.data(), top_k, w, out.data());
}

void bind_rescore(Array<float, 2> logits, Array<const float, 2> x, const Weight& w, int64_t panels, float margin) {
    check_rescore(w.m, {panels, margin});
    check_shape("x", x, logits.shape(0), w.m.k);
    check_shape("logits", logits, x.shape(0), w.m.n);
    rescore(x.data(), x.shape(0), w.m, {panels, margin}, logits.data());
}

void bind_rms_norm(Array<const float, 2> x, Array<const float, 1> weight, float eps, Array<float, 2> out) {
    check(x.shape(1) > 0, "rows are empty");
    check_shape("weight", weight, x.shape(1));
    check_shape("out", out, x.shape(0), x.shape(1));
    rms_norm(x.data(), x.shape(0), x.shape(1), weight.data(), eps, out.data());
}

void bind_rope(Array<const float, 3> x, Array<const float, 2> cos, Array<const float, 2> sin, Array<float, 3> out) {
    int64_t tokens = x.shape(0), heads = x.shape(1), c = x.shape(2);
    check(c > 0 && c % 2 == 0 && heads > 0, "the head size must be even");
    check_shape("cos", cos, tokens, c / 2);
    check_shape("sin", sin, tokens, c / 2);
    check_shape("out", out, tokens, heads, c);
    rope(x.data(), cos.data(), sin.data(), tokens, heads, c, out.data());
}

void bind_swiglu(Array<const float, 2> gate, Array<const float, 2> up, Array<float, 2> out) {
    check_shape("up", up, gate.shape(0), gate.shape(1));
    check_shape("out", out, gate.shape(0), gate.shape(1));
    swiglu(gate.data(), up.data(), (int64_t)gate.size(), out.data());
}

int bind_convert(const std::string& format, Array<const uint8_t, 2> raw, const std::string& kind, int64_t group,
                 nb::ndarray<nb::ndim<2>, nb::c_contig, nb::device::cpu> data,
                 std::optional<nb::ndarray<nb::ndim<2>, nb::c_contig, nb::device::cpu>> scale,
                 std::optional<Array<const float, 1>> importance, std::optional<Array<const int8_t, 1>> grid, bool mapped) {
    const Format* from = find_format(format.c_str());
    check(from != nullptr, "unknown format " + format);
    Target to = {kind_of(kind), (int64_t)data.shape(0), (int64_t)data.shape(1), group, (uint8_t*)data.data(), nullptr, nullptr, nullptr, nullptr};
    bool four = to.kind == Kind::int4 || to.kind == Kind::uint4;
    if (four) to.k *= 2;
    check(data.dtype() == type_of(to.kind), kind + " data has the wrong dtype");
    check((uintptr_t)to.data % (type_of(to.kind).bits / 8) == 0, "data is not aligned");
    check(to.k % from->elements == 0, "rows of " + std::to_string(to.k) + " do not divide into blocks of " + format);
    check_shape("raw", raw, to.n, to.k / from->elements * from->bytes);
    if (to.kind == Kind::int8 || four) {
        check(group > 0 && group <= 65536 && to.k % group == 0 && (!four || group % 2 == 0),
              "bad group");
        check(scale && scale->dtype().code == (uint8_t)nb::dlpack::dtype_code::Float && scale->dtype().bits == 16,
              "scales must be float16");
        check_shape("scale", *scale, to.n, to.k / group * (to.kind == Kind::uint4 ? 2 : 1));
        to.scale = (uint16_t*)scale->data();
        check((uintptr_t)to.scale % 2 == 0, "scales are not aligned");
    }
    if (to.kind != Kind::int4) return convert(*from, raw.data(), to, mapped);
    check(importance && grid, "int4 needs the importance of its columns and its grid");
    check_shape("importance", *importance, to.k);
    check_shape("grid", *grid, 16);
    for (int i = 1; i < 16; i++) check(grid->data()[i - 1] < grid->data()[i], "the grid must rise");
    check(grid->data()[0] < 0 && grid->data()[15] > 0, "the grid must have both signs");
    CodeTable table = code_table(grid->data());
    to.importance = importance->data();
    to.grid = grid->data();
    to.table = &table;
    return convert(*from, raw.data(), to, mapped);
}

void bind_normal(uint64_t seed, int64_t first, float spread, Array<float, 2> out) {
    check(first >= 0, "the first row must not be negative");
    if (out.size()) normal(seed, first, spread, out.shape(0), out.shape(1), out.data());
}

}  // namespace

void check_ids(const Array<const int32_t, 1>& ids, int64_t n) {
    for (size_t i = 0; i < ids.shape(0); i++)
        check(ids.data()[i] >= 0 && ids.data()[i] < n, "id " + std::to_string(ids.data()[i]) + " is not one of the " +
                                                           std::to_string(n) + " rows of the embedding");
}

static void check_sequences(const Attention& a, int64_t tokens) {
    check(a.starts[0] == 0 && a.starts[a.sequences] == tokens, "starts must run from 0 to the number of tokens");
    for (int64_t b = 0; b < a.sequences; b++) check(a.starts[b] <= a.starts[b + 1], "starts must not decrease");
    for (int64_t b = 0; b < a.sequences; b++)
        for (int64_t t = a.starts[b]; t < a.starts[b + 1]; t++) {
            int64_t expected = t == a.starts[b] ? (a.tables ? a.positions[t] : 0) : (int64_t)a.positions[t - 1] + 1;
            check(a.positions[t] == expected && expected >= 0,
                  a.tables ? "positions of a sequence must be consecutive and not negative"
                           : "without a cache positions of a sequence must be 0, 1, 2, ...");
        }
}

static void check_tables(const Attention& a, int64_t blocks) {
    for (int64_t b = 0; b < a.sequences; b++) {
        if (a.starts[b] == a.starts[b + 1]) continue;
        int64_t needed = a.positions[a.starts[b + 1] - 1] / a.cache.block_size + 1;
        check(needed <= a.table_width, "sequence " + std::to_string(b) + " is longer than its block table");
        for (int64_t i = 0; i < needed; i++) {
            int32_t block = a.tables[b * a.table_width + i];
            check(block >= 0 && block < blocks, "sequence " + std::to_string(b) + " has block " +
                                                    std::to_string(block) + ", the cache has " +
                                                    std::to_string(blocks));
        }
    }
}

static KvKind kv_kind_of(const std::string& name) {
    const char* names[] = {"f32", "bf16", "int8"};
    for (int i = 0; i < 3; i++)
        if (name == names[i]) return (KvKind)i;
    throw std::invalid_argument("unknown kind of cache " + name);
}

int64_t set_batch(Attention& a, int64_t tokens, const Array<const int32_t, 1>& positions,
                  const Array<const int32_t, 1>& starts, const std::optional<Array<const int32_t, 2>>& tables,
                  const std::optional<CacheArray>& cache, const std::string& kind, int64_t block_size,
                  const std::optional<Balance>& balance, int64_t layers) {
    check(starts.shape(0) >= 1, "starts is empty");
    check_shape("positions", positions, tokens);
    a.positions = positions.data();
    a.starts = starts.data();
    a.sequences = (int64_t)starts.shape(0) - 1;
    int64_t layer_bytes = 0;
    if (tables) {
        check(cache.has_value(), "block tables need a cache");
        check(block_size > 0, "the cache has blocks of no positions");
        a.cache.kind = kv_kind_of(kind);
        a.cache.block_size = block_size;
        a.cache.data = (char*)cache->data();
        int64_t blocks = cache->shape(1), block_bytes = kv_block(a.cache.kind, a.cache.heads, block_size, a.cache.c);
        check_shape("cache", *cache, cache->shape(0), blocks, block_bytes);
        check((uintptr_t)cache->data() % 64 == 0, "the cache is not aligned to 64 bytes");
        check(layers <= (int64_t)cache->shape(0), "layer outside the cache");
        check_shape("block_tables", *tables, a.sequences, tables->shape(1));
        if (a.cache.kind == KvKind::int8) {
            check(balance.has_value(), "an int8 cache needs the balance of its channels");
            check_shape("balance", *balance, cache->shape(0), 2, a.cache.heads, a.cache.c);
            a.cache.balance = balance->data();
        }
        layer_bytes = blocks * block_bytes;
        a.tables = tables->data();
        a.table_width = tables->shape(1);
        check_sequences(a, tokens);
        check_tables(a, blocks);
    } else {
        check_sequences(a, tokens);
    }
    return layer_bytes;
}

NB_MODULE(_native, m) {
    using NoGil = nb::call_guard<nb::gil_scoped_release>;
    nb::class_<Weight>(m, "Weight")
        .def("__init__", &make_weight, "kind"_a, "n"_a, "k"_a, "group"_a, "data"_a);
    m.def("embed", &bind_embed, "weight"_a, "ids"_a.noconvert(), "out"_a.noconvert(), NoGil());
    m.def("linear", &bind_linear, "x"_a.noconvert(), "weight"_a, "bias"_a.noconvert().none(), "out"_a.noconvert(),
          NoGil());
    m.def("attention", &bind_attention, "q"_a.noconvert(), "k"_a.noconvert(), "v"_a.noconvert(),
          "positions"_a.noconvert(), "starts"_a.noconvert(), "tables"_a.noconvert().none(),
          "cache"_a.noconvert().none(), "kind"_a, "block_size"_a, "balance"_a.noconvert().none(), "layer"_a, "out"_a.noconvert(), NoGil());
    m.def("experts", &bind_experts, "x"_a.noconvert(), "ids"_a.noconvert(), "weights"_a.noconvert(), "gate"_a, "up"_a,
          "down"_a, "out"_a.noconvert(), NoGil());
    m.def("rescore", &bind_rescore, "logits"_a.noconvert(), "x"_a.noconvert(), "weight"_a, "panels"_a, "margin"_a, NoGil());
    m.def("rms_norm", &bind_rms_norm, "x"_a.noconvert(), "weight"_a.noconvert(), "eps"_a, "out"_a.noconvert(), NoGil());
    m.def("rope", &bind_rope, "x"_a.noconvert(), "cos"_a.noconvert(), "sin"_a.noconvert(), "out"_a.noconvert(),
          NoGil());
    m.def("swiglu", &bind_swiglu, "gate"_a.noconvert(), "up"_a.noconvert(), "out"_a.noconvert(), NoGil());
    m.def("convert", &bind_convert, "format"_a, "raw"_a.noconvert(), "kind"_a, "group"_a, "data"_a.noconvert(),
          "scale"_a.noconvert().none(), "importance"_a.noconvert().none(), "grid"_a.noconvert().none(), "mapped"_a,
          NoGil());
    m.def("normal", &bind_normal, "seed"_a, "first"_a, "spread"_a, "out"_a.noconvert(), NoGil());
    bind_program(m);
    bind_panels(m);
    bind_sampler(m);
    bind_training(m);
    m.def("read_bandwidth", [](int64_t bytes, int tries) {
        check(bytes > 0 && bytes <= (int64_t)1 << 33 && tries > 0, "1 to 2**33 bytes, one try or more");
        return read_bandwidth(bytes, tries);
    }, "bytes"_a, "tries"_a, NoGil());
    m.def("compute_peak", [](const std::string& kind, int tries) {
        check(tries > 0, "one try or more");
        return compute_peak(kind_of(kind), tries);
    }, "kind"_a, "tries"_a, NoGil());
    m.def("isa", [] { return kernels().name; });
    m.def("isas", &available_isas);
    m.def("set_isa", &set_isa, "name"_a);
    m.def("emulate_amx", &emulate_amx, "on"_a);
    m.def("threads", [] { return Pool::instance().threads(); });
    m.def("set_read_ahead", &set_read_ahead, "on"_a);
    m.def("set_threads", [](int n) {
        check(n >= 1 && n <= 1024, "threads must lie between 1 and 1024");
        Pool::instance().set_threads(n);
    }, "n"_a, NoGil());
}
