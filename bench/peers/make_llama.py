"""A quantised GGUF by llama.cpp's own quantiser: make_llama.py SOURCE.gguf TARGET.gguf Q4_0|Q8_0"""

import ctypes
import os
import sys

import llama_cpp as L

FILE_TYPES = {"Q4_0": 2, "Q8_0": 7}  # llama_ftype


def main() -> None:
    source, target, kind = sys.argv[1:]
    quiet = L.llama_log_callback(lambda *_: None)  # a line for every tensor otherwise
    L.llama_log_set(quiet, ctypes.c_void_p(0))
    params = L.llama_model_quantize_default_params()
    params.nthread, params.ftype = os.cpu_count() or 1, FILE_TYPES[kind]
    assert L.llama_model_quantize(source.encode(), target.encode(), params) == 0


if __name__ == "__main__":
    main()
