"""Memory over time: a record of it, the peak of each cell or stage, and the guard that stops one in time.

watch = monitor.start()   # in a notebook each cell becomes a stage by itself
...
print(watch.peak_table())

Colab's free machine has 12.7 GB, of which it needs 0.9 to 1.4 itself (COL-002, COL-003, COL-010).
"""

import _thread
import math
import signal
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

import psutil

from helpers.monitor.readings import GIGABYTE, Memory, memory, resident_bytes
from helpers.reporting import note

CHECK_SECONDS = 0.1  # between two looks of the guard
SAMPLE_SECONDS = 0.5  # between two readings for the record
MOST_SAMPLES = 4000  # then every second one goes, and readings become rarer
LABEL_WIDTH = 44
SIZES = {
    "before": "before",
    "peak": "peak",
    "after": "after",
    "machine_peak": "machine",
}  # columns of the table
SIZES |= {"vram_peak": "VRAM", "backend_peak": "TensorFlow"}
COLAB_LIMIT = 11e9  # bytes for this process; COL-004
MACHINE_SHARE = 0.85  # of all memory, on machines smaller than Colab's
MARGIN = 1e9  # bytes beyond the limit that one allocation may take: the guard sees it and stops what follows
ROOM = 0.25e9  # bytes that what runs may still take where the limit was passed before, to clean up
SIGNAL = signal.SIGUSR1 if hasattr(signal, "SIGUSR1") else signal.SIGBREAK


class Sample(NamedTuple):
    """One reading of the record."""

    seconds: float  # since the watch was started
    reading: Memory


class Stage(NamedTuple):
    """What a cell, or a named part of a program, took; all memory in bytes."""

    label: str
    seconds: float
    before: int
    after: int
    peak: int  # most resident memory of the process
    machine_peak: int
    vram_peak: int | None  # of all processes on the first GPU, None where none is known
    backend_peak: int | None  # of TensorFlow on it, since its start


class MemoryWatch:
    """Reads the memory in a thread of its own, keeps the readings, and guards the limit within stages.

    A process has one watch: a new one stops the former. `limit` in bytes, None: `default_limit`.
    """

    current = None

    def __init__(self, limit=None):
        if MemoryWatch.current:
            MemoryWatch.current.stop()
        MemoryWatch.current = self
        self.guard = MemoryGuard(default_limit() if limit is None else limit)
        self.samples, self.stages = [], []
        self.started, self.every = time.monotonic(), SAMPLE_SECONDS
        self.open = []  # label and first sample of each stage that runs, the innermost last
        self.taken, self.ended, self.undo = threading.Lock(), threading.Event(), ExitStack()
        self._take()
        thread = threading.Thread(target=self._run, name="memory watch", daemon=True)
        thread.start()
        self.undo.callback(signal.signal, SIGNAL, self.guard.handler or signal.SIG_DFL)
        for step in (self.guard.leave, thread.join, self.ended.set):  # the last is the first to be done
            self.undo.callback(step)

    def _run(self):
        while not self.ended.wait(CHECK_SECONDS):
            self.guard.check()
            if time.monotonic() - self.started >= self.samples[-1].seconds + self.every:
                self._take()

    def _take(self):
        """Add a reading to the record and return it."""
        sample = Sample(time.monotonic() - self.started, memory())
        with self.taken:
            self.samples.append(sample)
            if len(self.samples) > MOST_SAMPLES:
                self.samples, self.every = self.samples[::2], 2 * self.every
        return sample

    def stop(self):
        """End the record, in the main thread; threads, callbacks and limits are as they were before."""
        self.undo.close()

    def begin(self, label):
        """A stage of this name begins; from now on the limit holds."""
        self.open.append((label, self._take()))
        if len(self.open) == 1:
            self.guard.enter()

    def end(self):
        """The innermost stage ends; its `Stage` is kept and returned."""
        if len(self.open) == 1:
            self.guard.leave()
        (label, first), last = self.open.pop(), self._take()
        between = [sample for sample in self.samples if sample.seconds >= first.seconds]
        self.stages.append(_summarise(label, between, first, last))
        return self.stages[-1]

    @contextmanager
    def stage(self, label):
        """Context of a stage. An allocation that was refused ends in MemoryLimitReached as well."""
        self.begin(label)
        try:
            yield
        except MemoryLimitReached:
            raise
        except MemoryError as error:
            raise MemoryLimitReached(self.guard.describe()) from error
        finally:
            self.end()

    def peak_table(self, rows=8):
        """Text: the `rows` stages that took most beyond what was held before, in order, and the whole."""
        greedy = sorted(self.stages, key=lambda stage: stage.before - stage.peak)[:rows]
        everything = _summarise("everything", self.samples, self.samples[0], self._take())
        return format_peaks([*(stage for stage in self.stages if stage in greedy), everything])


