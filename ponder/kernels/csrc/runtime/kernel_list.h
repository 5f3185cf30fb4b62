// The kernels: KERNEL(result, name, arguments). Included where a list of them is needed, with KERNEL defined for it: the
// table of runtime/kernels.h, and the functions that fill it (program/elementwise.cpp). So a new one is added here only.

// Activations in the form linear() wants for this kind of weight: bytes of one row, and writing one row.
KERNEL(int64_t, packed_bytes, (const Matrix& w))
KERNEL(void, pack, (const Matrix& w, const float* x, void* packed))
// y[t][n] = dot(w[n], x[t]) + bias[n] for n0 <= n < n1 and 0 <= t < tokens; x: packed rows at equal distances, or at most
// scattered_rows of them; bias may be null; n0 is a multiple of 16, and so is n1 unless it is the last; next: what the
// thread is likely to do after it
KERNEL(void, linear, (const Matrix& w, int64_t n0, int64_t n1, const void* const* x, int64_t tokens, float* const* y,
                      const float* bias, const Rows& next))

// One position's key and value of one head into `slot` of a tile of the cache, then attention over the cache.
KERNEL(void, write_kv, (const KvCache& cache, int64_t head, int64_t slot, const float* k, const float* v, char* tile))
KERNEL(void, attention, (const AttentionUnit& u, char* scratch))
KERNEL(void, combine_spans, (const AttentionUnit& u, char* scratch))  // u: all spans, partial filled by `attention`

KERNEL(void, to_bf16, (const float* x, uint16_t* out, int64_t n))
KERNEL(void, rms_norm, (const float* x, const float* weight, float eps, int64_t n, float* out))
KERNEL(void, rope, (const float* x, const float* cos, const float* sin, int64_t c, float* out))  // one head
KERNEL(void, swiglu, (const float* gate, const float* up, int64_t n, float* out))
KERNEL(void, add_scaled, (const float* x, float scale, int64_t n, float* out))  // out += scale * x

// One row of a file. decode: to floats; the values of block formats must be finite. copy_codes: Q8_0 and Q5_0 to int8,
// Q4_0 and IQ4_NL to int4, value for value; Q4_1 and Q4_K to uint4, scales and offsets rounded to float16. quantise: floats to int8. search: floats to int4, the error of column i
// counts importance[i]; scratch [k]. They return the flags of kernels.h.
KERNEL(int, decode, (Stored type, const uint8_t* raw, int64_t k, float* out))
KERNEL(int, copy_codes, (Stored type, const uint8_t* raw, int64_t k, uint8_t* data, uint16_t* scale))
KERNEL(int, quantise, (const float* x, int64_t k, int64_t group, uint8_t* data, uint16_t* scale))
KERNEL(int, search, (const float* x, const float* importance, int64_t k, int64_t group, const CodeTable& t, float* scratch,
                     uint8_t* data, uint16_t* scale))

KERNEL(void, normal, (uint32_t key0, uint32_t key1, uint32_t key2, float spread, int64_t n, float* out))
// Sampling ids. maxima: the largest of each maxima_group logits; false when one is NaN or +inf. weights:
// exp((x - peak) / temperature) for x <= peak. forbid: -inf where the bit of `allowed` is 0.
KERNEL(bool, maxima, (const float* x, int64_t n, float* out))
KERNEL(void, weights, (const float* x, int64_t n, double peak, double temperature, double* out))
KERNEL(void, forbid, (float* x, const uint8_t* allowed, int64_t n))

// Training, forward and back, over rows of float32 or bf16 (`Stored`); what is summed is float32. weight, inverse, cos and
// sin are float32. See training/training.h for what each computes.
KERNEL(void, norm_forward, (Stored type, const void* x, const float* weight, float eps, int64_t rows, int64_t n, void* out,
                            float* inverse))
KERNEL(void, norm_backward, (Stored type, const void* grad, const void* x, const float* weight, const float* inverse,
                             int64_t rows, int64_t n, void* dx, float* dw))  // dw is added to
KERNEL(void, rotate, (Stored type, const void* x, const float* cos, const float* sin, float way, int64_t heads, int64_t c,
                      void* out))  // the heads of one token
KERNEL(void, swiglu_forward, (Stored type, const void* gate, const void* up, int64_t n, void* out))
KERNEL(void, swiglu_backward, (Stored type, const void* grad, const void* gate, const void* up, int64_t n, void* dgate,
                               void* dup))
KERNEL(void, attention_forward, (Stored type, const TrainingUnit& u, float* scratch))  // scratch: training_scratch floats
KERNEL(void, attention_backward, (Stored type, const TrainingUnit& u, float* scratch))
KERNEL(void, loss_forward, (Stored type, const void* logits, int64_t target, int64_t n, float* logprob, float* entropy,
                            float* total))  // of one row; total: log of the sum of exp
KERNEL(void, loss_backward, (Stored type, const void* logits, int64_t target, int64_t n, float entropy, float total,
                             float d_logprob, float d_entropy, void* out))
