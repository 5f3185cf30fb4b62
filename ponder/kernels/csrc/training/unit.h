// Attention of one sequence and one KV head, forward and back, for training: no cache, every token asks.
#pragma once
#include <cstdint>

namespace ponder {

// [tokens, heads, c] arrays of the whole batch, float32 or bf16; this unit: tokens first .. first + length of the batch,
// the KV head kv_head and the query heads that read it.
struct TrainingUnit {
    const void *q, *k, *v;
    void* out;
    float* total;  // [tokens, heads]: log of the sum of exp of a query's scores
    const void* grad;  // of out; this and those below are of the way back alone
    void *dq, *dk, *dv;
    int64_t heads, kv_heads, c, kv_head, first, length;
};

constexpr int64_t block_queries(int64_t length) {  // of one head whose scores are alive at a time: about half a megabyte
    int64_t n = 131072 / (length + 1);
    return n < 8 ? 8 : n > 64 ? 64 : n;
}
constexpr int64_t to_vectors(int64_t n) { return (n + 15) / 16 * 16; }  // a whole number of the longest vectors
// Floats of scratch: keys and values as rows and as columns, their gradients, a block of queries, its gradients, outputs
// and scores
constexpr int64_t training_scratch(int64_t length, int64_t c) {
    return 6 * to_vectors(length) * to_vectors(c) + block_queries(length) * (4 * to_vectors(c) + 2 * to_vectors(length));
}

}  // namespace ponder
