// Drawing the next id from a row of logits: the rules of one sequence, then one counter-based random number.
//
// The numpy version is ponder/kernels/reference/sampling.py; it says in which order things happen and why.
#pragma once
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/kernels.h"

namespace ponder {

// Repetition, presence and frequency penalties and what they count.
class Penalties {
public:
    Penalties(float repetition, float presence, float frequency, const std::vector<int32_t>& prompt);
    void add(int32_t id);  // one id of the answer
    void apply(float* x, int64_t n) const;

private:
    float repetition, presence, frequency;
    std::vector<int32_t> ids;  // distinct ids of prompt and answer
    std::vector<float> counts;  // how often each came in the answer
    std::unordered_map<int32_t, size_t> place;
    size_t place_of(int32_t id);
};

// What the next id of a sequence must obey. Ids are below `vocab`; what a pointer points at belongs to the caller.
struct Rule {
    double temperature = 0;
    int64_t top_k = 0;
    double top_p = 1, min_p = 0;
    uint64_t seed = 0, choice = 0;
    int64_t vocab = 0;       // rows at or beyond have no token
    int alternatives = -1;   // how many likely ids to report with the drawn one's log-probability; -1: none of it
    int32_t exempt = -1;     // this id keeps the model's own logit, and when it is the largest it is drawn
    std::vector<int32_t> forbidden;
    std::vector<int32_t> bias_ids;
    std::vector<float> bias;
    std::vector<int32_t> fallback;  // what may come when nothing else may
    const Penalties* penalties = nullptr;
    const uint8_t* mask = nullptr;  // one bit an id, 1: allowed
};

struct Drawn {
    int32_t id = -1;  // -1: everything is forbidden, or the logits are not numbers
    double logprob = 0;
    std::vector<std::pair<int32_t, double>> top;
};

// One id for position `position` of a sequence. row [n] is changed.
Drawn draw(float* row, int64_t n, const Rule& rule, int64_t position);

// A number in [0, 1): Philox-4x64 with key (seed, choice) and counter (position, 0, 0, 0), as numpy computes it.
double uniform(uint64_t seed, uint64_t choice, uint64_t position);

}  // namespace ponder
