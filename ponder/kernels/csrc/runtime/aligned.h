// Memory from a multiple of `Alignment` bytes on, by the one way that every system has.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace ponder {

template <size_t Alignment>
struct FreeAligned {
    void operator()(char* p) const { ::operator delete(p, std::align_val_t{Alignment}); }
};

template <size_t Alignment = 64>
using Aligned = std::unique_ptr<char, FreeAligned<Alignment>>;

template <size_t Alignment = 64>
Aligned<Alignment> aligned(int64_t bytes) {  // std::bad_alloc where there is none
    return Aligned<Alignment>((char*)::operator new((size_t)bytes, std::align_val_t{Alignment}));
}

}  // namespace ponder
