// Single AMX instructions as functions of memory, for tests of the emulator (and of a CPU that has them).
//
//     g++ -O2 -shared -fPIC amx_instructions.cpp -o amx_instructions.so
//
// Every function takes a configuration of 64 bytes and tiles of 1024 bytes, 16 rows of 64, and releases the tiles.
#include <cstdint>

struct Bytes64 {
    uint8_t byte[64];
};

#define CONFIGURE asm volatile("ldtilecfg %0" ::"m"(*config) : "memory")
#define LOAD(tile, from) asm volatile("tileloadd (%0,%1,1), %%" tile ::"r"(from), "r"((int64_t)64) : "memory")
#define STORE(tile, to) asm volatile("tilestored %%" tile ", (%0,%1,1)" ::"r"(to), "r"((int64_t)64) : "memory")
#define RELEASE asm volatile("tilerelease" ::: "memory")

// c += a x b: assembly names the operands from the last to the first
#define DOT(name)                                                                                        \
    extern "C" void name(const Bytes64* config, uint8_t* c, const uint8_t* a, const uint8_t* b) {        \
        CONFIGURE;                                                                                       \
        LOAD("tmm0", c);                                                                                 \
        LOAD("tmm3", a);                                                                                 \
        LOAD("tmm7", b);                                                                                 \
        asm volatile(#name " %%tmm7, %%tmm3, %%tmm0" ::: "memory");                                      \
        STORE("tmm0", c);                                                                                \
        RELEASE;                                                                                         \
    }
DOT(tdpbssd)
DOT(tdpbsud)
DOT(tdpbusd)
DOT(tdpbuud)
DOT(tdpbf16ps)

// Every form of address: a row of 64 bytes lies at from + 64 * r, is loaded to tile `i`, and goes out the same way.
extern "C" void addresses(const Bytes64* config, const uint8_t* from, uint8_t* to) {
    CONFIGURE;
    register int64_t stride asm("r12") = 16;
    register const uint8_t* base asm("r13") = from;
    asm volatile("tileloadd (%0,%1,4), %%tmm0" ::"r"(base), "r"(stride) : "memory");  // r13 needs a displacement of 0
    asm volatile("tileloadd 1024(%0,%1,4), %%tmm1" ::"r"(base), "r"(stride) : "memory");
    asm volatile("tileloaddt1 -64(%0,%1,8), %%tmm2" ::"r"(base + 64), "r"((int64_t)8) : "memory");
    asm volatile("tileloadd (%0), %%tmm3" ::"r"(from) : "memory");  // no index: every row is the first one
    asm volatile("tileloadd -64(%0,%1,1), %%tmm4" ::"r"(from + 1024), "r"((int64_t)-64) : "memory");  // upside down
    asm volatile("tilezero %%tmm5" ::: "memory");
    asm volatile("tilestored %%tmm0, (%0,%1,2)" ::"r"(to), "r"((int64_t)32) : "memory");
    asm volatile("tilestored %%tmm1, 1024(%0,%1,1)" ::"r"(to), "r"((int64_t)64) : "memory");
    asm volatile("tilestored %%tmm2, 2048(%0,%1,1)" ::"r"(to), "r"((int64_t)64) : "memory");
    asm volatile("tilestored %%tmm3, (%0,%1,1)" ::"r"(to + 3072), "r"((int64_t)64) : "memory");
    asm volatile("tilestored %%tmm4, (%0,%1,1)" ::"r"(to + 4096), "r"((int64_t)64) : "memory");
    asm volatile("tilestored %%tmm5, (%0,%1,1)" ::"r"(to + 5120), "r"((int64_t)64) : "memory");
    RELEASE;
}

// Loads with one shape and stores; what an instruction leaves in rows and bytes outside the shape does not show.
extern "C" void copy(const Bytes64* config, const uint8_t* from, uint8_t* to) {
    CONFIGURE;
    LOAD("tmm6", from);
    STORE("tmm6", to);
    RELEASE;
}

// The configuration before, within and after.
extern "C" void configurations(const Bytes64* config, Bytes64* out) {
    RELEASE;
    asm volatile("sttilecfg %0" : "=m"(out[0])::"memory");
    CONFIGURE;
    asm volatile("sttilecfg %0" : "=m"(out[1])::"memory");
    RELEASE;
    asm volatile("sttilecfg %0" : "=m"(out[2])::"memory");
}

extern "C" void same_tile_twice(const Bytes64* config) {  // #UD
    CONFIGURE;
    asm volatile(".byte 0xc4, 0xe2, 0x73, 0x5e, 0xc1" ::: "memory");  // tdpbssd tmm0, tmm1, tmm1: no assembler does it
}
extern "C" void without_configuration(const Bytes64*) { asm volatile("tilezero %%tmm0" ::: "memory"); }  // #UD
extern "C" void only_configure(const Bytes64* config) { CONFIGURE; }

// One instruction on tile 6 of any shape.
static uint8_t somewhere[1024];
extern "C" void only_load(const Bytes64* config) {
    CONFIGURE;
    LOAD("tmm6", somewhere);
    RELEASE;
}
extern "C" void only_load_t1(const Bytes64* config) {
    CONFIGURE;
    asm volatile("tileloaddt1 (%0,%1,1), %%tmm6" ::"r"(somewhere), "r"((int64_t)64) : "memory");
    RELEASE;
}
extern "C" void only_store(const Bytes64* config) {
    CONFIGURE;
    STORE("tmm6", somewhere);
    RELEASE;
}
extern "C" void only_zero(const Bytes64* config) {
    CONFIGURE;
    asm volatile("tilezero %%tmm6" ::: "memory");
    RELEASE;
}
