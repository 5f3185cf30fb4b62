// AMX in software, for tests on CPUs without it: a handler of SIGILL that decodes and executes the AMX instruction it
// stands on, so that the machine code that ships is what is tested.
//
//     g++ -O2 -march=native -ffp-contract=off -shared -fPIC amx_emulator.cpp -o amx_emulator.so; then install()
//
// Follows the operation sections of Intel's Software Developer's Manual, volume 2 (palette 1; AMX-TILE, AMX-INT8 and
// AMX-BF16). What a CPU answers with #UD goes to the handler that was there before, #GP ends the process by SIGSEGV.
// Runs of AMX instructions are executed in one signal, which costs a microsecond or two.
#include <immintrin.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

constexpr int tiles = 8, most_rows = 16, most_bytes = 64;

struct Tile {
    int rows, bytes;  // 0: not configured
    alignas(64) uint8_t row[most_rows][most_bytes];
};

struct Thread {
    bool configured;
    uint8_t config[64];
    Tile tile[tiles];
};

// A pointer fits into the static TLS of a library that is loaded late; its own block would be allocated on first use,
// by malloc. Never given back: a test process has few threads.
__attribute__((tls_model("initial-exec"))) thread_local Thread* mine = nullptr;

Thread& state() {
    if (!mine) mine = (Thread*)mmap(nullptr, sizeof(Thread), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return *mine;
}

enum class Result { done, undefined, protection };

// ---- operations ----

void release(Thread& t) { memset(&t, 0, sizeof t); }

Result load_config(Thread& t, const uint8_t* c) {
    if (c[0] == 0) {
        release(t);
        return Result::done;
    }
    if (c[0] != 1) return Result::protection;
    for (int i = 1; i < 16; i++)  // 1: the row to start with, which only an interrupted instruction sets; reserved
        if (c[i]) return Result::protection;
    for (int i = 0; i < 16; i++) {
        int bytes = c[16 + 2 * i] | c[17 + 2 * i] << 8, rows = c[48 + i];
        if (i >= tiles ? bytes || rows : bytes > most_bytes || rows > most_rows || (bytes == 0) != (rows == 0))
            return Result::protection;
    }
    release(t);
    memcpy(t.config, c, 64);
    t.configured = true;
    for (int i = 0; i < tiles; i++) {
        t.tile[i].bytes = c[16 + 2 * i] | c[17 + 2 * i] << 8;
        t.tile[i].rows = c[48 + i];
    }
    return Result::done;
}

void zero_from(Tile& to, int row) { memset(to.row[row], 0, (size_t)(most_rows - row) * most_bytes); }

void load(Tile& to, const uint8_t* from, int64_t stride) {
    for (int r = 0; r < to.rows; r++) {
        memcpy(to.row[r], from + r * stride, to.bytes);
        memset(to.row[r] + to.bytes, 0, most_bytes - to.bytes);
    }
    zero_from(to, to.rows);
}

void store(const Tile& from, uint8_t* to, int64_t stride) {
    for (int r = 0; r < from.rows; r++) memcpy(to + r * stride, from.row[r], from.bytes);
}

template <class A, class B>
void dot_bytes(Tile& c, const Tile& a, const Tile& b) {
    for (int m = 0; m < c.rows; m++) {
        int32_t sums[16];
        memcpy(sums, c.row[m], 64);
        for (int k = 0; k < a.bytes / 4; k++)
            for (int n = 0; n < c.bytes / 4; n++) {
                int32_t sum = 0;
                for (int i = 0; i < 4; i++) sum += (A)a.row[m][4 * k + i] * (B)b.row[k][4 * n + i];
                sums[n] = (int32_t)((uint32_t)sums[n] + (uint32_t)sum);
            }
        memcpy(c.row[m], sums, c.bytes);
    }
    zero_from(c, c.rows);
}

float widen(const uint8_t* p) {
    uint32_t bits = (uint32_t)(p[0] | p[1] << 8) << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

// Even and odd values of K have a sum each, from zero; their sum is added to C. Denormals count as zero everywhere.
void dot_bf16(Tile& c, const Tile& a, const Tile& b) {
    unsigned before = _mm_getcsr();
    _mm_setcsr(0x9fc0);  // all exceptions masked, flush to zero, denormals are zero, to nearest even
    for (int m = 0; m < c.rows; m++) {
        float sums[16], pair[2][16] = {};
        memcpy(sums, c.row[m], 64);
        for (int k = 0; k < a.bytes / 4; k++)
            for (int n = 0; n < c.bytes / 4; n++)
                for (int i = 0; i < 2; i++)
                    pair[i][n] = std::fma(widen(a.row[m] + 4 * k + 2 * i), widen(b.row[k] + 4 * n + 2 * i), pair[i][n]);
        for (int n = 0; n < c.bytes / 4; n++) {
            float both = pair[0][n] + pair[1][n];
            sums[n] = sums[n] + both;
        }
        memcpy(c.row[m], sums, c.bytes);
    }
    zero_from(c, c.rows);
    _mm_setcsr(before);
}

// ---- decoding ----

const int register_of[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                             REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

// The memory operand that begins at its ModRM byte. An instruction of tiles always has a SIB byte.
struct Operand {
    uint8_t* address;  // base + displacement for tiles, and the index on top for others
    int64_t stride;    // the scaled index
    bool sib;
    int length;  // bytes from ModRM on
};

Operand operand(const uint8_t* p, bool x, bool b, const greg_t* registers) {
    int mod = p[0] >> 6, rm = p[0] & 7, at = 1, base = rm;
    Operand o = {nullptr, 0, rm == 4, 0};
    if (o.sib) {
        int index = (p[1] >> 3 & 7) | x << 3;
        if (index != 4) o.stride = (int64_t)((uint64_t)registers[register_of[index]] << (p[1] >> 6));
        base = p[1] & 7;
        at = 2;
    }
    bool no_base = mod == 0 && base == 5;
    int64_t address = no_base ? 0 : registers[register_of[base | b << 3]];
    int32_t far = 0;
    if (mod == 1) address += (int8_t)p[at++];
    else if (mod == 2 || no_base) {
        memcpy(&far, p + at, 4);
        address += far;
        at += 4;
    }
    if (no_base && !o.sib) address += (int64_t)(p + at);  // relative to the next instruction
    o.address = (uint8_t*)address;
    o.length = at;
    return o;
}

bool multipliable(const Thread& t, int c, int a, int b) {
    if (!t.configured || c == a || c == b || a == b || a >= tiles || b >= tiles) return false;
    const Tile &tc = t.tile[c], &ta = t.tile[a], &tb = t.tile[b];
    if (!tc.rows || !ta.rows || !tb.rows || tc.bytes % 4 || ta.bytes % 4 || tb.bytes % 4) return false;
    return tc.rows == ta.rows && ta.bytes / 4 == tb.rows && tc.bytes == tb.bytes;
}

enum Prefix { none, p66, pf3, pf2 };

// Executes the instruction at `p`; `length`: its bytes.
Result execute(Thread& t, const uint8_t* p, const greg_t* registers, int& length) {
    if (p[0] != 0xc4 || (p[1] & 31) != 2 || (p[2] & 0x84)) return Result::undefined;  // VEX, map 0F38, W 0, L 0
    bool r = !(p[1] & 0x80), x = !(p[1] & 0x40), b = !(p[1] & 0x20);
    int v = ~p[2] >> 3 & 15, prefix = p[2] & 3, op = p[3], reg = (p[4] >> 3 & 7) | r << 3, rm = (p[4] & 7) | b << 3;
    bool memory = p[4] >> 6 != 3;
    length = 5;
    if (op == 0x5e || (op == 0x5c && prefix == pf3)) {
        if (memory || reg >= tiles || !multipliable(t, reg, rm, v)) return Result::undefined;
        Tile &c = t.tile[reg], &ta = t.tile[rm], &tb = t.tile[v];
        if (op == 0x5c) dot_bf16(c, ta, tb);
        else if (prefix == pf2) dot_bytes<int8_t, int8_t>(c, ta, tb);
        else if (prefix == pf3) dot_bytes<int8_t, uint8_t>(c, ta, tb);
        else if (prefix == p66) dot_bytes<uint8_t, int8_t>(c, ta, tb);
        else dot_bytes<uint8_t, uint8_t>(c, ta, tb);
        return Result::done;
    }
    if (v != 0) return Result::undefined;  // vvvv must be 1111
    if (op == 0x49 && !memory) {
        if (prefix == none && p[4] == 0xc0) release(t);
        else if (prefix == pf2 && rm == 0 && reg < tiles && t.configured && t.tile[reg].rows) zero_from(t.tile[reg], 0);
        else return Result::undefined;
        return Result::done;
    }
    if (!memory || (op != 0x49 && op != 0x4b)) return Result::undefined;
    Operand o = operand(p + 4, x, b, registers);
    length = 4 + o.length;
    if (op == 0x49) {
        uint8_t* at = o.address + o.stride;
        if (reg != 0 || prefix > p66) return Result::undefined;
        if (prefix == none) return load_config(t, at);
        memcpy(at, t.config, 64);
        return Result::done;
    }
    if (prefix == none || !o.sib || reg >= tiles || !t.configured || !t.tile[reg].rows) return Result::undefined;
    if (t.tile[reg].bytes % 4) return Result::undefined;  // found on a CPU; tilezero takes any number
    if (prefix == pf3) store(t.tile[reg], o.address, o.stride);
    else load(t.tile[reg], o.address, o.stride);
    return Result::done;
}

// ---- the signal ----

struct sigaction before;
bool installed = false;

void handle(int number, siginfo_t* info, void* context) {
    greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
    for (bool first = true;; first = false) {
        int length = 0;
        const uint8_t* p = (const uint8_t*)registers[REG_RIP];
        if (!first && p[0] != 0xc4) return;
        Result result = execute(state(), p, registers, length);
        if (result == Result::done) {
            registers[REG_RIP] += length;
            continue;
        }
        if (!first && result == Result::undefined) return;  // another VEX instruction, or a fault of its own turn
        if (result == Result::protection) {
            signal(SIGSEGV, SIG_DFL);
            raise(SIGSEGV);
        } else if (before.sa_flags & SA_SIGINFO) {
            before.sa_sigaction(number, info, context);
        } else if (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN) {
            signal(SIGILL, SIG_DFL);  // the instruction is met again, and ends the process
        } else {
            before.sa_handler(number);
        }
        return;
    }
}

}  // namespace

extern "C" int install() {
    if (installed) return 0;
    struct sigaction action = {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    installed = sigaction(SIGILL, &action, &before) == 0;
    return installed ? 0 : -1;
}
