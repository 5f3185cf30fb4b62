// Logits of a coarse copy of the head, made exact where they matter: of each row, the panels of 16 outputs that hold its
// largest logits are computed again with the head itself. A step then reads half the bytes.
//
// Which panels is a matter of the row alone (DT-1): those whose maxima are the largest, the lower one of equals, and not
// far below the largest logit; one that holds a NaN counts as the largest. Rows that chose the same panel compute it together, to the same bits.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <stdexcept>

#include "runtime/dispatch.h"
#include "program/ops.h"
#include "packing/panels.h"
#include "runtime/pool.h"

namespace ponder {

namespace {

// Integers in the order of the floats, 0 and -0 equal, NaN above all.
inline int32_t key(float x) {
    int32_t bits;
    float y = x + 0.0f;
    std::memcpy(&bits, &y, 4);
    return x == x ? bits ^ ((bits >> 31) & 0x7fffffff) : 0x7fffffff;
}

int32_t largest_key(const float* x, int64_t n) {
    int32_t most = key(x[0]);
    if (n == panel_rows)  // so that the compiler knows how many
        for (int i = 1; i < (int)panel_rows; i++) most = std::max(most, key(x[i]));
    else
        for (int64_t i = 1; i < n; i++) most = std::max(most, key(x[i]));
    return most;
}

// Codes and scales that the kernel reads before those it asks for itself.
void prefetch(const Matrix& w, int64_t panel) {
    for (int64_t at = 0; at < std::min<int64_t>(4096, panel_codes(w)); at += 64) __builtin_prefetch(codes_at(w, panel, 0) + at);
    for (int64_t at = 0; at < std::min<int64_t>(256, panel_scales(w) * 2); at += 64)
        __builtin_prefetch((const char*)scales_at(w, panel, 0) + at);
}

// One row of logits [n] -> the panels to compute again, rising. First the largest of each maxima_group logits: where those
// are small, no panel can be among the chosen.
std::vector<int32_t> choose(const float* logits, int64_t n, const Closest& which) {
    std::vector<float> tops(up(n, maxima_group) / maxima_group);
    size_t count = (size_t)which.panels;
    float bound = -INFINITY;
    bool numbers = kernels().maxima(logits, n, tops.data());
    float top = *std::max_element(tops.begin(), tops.end());
    if (numbers) {
        bound = top - which.margin;
        if (count < tops.size()) {
            std::vector<float> sorted = tops;
            std::nth_element(sorted.begin(), sorted.begin() + (count - 1), sorted.end(), std::greater<float>());
            bound = std::max(bound, sorted[count - 1]);
        }
    }
    std::vector<int32_t> keys, panels, chosen;
    for (size_t g = 0; g < tops.size(); g++)
        for (int64_t at = g * maxima_group; tops[g] >= bound && at < std::min<int64_t>(n, (g + 1) * maxima_group); at += panel_rows) {
            int32_t most = largest_key(logits + at, std::min(panel_rows, n - at));
            if (most < key(bound)) continue;
            keys.push_back(most);
            panels.push_back((int32_t)(at / panel_rows));
        }
    if (panels.size() <= count) return panels;
    std::vector<int32_t> sorted = keys;
    std::nth_element(sorted.begin(), sorted.begin() + (count - 1), sorted.end(), std::greater<int32_t>());
    int32_t least = sorted[count - 1];
    int64_t equals = which.panels - std::count_if(keys.begin(), keys.end(), [&](int32_t k) { return k > least; });
    for (size_t i = 0; i < panels.size(); i++)
        if (keys[i] > least || (keys[i] == least && equals-- > 0)) chosen.push_back(panels[i]);
    return chosen;
}

// Who wants what: rows of panel p are rows[starts[p]] .. rows[starts[p + 1]].
struct Wanted {
    std::vector<int32_t> starts, rows, panels;  // panels: those that some row wants
    Wanted(const std::vector<std::vector<int32_t>>& chosen, int64_t all) : starts(all + 1) {
        for (auto& of_row : chosen)
            for (int32_t p : of_row) starts[p + 1]++;
        for (int64_t p = 0; p < all; p++) {
            if (starts[p + 1] > 0) panels.push_back((int32_t)p);
            starts[p + 1] += starts[p];
        }
        rows.resize(starts[all]);
        std::vector<int32_t> at(starts.begin(), starts.end() - 1);
        for (size_t r = 0; r < chosen.size(); r++)
            for (int32_t p : chosen[r]) rows[at[p]++] = (int32_t)r;
    }
};

// At most scattered_rows tokens.
void rescore_some(Operation& op, const PackedRows& x, int64_t tokens, const Matrix& w, const Closest& which, float* logits) {
    std::vector<std::vector<int32_t>> chosen(tokens);
    op.split(tokens, 1, [&](int64_t t) { chosen[t] = choose(logits + t * w.n, w.n, which); });
    Wanted wanted(chosen, panels(w));
    int64_t count = (int64_t)wanted.panels.size();
    op.split(count, 4, [&](int64_t i) {
        int32_t p = wanted.panels[i], from = wanted.starts[p], rows = wanted.starts[p + 1] - from;
        const void* xs[scattered_rows];
        float* ys[scattered_rows];
        for (int32_t r = 0; r < rows; r++) {
            int64_t t = wanted.rows[from + r];
            xs[r] = x.base + t * x.stride;
            ys[r] = logits + t * w.n;
        }
        if (i + 1 < count) prefetch(w, wanted.panels[i + 1]);
        kernels().linear(w, p * panel_rows, std::min(w.n, (p + 1) * panel_rows), xs, rows, ys, nullptr, {});
    });
}

}  // namespace

void check_rescore(const Matrix& w, const Closest& which) {
    if (!in_panels(w)) throw std::invalid_argument("rescore: an int8, int4 or uint4 matrix");
    if (!(which.panels > 0 && which.margin >= 0))
        throw std::invalid_argument("rescore: one panel or more, a margin of 0 or more");
}

void rescore(const PackedRows& x, int64_t tokens, const Matrix& w, const Closest& which, float* logits) {
    Operation op;
    for (int64_t t = 0; t < tokens; t += scattered_rows)
        rescore_some(op, {x.base + t * x.stride, x.stride}, std::min(scattered_rows, tokens - t), w, which, logits + t * w.n);
}

void rescore(const float* x, int64_t tokens, const Matrix& w, const Closest& which, float* logits) {
    const Kernels& k = kernels();
    Operation op;
    int64_t stride = padded(k.packed_bytes(w));
    char* packed = op.pool.scratch(tokens * stride);
    op.split(tokens, 16, [&](int64_t t) { k.pack(w, x + t * w.k, packed + t * stride); });
    rescore(PackedRows{packed, stride}, tokens, w, which, logits);
}

}  // namespace ponder
