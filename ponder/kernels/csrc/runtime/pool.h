// A small persistent thread pool: one for the process, workers spin briefly and then sleep.
//
// `run` hands out item numbers 0..n-1 in order to whichever thread is free. Callers split work so that an item's
// result does not depend on who computes it; then results do not depend on the number of threads.
#pragma once
#include <cstdint>

namespace ponder {

class Pool {
public:
    static Pool& instance();
    int threads() const;
    void set_threads(int n);  // n >= 1, the caller included
    // Calls work(context, item, thread) for every item; one run at a time, other callers wait for their turn.
    void run(int64_t items, void (*work)(void*, int64_t, int), void* context);
    // `bytes` of scratch, 64-byte aligned, kept between runs; only between lock() and unlock().
    char* scratch(int64_t bytes);
    void lock();
    void unlock();

private:
    struct State;
    State* state;
    Pool();
    void start();
};

// An operation holds the pool from its first use of scratch to its end. It may run inside another one of its thread,
// which then must not use scratch across it.
struct Operation {
    Pool& pool = Pool::instance();
    Operation() { pool.lock(); }
    ~Operation() { pool.unlock(); }
    Operation(const Operation&) = delete;
    template <class F>
    void run(int64_t items, F work) {
        pool.run(items, [](void* f, int64_t i, int thread) { (*(F*)f)(i, thread); }, &work);
    }
    // The item that a thread is likely to take after this one, when the others do as much meanwhile; perhaps past the last.
    int64_t likely_after(int64_t item) const { return item + pool.threads(); }
    // work(item); `at_once` small items in one piece, so that handing them out costs little
    template <class F>
    void split(int64_t items, int64_t at_once, F work) {
        run((items + at_once - 1) / at_once, [&](int64_t piece, int) {
            int64_t end = (piece + 1) * at_once < items ? (piece + 1) * at_once : items;
            for (int64_t i = piece * at_once; i < end; i++) work(i);
        });
    }
};

}  // namespace ponder
