"""llama.cpp's own HTTP server on one GGUF file, from the wheel of xllamacpp (bench/peers/install.py llama-server):

    runs/peers/venv/llama-server/bin/python bench/llama_server.py MODEL.gguf --port 8080 [--slots 4] [--context 2048]

Runs in that environment, so it imports nothing else. Prints the address when the model is loaded. Reasoning is taken
apart by the server ("auto", as llama-server does by default) and the file's own template is used.
"""

import argparse
import signal

import xllamacpp


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--context", type=int, default=2048, help="ids that each slot holds")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    params = xllamacpp.CommonParams()
    params.model.path, params.port, params.n_parallel = args.model, args.port, args.slots
    params.n_ctx, params.use_jinja = args.context * args.slots, True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = args.threads
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
