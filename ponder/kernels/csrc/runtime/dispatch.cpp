#include "runtime/dispatch.h"

#include <atomic>
#include <stdexcept>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif
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

#if defined(__aarch64__)
struct Arm {
    bool dotprod = false, i8mm = false;  // i8mm: with bf16, as every CPU has it that has i8mm
};

Arm arm() {
#if defined(__linux__)
    constexpr unsigned long asimddp = 1ul << 20, i8mm = 1ul << 13, bf16 = 1ul << 14;  // asm/hwcap.h, of AT_HWCAP2 the last two
    unsigned long second = getauxval(AT_HWCAP2);
    bool dotprod = getauxval(AT_HWCAP) & asimddp;
    return {dotprod, dotprod && (second & i8mm) && (second & bf16)};
#elif defined(__APPLE__)
    auto has = [](const char* feature) {
        int value = 0;
        size_t size = sizeof value;
        return sysctlbyname(feature, &value, &size, nullptr, 0) == 0 && value != 0;
    };
    // every Mac of Apple's own has dot products; the systems before macOS 12 do not tell
    return {true, has("hw.optional.arm.FEAT_I8MM") && has("hw.optional.arm.FEAT_BF16")};
#else
    return {};
#endif
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
    Arm has = arm();
    found.push_back(&kernels_neon());
    if (has.dotprod) found.push_back(&kernels_dotprod());
    if (has.i8mm) found.push_back(&kernels_i8mm());
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
