"""Work for several processes: results come in order, and no process outlives the one that started it.

Processes and not threads: decoding a small image takes so short that threads wait for Python's interpreter
lock a fourth of the time.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

from helpers.files import InputError

AHEAD = 4  # items per process that are under way or wait to be yielded; bounds the memory they take
_work = None  # in a worker process: what it does with each item


def map_in_processes(work, items, workers):
    """Yield `work(item)` for each of `items`, in their order, by `workers` processes; 1: by this one alone.

    `work` goes to each process once, so it may carry much, as a `functools.partial`. Raises what `work`
    raises, and InputError when a process was killed; the processes have ended when this generator has.
    """
    if workers == 1:
        yield from map(work, items)
        return
    items, context = iter(items), multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (work,)) as pool:
        try:
            futures = deque(pool.submit(_work_on, item) for item in islice(items, AHEAD * workers))
            while futures:
                yield futures.popleft().result()
                futures.extend(pool.submit(_work_on, item) for item in islice(items, 1))
        except BrokenProcessPool as error:
            raise InputError(
                "A worker process was ended, perhaps for lack of memory; start again (a script of your own "
                'needs `if __name__ == "__main__":` before the call).'
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker(work):
    """Prepare a worker process: Ctrl-C is left to its parent, and it ends when its parent is killed."""
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)


def _work_on(item):
    return _work(item)
