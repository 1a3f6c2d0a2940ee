"""A guard that stops what runs before it takes so much memory that the whole machine is killed.

Colab's free machine has 12.7 GB, of which it needs 0.9 to 1.4 itself (COL-002, COL-003, COL-010).
"""

import _thread
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil

from helpers.monitor import GIGABYTE

COLAB_LIMIT = 11e9  # bytes for this process; COL-004
MACHINE_SHARE = 0.85  # of all memory, on machines smaller than Colab's
MARGIN = 1e9  # bytes beyond the limit that one allocation may take: the guard sees it and stops what follows
ROOM = 0.25e9  # bytes that what runs may still take where the limit was passed before, to clean up
SIGNAL = signal.SIGUSR1 if hasattr(signal, "SIGUSR1") else signal.SIGBREAK


class MemoryLimitReached(MemoryError):
    """The process holds more memory than it may; the message says how much, and what to do."""


def default_limit():
    """Bytes that this process may take: what Colab's free machine has left, or less on a smaller one."""
    return min(COLAB_LIMIT, MACHINE_SHARE * psutil.virtual_memory().total)


class MemoryGuard:
    """Stops the main thread, between `enter` and `leave`, when the process holds more than `limit` bytes.

    It has to be made in the main thread, and `check` be called often from another one. Memory that grows
    step by step ends in MemoryLimitReached at the next line of Python. What a single allocation asks for
    beyond the limit is refused by Linux at once, with Python's MemoryError.
    """

    def __init__(self, limit):
        self.limit, self.threshold, self.active = limit, limit, False
        self.lock = threading.Lock()
        self.former = _data_limits()
        signal.signal(SIGNAL, self._stop)

    def enter(self):
        """From now on the limit holds."""
        held = psutil.Process().memory_info().rss
        self.threshold = max(self.limit, held + ROOM)
        self.active = True
        self._refuse_beyond(held)

    def leave(self):
        """From now on it does not."""
        self.active = False
        with self.lock:
            _set_data_limit(self.former, None)

    def check(self):
        """Have the main thread stopped if the limit is passed, and again whenever it goes on to grow."""
        held = psutil.Process().memory_info().rss
        if self.active and held > self.threshold:
            self.threshold = held + ROOM
            _thread.interrupt_main(SIGNAL)
        self._refuse_beyond(held)

    def _refuse_beyond(self, held):
        """Let Linux refuse allocations that would lead far beyond the limit from `held` bytes."""
        with self.lock:
            if self.active:
                _set_data_limit(self.former, max(self.threshold - held, 0) + MARGIN)

    def _stop(self, number, frame):
        if self.active:
            raise MemoryLimitReached(self.describe())

    def describe(self):
        """What happened, and what to do."""
        held = psutil.Process().memory_info().rss / GIGABYTE
        return (
            f"Stopped at the limit for memory: {held:.1f} of {self.limit / GIGABYTE:.1f} GB are in use and "
            "more was wanted; a machine that runs out loses everything. Delete large arrays (`del name`), "
            "call `freeing.free()` and take smaller batches or fewer images, or set a higher limit."
        )


def _data_limits():
    """Linux' soft and hard limit on a process' own data; None on other systems."""
    if sys.platform != "linux":
        return None
    import resource

    return resource.getrlimit(resource.RLIMIT_DATA)


def _set_data_limit(former, more):
    """Let the process' data grow by `more` bytes at most, None: as far as `former` (soft, hard) let them."""
    if former is None:
        return
    import resource

    soft, hard = former
    if more is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[5])
        wanted = pages * resource.getpagesize() + int(more)
        soft = wanted if soft == resource.RLIM_INFINITY else min(wanted, soft)
    with suppress(ValueError, OSError):  # without this limit the guard still sees what grows step by step
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
