// Ask the system for the chosen experts' pages before they are computed with: for weights that are mapped from a file
// and do not all fit the memory. The disk then gets the requests of all chosen experts at once, instead of one fault
// of one thread at a time.
#include <atomic>
#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

#include "program/ops.h"
#include "packing/panels.h"

namespace ponder {

static std::atomic<bool> wanted{false};
void set_read_ahead(bool on) { wanted = on; }
bool reads_ahead() { return wanted; }

#if defined(__linux__)

static bool resident(char* page, int64_t size) {
    unsigned char is = 0;
    return !mincore(page, (size_t)size, &is) && (is & 1);
}

// An expert whose first and last page are in memory was read whole not long ago. Looking at more would cost more than it
// brings: two calls take half a microsecond, and a token chooses 8 experts in each of 48 layers.
void read_ahead(const ExpertWeights& w, const std::vector<int32_t>& experts) {
    static const int64_t page = sysconf(_SC_PAGESIZE);
    auto start = [](const char* at) { return (char*)at - (uintptr_t)at % (uintptr_t)page; };
    for (int32_t e : experts) {
        const Matrix* parts[] = {w.gate[e], w.up[e], w.down[e]};
        if (resident(start((const char*)parts[0]->data), page) &&
            resident(start((const char*)parts[2]->data + buffer_bytes(*parts[2]) - 1), page))
            continue;
        for (const Matrix* m : parts) {
            char* first = start((const char*)m->data);
            madvise(first, (size_t)((const char*)m->data + buffer_bytes(*m) - first), MADV_WILLNEED);
        }
    }
}

#else
void read_ahead(const ExpertWeights&, const std::vector<int32_t>&) {}
#endif

}  // namespace ponder
