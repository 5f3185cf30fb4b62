// Pieces of a training step, forward and back, that torch computes in several passes over memory each. Values are float32
// or bf16, sums float32. Results do not depend on the number of threads; `threads` is 1 (the caller's own thread, the
// pool is left alone) or any other number (the pool's).
#pragma once
#include "runtime/kernels.h"

namespace ponder::training {

// x / rms(x) * weight, rows of n values; inverse [rows]: 1 / rms, for the way back. dw [n] is written.
void norm(Stored type, const void* x, const float* weight, float eps, int64_t rows, int64_t n, void* out, float* inverse,
          int threads);
void norm_back(Stored type, const void* grad, const void* x, const float* weight, const float* inverse, int64_t rows,
               int64_t n, void* dx, float* dw, int threads);
// Pairs (i, i + c/2) turn by an angle; cos, sin [tokens, c/2]; x [tokens, heads, c]; way: 1 forward, -1 back
void rotate(Stored type, const void* x, const float* cos, const float* sin, float way, int64_t tokens, int64_t heads,
            int64_t c, void* out, int threads);
// silu(gate) * up
void swiglu(Stored type, const void* gate, const void* up, int64_t n, void* out, int threads);
void swiglu_back(Stored type, const void* grad, const void* gate, const void* up, int64_t n, void* dgate, void* dup,
                 int threads);
// Causal attention of sequences side by side: starts [sequences + 1]; of the unit all but which one it is
void attention(Stored type, const TrainingUnit& all, const int32_t* starts, int64_t sequences, bool back, int threads);
// Of rows of n logits: the log-probability of targets[r], the entropy, and the log of the sum of exp, for the way back.
void losses(Stored type, const void* logits, const int64_t* targets, int64_t rows, int64_t n, float* logprob,
            float* entropy, float* total, int threads);
// d_logprob, d_entropy [rows], the second may be null -> the gradient of the logits
void losses_back(Stored type, const void* logits, const int64_t* targets, const float* entropy, const float* total,
                 const float* d_logprob, const float* d_entropy, int64_t rows, int64_t n, void* out, int threads);

}  // namespace ponder::training
