"""The dozen operations that the forward pass is written in: native C++ (inference) and numpy (the oracle).

`ops.py` states the contract; `reference.py` is the readable numpy version; `native.py` drives the C++ extension.
The torch version, with autograd, lives in `ponder/model/torch/`.
"""
