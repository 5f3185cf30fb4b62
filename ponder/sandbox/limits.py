"""How much sandboxed code may use."""

from msgspec import Struct

MB = 2**20


class SandboxLimits(Struct, frozen=True, kw_only=True):
    """cpu: seconds of processor time for each process over its life. memory: bytes of all processes together, and
    address space of each one at twice that. processes: processes and threads. file: bytes of one file. workspace: bytes
    of all files in the workspace. entries: files and folders in the workspace. scratch: bytes in each of the home
    folder and /tmp, which live in memory. descriptors: open files of one process. output: bytes of output that are
    kept (half from the start, half from the end). images: how many of a call are kept. image: bytes of one.
    """

    cpu: int = 600
    memory: int = 2048 * MB
    processes: int = 64
    file: int = 512 * MB
    workspace: int = 1024 * MB
    entries: int = 20_000
    scratch: int = 256 * MB
    descriptors: int = 256
    output: int = 64 * 1024
    images: int = 8
    image: int = 4 * MB
