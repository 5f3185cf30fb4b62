"""For all tests."""

import signal

# A shell's background job ignores SIGINT, and so would every program that a test starts and then interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
