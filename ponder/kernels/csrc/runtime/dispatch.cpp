#include "runtime/dispatch.h"

#include <atomic>
#include <stdexcept>

#if defined(PONDER_AMX)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "runtime/cpu_features.h"

namespace ponder {

namespace {

#if defined(PONDER_AMX)
// Linux lets a process use the tiles that asked once, for all of its threads.
bool has_amx() {
    constexpr int ask_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return CpuFeatures::get().tiles && syscall(SYS_arch_prctl, ask_permission, tile_data) == 0;
}
#endif

// From plain to best.
std::vector<const Kernels*> find() {
    std::vector<const Kernels*> found = {&kernels_scalar()};
#if defined(__x86_64__)
    const CpuFeatures& cpu = CpuFeatures::get();
    if (cpu.avx2) found.push_back(&kernels_avx2());
    if (cpu.avxvnni) found.push_back(&kernels_avxvnni());
    if (cpu.avx512) found.push_back(&kernels_avx512());
    if (cpu.avx512bf16) found.push_back(&kernels_avx512bf16());
#if defined(PONDER_AMX)
    if (cpu.avx512bf16 && has_amx()) found.push_back(&kernels_amx());
#endif
#elif defined(__aarch64__)
    const CpuFeatures& cpu = CpuFeatures::get();
    found.push_back(&kernels_neon());
    if (cpu.dotprod) found.push_back(&kernels_dotprod());
    if (cpu.i8mm) found.push_back(&kernels_i8mm());
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
