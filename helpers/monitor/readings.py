"""How much memory and disk is in use now, and giving memory back."""

import contextlib
import ctypes
import gc
import os
import platform
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import keras
import psutil

from helpers.monitor import backend
from helpers.monitor.backend import BackendVram, backend_started, backend_vram

GIGABYTE = 1e9  # bytes; decimal, as in the posts and on Colab's display
STEPS = ("garbage collection", "clear_session", "forgotten gradients", "C library")  # of `free`, in order


@dataclass(frozen=True)
class GpuMemory:
    """Memory of one GPU in bytes, as nvidia-smi shows it: `used` by all processes together."""

    name: str
    used: int
    total: int


class NvmlMemory(ctypes.Structure):
    """NVML's own record of a GPU's memory in bytes, second version: `used` leaves out what is `reserved`."""

    _fields_ = (
        ("version", ctypes.c_uint),
        *((name, ctypes.c_ulonglong) for name in ("total", "reserved", "free", "used")),
    )


@dataclass(frozen=True)
class Memory:
    """One reading, in bytes: this process and its peak, the machine, each GPU, and TensorFlow's share."""

    process: int
    process_peak: int
    machine_used: int
    machine_total: int
    gpus: tuple[GpuMemory, ...]
    backend: BackendVram | None


def memory():
    """Read the memory of process, machine and GPUs now (`Memory`, bytes). Never raises for want of a GPU."""
    process, machine, gpus = psutil.Process().memory_info(), psutil.virtual_memory(), read_gpus()
    return Memory(
        process=process.rss,
        process_peak=_peak_rss(process),
        machine_used=machine.total - machine.available,
        machine_total=machine.total,
        gpus=tuple(gpus),
        backend=backend_vram() if gpus and backend_started.is_set() else None,
    )


def _peak_rss(process):
    """Largest resident memory of this process so far, in bytes."""
    if os.name == "nt":
        return process.peak_wset
    with contextlib.suppress(OSError, LookupError):
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) * 1024
    import resource

    # Second choice: on Linux it begins with the peak of the process that started this one.
    unit = 1 if platform.system() == "Darwin" else 1024  # macOS counts bytes, others KiB
    return max(process.rss, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def read_gpus():
    """List the NVIDIA GPUs as `GpuMemory`; empty without a GPU, a driver or a pynvml."""
    return _ask_nvml()[0]


def describe_gpus():
    """Names and memory of the GPUs, or 'no GPU' and the reason why none can be read."""
    gpus, reason = _ask_nvml()
    return "; ".join(map(_format_gpu, gpus)) if gpus else f"no GPU ({reason})"


def _ask_nvml():
    """GPUs as `GpuMemory`, and in words why there are none."""
    try:
        import pynvml
    except Exception:  # some modules of this name import others that are not there
        return [], "the module pynvml is missing"
    try:
        pynvml.nvmlInit()
    except Exception as error:  # NVMLError, or a broken module of the same name
        return [], f"NVML does not answer: {error}"
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [_read_gpu(pynvml, handle) for handle in handles], "NVML knows of none"
    except Exception as error:
        return [], f"NVML does not answer: {error}"
    finally:
        with contextlib.suppress(Exception):
            pynvml.nvmlShutdown()


def _read_gpu(pynvml, handle):
    name = pynvml.nvmlDeviceGetName(handle)
    reading = _read_gpu_memory(pynvml, handle)
    return GpuMemory(name.decode() if isinstance(name, bytes) else name, reading.used, reading.total)


def _read_gpu_memory(pynvml, handle):
    """`NvmlMemory`, or where the driver is older, its first version, which counts the reserve as used.

    nvidia-ml-py3 has no function for the second version; both modules hand out those of the library.
    """
    reading = NvmlMemory(version=ctypes.sizeof(NvmlMemory) | 2 << 24)
    try:
        ask = pynvml._nvmlGetFunctionPointer("nvmlDeviceGetMemoryInfo_v2")
        pynvml._nvmlCheckReturn(ask(handle, ctypes.byref(reading)))
    except Exception:
        return pynvml.nvmlDeviceGetMemoryInfo(handle)
    return reading


def format_memory(reading):
    """One line for people, e.g. 'RAM 1.2 GB (peak 1.4), machine 5.0 of 25.2 GB, no GPU'."""
    line = (
        f"RAM {reading.process / GIGABYTE:.2f} GB (peak {reading.process_peak / GIGABYTE:.2f}), "
        f"machine {reading.machine_used / GIGABYTE:.1f} of {reading.machine_total / GIGABYTE:.1f} GB"
    )
    parts = [line, *(map(_format_gpu, reading.gpus) if reading.gpus else ["no GPU"])]
    if reading.backend:
        now, peak = reading.backend.now / GIGABYTE, reading.backend.peak / GIGABYTE
        parts.append(f"of it TensorFlow {now:.2f} GB (peak {peak:.2f})")
    return ", ".join(parts)


def _format_gpu(gpu):
    return f"{gpu.name} {gpu.used / GIGABYTE:.1f} of {gpu.total / GIGABYTE:.1f} GB"


def format_disk(folder):
    """Line on the disk that a folder lies on, e.g. 'disk 40.1 of 107.7 GB'."""
    disk = shutil.disk_usage(folder)
    return f"disk {disk.used / GIGABYTE:.1f} of {disk.total / GIGABYTE:.1f} GB"


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
    return memory().process


def _clear_keras():
    policy = keras.config.dtype_policy()
    keras.utils.clear_session()
    keras.config.set_dtype_policy(policy)


def _forget_gradients():
    backend.forget_gradients()
    gc.collect()


def _trim():
    """Ask glibc to return the pages that it keeps; other C libraries decide by themselves."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def format_freed(freed):
    """Line for people on what was given back."""
    parts = ", ".join(f"{name} {size / 1e6:+,.0f} MB" for name, size in zip(STEPS, freed[:-1], strict=True))
    return f"given back by {parts}; {freed.held / GIGABYTE:.2f} GB are still in use"
