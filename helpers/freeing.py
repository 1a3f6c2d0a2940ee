"""Giving memory back: what garbage collection, Keras, TensorFlow and the allocator each return, measured."""

import ctypes
import gc
import sys
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

import keras

from helpers import monitor

STEPS = ("garbage collection", "clear_session", "forgotten gradients", "C library")  # of `free`, in order


class Freed(NamedTuple):
    """What each step gave back, in bytes of resident memory, and what this process holds afterwards."""

    collected: int  # by the garbage collection
    cleared: int  # by Keras, which forgets the models that nobody refers to any more
    forgotten: int  # by TensorFlow, which held the variables of networks that were trained and dropped
    trimmed: int  # by the C library, which keeps freed memory for later use
    held: int


def free():
    """Give back what nothing refers to any more, in four steps, the last of them the C library's reserve.

    Delete what you no longer need first (`del model`); a notebook's `Out` and `_` refer to results as well.
    Keras would drop the dtype policy with its state, and train in float32 from then on; it is kept. Source:
    COL-020, COL-031, COL-032.
    """
    held = [_held()]
    for step in (gc.collect, _clear_keras, _forget_gradients, _trim):
        step()
        held.append(_held())
    return Freed(*(before - after for before, after in pairwise(held)), held[-1])


def _held():
    return monitor.memory().process


def _clear_keras():
    policy = keras.config.dtype_policy()
    keras.utils.clear_session()
    keras.config.set_dtype_policy(policy)


def _forget_gradients():
    monitor.forget_gradients()
    gc.collect()


def _trim():
    """Ask glibc to return the pages that it keeps; other C libraries decide by themselves."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def format_freed(freed):
    """Line for people on what was given back."""
    parts = ", ".join(f"{name} {size / 1e6:+,.0f} MB" for name, size in zip(STEPS, freed[:-1], strict=True))
    return f"given back by {parts}; {freed.held / monitor.GIGABYTE:.2f} GB are still in use"
