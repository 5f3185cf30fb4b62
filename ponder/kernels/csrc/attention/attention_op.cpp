// Attention over whole batches: writes the new keys and values, then splits the reading over threads.
//
// A unit is some tokens of one sequence and one KV head. A unit that is long compared with all of the work (a single long
// sequence) is cut into pieces of whole spans, which leave partial results for one more pass; spans are combined in the
// same order either way, so how the work was cut cannot be seen in the result.
#include <algorithm>
#include <vector>

#include "runtime/dispatch.h"
#include "program/ops.h"
#include "runtime/pool.h"

namespace ponder {

namespace {

constexpr int pieces_per_thread = 4;  // so that threads end together

int64_t spans(int64_t keys) { return (keys + key_span - 1) / key_span; }

// A batch without a cache is given one of its own for the time of the call, in `memory`.
struct OwnCache {
    std::vector<int32_t> table;  // the tiles in order
    std::vector<int64_t> first;  // of each sequence

    explicit OwnCache(const Attention& a) {
        int64_t tiles = 0;
        for (int64_t b = 0; b < a.sequences; b++) {
            first.push_back(tiles);
            tiles += kv_tiles(a.starts[b + 1] - a.starts[b]);
        }
        for (int64_t i = 0; i < tiles; i++) table.push_back((int32_t)i);
    }
};

// New keys and values of one sequence; one thread writes all of a tile, in order.
struct Write {
    const int32_t* table;
    int64_t first_token, tokens, first_position;
};

void write(const Kernels& kernel, const Attention& a, const KvCache& cache, const Write& w) {
    int64_t c = cache.c;
    for (int64_t i = 0; i < w.tokens; i++) {
        int64_t p = w.first_position + i, slot = p % cache.block_size;
        for (int64_t h = 0; h < cache.heads; h++) {
            int64_t row = ((w.first_token + i) * cache.heads + h) * c;
            char* tile = cache.tile(w.table[p / cache.block_size], h, slot / key_tile);
            kernel.write_kv(cache, h, slot % key_tile, a.k + row, a.v + row, tile);
        }
    }
}

}  // namespace

void attention(const Attention& a) {
    const Kernels& kernel = kernels();
    Operation op;
    KvCache cache = a.cache;
    int64_t ratio = a.heads / cache.heads, padded = kv_padded(cache.c), threads = op.pool.threads();
    int64_t tokens_at_once = std::max<int64_t>(1, max_queries / ratio), rows = tokens_at_once * ratio;
    OwnCache own(a.tables ? Attention{} : a);
    if (!a.tables) {
        cache.kind = KvKind::f32;
        cache.block_size = key_tile;
    }

    std::vector<Write> writes;
    std::vector<AttentionUnit> units;
    int64_t work = 0;  // spans times tokens
    for (int64_t b = 0; b < a.sequences; b++) {
        int64_t start = a.starts[b], end = a.starts[b + 1];
        const int32_t* table = a.tables ? a.tables + b * a.table_width : own.table.data() + own.first[b];
        for (int64_t t = start; t < end;) {
            int64_t p = a.positions[t], slot = p % cache.block_size;
            int64_t n = std::min({end - t, key_tile - slot % key_tile, cache.block_size - slot});
            writes.push_back({table, t, n, p});
            t += n;
        }
        for (int64_t t = start; t < end; t += tokens_at_once) {
            int64_t n = std::min(tokens_at_once, end - t), p = a.positions[t], keys = spans(p + n);
            for (int64_t h = 0; h < cache.heads; h++)
                units.push_back({a.q, a.out, cache, table, a.heads, h, t, p, n, 0, keys, nullptr, nullptr});
            work += cache.heads * n * keys;
        }
    }

    // Units longer than a piece become pieces of partial results.
    int64_t piece_work = std::max<int64_t>(1, work / (threads * pieces_per_thread)), partials = 0;
    std::vector<AttentionUnit> pieces, combinations;
    std::vector<int64_t> first_partial;
    for (const AttentionUnit& u : units) {
        int64_t per_piece = std::max<int64_t>(1, piece_work / u.tokens);
        if (u.end_span <= per_piece || threads == 1) {
            pieces.push_back(u);
            continue;
        }
        combinations.push_back(u);
        first_partial.push_back(partials);
        partials += u.end_span * u.tokens * ratio * (padded + 2);
    }
    int64_t scratch_bytes = (attention_scratch(rows, cache.c) + 63) / 64 * 64;
    int64_t own_bytes = (int64_t)own.table.size() * kv_block(cache.kind, cache.heads, key_tile, cache.c);
    char* scratch = op.pool.scratch(threads * scratch_bytes + own_bytes + partials * 4);
    if (!a.tables) cache.data = scratch + threads * scratch_bytes;
    float* partial = (float*)(scratch + threads * scratch_bytes + own_bytes);
    for (size_t m = 0; m < combinations.size(); m++) {
        AttentionUnit& u = combinations[m];
        int64_t per_piece = std::max<int64_t>(1, piece_work / u.tokens);
        u.partial = partial + first_partial[m];
        for (int64_t s = 0; s < u.end_span; s += per_piece) {
            AttentionUnit piece = u;
            piece.first_span = s;
            piece.end_span = std::min(u.end_span, s + per_piece);
            piece.partial = u.partial + s * u.tokens * ratio * (padded + 2);
            pieces.push_back(piece);
        }
    }
    // the longest first, so that threads end together
    std::stable_sort(pieces.begin(), pieces.end(), [](const AttentionUnit& x, const AttentionUnit& y) {
        return x.tokens * (x.end_span - x.first_span) > y.tokens * (y.end_span - y.first_span);
    });

    // A thread takes some in a row, so that it knows which comes next; after the last of them, probably the first of those
    // that the other threads leave. The first lot is half as long, so that threads take turns.
    int64_t count = (int64_t)pieces.size(), lot = std::clamp<int64_t>(count / (threads * 8), 1, 8), less = lot / 2;
    int64_t lots = (count + less + lot - 1) / lot;
    auto begin = [&](int64_t i) { return std::clamp<int64_t>(i * lot - less, 0, count); };
    for (int64_t i = 0; i < lots; i++)
        for (int64_t j = begin(i); j < begin(i + 1); j++) {
            pieces[j].cache.data = cache.data;
            int64_t next = j + 1 < begin(i + 1) ? j + 1 : begin(op.likely_after(i));
            if (next < count) pieces[j].next = &pieces[next];
        }

    op.run((int64_t)writes.size(), [&](int64_t i, int) { write(kernel, a, cache, writes[i]); });
    op.run(lots, [&](int64_t i, int thread) {
        for (int64_t j = begin(i); j < begin(i + 1); j++) kernel.attention(pieces[j], scratch + thread * scratch_bytes);
    });
    op.run((int64_t)combinations.size(),
           [&](int64_t i, int thread) { kernel.combine_spans(combinations[i], scratch + thread * scratch_bytes); });
}

}  // namespace ponder
