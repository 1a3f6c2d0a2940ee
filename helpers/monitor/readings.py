"""How much memory and disk is in use now, and giving memory back."""

import ctypes
import gc
import math
import os
import platform
import shutil
import sys
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import psutil

from helpers.monitor import backend
from helpers.monitor.backend import BackendVram

GIGABYTE = 1e9  # bytes; decimal, as in the posts and on Colab's display
NVML_MEMORY_V2 = 5 * 8 | 2 << 24  # how NVML wants its record asked for: bytes, and number of the version
open_nvml = cache(lambda pynvml: pynvml.nvmlInit())  # once: it stays open until the process ends


class GpuMemory(NamedTuple):
    """Memory of one GPU in bytes, `used` by all processes, as nvidia-smi shows it; nan where unknown."""

    name: str
    used: float
    total: float


class Memory(NamedTuple):
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
        backend=backend.backend_vram(),
    )


def resident_bytes():
    """Resident memory of this process in bytes: `memory().process` alone, without asking for the rest."""
    return psutil.Process().memory_info().rss


def _peak_rss(process):
    """Largest resident memory of this process so far, in bytes."""
    if os.name == "nt":
        return process.peak_wset
    with suppress(OSError, LookupError):
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

        open_nvml(pynvml)
        gpus = [_read_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
    except ImportError:
        return [], "the module pynvml is missing"
    except Exception as error:  # NVMLError, or a broken module of the same name
        return [], f"NVML does not answer: {error}"
    return gpus, "NVML knows of none"


def _read_gpu(pynvml, index):
    """`GpuMemory` with what NVML tells of a GPU; each of its answers may fail alone."""
    name, used, total = f"GPU {index}", math.nan, math.nan
    with suppress(Exception):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        with suppress(Exception):
            first = pynvml.nvmlDeviceGetMemoryInfo(handle)
            used, total = first.used, first.total
        with suppress(Exception):  # newer drivers' second version, whose `used` leaves out what they reserve;
            # nvidia-ml-py3 has no function for it, but as the other module hands out those of the library
            numbers = (ctypes.c_ulonglong * 5)(NVML_MEMORY_V2)  # then bytes: total, reserved, free, used
            ask = pynvml._nvmlGetFunctionPointer("nvmlDeviceGetMemoryInfo_v2")
            pynvml._nvmlCheckReturn(ask(handle, ctypes.byref(numbers)))
            _, total, _, _, used = numbers
        told = pynvml.nvmlDeviceGetName(handle)  # under WSL it may be no UTF-8, which some modules decode
        name = told.decode(errors="replace") if isinstance(told, bytes) else told
    return GpuMemory(name, used, total)


def format_memory(reading):
    """One line for people, e.g. 'RAM 1.2 GB (peak 1.4), machine 5.0 of 25.2 GB, no GPU'."""
    own, gpus = reading.backend, [*map(_format_gpu, reading.gpus)]
    parts = gpus or ["a GPU that NVML does not know" if own else "no GPU"]
    if own:
        share = f"TensorFlow's VRAM {own.now / GIGABYTE:.2f} GB (peak {own.peak / GIGABYTE:.2f})"
        parts = [*parts, f"of it {share}" if gpus else share]
    return (
        f"RAM {reading.process / GIGABYTE:.2f} GB (peak {reading.process_peak / GIGABYTE:.2f}), "
        f"machine {reading.machine_used / GIGABYTE:.1f} of {reading.machine_total / GIGABYTE:.1f} GB, "
    ) + ", ".join(parts)


def _format_gpu(gpu):
    if math.isnan(gpu.total):
        return f"{gpu.name} of unknown memory"
    return f"{gpu.name} {gpu.used / GIGABYTE:.1f} of {gpu.total / GIGABYTE:.1f} GB"


def format_disk(folder):
    """Line on the disk that a folder lies on, e.g. 'disk 40.1 of 107.7 GB'."""
    disk = shutil.disk_usage(folder)
    return f"disk {disk.used / GIGABYTE:.1f} of {disk.total / GIGABYTE:.1f} GB"


def free():
    """Give back what nothing refers to any more: dict of STEPS' names, bytes of RAM that each gave back.

    Delete what you no longer need first (`del model`); a notebook's `Out` and `_` refer to results as well.
    Keras would drop the dtype policy with its state; it is kept. Source: COL-020, COL-031, COL-032.
    """
    held = [resident_bytes()]
    for step in STEPS.values():
        step()
        held.append(resident_bytes())
    return {name: before - after for name, (before, after) in zip(STEPS, pairwise(held), strict=True)}


def _clear_keras():
    if "keras" in sys.modules:
        with backend.dtype_policy():
            sys.modules["keras"].utils.clear_session()


def _trim():
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # other C libraries than glibc decide by themselves
            ctypes.CDLL("libc.so.6").malloc_trim(0)


STEPS = {
    "garbage collection": gc.collect,
    "clear_session": _clear_keras,  # Keras forgets the models that nobody refers to any more
    "forgotten gradients": backend.forget_gradients,  # of networks that were trained and dropped
    "C library": _trim,  # returns the pages that it keeps for later use
}


def format_freed(freed):
    """Line for people on what `free` gave back."""
    parts = ", ".join(f"{name} {size / 1e6:+,.0f} MB" for name, size in freed.items())
    return f"given back by {parts}; {resident_bytes() / GIGABYTE:.2f} GB are still in use"
