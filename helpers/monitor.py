"""How much memory and disk is in use, on which processor the networks run, and what it can do."""

import contextlib
import ctypes
import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil

GIGABYTE = 1e9  # bytes; decimal, as in the posts and on Colab's display
BFLOAT16_CPU_FLAGS = ("avx512_bf16", "amx_bf16")
FLOAT16_COMPUTE_CAPABILITY = (7, 0)  # from Volta on a GPU multiplies float16 in tensor cores
backend_started = threading.Event()  # asked earlier, TensorFlow would take all VRAM to answer


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
class BackendVram:
    """What TensorFlow itself has of its first GPU, in bytes; NVML counts all that it has reserved."""

    now: int
    peak: int


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


def cpu_multiplies_bfloat16():
    """True where the processor has bfloat16 instructions (AVX512-BF16 or AMX), as far as Linux tells."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(flag in flags for flag in BFLOAT16_CPU_FLAGS)


def backend_name():
    """Name of the backend that Keras takes: 'tensorflow' unless KERAS_BACKEND says otherwise."""
    return os.environ.get("KERAS_BACKEND", "tensorflow")


def gpus_of_backend():
    """Compute capability (major, minor) of each GPU that the backend uses; (0, 0) where it is unknown."""
    if backend_name() == "tensorflow":
        import tensorflow

        gpus = tensorflow.config.list_physical_devices("GPU")
        details = [tensorflow.config.experimental.get_device_details(gpu) for gpu in gpus]
        return [detail.get("compute_capability", (0, 0)) for detail in details]
    devices = importlib.import_module(backend_name()).devices()
    return [_parse_capability(device) for device in devices if device.platform == "gpu"]


def _parse_capability(device):
    major, _, minor = str(getattr(device, "compute_capability", "0.0")).partition(".")
    return int(major), int(minor or 0)


def backend_vram():
    """`BackendVram` of TensorFlow's first GPU; None where it uses none, or jax is the backend."""
    if backend_name() != "tensorflow" or not gpus_of_backend():
        return None
    import tensorflow

    reading = tensorflow.config.experimental.get_memory_info("GPU:0")
    return BackendVram(reading["current"], reading["peak"])


def backend_peak_vram():
    """Most VRAM in bytes that TensorFlow has held on its first GPU; None without one or on jax."""
    reading = backend_vram()
    return reading and reading.peak


def gpu_multiplies_float16(capabilities):
    """True where every GPU in use, given by compute capability, has float16 tensor cores."""
    return bool(capabilities) and all(tuple(c) >= FLOAT16_COMPUTE_CAPABILITY for c in capabilities)


def start_backend():
    """Load TensorFlow, where it is Keras' backend, without its start-up chatter; take VRAM only as needed.

    TensorFlow otherwise claims nearly all VRAM at its first use, and prints C++ messages that look
    like errors. Call it before keras is imported; it does nothing for another backend.

    Intel's oneDNN computes the convolutions. TensorFlow takes it by itself only where the processor has
    AVX512-VNNI or newer instructions; on others training is two to four times as fast with it.
    """
    if backend_name() != "tensorflow":
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with _stderr_closed():
        import tensorflow
    tensorflow.get_logger().setLevel("ERROR")
    for gpu in tensorflow.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):  # too late: the GPU is in use already
            tensorflow.config.experimental.set_memory_growth(gpu, True)
    backend_started.set()


def forget_gradients():
    """Have TensorFlow drop the gradients that it has registered for each training step that it traced.

    Each holds the graph of its step, and so all variables of the network, and TensorFlow itself never drops
    one: a network that was trained and dropped keeps its memory for good (issue 80895 of tensorflow, open in
    2026). Steps that are traced go on working. Does nothing without TensorFlow, or where it has no such list.
    """
    if "tensorflow" not in sys.modules:
        return
    with contextlib.suppress(ImportError, AttributeError):
        from tensorflow.python.framework import ops

        registry = ops.gradient_registry._registry
        for name in [name for name in registry if name.startswith("CustomGradient-")]:
            del registry[name]


@contextlib.contextmanager
def _stderr_closed():
    """Send what C++ code writes to stderr nowhere; Python's exceptions still come through."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def describe_versions():
    """One line with the versions of Python and of the packages that decide the results."""
    packages = (backend_name(), "keras", "numpy", "scipy", "scikit-learn")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return ", ".join([f"Python {platform.python_version()}", *versions])


def describe_device(gpus, capabilities):
    """Say where the networks run; warn when a GPU is there (`read_gpus`) and the backend uses none."""
    if capabilities:
        return "GPU: " + ", ".join(gpu.name for gpu in gpus)
    cores = f"CPU with {os.cpu_count()} cores"
    if not gpus:
        return f"{cores} (no GPU found)"
    names = ", ".join(gpu.name for gpu in gpus)
    return (
        f"{cores}. WARNING: a GPU is there ({names}) but it is not used. Locally run `make setup GPU=1`; "
        "on Colab choose Runtime > Change runtime type > GPU; then restart the kernel."
    )
