"""The dozen operations that the forward pass is written in, and the sampler.

`ops` states the contract of an op set. `reference/` is the readable numpy version, the oracle; `native` computes in C++
(csrc/), and `program/` records a forward pass once and runs it there without Python. `tensor`, `packing/` and `cache`
are how weights, keys and values lie in memory. The torch version, with autograd, lives in ponder/model/torch.
Import from the modules: the extension is loaded by those that need it.
"""
