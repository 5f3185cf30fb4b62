#include "dispatch.h"

#include <atomic>
#include <stdexcept>

#if defined(__x86_64__)
#include <cpuid.h>
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

// From plain to best. A further one (AMX: tiles for int8 and bf16 prefill) is one more table and one more line.
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
#endif
    return found;
}

const std::vector<const Kernels*>& tables() {
    static const std::vector<const Kernels*> all = find();
    return all;
}

std::atomic<const Kernels*> chosen{nullptr};

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

}  // namespace ponder
