// Packing into panels and back as Python calls it, and the checks of kinds, groups and buffers.
#include "bindings/bindings.h"
#include "packing/panels.h"

Kind kind_of(const std::string& name) {
    const char* names[] = {"f32", "bf16", "int8", "int4", "uint4"};
    for (int i = 0; i < 5; i++)
        if (name == names[i]) return (Kind)i;
    throw std::invalid_argument("unknown kind " + name);
}

nb::dlpack::dtype type_of(Kind kind) {
    const nb::dlpack::dtype types[] = {nb::dtype<float>(), nb::dtype<uint16_t>(), nb::dtype<int8_t>(),
                                       nb::dtype<uint8_t>(), nb::dtype<uint8_t>()};
    return types[(int)kind];
}

void check_group(const Matrix& w) {
    check(in_panels(w), "only int8, int4 and uint4 have groups");
    check(w.group > 0 && w.group <= 65536 && w.k % w.group == 0 && (!four_bits(w) || w.group % 2 == 0),
          "bad group");
}

void check_panels(const Matrix& w, int64_t bytes) {
    check_group(w);
    check(bytes == buffer_bytes(w), "panels of this shape take " + std::to_string(buffer_bytes(w)) + " bytes");
    check((uintptr_t)w.data % 64 == 0, "panels must be aligned to 64 bytes");
}

namespace {

using Rows = nb::ndarray<nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using ReadOnlyRows = nb::ndarray<nb::ro, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

template <class A>
Matrix packed_matrix(const std::string& kind, int64_t group, const A& data, const A& scale, uint8_t* buffer,
                     int64_t bytes) {
    Matrix m = {kind_of(kind), (int64_t)data.shape(0), (int64_t)data.shape(1), group, buffer, nullptr};
    if (four_bits(m)) m.k *= 2;
    check(m.n > 0 && m.k > 0, "a weight needs at least one row and column");
    check_panels(m, bytes);
    check(data.dtype() == type_of(m.kind), kind + " data has the wrong dtype");
    check(scale.dtype().code == (uint8_t)nb::dlpack::dtype_code::Float && scale.dtype().bits == 16,
          "scales must be float16");
    check_shape("scale", scale, m.n, m.k / group * group_scales(m) / panel_rows);
    m.scale = (const uint16_t*)(buffer + code_bytes(m));
    return m;
}

template <class G>
auto grid_of(const Matrix& m, const std::optional<G>& grid) {
    check(grid.has_value() == (m.kind == Kind::int4), "int4 and nothing else has a grid");
    if (grid) check_shape("grid", *grid, 16);
    return grid ? grid->data() : nullptr;
}

void bind_to(const std::string& kind, int64_t group, ReadOnlyRows data, ReadOnlyRows scale,
             std::optional<Array<const int8_t, 1>> grid, Array<uint8_t, 1> buffer) {
    Matrix m = packed_matrix(kind, group, data, scale, buffer.data(), buffer.shape(0));
    to_panels(m, (const uint8_t*)data.data(), (const uint16_t*)scale.data(), grid_of(m, grid), buffer.data());
}

void bind_from(const std::string& kind, int64_t group, Rows data, Rows scale, std::optional<Array<int8_t, 1>> grid,
               Array<const uint8_t, 1> buffer) {
    Matrix m = packed_matrix(kind, group, data, scale, (uint8_t*)buffer.data(), buffer.shape(0));
    from_panels(m, (uint8_t*)data.data(), (uint16_t*)scale.data(), grid_of(m, grid));
}

int64_t bind_bytes(const std::string& kind, int64_t n, int64_t k, int64_t group) {
    Matrix m = {kind_of(kind), n, k, group, nullptr, nullptr};
    check(n > 0 && k > 0, "a weight needs at least one row and column");
    check_group(m);
    return buffer_bytes(m);
}

}  // namespace

void bind_panels(nb::module_& m) {
    using NoGil = nb::call_guard<nb::gil_scoped_release>;
    m.def("panel_bytes", &bind_bytes, "kind"_a, "n"_a, "k"_a, "group"_a);
    m.def("to_panels", &bind_to, "kind"_a, "group"_a, "data"_a.noconvert(), "scale"_a.noconvert(),
          "grid"_a.noconvert().none(), "buffer"_a.noconvert(), NoGil());
    m.def("from_panels", &bind_from, "kind"_a, "group"_a, "data"_a.noconvert(), "scale"_a.noconvert(),
          "grid"_a.noconvert().none(), "buffer"_a.noconvert(), NoGil());
}