def _summarise(label, samples, first, last):
    """`Stage` of the samples from `first` to `last`."""
    readings = [sample.reading for sample in (first, *samples, last)]
    peak = max(reading.process for reading in readings)
    if last.reading.process_peak > first.reading.process_peak:  # higher than what the samples have caught
        peak = max(peak, last.reading.process_peak)
    vram = [reading.gpus[0].used for reading in readings if reading.gpus]
    known = [used for used in vram if not math.isnan(used)]
    return Stage(
        label=label,
        seconds=last.seconds - first.seconds,
        before=first.reading.process,
        after=last.reading.process,
        peak=peak,
        machine_peak=max(reading.machine_used for reading in readings),
        vram_peak=max(known, default=None),
        backend_peak=last.reading.backend and last.reading.backend.peak,
    )


def format_peaks(stages):
    """Table of `Stage`s for people, in GB; without a GPU it has no columns of one."""
    import pandas as pd  # takes half a second, which only those who show a table should wait

    told = pd.DataFrame(stages)
    sizes = told[list(SIZES)].astype(float).dropna(axis="columns", how="all") / GIGABYTE
    table = sizes.rename(columns=SIZES).set_axis(told["label"].str[:LABEL_WIDTH].rename(None))
    table.insert(0, "seconds", told["seconds"].map("{:.1f}".format).values)
    return table.rename_axis(columns="GB").to_string(float_format="{:.2f}".format, na_rep="")


def start(limit=None):
    """Watch the memory of this process from now on, with a `limit` in bytes; return the `MemoryWatch`.

    In a notebook each cell is a stage, named by its first line, and a cell that passes the limit is stopped
    with MemoryLimitReached. Without a `limit` that of `default_limit` holds. A former watch is stopped.
    """
    watch = MemoryWatch(limit)
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell:
        callbacks = {
            "pre_run_cell": lambda info: watch.begin(_first_line(info.raw_cell)),
            "post_run_cell": lambda result: _close(watch, result.error_in_exec),
        }
        for event, callback in callbacks.items():
            shell.events.register(event, callback)
            watch.undo.callback(shell.events.unregister, event, callback)
        watch.begin(_first_line(shell.user_ns["_ih"][-1]))  # the cell that runs now
    return watch


def _first_line(source):
    """First line of a cell that is no comment."""
    lines = (line for line in source.splitlines() if line.strip() and not line.startswith("#"))
    return next(lines, "")


def _close(watch, error):
    """End a cell's stage; a refused allocation gets the sentence that says what to do."""
    if isinstance(error, MemoryError) and not isinstance(error, MemoryLimitReached):
        note(watch.guard.describe())
    if watch.open:
        watch.end()


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
        self.lock, self.former = threading.Lock(), data_limits()
        self.handler = signal.signal(SIGNAL, self._stop)

    def enter(self):
        """From now on the limit holds."""
        self.threshold = max(self.limit, resident_bytes() + ROOM)
        self.active = True
        self.check()

    def leave(self):
        """From now on it does not."""
        self.active = False
        with self.lock:
            data_limits(self.former)

    def check(self):
        """Have the main thread stopped if the limit is passed, and again whenever it goes on to grow.

        Until the next look, Linux refuses allocations that would lead far beyond the limit.
        """
        with self.lock:
            if not self.active:
                return
            held = psutil.Process().memory_info()
            if held.rss > self.threshold:
                self.threshold = held.rss + ROOM
                _thread.interrupt_main(SIGNAL)
            if self.former:
                soft, hard = self.former
                wanted = int(held.data + self.threshold - held.rss + MARGIN)
                data_limits((wanted if soft == psutil.RLIM_INFINITY else min(wanted, soft), hard))

    def _stop(self, number, frame):
        if self.active:
            raise MemoryLimitReached(self.describe())

    def describe(self):
        """What happened, and what to do."""
        return (
            f"Stopped at the limit for memory: {resident_bytes() / GIGABYTE:.1f} of "
            f"{self.limit / GIGABYTE:.1f} GB are in use and more was wanted; a machine that runs out loses "
            "everything. Delete large arrays (`del name`), call `monitor.free()` and take smaller batches or "
            "fewer images, or set a higher limit."
        )


def data_limits(new=None):
    """Soft and hard limit in bytes on this process' own data, None where the system has none; set `new` ones.

    Without them the guard still sees what grows step by step.
    """
    with suppress(AttributeError, ValueError, OSError, psutil.Error):
        return psutil.Process().rlimit(psutil.RLIMIT_DATA, new)
    return None
