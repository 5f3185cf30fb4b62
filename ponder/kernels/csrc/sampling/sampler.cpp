#include "sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/dispatch.h"

namespace ponder {

namespace {

constexpr float never = -std::numeric_limits<float>::infinity();

struct Candidate {
    float logit;
    int32_t id;
    bool operator<(const Candidate& o) const { return logit != o.logit ? logit > o.logit : id < o.id; }  // likeliest first
};

// A row with the maxima of its groups, which find the largest elements without sorting.
class Row {
public:
    Row(const float* x, int64_t n) : x(x), n(n), groups((n + maxima_group - 1) / maxima_group) {
        numbers = kernels().maxima(x, n, groups.data());
        for (float m : groups) peak = std::max(peak, m);
    }
    bool usable() const { return numbers && peak > never; }

    int32_t argmax() const {  // the lowest id of a tie
        size_t g = 0;
        while (groups[g] != peak) g++;
        int64_t i = (int64_t)g * maxima_group;
        while (x[i] != peak) i++;
        return (int32_t)i;
    }

    // The ids of logits >= bound, in id order; forbidden ones never.
    void collect(double bound, std::vector<Candidate>& out) const {
        out.clear();
        for (size_t g = 0; g < groups.size(); g++) {
            if (groups[g] < bound) continue;
            int64_t end = std::min(n, (int64_t)(g + 1) * maxima_group);
            for (int64_t i = (int64_t)g * maxima_group; i < end; i++)
                if (x[i] >= bound && x[i] > never) out.push_back({x[i], (int32_t)i});
        }
    }

    // The k largest and all that tie with the k-th, likeliest first.
    void largest(int64_t k, std::vector<Candidate>& out) const {
        float bound = never;
        if (k < (int64_t)groups.size()) {  // the k-th largest maximum: k elements at least are not below it
            std::vector<float> copy = groups;
            std::nth_element(copy.begin(), copy.begin() + (k - 1), copy.end(), std::greater<float>());
            bound = copy[k - 1];
        }
        collect(bound, out);
        if ((int64_t)out.size() > k) {
            std::nth_element(out.begin(), out.begin() + (k - 1), out.end());
            float last = out[k - 1].logit;
            out.erase(std::remove_if(out.begin(), out.end(), [&](const Candidate& c) { return c.logit < last; }),
                      out.end());
        }
        std::sort(out.begin(), out.end());
    }

    double mass(int64_t start, int64_t end, double temperature) const {  // of exp((logit - peak) / temperature)
        double part[chunk], lanes[8] = {}, total = 0;
        for (int64_t i = start; i < end; i += chunk) {
            int64_t m = std::min(chunk, end - i);
            std::fill(part + m, part + chunk, 0.0);
            kernels().weights(x + i, m, peak, temperature, part);
            for (int64_t j = 0; j < chunk; j += 8)
                for (int lane = 0; lane < 8; lane++) lanes[lane] += part[j + lane];
        }
        for (double lane : lanes) total += lane;
        return total;
    }

