// How the paged cache lies in memory (cache.py is the same in numpy).
//
// A block of one layer is one contiguous piece: for each KV head, for each 32 positions, a tile. A tile holds a matrix
// of keys, a matrix of values and, for int8, 32 float scales of each. Both matrices are made of rows of 32 lanes of
// four bytes (128 bytes), the form that dot products of 4 bytes, 2 bf16 or 1 float per lane take, and that AMX takes:
//   keys   [padded/P][32 positions][P channels]               the int8 ones as value + 128
//   values [padded/32][32/P][32 channels][P positions]
// with P = 4 / bytes of a value, and the head size padded to a multiple of 32 with zeros.
#pragma once
#include <cstdint>

namespace ponder {

enum class KvKind : int { f32, bf16, int8 };

constexpr int64_t key_tile = 32;    // positions of one tile
constexpr int64_t key_span = 256;   // positions of one softmax; spans count from position 0 and are combined in order
constexpr int64_t max_head = 1024;  // values of one head
constexpr int64_t lane_row = 128;   // bytes of one row of 32 lanes

constexpr int64_t kv_bytes(KvKind kind) { return kind == KvKind::f32 ? 4 : kind == KvKind::bf16 ? 2 : 1; }
constexpr int64_t kv_padded(int64_t c) { return (c + 31) / 32 * 32; }
constexpr int64_t kv_matrix(KvKind kind, int64_t c) { return key_tile * kv_padded(c) * kv_bytes(kind); }
constexpr int64_t kv_tile(KvKind kind, int64_t c) {
    return 2 * kv_matrix(kind, c) + (kind == KvKind::int8 ? 2 * 4 * key_tile : 0);
}
constexpr int64_t kv_tiles(int64_t block_size) { return (block_size + key_tile - 1) / key_tile; }  // of one block
constexpr int64_t kv_block(KvKind kind, int64_t heads, int64_t block_size, int64_t c) {
    return heads * kv_tiles(block_size) * kv_tile(kind, c);
}

// The cache of one layer: [blocks][heads][tiles of a block][tile].
struct KvCache {
    KvKind kind;
    int64_t heads, c, block_size;
    char* data;
    const float* balance;  // int8: [2][heads][c], what queries and keys are multiplied by before they are rounded


    KvCache of_layer(int64_t layer, int64_t layer_bytes) const {
        KvCache one = *this;
        one.data += layer * layer_bytes;
        if (balance) one.balance += layer * 2 * heads * c;
        return one;
    }
    char* tile(int64_t block, int64_t head, int64_t i) const {
        return data + ((block * heads + head) * kv_tiles(block_size) + i) * kv_tile(kind, c);
    }
};

}  // namespace ponder
