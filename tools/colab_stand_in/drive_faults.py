"""A stand-in for MyDrive: a folder on which any call may be slow, fail for a moment, or find nothing there.

The faults strike at random calls of the operating system on paths under the folder, in whatever code makes
them: open, read, write (which may have written a part), fsync, replace (which may have been done), and the
calls about names.
"""

import builtins
import errno
import io
import os
import random
import signal
import time
from contextlib import contextmanager

PASSING = (errno.EIO, errno.ENOTCONN, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN)
NAME_CALLS = ("stat", "scandir", "listdir", "mkdir", "unlink", "utime", "open")


class FaultyDrive:
    """Faults on paths under `folder`: a share `rate` of all calls, each of which takes `seconds` longer."""

    def __init__(self, folder, rate=0.0, seed=0, seconds=0.0):
        self.folder = os.path.abspath(folder)
        self.rate, self.rng, self.seconds = rate, random.Random(seed), seconds
        self.calls = self.struck = 0
        self.gone = range(0)  # numbers of the calls at which the drive is away
        self.gone_error = errno.ENOTCONN
        self.only = {}  # name of a call → errno with which it fails always
        self.killed_from = None  # number of the call from which on the process does nothing any more
        self.killed_really = False  # by kill -9, else by an exception at each further call

    def holds(self, path):
        """Whether a path, or the file of a descriptor, is on the drive."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        path = os.path.abspath(os.fsdecode(path))
        return path == self.folder or path.startswith(self.folder + os.sep)

    def strike(self, call, path=None):
        """Fail, or not, at a call."""
        self.calls += 1
        if self.killed_from is not None and self.calls >= self.killed_from:
            if self.killed_really:
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt
        if self.seconds:
            time.sleep(self.seconds)
        if self.calls in self.gone:
            self.fail(self.gone_error, path)
        if call in self.only:
            self.fail(self.only[call], path)
        if self.rng.random() < self.rate:
            self.fail(self.rng.choice(PASSING), path)

    def fail(self, number, path):
        """Raise the OSError of this number."""
        self.struck += 1
        raise OSError(number, os.strerror(number), path)


class FaultyFile(io.FileIO):
    """A file on the drive."""

    def __init__(self, path, mode, drive):
        super().__init__(path, mode)
        self.drive = drive

    def readinto(self, buffer):
        """Read into a buffer, or fail."""
        self.drive.strike("read", self.name)
        return super().readinto(buffer)

    def readall(self):
        """Read the rest, or fail."""
        self.drive.strike("read", self.name)
        return super().readall()

    def write(self, data):
        """Write all, or fail after a part of it."""
        if self.drive.calls + 1 == self.drive.killed_from:
            super().write(bytes(data)[: self.drive.rng.randrange(len(data) + 1)])
        try:
            self.drive.strike("write", self.name)
        except OSError:
            super().write(bytes(data)[: len(data) // 2])
            raise
        return super().write(data)


@contextmanager
def installed(drive):
    """Let all calls of this process on paths under the drive's folder go through `drive`."""
    kept = {name: getattr(os, name) for name in (*NAME_CALLS, "fsync", "replace", "rename")}
    kept_open = builtins.open

    def name_call(name):
        def call(path=".", *arguments, **options):
            if options.get("dir_fd") is None and drive.holds(path):
                drive.strike(name, path)
            return kept[name](path, *arguments, **options)

        return call

    def fsync(descriptor):
        if drive.holds(descriptor):
            drive.strike("fsync")
        return kept["fsync"](descriptor)

    def replace(source, target, **options):
        if not drive.holds(target):
            return kept["replace"](source, target, **options)
        done = drive.rng.random() < 0.5
        try:
            drive.strike("replace", target)
        except OSError as error:
            if done and error.errno in PASSING and drive.calls not in drive.gone:
                kept["replace"](source, target, **options)
            raise
        return kept["replace"](source, target, **options)

    def open_file(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, **options):
        if isinstance(file, int) or not drive.holds(file):
            return kept_open(file, mode, buffering, encoding, errors, newline, **options)
        drive.strike("open", file)
        raw = FaultyFile(file, mode.replace("b", "").replace("t", ""), drive)
        kinds = {"+": io.BufferedRandom, "r": io.BufferedReader}
        buffered = next((kinds[sign] for sign in kinds if sign in mode), io.BufferedWriter)(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    patched = {**{name: name_call(name) for name in NAME_CALLS}, "fsync": fsync}
    patched |= {"replace": replace, "rename": replace}
    try:
        for name, function in patched.items():
            setattr(os, name, function)
        builtins.open = io.open = open_file
        yield drive
    finally:
        for name, function in kept.items():
            setattr(os, name, function)
        builtins.open = io.open = kept_open