    static constexpr int64_t chunk = 256;
    const float* x;
    int64_t n;
    float peak = never;

private:
    std::vector<float> groups;
    bool numbers = true;
};

// numpy's sum of an array of doubles
double pairwise(const double* a, int64_t n) {
    if (n < 8) {
        double total = 0;
        for (int64_t i = 0; i < n; i++) total += a[i];
        return total;
    }
    if (n <= 128) {
        double r[8];
        std::copy(a, a + 8, r);
        int64_t i = 8;
        for (; i < n - n % 8; i += 8)
            for (int j = 0; j < 8; j++) r[j] += a[i + j];
        double total = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
        for (; i < n; i++) total += a[i];
        return total;
    }
    int64_t half = n / 2 - n / 2 % 8;
    return pairwise(a, half) + pairwise(a + half, n - half);
}

double pairwise(const std::vector<double>& a) { return pairwise(a.data(), (int64_t)a.size()); }

// Weights of ranked candidates; those of weight 0 leave.
void weigh(std::vector<Candidate>& ranked, double peak, double temperature, std::vector<double>& out) {
    std::vector<float> logits(ranked.size());
    for (size_t i = 0; i < ranked.size(); i++) logits[i] = ranked[i].logit;
    out.resize(ranked.size());
    kernels().weights(logits.data(), (int64_t)logits.size(), peak, temperature, out.data());
    while (!out.empty() && out.back() == 0) out.pop_back();
    ranked.resize(out.size());
}

// The shortest head whose weights reach `mass`; at least one.
void nucleus(double mass, std::vector<double>& weights) {
    double sum = 0;
    for (size_t i = 0; i < weights.size(); i++) {
        sum += weights[i];
        if (sum >= mass) {
            weights.resize(i + 1);
            return;
        }
    }
}

// The likeliest ids that temperature, top-k, top-p and min-p leave, with their weights. Some filter is on.
void filtered(const Row& row, const Rule& rule, bool limited, std::vector<Candidate>& ids, std::vector<double>& w) {
    double t = rule.temperature;
    if (limited) {
        row.largest(rule.top_k, ids);
        weigh(ids, row.peak, t, w);
        if (rule.top_p < 1) nucleus(rule.top_p * pairwise(w), w);
    } else if (rule.top_p < 1) {
        double mass = rule.top_p * row.mass(0, row.n, t);
        for (int64_t k = 256;; k *= 8) {  // rank only as many as the mass needs
            row.largest(k, ids);
            weigh(ids, row.peak, t, w);
            if (k >= row.n || pairwise(w) >= mass) break;
        }
        nucleus(mass, w);
    } else {
        row.collect((double)row.peak + t * std::log(rule.min_p) - 1e-3, ids);
        std::sort(ids.begin(), ids.end());
        weigh(ids, row.peak, t, w);
    }
    if (rule.min_p > 0)
        while (w.size() > 1 && w.back() < rule.min_p * w[0]) w.pop_back();
}

// Invert the cumulative distribution of the ranked ids at u.
int32_t pick(const std::vector<Candidate>& ids, std::vector<double>& w, double u) {
    double total = pairwise(w), sum = 0;
    for (double& p : w) p = sum += p / total;
    size_t at = (size_t)(std::upper_bound(w.begin(), w.end(), u * sum) - w.begin());
    return ids[std::min(at, w.size() - 1)].id;
}

// The same over all ids in id order: find the chunk, then the id in it.
int32_t pick_open(const Row& row, double t, double u) {
    constexpr int64_t chunk = Row::chunk;
    std::vector<double> sums;
    double total = 0;
    for (int64_t i = 0; i < row.n; i += chunk) sums.push_back(total += row.mass(i, std::min(row.n, i + chunk), t));
    size_t c = (size_t)(std::upper_bound(sums.begin(), sums.end(), u * total) - sums.begin());
    c = std::min(c, sums.size() - 1);
    double sum = c ? sums[c - 1] : 0, part[chunk];
    int64_t start = (int64_t)c * chunk, m = std::min(chunk, row.n - start), last = 0;
    kernels().weights(row.x + start, m, row.peak, t, part);
    for (int64_t i = 0; i < m; i++) {
        if (part[i] > 0) last = i;  // rounding may leave u beyond the last sum: an id that can come, all the same
        if ((sum += part[i]) > u * total) break;
    }
    return (int32_t)(start + last);
}

void report(const Row& raw, const Rule& rule, Drawn& out) {
    double norm = (double)raw.peak + std::log(raw.mass(0, raw.n, 1.0));
    out.logprob = (double)raw.x[out.id] - norm;
    if (!rule.alternatives) return;
    std::vector<Candidate> ids;
    raw.largest(rule.alternatives, ids);
    ids.resize(std::min(ids.size(), (size_t)rule.alternatives));
    for (auto& c : ids) out.top.push_back({c.id, (double)c.logit - norm});
}

// Change the row [n] as the rule says. False: the exempt id insists on being drawn.
bool constrain(float* x, int64_t n, const Rule& rule) {
    float own = rule.exempt >= 0 ? x[rule.exempt] : 0;
    if (rule.exempt >= 0 && (rule.penalties || rule.mask || !rule.bias.empty())) {
        Row row(x, n);
        if (row.usable() && row.argmax() == rule.exempt) return false;
    }
    if (rule.penalties) rule.penalties->apply(x, n);
    for (size_t i = 0; i < rule.bias.size(); i++) x[rule.bias_ids[i]] += rule.bias[i];
    if (rule.mask) kernels().forbid(x, rule.mask, n);
    if (rule.exempt >= 0) x[rule.exempt] = own;
    for (int32_t id : rule.forbidden) x[id] = never;
    return true;
}

int32_t choose(const float* x, int64_t n, int64_t rows, const Rule& rule, int64_t position) {
    Row row(x, n);
    if (!row.usable()) return -1;
    if (rule.temperature == 0) return row.argmax();
    double u = uniform(rule.seed, rule.choice, (uint64_t)position);
    bool limited = rule.top_k > 0 && rule.top_k < rows;
    if (!limited && rule.top_p >= 1 && rule.min_p <= 0) return pick_open(row, rule.temperature, u);
    std::vector<Candidate> ids;
    std::vector<double> w;
    filtered(row, rule, limited, ids, w);
    return pick(ids, w, u);
}

}  // namespace

Drawn draw(float* row, int64_t rows, const Rule& rule, int64_t position) {
    Drawn out;
    int64_t n = std::min(rows, rule.vocab);
    std::vector<float> raw;  // log-probabilities are the model's own, over all rows
    if (rule.alternatives >= 0) raw.assign(row, row + rows);
    if (!constrain(row, n, rule)) {
        out.id = rule.exempt;
    } else {
        out.id = choose(row, n, rows, rule, position);
        if (out.id < 0 && !rule.fallback.empty()) {
            for (int32_t id : rule.fallback) row[id] = 0;
            out.id = choose(row, n, rows, rule, position);
        }
    }
    if (rule.alternatives >= 0 && out.id >= 0) report(Row(raw.data(), rows), rule, out);
    return out;
}

double uniform(uint64_t seed, uint64_t choice, uint64_t position) {
    uint64_t c[4] = {position + 1, 0, 0, 0}, k0 = seed, k1 = choice;  // numpy counts up before it computes
    if (c[0] == 0) c[1] = 1;
    for (int round = 0; round < 10; round++) {
        unsigned __int128 a = (unsigned __int128)0xD2E7470EE14C6C93u * c[0];
        unsigned __int128 b = (unsigned __int128)0xCA5A826395121157u * c[2];
        uint64_t next[4] = {(uint64_t)(b >> 64) ^ c[1] ^ k0, (uint64_t)b, (uint64_t)(a >> 64) ^ c[3] ^ k1, (uint64_t)a};
        std::copy(next, next + 4, c);
        k0 += 0x9E3779B97F4A7C15u;
        k1 += 0xBB67AE8584CAA73Bu;
    }
    return (double)(c[0] >> 11) * 0x1p-53;
}

Penalties::Penalties(float repetition, float presence, float frequency, const std::vector<int32_t>& prompt)
    : repetition(repetition), presence(presence), frequency(frequency) {
    if (repetition != 1)
        for (int32_t id : prompt) place_of(id);
}

void Penalties::add(int32_t id) { counts[place_of(id)]++; }

size_t Penalties::place_of(int32_t id) {
    auto [it, added] = place.try_emplace(id, ids.size());
    if (added) {
        ids.push_back(id);
        counts.push_back(0);
    }
    return it->second;
}

void Penalties::apply(float* x, int64_t n) const {
    for (size_t i = 0; i < ids.size(); i++) {
        if (ids[i] >= n) continue;
        float& logit = x[ids[i]];
        if (repetition != 1) logit = logit > 0 ? logit / repetition : logit * repetition;
        if (counts[i] > 0) logit -= presence + frequency * counts[i];
    }
}

}  // namespace ponder
