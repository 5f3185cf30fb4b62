// Causal attention of one sequence and KV head with its gradients, in float32 whatever the inputs are: copied once into
// rows that are whole vectors, then nothing but small matrix products in the caches. Compiled per instruction set.
#include "runtime/kernels.h"
#include "training/rows.h"

namespace ponder::PONDER_NS {

constexpr int tile_rows = V::N == 16 ? 8 : V::N == 8 ? 6 : 4, tile_vectors = 2;  // what fits into the registers

// c[m][n] (+)= sum over k of a[m * am + k * ak] * b[k][n]; n is a whole number of vectors
struct Product {
    int64_t m, n, k;
    const float* a;
    int64_t am, ak;
    const float* b;
    int64_t ldb;
    float* c;
    int64_t ldc;
    bool add;
};

template <int M, int N>
static inline void tile(const Product& p, const float* a, const float* b, float* c) {
    V sum[M][N];
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) sum[i][j] = p.add ? load(c + i * p.ldc + j * V::N) : zero();
    for (int64_t k = 0; k < p.k; k++, a += p.ak, b += p.ldb) {
        V row[N];
        for (int j = 0; j < N; j++) row[j] = load(b + j * V::N);
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) sum[i][j] = fma(set(a[i * p.am]), row[j], sum[i][j]);
    }
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) store(c + i * p.ldc + j * V::N, sum[i][j]);
}

template <int M>
static inline void tile_row(const Product& p, int64_t i) {
    const float* a = p.a + i * p.am;
    float* c = p.c + i * p.ldc;
    int64_t n = 0;
    for (; n + tile_vectors * V::N <= p.n; n += tile_vectors * V::N) tile<M, tile_vectors>(p, a, p.b + n, c + n);
    for (; n < p.n; n += V::N) tile<M, 1>(p, a, p.b + n, c + n);
}

template <int M>
static inline void last_rows(const Product& p, int64_t i) {
    if constexpr (M > 0) {
        if (p.m - i == M) tile_row<M>(p, i);
        else last_rows<M - 1>(p, i);
    }
}

static void multiply(const Product& p) {
    int64_t i = 0;
    for (; i + tile_rows <= p.m; i += tile_rows) tile_row<tile_rows>(p, i);
    last_rows<tile_rows - 1>(p, i);
}

// Where a unit's pieces lie in the scratch.
struct Room {
    int64_t width, length;  // of a row: whole vectors; and of a row of scores
    float *k, *v, *kt, *vt, *dk, *dv, *q, *grad, *out, *dq, *p, *dp;
    Room(const TrainingUnit& u, float* scratch) : width(round_up(u.c, V::N)), length(round_up(u.length, V::N)) {
        float** whole[] = {&k, &v, &kt, &vt, &dk, &dv};
        for (float** at : whole) {
            *at = scratch;
            scratch += length * width;
        }
        int64_t n = block_queries(u.length);
        float** block[] = {&q, &grad, &out, &dq};
        for (float** at : block) {
            *at = scratch;
            scratch += n * width;
        }
        p = scratch;
        dp = p + n * length;
    }
};

template <class S>
static void gather(const void* from, int64_t stride, int64_t rows, int64_t c, int64_t width, float scale, float* to) {
    const typename S::T* x = (const typename S::T*)from;
    for (int64_t r = 0; r < rows; r++, x += stride, to += width) {
        for (int64_t i = c; i < width; i++) to[i] = 0;
        vectors(c, [&](int64_t i, auto get, auto put) { put(F32(), to + i, get(S(), x + i) * set(scale)); });
    }
}

template <class S>
static void scatter(const float* x, int64_t width, int64_t rows, int64_t c, float scale, void* to, int64_t stride) {
    typename S::T* y = (typename S::T*)to;
    for (int64_t r = 0; r < rows; r++, x += width, y += stride)
        vectors(c, [&](int64_t i, auto get, auto put) { put(S(), y + i, get(F32(), x + i) * set(scale)); });
}

static void transpose(const float* x, int64_t width, int64_t rows, int64_t c, int64_t length, float* to) {
    for (int64_t i = 0; i < c; i++) {
        for (int64_t r = 0; r < rows; r++) to[i * length + r] = x[r * width + i];
        for (int64_t r = rows; r < length; r++) to[i * length + r] = 0;
    }
}

template <class S>
struct Unit {
    const TrainingUnit& u;
    Room room;
    int64_t group, stride, kv_stride;
    float scale;
    Unit(const TrainingUnit& unit, float* scratch)
        : u(unit), room(unit, scratch), group(u.heads / u.kv_heads), stride(u.heads * u.c), kv_stride(u.kv_heads * u.c),
          scale(1.0f / __builtin_sqrtf((float)u.c)) {}

    typedef typename S::T T;
    int64_t query(int64_t t, int64_t head) const { return (u.first + t) * stride + (u.kv_head * group + head) * u.c; }
    int64_t key() const { return u.first * kv_stride + u.kv_head * u.c; }
    float* total(int64_t t, int64_t head) const { return u.total + (u.first + t) * u.heads + u.kv_head * group + head; }

