"""A terminal to test in: a pseudo-terminal drawn by an emulator (pyte), so that tests see what a person sees."""

import time
from collections.abc import Callable

import pexpect
import pyte

PROMPT = ">>>"


class Terminal:
    """A program in a window of `rows` x `columns`. The window is high: nothing scrolls away in a test."""

    def __init__(self, argv: list[str], env: dict[str, str], cwd: str, *, rows: int = 300, columns: int = 100) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self.screen)
        self.child = pexpect.spawn(
            argv[0], argv[1:], env={**env, "TERM": "xterm-256color", "LANG": "C.UTF-8"}, cwd=cwd,
            encoding="utf-8", dimensions=(rows, columns),
        )  # fmt: skip
        self.child.delaybeforesend = None
        self.screen.write_process_input = self.child.send  # it answers questions such as "where is the cursor?"

    def send(self, text: str) -> None:
        self.child.send(text)

    def resize(self, rows: int, columns: int) -> None:
        self.screen.resize(rows, columns)
        self.child.setwinsize(rows, columns)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).rstrip("\n")

    def wait(self, check: Callable[[], bool], seconds: float = 20) -> None:
        """Read until check() holds or the program ends; shows the screen when it never does."""
        end = time.monotonic() + seconds
        while not check():
            if time.monotonic() > end:
                raise AssertionError(f"not in {seconds} s; the screen is\n{self.text}")
            try:
                self._stream.feed(self.child.read_nonblocking(65536, timeout=0.1))
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                assert check(), f"the program ended; the screen is\n{self.text}"

    def see(self, text: str) -> None:
        self.wait(lambda: text in self.text)

    def prompt(self, below: int = -1) -> None:
        """Wait for an empty prompt below that line, with the cursor behind it."""
        cursor = self.screen.cursor
        self.wait(lambda: cursor.y > below and self.lines[cursor.y] == PROMPT and cursor.x == len(PROMPT) + 1)

    def say(self, text: str) -> str:
        """Type text and Enter at the prompt; returns what is shown from there to the next prompt."""
        start = self.screen.cursor.y
        self.send(text + "\r")
        self.prompt(below=start)
        return "\n".join(self.lines[start : self.screen.cursor.y])

    def ends(self) -> int | None:
        """Wait for the end of the program; its exit code."""
        self.wait(lambda: not self.child.isalive())
        self.child.close()
        return self.child.exitstatus
