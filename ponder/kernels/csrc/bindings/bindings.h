// What the bindings share: array types, checks that name what is wrong, and a weight as Python holds it.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <stdexcept>

#include "program/ops.h"
#include "program/program.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace ponder;

template <class T, int Rank>
using Array = nb::ndarray<T, nb::ndim<Rank>, nb::c_contig, nb::device::cpu>;
using AnyArray = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;

template <class A>
std::string shape(const A& a) {
    std::string s = "[";
    for (size_t i = 0; i < a.ndim(); i++) s += (i ? ", " : "") + std::to_string(a.shape(i));
    return s + "]";
}

template <class A, class... N>
void check_shape(const char* name, const A& a, N... dims) {
    int64_t wanted[] = {(int64_t)dims...};
    bool same = a.ndim() == sizeof...(dims);
    std::string text;
    for (size_t i = 0; i < sizeof...(dims); i++) {
        same = same && (int64_t)a.shape(i) == wanted[i];
        text += (i ? ", " : "") + std::to_string(wanted[i]);
    }
    check(same, std::string(name) + " has shape " + shape(a) + ", expected [" + text + "]");
}

// A weight matrix and the array that keeps its memory alive.
struct Weight {
    Matrix m;
    nb::object data;
};

Kind kind_of(const std::string& name);
nb::dlpack::dtype type_of(Kind kind);
void check_group(const Matrix& w);                 // of int8 and int4: divides k
void check_panels(const Matrix& w, int64_t bytes);  // size and alignment of a buffer at w.data

using CacheArray = Array<uint8_t, 3>;  // [layers, blocks, bytes of a block], see kv.h
using Balance = Array<const float, 4>;  // [layers, 2, KV heads, c], for int8

// Fills in the batch and the cache (of at least so many layers), its heads and c being set; returns the bytes of a layer.
int64_t set_batch(Attention& a, int64_t tokens, const Array<const int32_t, 1>& positions,
                  const Array<const int32_t, 1>& starts, const std::optional<Array<const int32_t, 2>>& tables,
                  const std::optional<CacheArray>& cache, const std::string& kind, int64_t block_size,
                  const std::optional<Balance>& balance, int64_t layers);

void check_ids(const Array<const int32_t, 1>& ids, int64_t n);

void bind_program(nb::module_& m);  // program_bindings.cpp
void bind_panels(nb::module_& m);   // panels_bindings.cpp
void bind_sampler(nb::module_& m);  // sampler_bindings.cpp
void bind_training(nb::module_& m);  // training_bindings.cpp
