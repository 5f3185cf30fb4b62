#include "runtime/dispatch.h"

#include <atomic>
#include <stdexcept>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(PONDER_AMX)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace ponder {

namespace {

#if defined(__x86_64__)
bool has_avxvnni() {  // not a name __builtin_cpu_supports knows in every compiler: leaf 7, subleaf 1, eax bit 4
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}
bool has_avx512bf16() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
}
#endif

#if defined(PONDER_AMX)
// Leaf 7, edx: 22 is amx-bf16, 24 amx-tile, 25 amx-int8. The system must save the tiles (bits 17 and 18 of XCR0), and
// lets a process use them that asked once, for all of its threads.
bool has_amx() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return false;  // osxsave
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d >> 22 & 1) + (d >> 24 & 1) + (d >> 25 & 1) != 3) return false;
    asm("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    constexpr int ask_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return (a >> 17 & 3) == 3 && syscall(SYS_arch_prctl, ask_permission, tile_data) == 0;
}
#endif

// From plain to best.
std::vector<const Kernels*> find() {
    std::vector<const Kernels*> found = {&kernels_scalar()};
#if defined(__x86_64__)
    __builtin_cpu_init();
#define HAS(feature) __builtin_cpu_supports(feature)
    bool avx2 = HAS("avx2") && HAS("fma") && HAS("f16c");
    bool avx512 = avx2 && HAS("avx512f") && HAS("avx512bw") && HAS("avx512vl") && HAS("avx512dq") && HAS("avx512vnni");
#undef HAS
    if (avx2) found.push_back(&kernels_avx2());
    if (avx2 && has_avxvnni()) found.push_back(&kernels_avxvnni());
    if (avx512) found.push_back(&kernels_avx512());
    if (avx512 && has_avx512bf16()) found.push_back(&kernels_avx512bf16());
#if defined(PONDER_AMX)
    if (avx512 && has_avx512bf16() && has_amx()) found.push_back(&kernels_amx());
#endif
#endif
    return found;
}

std::vector<const Kernels*>& tables() {
    static std::vector<const Kernels*> all = find();
    return all;
}

std::atomic<const Kernels*> chosen{nullptr};

bool is_amx(const Kernels* k) { return std::string(k->name) == "amx"; }

}  // namespace

const Kernels& kernels() {
    const Kernels* k = chosen;
    return k ? *k : *tables().back();
}

std::vector<std::string> available_isas() {
    std::vector<std::string> names;
    for (auto* k : tables()) names.push_back(k->name);
    return names;
}

void set_isa(const std::string& name) {
    std::string known;
    for (auto* k : tables()) {
        if (name == k->name) {
            chosen = k;
            return;
        }
        known += known.empty() ? k->name : std::string(", ") + k->name;
    }
    throw std::invalid_argument("This CPU and build run " + known + ", not '" + name + "'.");
}

bool runs_amx() { return is_amx(tables().back()); }

void emulate_amx(bool on) {
#if defined(PONDER_AMX)
    static const bool real = runs_amx();
    if (real || on == runs_amx()) return;
    if (std::string(tables().back()->name) != (on ? "avx512bf16" : "amx"))
        throw std::invalid_argument("the amx table needs AVX-512 with bf16 besides its tiles");
    if (on) return tables().push_back(&kernels_amx());
    const Kernels* amx = tables().back();
    tables().pop_back();
    chosen.compare_exchange_strong(amx, nullptr);
#else
    if (on) throw std::invalid_argument("this build has no amx table");
#endif
}

}  // namespace ponder
