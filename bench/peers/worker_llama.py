"""llama.cpp through llama-cpp-python's C interface: worker_llama.py MODEL.gguf CASES THREADS [KV_TYPE] [STATES]

KV_TYPE: f16 (default) or q8_0. STATES: a folder where the cache behind a long prompt is kept, so that a decode case at
8192 pays for its prompt once and not in every round. The bare decode loop is measured: no sampling, no detokenising.
"""

import ctypes
import sys
import time
from pathlib import Path

import llama_cpp as L
import peer_cases as cases

UBATCH, BATCH = 512, 2048
TYPES = {"f16": 1, "q8_0": 8}  # ggml_type


class Llama:
    def __init__(self, path: str, threads: int, kv: str, states: Path | None) -> None:
        L.llama_backend_init()
        params = L.llama_model_default_params()  # ggml's own repacking (use_extra_bufts) is on
        self.model = L.llama_model_load_from_file(path.encode(), params)
        assert self.model, path
        self.threads, self.kv, self.states, self.name = threads, kv, states, Path(path).stem
        self.batch = L.llama_batch_init(BATCH, 0, 1)
        self.shape, self.context = (0, 0), None

    def open(self, streams: int, length: int) -> None:
        """A context with room for so many sequences of this length; kept for the next call of the same shape."""
        if self.shape == (streams, length):
            L.llama_memory_clear(L.llama_get_memory(self.context), True)
            return
        if self.context is not None:
            L.llama_free(self.context)
        params = L.llama_context_default_params()
        params.n_ctx = streams * (length + 256)
        params.n_batch, params.n_ubatch, params.n_seq_max = BATCH, UBATCH, streams
        params.n_threads = params.n_threads_batch = self.threads
        params.type_k = params.type_v = TYPES[self.kv]
        self.context, self.shape = L.llama_init_from_model(self.model, params), (streams, length)
        assert self.context

    def decode_batch(self, ids: list[int], positions: list[int], sequences: list[int], wanted: set[int]) -> None:
        batch = self.batch
        batch.n_tokens = len(ids)
        for i, (id_, position, sequence) in enumerate(zip(ids, positions, sequences)):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = id_, position, 1, i in wanted
            batch.seq_id[i][0] = sequence
        assert L.llama_decode(self.context, batch) == 0
        L.llama_synchronize(self.context)

    def feed(self, prompt: list[int], sequence: int) -> None:
        for start in range(0, len(prompt), BATCH):
            part = prompt[start : start + BATCH]
            places = list(range(start, start + len(part)))
            self.decode_batch(part, places, [sequence] * len(part), {len(part) - 1})

    def prefill(self, prompt: list[int]) -> float:
        self.open(1, len(prompt))
        start = time.perf_counter()
        self.feed(prompt, 0)
        return time.perf_counter() - start

    def fill(self, streams: int, length: int) -> None:
        """The prompts of a decode case, from the kept state if it is a long one."""
        state = self.states / f"{self.name}-{self.kv}-{length}.state" if self.states and length > 2048 else None
        if state is not None and state.exists():
            ids, count = (ctypes.c_int32 * length)(), ctypes.c_size_t()
            assert L.llama_state_seq_load_file(self.context, str(state).encode(), 0, ids, length, ctypes.byref(count))
            return
        for sequence, prompt in enumerate(cases.prompts(streams, length)):
            self.feed(prompt, sequence)
            if state is not None:
                ids = (ctypes.c_int32 * length)(*prompt)
                assert L.llama_state_seq_save_file(self.context, str(state).encode(), 0, ids, length)

    def decode(self, streams: int, length: int) -> float:
        self.open(streams, length)
        self.fill(streams, length)
        everyone, steps = list(range(streams)), cases.steps(streams)
        start = time.perf_counter()
        for step in range(steps):
            ids = [1234 + step + s for s in everyone]
            self.decode_batch(ids, [length + step] * streams, everyone, set(everyone))
            for s in everyone:
                L.llama_get_logits_ith(self.context, s)
        return streams * steps / (time.perf_counter() - start)


def main() -> None:
    path, words, threads, *rest = sys.argv[1:]
    kv, states = rest[0] if rest else "f16", Path(rest[1]) if len(rest) > 1 else None
    quiet = L.llama_log_callback(lambda *_: None)
    L.llama_log_set(quiet, ctypes.c_void_p(0))
    start = time.perf_counter()
    llama = Llama(path, int(threads), kv, states)
    load = time.perf_counter() - start
    info = L.llama_print_system_info().decode()
    cases.report(load, cases.measure(words, llama.prefill, llama.decode), version=L.__version__, info=info)


if __name__ == "__main__":
    main()
