"""Decode chunks of images in several processes, each of which writes its rows into one .npy file.

Processes and not threads: decoding a small image takes so short that threads wait for Python's interpreter
lock a fourth of the time.
"""

import io
import multiprocessing
import os
import signal
import threading
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from data_prep.packing.decoding import decode
from data_prep.packing.sources import BadImage, ImageSource, open_reader
from helpers.files import InputError

CHUNK_ROWS = 64  # images that are decoded and counted as done together
ALONE_CHUNKS = 8  # so few are done before other processes have started
MAX_WORKERS = 8  # by default: each takes about 50 MB
KEPT_BLOCKS = "4"  # of memory that Pillow reuses from image to image instead of asking the system each time
_stack, _tools = ExitStack(), None  # in a worker process: what it keeps open


class Task(NamedTuple):
    """What is packed: `chosen[row]` is the source's index of the image that goes to this row."""

    source: ImageSource
    chosen: np.ndarray
    crop: int  # pixels; 0: the largest central square
    size: int  # pixels
    skip_bad: bool


class Tools(NamedTuple):
    """What a process keeps open to pack chunks."""

    task: Task
    read: object  # index → bytes of an image file
    rows: object  # the .npy file


def run_chunks(task, rows, chunks, workers):
    """Pack chunks into the .npy file at path `rows`; yield the record of each as it is done.

    A record is JSON: the chunk's number, how many images have which size, and the skipped rows' reasons.
    """
    if workers is None:
        workers = 1 if len(chunks) <= ALONE_CHUNKS else min(os.cpu_count(), MAX_WORKERS)
    if workers == 1:
        with open_tools(task, rows) as tools:
            yield from (pack_chunk(tools, chunk) for chunk in chunks)
        return
    os.environ.setdefault("PILLOW_BLOCKS_MAX", KEPT_BLOCKS)  # the processes read it at their start
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, start_worker, (task, rows)) as pool:
        try:
            for future in as_completed([pool.submit(pack_in_worker, chunk) for chunk in chunks]):
                yield future.result()
        except BrokenProcessPool as error:
            raise InputError("A worker process was ended, perhaps for lack of memory; start again") from error
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def open_tools(task, rows):
    """Yield the `Tools` for a task; meanwhile Pillow refuses, not only warns of, absurdly many pixels."""
    with warnings.catch_warnings(), open_reader(task.source) as read, Path(rows).open("r+b") as file:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield Tools(task, read, file)


def start_worker(task, rows):
    """Prepare a worker process: Ctrl-C is left to its parent, and it ends when its parent is killed."""
    global _tools
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    _tools = _stack.enter_context(open_tools(task, rows))


def end_with_parent():
    """Wait for the end of the parent process, then end this one at once."""
    multiprocessing.parent_process().join()
    os._exit(1)


def pack_in_worker(chunk):
    """`pack_chunk` in a worker process."""
    return pack_chunk(_tools, chunk)


def pack_chunk(tools, chunk):
    """Decode and write one chunk of rows; return its record. InputError for the first bad image."""
    task, read, rows = tools
    sizes, skipped = Counter(), {}
    first = chunk * CHUNK_ROWS
    for row, index in enumerate(task.chosen[first : first + CHUNK_ROWS].tolist(), first):
        try:
            pixels, extent = decode(read(index), task.crop, task.size)
        except BadImage as error:
            if not task.skip_bad:
                raise InputError(
                    f"{task.source.names[index]} in {task.source.path} {error}; --skip-bad goes on without "
                    "such images"
                ) from error
            skipped[row] = str(error)
        else:
            rows.seek(row_place(row, task.size))
            rows.write(pixels)
            sizes["×".join(map(str, extent))] += 1
    rows.flush()
    return {"chunk": chunk, "sizes": sizes, "skipped": skipped}


def row_place(row, size):
    """Where a row begins in the .npy file, in bytes; its end is where the next begins."""
    return len(npy_header(0, size)) + row * size * size * 3


@cache
def npy_header(n, size):
    """Header of a .npy file of shape (n, size, size, 3) and dtype uint8; its length is the same for any n."""
    header = io.BytesIO()
    layout = {"descr": "|u1", "fortran_order": False, "shape": (n, size, size, 3)}
    np.lib.format.write_array_header_1_0(header, layout)
    return header.getvalue()
