"""The attacks of the escape suite (CI-2), each a piece of Python that prints ESCAPED if it got what it wanted.

The same text runs outside, in an ordinary process, to prove that it works, and inside, where it must not. `T` tells it
about the targets: canaries that the suite (`suite.py`) set up for the purpose. Nothing here does harm where it
succeeds. An attack may also leave a `trace` that the suite looks for afterwards.
"""

from msgspec import Struct

PRELUDE = """
import ctypes, glob, json, mmap, os, signal, socket, struct, subprocess, sys, time
T = json.loads(sys.argv[1])
T["canary"] = T.pop("yranac")[::-1]  # so that this command line does not contain it
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(name, *args):
    got = libc.syscall(*(ctypes.c_long(a) if isinstance(a, int) else a for a in (T["numbers"][name], *args)))
    if got == -1: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return got
def escaped(): print("ESCAPED", flush=True)
print("RAN", flush=True)
def attempt(make):
    try: return make()
    except OSError: return None
"""


class Attack(Struct, frozen=True):
    """trace: a file, relative to the workspace, that must not appear afterwards."""

    name: str
    code: str
    trace: str = ""


ATTACKS = [
    # What belongs to the user
    Attack("read ~/.ssh", "if T['canary'] in open(T['home'] + '/.ssh/id_rsa').read(): escaped()"),
    Attack("read /etc/shadow", "if 'root:' in open('/etc/shadow').read(): escaped()"),
    Attack("secrets in the environment", "if T['canary'] in str(dict(os.environ)): escaped()"),
    Attack(
        "other processes' environment",
        "if any(T['canary'].encode() in (attempt(lambda: open(p, 'rb').read()) or b'')"
        " for p in glob.glob('/proc/[0-9]*/environ')): escaped()",
    ),
    Attack(
        "other processes' command lines",
        "if any(T['canary'].encode() in (attempt(lambda: open(p, 'rb').read()) or b'')"
        " for p in glob.glob('/proc/[0-9]*/cmdline')): escaped()",
    ),
    Attack(
        "/proc/<pid>/root",
        "if any(T['canary'] in (attempt(lambda: open(p + T['home'] + '/.ssh/id_rsa').read()) or '')"
        " for p in glob.glob('/proc/[0-9]*/root')): escaped()",
    ),
    Attack(
        "/proc/<pid>/cwd",
        "if any('id_rsa' in (attempt(lambda: os.listdir(p)) or []) for p in glob.glob('/proc/[0-9]*/cwd')): escaped()",
    ),
    Attack(
        "open files of another process",
        "if any(T['canary'] in (attempt(lambda: open(p, errors='replace').read(4096)) or '') for p in"
        " glob.glob(f\"/proc/{T['victim']}/fd/*\") if os.path.isfile(p)): escaped()",
    ),
    Attack("write outside the workspace", "open(T['home'] + '/planted', 'w').write('x'); escaped()"),
    Attack("append to ~/.bashrc", "open(T['home'] + '/.bashrc', 'a').write('evil'); escaped()"),
    Attack(
        "write into the Python environment",
        "path = T['site'] + '/ponder_planted.txt'; open(path, 'w').close(); os.unlink(path); escaped()",
    ),
    Attack("write into /usr", "path = '/usr/ponder_planted'; open(path, 'w').close(); os.unlink(path); escaped()"),
    Attack("list the home folder", "if '.ssh' in os.listdir(T['home']): escaped()"),
    Attack("open a secret to all", "os.chmod(T['home'] + '/.ssh/id_rsa', 0o644); escaped()"),
    Attack("set times outside", "os.utime(T['home'] + '/.bashrc', (1, 1)); escaped()"),
    Attack("attributes outside", "os.setxattr(T['home'] + '/.bashrc', 'user.evil', b'x'); escaped()"),
    Attack("truncate a file outside", "os.truncate(T['home'] + '/.bashrc', 0); escaped()"),
    Attack("rename outside", "os.rename(T['home'] + '/.bashrc', T['home'] + '/moved'); escaped()"),
    Attack("hard link to a secret", "os.link(T['home'] + '/.ssh/id_rsa', 'hard'); escaped()"),
    Attack("/dev/shm of the host", "if open('/dev/shm/' + T['shm']).read() == T['canary']: escaped()"),
    Attack(
        "System V shared memory",
        "libc.shmat.restype = ctypes.c_void_p\n"
        "at = libc.shmat(T['sysv'], None, 0o10000)\n"
        "if at and at != ctypes.c_void_p(-1).value and ctypes.string_at(at, 6) == T['canary'].encode()[:6]: escaped()",
    ),
    # What would act as the user later
    Attack(
        "set-user-ID copy of a shell",
        "import shutil; shutil.copyfile('/bin/sh', 'x')\n"
        "attempt(lambda: os.chmod('x', 0o4755)); fd = os.open('x', os.O_RDWR); attempt(lambda: os.fchmod(fd, 0o6755))\n"
        "if os.stat('x').st_mode & 0o6000: escaped()",
    ),
    Attack(
        "set-user-ID file from the start",
        "os.umask(0); attempt(lambda: os.open('y', os.O_WRONLY | os.O_CREAT, 0o4755))\n"
        "attempt(lambda: os.mknod('z', 0o104755))\n"
        "if any(os.path.exists(n) and os.stat(n).st_mode & 0o6000 for n in 'yz'): escaped()",
    ),
    # Ways to other machines and services
    Attack("TCP to a local service", "socket.create_connection(('127.0.0.1', T['tcp']), 2); escaped()"),
    Attack("TCP over IPv6", "socket.create_connection(('::1', T['tcp6']), 2); escaped()"),
    Attack(
        "UDP to a local service",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2)\n"
        "s.sendto(b'hello', ('127.0.0.1', T['udp']))\n"
        "if s.recv(100) == b'answer': escaped()",
    ),
    Attack(
        "cloud metadata at 169.254.169.254",
        "s = socket.create_connection(('169.254.169.254', T['tcp']), 2); escaped()",
    ),
    Attack(
        "DNS",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2); s.connect(('127.0.0.1', T['udp']))\n"
        "s.send(struct.pack('>6H', 7, 256, 1, 0, 0, 0) + b'\\x06secret\\x04test\\0' + struct.pack('>2H', 1, 1))\n"
        "if s.recv(100) == b'answer': escaped()",
    ),
    Attack("unix socket", "socket.socket(socket.AF_UNIX).connect(T['unix']); escaped()"),
    Attack("abstract unix socket", "socket.socket(socket.AF_UNIX).connect('\\0' + T['abstract']); escaped()"),
    Attack("listen on all interfaces", "s = socket.socket(); s.bind(('0.0.0.0', 0)); s.listen(); escaped()"),
    Attack("netlink socket", "socket.socket(16, socket.SOCK_RAW, 0).bind((0, 0)); escaped()"),
    Attack("kernel crypto socket", "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET); escaped()"),
    Attack("raw packets", "socket.socket(socket.AF_PACKET, socket.SOCK_RAW); escaped()"),
    # Other processes
    Attack("signal another process", "os.kill(T['victim'], 0); os.kill(T['victim'], signal.SIGUSR1); escaped()"),
    Attack(
        "ptrace",
        "if libc.ptrace(16, T['victim'], None, None) == 0:\n"
        "    os.waitpid(T['victim'], 0x40000000); libc.ptrace(17, T['victim'], None, None); escaped()",
    ),
    Attack(
        "process_vm_readv",
        "buffer = ctypes.create_string_buffer(6)\n"
        "local = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 6); remote = (ctypes.c_size_t * 2)(T['address'], 6)\n"
        "call('process_vm_readv', T['victim'], local, 1, remote, 1, 0)\n"
        "if buffer.raw == T['canary'].encode()[:6]: escaped()",
    ),
    Attack(
        "/proc/<pid>/mem",
        "f = open(f\"/proc/{T['victim']}/mem\", 'rb', 0); f.seek(T['address'])\n"
        "if f.read(6) == T['canary'].encode()[:6]: escaped()",
    ),
    Attack(
        "limits of another process", "import resource; resource.prlimit(T['victim'], resource.RLIMIT_NOFILE); escaped()"
    ),
    Attack("priority of another process", "os.setpriority(os.PRIO_PROCESS, T['victim'], 5); escaped()"),
    Attack(
        "daemon that outlives the call",
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        [os.close(fd) for fd in range(3)]; time.sleep(1); open('daemon', 'w').close(); time.sleep(20)\n"
        "    os._exit(0)\n",
        trace="daemon",
    ),
    # The kernel
    Attack(
        "user namespace, then mount",
        "if libc.unshare(0x10020000): raise SystemExit\n"
        "os.makedirs('m', exist_ok=True)\n"
        "libc.mount(b'none', b'/', None, 0x44000, None)\n"
        "if libc.mount(b'none', b'm', b'tmpfs', 0, None) == 0: escaped()",
    ),
    Attack(
        "new namespaces by clone",
        "pid = call('clone', 0x10000000 | signal.SIGCHLD, None, None, None, None)\n"
        "if pid == 0: os._exit(0)\n"
        "os.waitpid(pid, 0); escaped()",
    ),
    Attack("setns", "fd = os.open('/proc/self/ns/uts', os.O_RDONLY); call('setns', fd, 0); escaped()"),
    Attack("chroot", "os.makedirs('c', exist_ok=True); os.chroot('c'); escaped()"),
    Attack("host name", "call('sethostname', socket.gethostname().encode(), len(socket.gethostname())); escaped()"),
    Attack("keyring", "call('add_key', b'user', b'ponder', b'x', 1, -2); escaped()"),
    Attack("io_uring", "os.close(call('io_uring_setup', 1, ctypes.create_string_buffer(120))); escaped()"),
    Attack("userfaultfd", "os.close(call('userfaultfd', 1)); escaped()"),
    Attack(
        "bpf",
        "os.close(call('bpf', 0, struct.pack('5I', 2, 4, 4, 1, 0) + bytes(100), 72)); escaped()",
    ),
    Attack(
        "perf_event_open",
        "attr = struct.pack('IIQQQQQ', 1, 112, 1, 0, 0, 0, 0x63) + bytes(64)\n"
        "os.close(call('perf_event_open', attr, 0, -1, -1, 0)); escaped()",
    ),
    Attack(
        "program that exists only in memory",
        "fd = os.memfd_create('x'); os.write(fd, open('/bin/echo', 'rb').read()); os.set_inheritable(fd, True)\n"
        "os.execv(f'/proc/self/fd/{fd}', ['echo', 'ESCAPED'])",
    ),
    Attack(
        "system calls of another ABI",
        # mov eax, 20 (getpid of i386); int 0x80; ret
        "code = mmap.mmap(-1, 4096, prot=7); code.write(bytes.fromhex('b814000000cd80c3'))\n"
        "if T['machine'] == 'x86_64':\n"
        "    at = ctypes.addressof(ctypes.c_char.from_buffer(code))\n"
        "    if ctypes.CFUNCTYPE(ctypes.c_int)(at)() > 0: escaped()",
    ),
    Attack("kernel log", "if libc.klogctl(3, ctypes.create_string_buffer(4096), 4096) > 0: escaped()"),
    Attack(
        "core_pattern",
        "f = open('/proc/sys/kernel/core_pattern', 'r+'); old = f.read()\n"
        "f.seek(0); f.write(old); f.flush(); escaped()",
    ),
    Attack(
        "write to /sys",
        "f = open('/sys/kernel/mm/transparent_hugepage/khugepaged/defrag', 'r+'); old = f.read()\n"
        "f.seek(0); f.write(old); f.flush(); escaped()",
    ),
    Attack(
        "disks and memory devices",
        "import stat\n"
        "if any(attempt(lambda: os.open(p, os.O_RDONLY)) is not None for p in glob.glob('/dev/*')\n"
        "       if stat.S_ISBLK(os.lstat(p).st_mode) or p in ('/dev/mem', '/dev/kmsg', '/dev/port')): escaped()",
    ),
    Attack("make a device", "os.mknod('node', 0o60600, os.makedev(254, 0)); os.unlink('node'); escaped()"),
    Attack(
        "type into a terminal",
        "import fcntl\nmaster, slave = os.openpty(); fcntl.ioctl(slave, 0x5412, b'x'); escaped()",
    ),
    # Too much of everything. The suite runs these with limits of 128 MB of memory, 64 processes, 32 MB
    # of files and 1 s of processor time for a process.
    Attack(
        "fork bomb",
        "children = []\n"
        "try:\n"
        "    for _ in range(300):\n"
        "        pid = os.fork()\n"
        "        if pid == 0: time.sleep(20); os._exit(0)\n"
        "        children.append(pid)\n"
        "    escaped()\n"
        "finally:\n"
        "    [os.kill(pid, 9) for pid in children]",
    ),
    Attack(
        "thread bomb",
        "import threading\n"
        "for _ in range(300): threading.Thread(target=time.sleep, args=(3,), daemon=True).start()\n"
        "escaped()",
    ),
    Attack("memory bomb", "x = bytearray(350 * 2**20); x[::4096] = b'1' * len(x[::4096]); escaped()"),
    Attack(
        "memory bomb of many processes",
        "children = []\n"
        "for _ in range(5):\n"
        "    pid = os.fork()\n"
        "    if pid == 0: x = bytearray(b'1') * (75 * 2**20); time.sleep(1.5); os._exit(0)\n"
        "    children.append(pid)\n"
        "if all(os.waitpid(pid, 0)[1] == 0 for pid in children): escaped()",
    ),
    Attack(
        "shared memory bomb",
        "maps = [mmap.mmap(-1, 60 * 2**20) for _ in range(5)]\n"
        "for m in maps: m.write(bytes(60 * 2**20))\n"
        "time.sleep(1); escaped()",
    ),
    Attack(
        "memory in /dev/shm",
        "for i in range(10): open(f'/dev/shm/{T[\"shm\"]}-{i}', 'wb').write(bytes(15 * 2**20))\nescaped()",
    ),
    Attack("file of 100 GB", "f = open('large', 'wb'); f.truncate(100 * 2**30); escaped()"),
    Attack(
        "many files",
        "for i in range(8): open(f'part{i}', 'wb').write(b'x' * (15 * 2**20)); time.sleep(0.15)\nescaped()",
    ),
    Attack("many open files", "fds = [os.open('/dev/null', 0) for _ in range(600)]; escaped()"),
    Attack("burn the processor", "while time.process_time() < 1.3: pass\nescaped()"),
]
