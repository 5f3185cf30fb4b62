// The Python face of the sampler. Ids are checked when a rule is made, shapes with every call.
#include "bindings/bindings.h"
#include "runtime/pool.h"
#include "sampling/sampler.h"

namespace {

using Ids = std::vector<int32_t>;

struct HeldRule {
    Rule rule;
    nb::object penalties, mask;  // keep alive what the rule points at
};

void check_in(const char* name, const Ids& ids, int64_t vocab) {
    for (int32_t id : ids)
        check(id >= 0 && id < vocab, std::string(name) + ": id " + std::to_string(id) +
                                         " is not in the vocabulary of " + std::to_string(vocab));
}

void make_rule(HeldRule* self, double temperature, int64_t top_k, double top_p, double min_p, uint64_t seed,
               uint64_t choice, int64_t vocab, int alternatives, int32_t exempt, Ids forbidden, Ids bias_ids,
               std::vector<float> bias, Ids fallback, nb::object penalties, nb::object mask) {
    check_in("forbidden", forbidden, vocab);
    check_in("bias", bias_ids, vocab);
    check_in("fallback", fallback, vocab);
    check(exempt < vocab && bias.size() == bias_ids.size() && temperature >= 0 && top_k >= 0, "a rule against itself");
    Rule rule{temperature, top_k, top_p, min_p, seed, choice, vocab, alternatives, exempt};
    rule.forbidden = std::move(forbidden);
    rule.bias_ids = std::move(bias_ids);
    rule.bias = std::move(bias);
    rule.fallback = std::move(fallback);
    if (!penalties.is_none()) rule.penalties = nb::cast<const Penalties*>(penalties);
    if (!mask.is_none()) {
        auto bits = nb::cast<Array<const uint8_t, 1>>(mask);
        check((int64_t)bits.shape(0) * 8 >= vocab, "the mask has fewer bits than there are ids");
        rule.mask = bits.data();
    }
    new (self) HeldRule{std::move(rule), std::move(penalties), std::move(mask)};
}

std::vector<Drawn> draw_rows(Array<float, 2> logits, const std::vector<const HeldRule*>& rules,
                             const std::vector<int64_t>& positions) {
    int64_t rows = logits.shape(0), n = logits.shape(1);
    check(rules.size() == (size_t)rows && positions.size() == (size_t)rows, "one rule and position for each row");
    for (auto* held : rules) check(held && held->rule.vocab <= n, "a rule for more ids than the logits have");
    std::vector<Drawn> out(rows);
    if (rows == 1) {  // too short to give the interpreter away and to wake threads up
        out[0] = draw(logits.data(), n, rules[0]->rule, positions[0]);
        return out;
    }
    nb::gil_scoped_release release;
    Operation op;
    op.run(rows, [&](int64_t i, int) { out[i] = draw(logits.data() + i * n, n, rules[i]->rule, positions[i]); });
    return out;
}

}  // namespace

void bind_sampler(nb::module_& m) {
    nb::class_<Penalties>(m, "Penalties")
        .def(nb::init<float, float, float, const Ids&>(), "repetition"_a, "presence"_a, "frequency"_a, "prompt"_a)
        .def("add", &Penalties::add, "id"_a);
    nb::class_<HeldRule>(m, "Rule").def("__init__", &make_rule, "temperature"_a, "top_k"_a, "top_p"_a, "min_p"_a,
                                        "seed"_a, "choice"_a, "vocab"_a, "alternatives"_a, "exempt"_a, "forbidden"_a,
                                        "bias_ids"_a, "bias"_a, "fallback"_a, "penalties"_a.none(), "mask"_a.none());
    nb::class_<Drawn>(m, "Drawn")
        .def_ro("id", &Drawn::id)
        .def_ro("logprob", &Drawn::logprob)
        .def_ro("top", &Drawn::top);
    m.def("draw", &draw_rows, "logits"_a.noconvert(), "rules"_a, "positions"_a);
    m.def("uniform", &uniform, "seed"_a, "choice"_a, "position"_a);
}