    void gather_keys() {
        gather<S>((const T*)u.k + key(), kv_stride, u.length, u.c, room.width, 1, room.k);
        gather<S>((const T*)u.v + key(), kv_stride, u.length, u.c, room.width, 1, room.v);
        transpose(room.k, room.width, u.length, u.c, room.length, room.kt);
    }

    // Scaled scores of the queries t .. t + n of a head against all keys up to the last of them; returns their row length.
    int64_t scores(int64_t t, int64_t n, int64_t head) {
        gather<S>((const T*)u.q + query(t, head), stride, n, u.c, room.width, scale, room.q);
        int64_t keys = round_up(t + n, V::N);
        multiply({n, keys, u.c, room.q, room.width, 1, room.kt, room.length, room.p, room.length, false});
        return keys;
    }

    void forward() {
        gather_keys();
        for (int64_t head = 0; head < group; head++)
            for (int64_t t = 0, step = block_queries(u.length); t < u.length; t += step) {
                int64_t n = u.length - t < step ? u.length - t : step, keys = scores(t, n, head);
                for (int64_t r = 0; r < n; r++) softmax(room.p + r * room.length, t + r + 1, keys, total(t + r, head));
                multiply({n, room.width, t + n, room.p, room.length, 1, room.v, room.width, room.out, room.width, false});
                scatter<S>(room.out, room.width, n, u.c, 1, (T*)u.out + query(t, head), stride);
            }
    }

    // Of the first `seen` of a row; the rest up to `keys` become 0.
    static void softmax(float* row, int64_t seen, int64_t keys, float* total) {
        V most = set(row[0]);
        int64_t whole = seen / V::N * V::N;
        for (int64_t i = 0; i < whole; i += V::N) most = max(load(row + i), most);
        float peak = largest(most);
        for (int64_t i = whole; i < seen; i++) peak = row[i] > peak ? row[i] : peak;
        V all = zero();
        for (int64_t i = 0; i < keys; i += V::N) {
            V e = exp(load(row + i) - set(peak));
            if (i + V::N > seen) {
                store(row + i, e);
                for (int64_t j = seen > i ? seen : i; j < i + V::N; j++) row[j] = 0;
                e = load(row + i);
            }
            store(row + i, e);
            all = all + e;
        }
        float sum_all = sum(all);
        *total = peak + __builtin_logf(sum_all);
        V share = set(1.0f / sum_all);
        for (int64_t i = 0; i < seen; i += V::N) store(row + i, load(row + i) * share);
    }

    void backward() {
        gather_keys();
        transpose(room.v, room.width, u.length, u.c, room.length, room.vt);
        for (int64_t i = 0; i < room.length * room.width; i++) room.dk[i] = room.dv[i] = 0;
        for (int64_t head = 0; head < group; head++)
            for (int64_t t = 0, step = block_queries(u.length); t < u.length; t += step)
                backward_block(t, u.length - t < step ? u.length - t : step, head);
        scatter<S>(room.dk, room.width, u.length, u.c, 1, (T*)u.dk + key(), kv_stride);
        scatter<S>(room.dv, room.width, u.length, u.c, 1, (T*)u.dv + key(), kv_stride);
    }

    void backward_block(int64_t t, int64_t n, int64_t head) {
        int64_t keys = scores(t, n, head), w = room.width, l = room.length;
        gather<S>((const T*)u.grad + query(t, head), stride, n, u.c, w, 1, room.grad);
        gather<S>((const T*)u.out + query(t, head), stride, n, u.c, w, 1, room.out);
        multiply({n, keys, u.c, room.grad, w, 1, room.vt, l, room.dp, l, false});
        for (int64_t r = 0; r < n; r++) {
            V along = zero();  // the gradient's share along the output: sum over keys of p * dp
            for (int64_t i = 0; i < w; i += V::N) along = fma(load(room.grad + r * w + i), load(room.out + r * w + i), along);
            softmax_back(room.p + r * l, room.dp + r * l, t + r + 1, keys, *total(t + r, head), sum(along));
        }
        multiply({t + n, w, n, room.p, 1, l, room.grad, w, room.dv, w, true});
        multiply({t + n, w, n, room.dp, 1, l, room.q, w, room.dk, w, true});
        multiply({n, w, t + n, room.dp, l, 1, room.k, w, room.dq, w, false});
        scatter<S>(room.dq, w, n, u.c, scale, (T*)u.dq + query(t, head), stride);
    }

    // p: scores -> probabilities; dp: their gradient -> that of the scores
    static void softmax_back(float* p, float* dp, int64_t seen, int64_t keys, float total, float along) {
        for (int64_t i = 0; i < seen; i += V::N) {
            V e = exp(load(p + i) - set(total));
            store(p + i, e);
            store(dp + i, e * (load(dp + i) - set(along)));
        }
        for (int64_t i = seen; i < keys; i++) p[i] = dp[i] = 0;
    }
};

void attention_forward(Stored type, const TrainingUnit& u, float* scratch) {
    if (type == Stored::bf16) Unit<Bf16>(u, scratch).forward();
    else Unit<F32>(u, scratch).forward();
}

void attention_backward(Stored type, const TrainingUnit& u, float* scratch) {
    if (type == Stored::bf16) Unit<Bf16>(u, scratch).backward();
    else Unit<F32>(u, scratch).backward();
}

}  // namespace ponder::PONDER_NS
