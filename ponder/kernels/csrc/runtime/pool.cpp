#include "runtime/pool.h"

#if !defined(_WIN32)
#include <pthread.h>
#endif

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "runtime/aligned.h"

#if defined(__x86_64__)
#include <immintrin.h>
static void relax() { _mm_pause(); }
#else
static void relax() { std::this_thread::yield(); }
#endif

namespace ponder {

// How long a worker without work stays awake: the phases of a step follow each other within microseconds, the steps of
// an engine within a fraction of a millisecond. After the first span it lets others run between two looks, and it sleeps
// after the second; waking a sleeper takes about 50 microseconds.
namespace {
constexpr std::chrono::microseconds spin_time{30}, awake_time{2000};
}

// A run is one number: which run it is, how many items it has, and the next item to take. Taking is one addition, and
// an item once taken keeps its run alive, so nobody waits for a worker that has not woken up (or was preempted idle).
namespace {
constexpr int run_shift = 40, items_shift = 20;
constexpr uint64_t mask = (1 << 20) - 1;
}  // namespace

struct Pool::State {
    std::recursive_mutex turn;  // held by the operation that uses the pool; a program holds it over its operations
    std::mutex mutex;
    std::condition_variable wake;
    std::vector<std::thread> workers;
    alignas(64) std::atomic<uint64_t> ticket{0};
    alignas(64) std::atomic<int64_t> done{0};  // items of this run that are finished
    alignas(64) std::atomic<int> asleep{0};    // workers to notify of the next run
    std::atomic<bool> stop{false};
    alignas(64) void (*work)(void*, int64_t, int) = nullptr;  // with context: of the run, valid while one of its items is taken
    void* context = nullptr;
    int threads = 1;
    Aligned<> scratch;
    int64_t scratch_bytes = 0;

    uint64_t current() const { return ticket.load(std::memory_order_acquire) >> run_shift; }

    void take(int thread) {
        int64_t finished = 0;
        for (;;) {
            uint64_t t = ticket.fetch_add(1, std::memory_order_acq_rel), item = t & mask;
            if (item >= (t >> items_shift & mask)) break;
            work(context, (int64_t)item, thread);
            finished++;
        }
        if (finished) done.fetch_add(finished, std::memory_order_release);
    }

    void worker(int thread, uint64_t seen) {
        for (;;) {
            auto idle_since = std::chrono::steady_clock::now();
            for (int i = 1; current() == seen && !stop; i++) {
                relax();
                if (i % 64) continue;
                auto idle = std::chrono::steady_clock::now() - idle_since;
                if (idle > awake_time) sleep(seen);
                else if (idle > spin_time) std::this_thread::yield();
            }
            if (stop) return;
            seen = current();
            take(thread);
        }
    }

    // Either this worker sees the run that comes, or that run sees this worker asleep: both write, then read.
    void sleep(uint64_t seen) {
        std::unique_lock<std::mutex> lock(mutex);
        asleep.fetch_add(1);
        wake.wait(lock, [&] { return ticket.load() >> run_shift != seen || stop; });
    }

    void publish(uint64_t run, int64_t items) {
        ticket.store(run << run_shift | (uint64_t)items << items_shift);
        if (asleep.load() == 0) return;
        {
            std::lock_guard<std::mutex> lock(mutex);
            asleep.store(0);
        }
        wake.notify_all();
    }

    void join() {
        {
            std::lock_guard<std::mutex> lock(mutex);
            stop = true;
        }
        wake.notify_all();
        for (auto& w : workers) w.join();
        workers.clear();
        stop = false;
    }
};

// Never destroyed: workers may still spin while the process ends.
Pool& Pool::instance() {
    static Pool* pool = new Pool;
    return *pool;
}

Pool::Pool() : state(new State) {
    // A forked child has no workers: it starts with a fresh state and its own threads (the old one is left alone).
#if !defined(_WIN32)
    pthread_atfork(nullptr, nullptr, [] {
        Pool& pool = instance();
        int threads = pool.state->threads;
        pool.state = new State;
        pool.state->threads = threads;
    });
#endif
}

int Pool::threads() const { return state->threads; }

void Pool::lock() { state->turn.lock(); }
void Pool::unlock() { state->turn.unlock(); }

void Pool::set_threads(int n) {
    std::lock_guard<std::recursive_mutex> turn(state->turn);
    state->join();
    state->threads = n;
}

void Pool::start() {
    State* s = state;
    uint64_t seen = s->current();
    for (int i = (int)s->workers.size() + 1; i < s->threads; i++)
        s->workers.emplace_back([s, i, seen] { s->worker(i, seen); });
}

void Pool::run(int64_t items, void (*work)(void*, int64_t, int), void* context) {
    State* s = state;
    if (s->threads == 1 || items <= 1) {
        for (int64_t i = 0; i < items; i++) work(context, i, 0);
        return;
    }
    if ((uint64_t)items > mask / 2) throw std::length_error("an operation in too many pieces");
    if ((int)s->workers.size() + 1 < s->threads) start();
    s->work = work;
    s->context = context;
    s->done.store(0, std::memory_order_relaxed);
    s->publish(s->current() + 1, items);  // the top bits wrap around, which is fine
    s->take(0);
    for (int i = 0; s->done.load(std::memory_order_acquire) < items; i++) {
        relax();
        if (i > 1000) std::this_thread::yield();  // more threads than free CPUs
    }
}

char* Pool::scratch(int64_t bytes) {
    State* s = state;
    if (bytes > s->scratch_bytes) {
        s->scratch.reset();
        s->scratch_bytes = 0;  // should there be no memory
        int64_t rounded = (bytes + 4095) / 4096 * 4096;
        s->scratch = aligned(rounded);
        s->scratch_bytes = rounded;
    }
    return s->scratch.get();
}

}  // namespace ponder
