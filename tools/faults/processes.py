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
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from tools.colab_stand_in.drive_faults import installed

LIMIT = 150  # seconds; what takes longer hangs
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
    log, started = place.with_name("said.txt"), time.monotonic()
    child = os.fork()
    if not child:
        _be(command, place, log, first, drive, largest_file)
    code = None
    while code is None:
        if (ended := os.waitpid(child, os.WNOHANG))[0]:
            code = os.waitstatus_to_exitcode(ended[1])
            break
        seconds = time.monotonic() - started
        if seconds > (LIMIT if kill_after is None else kill_after):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            code = HANGS if kill_after is None else KILLED
        time.sleep(STEP)
    return Outcome(code, log.read_text(errors="replace"), time.monotonic() - started)


def _be(command, place, log, first, drive, largest_file):
    """Be the command's process to its end."""
    code = 1
    try:
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, 1)
        os.dup2(target, 2)
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
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)


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
