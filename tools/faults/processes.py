"""Commands as processes of their own, which can be killed, run out of disk, or lose their drive.

A command is a function that returns its exit code, called in a fork of this process: TensorFlow is imported
once and not by each of hundreds of processes. This process itself must never compute with it.
"""

import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

from tools.colab_stand_in.drive_faults import installed

LIMIT = 600  # seconds, on a machine that others use as well; what takes longer hangs
STEP = 0.002  # seconds between two looks at a process
KILLED, HANGS = -signal.SIGKILL, "hangs"


class Outcome(NamedTuple):
    """How a command ended: exit code, minus the signal, or HANGS; what it said; seconds."""

    code: int | str
    said: str
    seconds: float


def execute(command, place, first=lambda: None, drive=None, kill_after=None, largest_file=None):
    """`Outcome` of `command(place)` in a process of its own, which calls `first()` before.

    `drive`: a `FaultyDrive` that its calls go through. `kill_after`: seconds until kill -9. `largest_file`:
    bytes that no file of the process can outgrow.
    """
    started, said = time.monotonic(), bytearray()
    reading, writing = os.pipe()  # and no file, which a limit to files would limit as well
    child = os.fork()
    if not child:
        _be(command, place, writing, first, drive, largest_file)
    os.close(writing)
    os.set_blocking(reading, False)
    code = None
    while code is None:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
        elif time.monotonic() - started > (LIMIT if kill_after is None else kill_after):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            code = HANGS if kill_after is None else KILLED
        _drain(reading, said)
        time.sleep(STEP)
    os.close(reading)
    return Outcome(code, said.decode(errors="replace"), time.monotonic() - started)


def _drain(reading, said):
    """Take what is in a pipe."""
    with suppress(BlockingIOError):
        while piece := os.read(reading, 1 << 16):
            said += piece


def _be(command, place, writing, first, drive, largest_file):
    """Be the command's process to its end."""
    code = 1
    try:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        if largest_file is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
        first()
        with ExitStack() as stack:
            if drive:
                stack.enter_context(installed(drive))
            code = command(place)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code or 0)  # whatever happens: this process must not go on as its parent


@contextmanager
def small_disk(place, size):
    """Make the folder `place` a disk of `size` bytes of its own; yields a function that makes it large.

    Yields None where that is not allowed.
    """
    options = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(options, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=1g", str(place)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
