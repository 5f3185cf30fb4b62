#include "training/training.h"

#include <algorithm>
#include <vector>

#include "runtime/dispatch.h"
#include "runtime/pool.h"

namespace ponder::training {

namespace {

constexpr int64_t piece_values = 16384;  // of one piece of work: a few microseconds

// work(first, end) over so many rows of n values, some rows in a piece
template <class F>
void split(int64_t rows, int64_t at_once, int threads, F work) {
    if (threads == 1) return work(0, rows);
    Operation op;
    op.run((rows + at_once - 1) / at_once, [&](int64_t piece, int) {
        work(piece * at_once, std::min(rows, (piece + 1) * at_once));
    });
}

int64_t rows_at_once(int64_t n) { return std::max<int64_t>(1, piece_values / n); }
int64_t bytes(Stored type) { return type == Stored::bf16 ? 2 : 4; }
const char* at(const void* p, int64_t i, Stored type) { return (const char*)p + i * bytes(type); }
char* at(void* p, int64_t i, Stored type) { return (char*)p + i * bytes(type); }

}  // namespace

void norm(Stored type, const void* x, const float* weight, float eps, int64_t rows, int64_t n, void* out, float* inverse,
          int threads) {
    const Kernels& k = kernels();
    split(rows, rows_at_once(n), threads, [&](int64_t r, int64_t end) {
        k.norm_forward(type, at(x, r * n, type), weight, eps, end - r, n, at(out, r * n, type), inverse + r);
    });
}

void norm_back(Stored type, const void* grad, const void* x, const float* weight, const float* inverse, int64_t rows,
               int64_t n, void* dx, float* dw, int threads) {
    const Kernels& k = kernels();
    // The pieces depend on the shape alone, and their shares of dw are added in order: the same bits for any threads.
    int64_t at_once = std::max(rows_at_once(n), (rows + 63) / 64), pieces = (rows + at_once - 1) / at_once;
    std::vector<float> shares(pieces * n);
    split(pieces, 1, threads, [&](int64_t piece, int64_t end) {
        for (; piece < end; piece++) {
            int64_t r = piece * at_once, count = std::min(rows - r, at_once);
            k.norm_backward(type, at(grad, r * n, type), at(x, r * n, type), weight, inverse + r, count, n,
                            at(dx, r * n, type), shares.data() + piece * n);
        }
    });
    std::fill(dw, dw + n, 0.0f);
    for (int64_t piece = 0; piece < pieces; piece++)
        for (int64_t i = 0; i < n; i++) dw[i] += shares[piece * n + i];
}

void rotate(Stored type, const void* x, const float* cos, const float* sin, float way, int64_t tokens, int64_t heads,
            int64_t c, void* out, int threads) {
    const Kernels& k = kernels();
    int64_t n = heads * c;
    split(tokens, rows_at_once(n), threads, [&](int64_t t, int64_t end) {
        for (; t < end; t++)
            k.rotate(type, at(x, t * n, type), cos + t * (c / 2), sin + t * (c / 2), way, heads, c, at(out, t * n, type));
    });
}

void swiglu(Stored type, const void* gate, const void* up, int64_t n, void* out, int threads) {
    const Kernels& k = kernels();
    split(n, piece_values, threads, [&](int64_t i, int64_t end) {
        k.swiglu_forward(type, at(gate, i, type), at(up, i, type), end - i, at(out, i, type));
    });
}

void swiglu_back(Stored type, const void* grad, const void* gate, const void* up, int64_t n, void* dgate, void* dup,
                 int threads) {
    const Kernels& k = kernels();
    split(n, piece_values, threads, [&](int64_t i, int64_t end) {
        k.swiglu_backward(type, at(grad, i, type), at(gate, i, type), at(up, i, type), end - i, at(dgate, i, type),
                          at(dup, i, type));
    });
}

void attention(Stored type, const TrainingUnit& all, const int32_t* starts, int64_t sequences, bool back, int threads) {
    const Kernels& k = kernels();
    int64_t longest = 0;
    for (int64_t b = 0; b < sequences; b++) longest = std::max<int64_t>(longest, starts[b + 1] - starts[b]);
    int64_t room = training_scratch(longest, all.c);
    std::vector<float> alone(threads == 1 ? room : 0);
    auto work = [&](int64_t item, float* scratch) {
        TrainingUnit u = all;
        int64_t b = item / u.kv_heads;
        u.kv_head = item % u.kv_heads;
        u.first = starts[b];
        u.length = starts[b + 1] - starts[b];
        if (u.length) (back ? k.attention_backward : k.attention_forward)(type, u, scratch);
    };
    if (threads == 1) {
        for (int64_t i = 0; i < sequences * all.kv_heads; i++) work(i, alone.data());
        return;
    }
    Operation op;
    float* scratch = (float*)op.pool.scratch(op.pool.threads() * room * 4);
    op.run(sequences * all.kv_heads, [&](int64_t i, int thread) { work(i, scratch + thread * room); });
}

void losses(Stored type, const void* logits, const int64_t* targets, int64_t rows, int64_t n, float* logprob,
            float* entropy, float* total, int threads) {
    const Kernels& k = kernels();
    split(rows, rows_at_once(n), threads, [&](int64_t r, int64_t end) {
        for (; r < end; r++)
            k.loss_forward(type, at(logits, r * n, type), targets[r], n, logprob + r, entropy + r, total + r);
    });
}

void losses_back(Stored type, const void* logits, const int64_t* targets, const float* entropy, const float* total,
                 const float* d_logprob, const float* d_entropy, int64_t rows, int64_t n, void* out, int threads) {
    const Kernels& k = kernels();
    split(rows, rows_at_once(n), threads, [&](int64_t r, int64_t end) {
        for (; r < end; r++)
            k.loss_backward(type, at(logits, r * n, type), targets[r], n, entropy[r], total[r], d_logprob[r],
                            d_entropy ? d_entropy[r] : 0.0f, at(out, r * n, type));
    });
}

}  // namespace ponder::training
