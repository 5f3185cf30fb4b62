// The pieces of a training step over numpy arrays: float32, or bf16 as uint16. Shapes are checked, as everywhere.
#include "bindings/bindings.h"
#include "training/training.h"

namespace {

template <class T>
constexpr Stored stored = sizeof(T) == 2 ? Stored::bf16 : Stored::f32;
using Vector = Array<const float, 1>;

template <class T>
void bind_norm(Array<const T, 2> x, Vector weight, float eps, Array<T, 2> out, Array<float, 1> inverse, int threads) {
    int64_t rows = x.shape(0), n = x.shape(1);
    check(n > 0, "rows are empty");
    check_shape("weight", weight, n);
    check_shape("out", out, rows, n);
    check_shape("inverse", inverse, rows);
    training::norm(stored<T>, x.data(), weight.data(), eps, rows, n, out.data(), inverse.data(), threads);
}

template <class T>
void bind_norm_back(Array<const T, 2> grad, Array<const T, 2> x, Vector weight, Vector inverse, Array<T, 2> dx,
                    Array<float, 1> dw, int threads) {
    int64_t rows = x.shape(0), n = x.shape(1);
    check(n > 0, "rows are empty");
    check_shape("grad", grad, rows, n);
    check_shape("weight", weight, n);
    check_shape("inverse", inverse, rows);
    check_shape("dx", dx, rows, n);
    check_shape("dw", dw, n);
    training::norm_back(stored<T>, grad.data(), x.data(), weight.data(), inverse.data(), rows, n, dx.data(), dw.data(),
                        threads);
}

template <class T>
void bind_rotate(Array<const T, 3> x, Array<const float, 2> cos, Array<const float, 2> sin, float way, Array<T, 3> out,
                 int threads) {
    int64_t tokens = x.shape(0), heads = x.shape(1), c = x.shape(2);
    check(c > 0 && c % 2 == 0 && heads > 0, "the head size must be even");
    check_shape("cos", cos, tokens, c / 2);
    check_shape("sin", sin, tokens, c / 2);
    check_shape("out", out, tokens, heads, c);
    training::rotate(stored<T>, x.data(), cos.data(), sin.data(), way, tokens, heads, c, out.data(), threads);
}

template <class T>
void bind_swiglu(Array<const T, 2> gate, Array<const T, 2> up, Array<T, 2> out, int threads) {
    check_shape("up", up, gate.shape(0), gate.shape(1));
    check_shape("out", out, gate.shape(0), gate.shape(1));
    training::swiglu(stored<T>, gate.data(), up.data(), (int64_t)gate.size(), out.data(), threads);
}

template <class T>
void bind_swiglu_back(Array<const T, 2> grad, Array<const T, 2> gate, Array<const T, 2> up, Array<T, 2> dgate,
                      Array<T, 2> dup, int threads) {
    int64_t rows = gate.shape(0), n = gate.shape(1);
    check_shape("grad", grad, rows, n);
    check_shape("up", up, rows, n);
    check_shape("dgate", dgate, rows, n);
    check_shape("dup", dup, rows, n);
    training::swiglu_back(stored<T>, grad.data(), gate.data(), up.data(), (int64_t)gate.size(), dgate.data(), dup.data(),
                          threads);
}

template <class T>
TrainingUnit unit_of(const Array<const T, 3>& q, const Array<const T, 3>& k, const Array<const T, 3>& v,
                     const Array<const int32_t, 1>& starts) {
    int64_t tokens = q.shape(0), heads = q.shape(1), c = q.shape(2), kv_heads = k.shape(1);
    check(kv_heads > 0 && c > 0 && heads % kv_heads == 0, "query heads must be a multiple of the key heads");
    check_shape("k", k, tokens, kv_heads, c);
    check_shape("v", v, tokens, kv_heads, c);
    check(starts.shape(0) >= 1 && starts.data()[0] == 0 && starts.data()[starts.shape(0) - 1] == tokens,
          "starts must run from 0 to the number of tokens");
    for (size_t b = 1; b < starts.shape(0); b++) check(starts.data()[b - 1] <= starts.data()[b], "starts must not decrease");
    return {q.data(), k.data(), v.data(), nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, heads, kv_heads, c, 0, 0, 0};
}

template <class T>
void bind_attention(Array<const T, 3> q, Array<const T, 3> k, Array<const T, 3> v, Array<const int32_t, 1> starts,
                    Array<T, 3> out, Array<float, 2> total, int threads) {
    TrainingUnit u = unit_of<T>(q, k, v, starts);
    check_shape("out", out, q.shape(0), u.heads, u.c);
    check_shape("total", total, q.shape(0), u.heads);
    u.out = out.data();
    u.total = total.data();
    training::attention(stored<T>, u, starts.data(), (int64_t)starts.shape(0) - 1, false, threads);
}

template <class T>
void bind_attention_back(Array<const T, 3> grad, Array<const T, 3> q, Array<const T, 3> k, Array<const T, 3> v,
                         Array<const int32_t, 1> starts, Array<T, 3> out, Array<float, 2> total, Array<T, 3> dq,
                         Array<T, 3> dk, Array<T, 3> dv, int threads) {
    TrainingUnit u = unit_of<T>(q, k, v, starts);
    int64_t tokens = q.shape(0);
    check_shape("grad", grad, tokens, u.heads, u.c);
    check_shape("out", out, tokens, u.heads, u.c);
    check_shape("total", total, tokens, u.heads);
    check_shape("dq", dq, tokens, u.heads, u.c);
    check_shape("dk", dk, tokens, u.kv_heads, u.c);
    check_shape("dv", dv, tokens, u.kv_heads, u.c);
    u.grad = grad.data();
    u.out = out.data();
    u.total = total.data();
    u.dq = dq.data();
    u.dk = dk.data();
    u.dv = dv.data();
    training::attention(stored<T>, u, starts.data(), (int64_t)starts.shape(0) - 1, true, threads);
}

void check_targets(const Array<const int64_t, 1>& targets, int64_t rows, int64_t n) {
    check_shape("targets", targets, rows);
    for (int64_t r = 0; r < rows; r++)
        check(targets.data()[r] >= 0 && targets.data()[r] < n, "a target is not one of the " + std::to_string(n) + " words");
}

template <class T>
void bind_losses(Array<const T, 2> logits, Array<const int64_t, 1> targets, Array<float, 1> logprob,
                 Array<float, 1> entropy, Array<float, 1> total, int threads) {
    int64_t rows = logits.shape(0), n = logits.shape(1);
    check_targets(targets, rows, n);
    check_shape("logprob", logprob, rows);
    check_shape("entropy", entropy, rows);
    check_shape("total", total, rows);
    training::losses(stored<T>, logits.data(), targets.data(), rows, n, logprob.data(), entropy.data(), total.data(),
                     threads);
}

template <class T>
void bind_losses_back(Array<const T, 2> logits, Array<const int64_t, 1> targets, Vector entropy, Vector total,
                      Vector d_logprob, std::optional<Vector> d_entropy, Array<T, 2> out, int threads) {
    int64_t rows = logits.shape(0), n = logits.shape(1);
    check_targets(targets, rows, n);
    check_shape("entropy", entropy, rows);
    check_shape("total", total, rows);
    check_shape("d_logprob", d_logprob, rows);
    if (d_entropy) check_shape("d_entropy", *d_entropy, rows);
    check_shape("out", out, rows, n);
    training::losses_back(stored<T>, logits.data(), targets.data(), entropy.data(), total.data(), d_logprob.data(),
                          d_entropy ? d_entropy->data() : nullptr, rows, n, out.data(), threads);
}

template <class T>
void bind_for(nb::module_& m) {
    using NoGil = nb::call_guard<nb::gil_scoped_release>;
    m.def("norm", &bind_norm<T>, "x"_a.noconvert(), "weight"_a.noconvert(), "eps"_a, "out"_a.noconvert(),
          "inverse"_a.noconvert(), "threads"_a, NoGil());
    m.def("norm_back", &bind_norm_back<T>, "grad"_a.noconvert(), "x"_a.noconvert(), "weight"_a.noconvert(),
          "inverse"_a.noconvert(), "dx"_a.noconvert(), "dw"_a.noconvert(), "threads"_a, NoGil());
    m.def("rotate", &bind_rotate<T>, "x"_a.noconvert(), "cos"_a.noconvert(), "sin"_a.noconvert(), "way"_a,
          "out"_a.noconvert(), "threads"_a, NoGil());
    m.def("swiglu", &bind_swiglu<T>, "gate"_a.noconvert(), "up"_a.noconvert(), "out"_a.noconvert(), "threads"_a, NoGil());
    m.def("swiglu_back", &bind_swiglu_back<T>, "grad"_a.noconvert(), "gate"_a.noconvert(), "up"_a.noconvert(),
          "dgate"_a.noconvert(), "dup"_a.noconvert(), "threads"_a, NoGil());
    m.def("attention", &bind_attention<T>, "q"_a.noconvert(), "k"_a.noconvert(), "v"_a.noconvert(),
          "starts"_a.noconvert(), "out"_a.noconvert(), "total"_a.noconvert(), "threads"_a, NoGil());
    m.def("attention_back", &bind_attention_back<T>, "grad"_a.noconvert(), "q"_a.noconvert(), "k"_a.noconvert(),
          "v"_a.noconvert(), "starts"_a.noconvert(), "out"_a.noconvert(), "total"_a.noconvert(), "dq"_a.noconvert(),
          "dk"_a.noconvert(), "dv"_a.noconvert(), "threads"_a, NoGil());
    m.def("losses", &bind_losses<T>, "logits"_a.noconvert(), "targets"_a.noconvert(), "logprob"_a.noconvert(),
          "entropy"_a.noconvert(), "total"_a.noconvert(), "threads"_a, NoGil());
    m.def("losses_back", &bind_losses_back<T>, "logits"_a.noconvert(), "targets"_a.noconvert(), "entropy"_a.noconvert(),
          "total"_a.noconvert(), "d_logprob"_a.noconvert(), "d_entropy"_a.noconvert().none(), "out"_a.noconvert(),
          "threads"_a, NoGil());
}

}  // namespace

void bind_training(nb::module_& m) {
    nb::module_ t = m.def_submodule("training");
    bind_for<float>(t);
    bind_for<uint16_t>(t);
}
