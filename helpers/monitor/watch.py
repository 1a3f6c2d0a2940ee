"""Memory over time: a record of it, the peak of each cell, and the guard that stops one in time.

Colab's free machine has 12.7 GB, of which it needs 0.9 to 1.4 itself (COL-002, COL-003, COL-010).
"""

import _thread
import math
import signal
import sys
import threading
import time
from contextlib import ExitStack, suppress
from typing import NamedTuple

import psutil

from helpers.monitor.readings import GIGABYTE, Memory, memory, resident_bytes
from helpers.reporting import note

CHECK_SECONDS = 0.1  # between two looks of the guard
SAMPLE_SECONDS = 0.5  # between two readings for the record
MOST_SAMPLES = 4000  # then every second one goes, and readings become rarer
LABEL_WIDTH = 44
HEADS = {"machine_peak": "machine", "vram_peak": "VRAM", "backend_peak": "TensorFlow"}  # in the table
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
    """What a cell took; all memory in bytes."""

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

    In a notebook each cell is a stage; one that passes the limit is stopped with MemoryLimitReached. A new
    watch stops the former. `limit` in bytes, None: `default_limit`.
    """

    current = None

    def __init__(self, limit=None):
        if MemoryWatch.current:
            MemoryWatch.current.stop()
        MemoryWatch.current = self
        self.guard = MemoryGuard(default_limit() if limit is None else limit)
        self.samples, self.stages = [], []
        self.open = []  # label and first sample of each stage that runs, the innermost last
        self.started, self.every = time.monotonic(), SAMPLE_SECONDS
        self.ended, self.undo = threading.Event(), ExitStack()
        self._take()
        thread = threading.Thread(target=self._run, name="memory watch", daemon=True)
        thread.start()
        self.undo.callback(signal.signal, SIGNAL, self.guard.handler or signal.SIG_DFL)
        for step in (self.guard.leave, thread.join, self.ended.set):  # the last is the first to be done
            self.undo.callback(step)
        self._follow_cells()

    def _follow_cells(self):
        """In a notebook, each cell from the one that runs now is a stage."""
        shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
        if shell:
            begin, end = lambda info: self.begin(info.raw_cell), lambda result: self.end(result.error_in_exec)
            for event, callback in (("pre_run_cell", begin), ("post_run_cell", end)):
                shell.events.register(event, callback)
                self.undo.callback(shell.events.unregister, event, callback)
            if running := shell.user_ns["_ih"][-1]:
                self.begin(running)

    def _run(self):
        while not self.ended.wait(CHECK_SECONDS):
            self.guard.check()
            if time.monotonic() - self.started >= self.samples[-1].seconds + self.every:
                self._take()

    def _take(self):
        """Add a reading to the record and return it."""
        sample = Sample(time.monotonic() - self.started, memory())
        self.samples.append(sample)
        if len(self.samples) > MOST_SAMPLES:
            self.samples, self.every = self.samples[::2], 2 * self.every
        return sample

    def stop(self):
        """End the record, in the main thread; threads, callbacks and limits are as they were before."""
        self.undo.close()

    def begin(self, source):
        """A stage begins, named by the first line of its source that is no comment; now the limit holds."""
        lines = (line for line in source.splitlines() if line.strip() and not line.startswith("#"))
        self.open.append((next(lines, ""), self._take()))
        self.guard.enter()

    def end(self, error=None):
        """The innermost stage ends; a refused allocation gets the sentence that says what to do."""
        if len(self.open) <= 1:
            self.guard.leave()
        if isinstance(error, MemoryError) and not isinstance(error, MemoryLimitReached):
            note(self.guard.describe())
        if self.open:  # an empty cell ends without having begun
            (label, first), last = self.open.pop(), self._take()
            between = [sample for sample in self.samples if sample.seconds >= first.seconds]
            self.stages.append(_summarise(label, between, first, last))

    def peak_table(self, rows=8):
        """Text, in GB: the `rows` stages that took most beyond what was held before, and the whole."""
        import pandas as pd  # takes half a second, which only those who show a table should wait

        greedy = sorted(self.stages, key=lambda stage: stage.before - stage.peak)[:rows]
        everything = _summarise("everything", self.samples, self.samples[0], self._take())
        told = pd.DataFrame([*(stage for stage in self.stages if stage in greedy), everything])
        sizes = told[["before", "peak", "after", *HEADS]].astype(float).dropna(axis="columns", how="all")
        labels = told["label"].str[:LABEL_WIDTH].rename(None)
        table = sizes.div(GIGABYTE).rename(columns=HEADS).set_axis(labels)
        table.insert(0, "seconds", told["seconds"].map("{:.1f}".format).values)
        return table.rename_axis(columns="GB").to_string(float_format="{:.2f}".format, na_rep="")


def _summarise(label, samples, first, last):
    """`Stage` of the samples from `first` to `last`."""
    readings = [sample.reading for sample in (first, *samples, last)]
    peak = last.reading.process_peak  # of the process so far: of this stage, where it has grown
    if peak <= first.reading.process_peak:
        peak = max(reading.process for reading in readings)
    vram = (reading.gpus[0].used for reading in readings if reading.gpus)
    return Stage(
        label=label,
        seconds=last.seconds - first.seconds,
        before=first.reading.process,
        after=last.reading.process,
        peak=peak,
        machine_peak=max(reading.machine_used for reading in readings),
        vram_peak=max((used for used in vram if not math.isnan(used)), default=None),
        backend_peak=last.reading.backend and last.reading.backend.peak,
    )


class MemoryLimitReached(MemoryError):
    """The process holds more memory than it may; the message says how much, and what to do."""


def default_limit():
    """Bytes that this process may take: what Colab's free machine has left, or less on a smaller one."""
    return min(COLAB_LIMIT, MACHINE_SHARE * psutil.virtual_memory().total)


class MemoryGuard:
    """Stops the main thread, between `enter` and `leave`, when the process holds more than `limit` bytes.

    Made in the main thread, with `check` called often from another one. Memory that grows ends in
    MemoryLimitReached at the next line of Python. A single allocation far beyond the limit is refused by
    Linux, with MemoryError; that alone would not do: TensorFlow, refused memory, ends the kernel.
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
        self.active = False  # before the lock: what `check` still sends raises nothing
        with self.lock:
            data_limits(self.former)

    def check(self):
        """Have the main thread stopped if the limit is passed, and again whenever it goes on to grow."""
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
    """Soft and hard limit in bytes on this process' data, None where the system has none; set `new` ones."""
    with suppress(AttributeError, ValueError, OSError, psutil.Error):
        return psutil.Process().rlimit(psutil.RLIMIT_DATA, new)
    return None
