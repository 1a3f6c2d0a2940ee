"""How much memory and disk is in use now, and giving memory back."""

import ctypes
import gc
import math
import os
import platform
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import psutil

from helpers.monitor import backend
from helpers.monitor.backend import BackendVram

GIGABYTE = 1e9  # bytes; decimal, as in the posts and on Colab's display
NVML_MEMORY_V2 = 5 * 8 | 2 << 24  # how NVML wants its record asked for: bytes, and number of the version


@dataclass(frozen=True)
class GpuMemory:
    """Memory of one GPU in bytes, as nvidia-smi shows it: `used` by all processes together.

    Both are nan where NVML does not tell, as of a GPU in parts (MIG) or one that shares the machine's RAM.
    """

    name: str
    used: float
    total: float


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
        backend=backend.backend_vram() if backend.backend_started.is_set() else None,
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
    except Exception:  # some modules of this name import others that are not there
        return [], "the module pynvml is missing"
    count, reason = _open_nvml(pynvml)
    return [_read_gpu(pynvml, index) for index in range(count)], reason


@cache
def _open_nvml(pynvml):
    """Number of GPUs, and in words why there are none; NVML stays open until the process ends."""
    try:
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount()), "NVML knows of none"
    except Exception as error:  # NVMLError, or a broken module of the same name
        return 0, f"NVML does not answer: {error}"


def _read_gpu(pynvml, index):
    """`GpuMemory` with what NVML tells of a GPU; each of its answers may fail alone."""
    name, used, total = f"GPU {index}", math.nan, math.nan
    with suppress(Exception):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        with suppress(Exception):
            used, total = _read_vram(pynvml, handle)
        told = pynvml.nvmlDeviceGetName(handle)  # under WSL it may be no UTF-8, which some modules decode
        name = told.decode(errors="replace") if isinstance(told, bytes) else told
    return GpuMemory(name, used, total)


def _read_vram(pynvml, handle):
    """Bytes used and in all by NVML's second version, whose `used` leaves out what the driver reserves.

    Where the driver is older, by the first one. nvidia-ml-py3 has no function for the second; both modules
    hand out those of the library.
    """
    numbers = (ctypes.c_ulonglong * 5)(NVML_MEMORY_V2)  # version, then bytes: total, reserved, free, used
    try:
        ask = pynvml._nvmlGetFunctionPointer("nvmlDeviceGetMemoryInfo_v2")
        pynvml._nvmlCheckReturn(ask(handle, ctypes.byref(numbers)))
        _, total, _, _, used = numbers
    except Exception:
        first = pynvml.nvmlDeviceGetMemoryInfo(handle)
        total, used = first.total, first.used
    return used, total


def format_memory(reading):
    """One line for people, e.g. 'RAM 1.2 GB (peak 1.4), machine 5.0 of 25.2 GB, no GPU'."""
    line = (
        f"RAM {reading.process / GIGABYTE:.2f} GB (peak {reading.process_peak / GIGABYTE:.2f}), "
        f"machine {reading.machine_used / GIGABYTE:.1f} of {reading.machine_total / GIGABYTE:.1f} GB"
    )
    parts = [line, *map(_format_gpu, reading.gpus)]
    if not reading.gpus:
        parts.append("a GPU that NVML does not know" if reading.backend else "no GPU")
    if reading.backend:
        now, peak = reading.backend.now / GIGABYTE, reading.backend.peak / GIGABYTE
        parts.append(f"{'of it ' if reading.gpus else ''}TensorFlow's VRAM {now:.2f} GB (peak {peak:.2f})")
    return ", ".join(parts)


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
    Keras would drop the dtype policy with its state, and train in float32 from then on; it is kept. Source:
    COL-020, COL-031, COL-032.
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


def _forget_gradients():
    backend.forget_gradients()
    gc.collect()


def _trim():
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # other C libraries than glibc decide by themselves
            ctypes.CDLL("libc.so.6").malloc_trim(0)


STEPS = {
    "garbage collection": gc.collect,
    "clear_session": _clear_keras,  # Keras forgets the models that nobody refers to any more
    "forgotten gradients": _forget_gradients,  # TensorFlow those of networks that were trained and dropped
    "C library": _trim,  # returns the pages that it keeps for later use
}


def format_freed(freed):
    """Line for people on what `free` gave back."""
    parts = ", ".join(f"{name} {size / 1e6:+,.0f} MB" for name, size in freed.items())
    return f"given back by {parts}; {resident_bytes() / GIGABYTE:.2f} GB are still in use"
