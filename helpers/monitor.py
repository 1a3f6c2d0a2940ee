"""How much memory is in use, on which processor the networks run, and what it can do."""

import contextlib
import importlib
import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path

import psutil

GIGABYTE = 1e9  # bytes; decimal, as in the posts and on Colab's display
BFLOAT16_CPU_FLAGS = ("avx512_bf16", "amx_bf16")
FLOAT16_COMPUTE_CAPABILITY = (7, 0)  # from Volta on a GPU multiplies float16 in tensor cores


@dataclass(frozen=True)
class GpuMemory:
    """Memory of one GPU in bytes, as NVML reports it for all processes together."""

    name: str
    used: int
    total: int


@dataclass(frozen=True)
class Memory:
    """One reading, in bytes: this process now and at its peak, the machine, and each GPU."""

    process: int
    process_peak: int
    machine_used: int
    machine_total: int
    gpus: tuple[GpuMemory, ...]


def memory():
    """Read the memory of process, machine and GPUs now (`Memory`, bytes). Never raises for want of a GPU."""
    process = psutil.Process().memory_info()
    machine = psutil.virtual_memory()
    return Memory(
        process=process.rss,
        process_peak=_peak_rss(process),
        machine_used=machine.total - machine.available,
        machine_total=machine.total,
        gpus=tuple(read_gpus()),
    )


def _peak_rss(process):
    """Largest resident memory of this process so far, in bytes."""
    if os.name == "nt":
        return process.peak_wset
    import resource

    unit = 1 if platform.system() == "Darwin" else 1024  # macOS counts bytes, Linux KiB
    return max(process.rss, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def read_gpus():
    """List the NVIDIA GPUs as `GpuMemory`; empty without a GPU, a driver or a pynvml."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # ImportError, NVMLError, or a broken module of the same name: all mean 'no GPU'
        return []
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [_read_gpu(pynvml, handle) for handle in handles]
    except pynvml.NVMLError:
        return []
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _read_gpu(pynvml, handle):
    name = pynvml.nvmlDeviceGetName(handle)
    reading = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return GpuMemory(name.decode() if isinstance(name, bytes) else name, reading.used, reading.total)


def format_memory(reading):
    """One line for people, e.g. 'RAM 1.2 GB (peak 1.4), machine 5.0 of 25.2 GB'."""
    line = (
        f"RAM {reading.process / GIGABYTE:.2f} GB (peak {reading.process_peak / GIGABYTE:.2f}), "
        f"machine {reading.machine_used / GIGABYTE:.1f} of {reading.machine_total / GIGABYTE:.1f} GB"
    )
    gpus = [
        f", {gpu.name} {gpu.used / GIGABYTE:.1f} of {gpu.total / GIGABYTE:.1f} GB" for gpu in reading.gpus
    ]
    return line + "".join(gpus)


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


def backend_peak_vram():
    """Most VRAM in bytes that TensorFlow has held on its first GPU; None without one or on jax."""
    if backend_name() != "tensorflow" or not gpus_of_backend():
        return None
    import tensorflow

    return tensorflow.config.experimental.get_memory_info("GPU:0")["peak"]


def gpu_multiplies_float16(capabilities):
    """True where every GPU in use, given by compute capability, has float16 tensor cores."""
    return bool(capabilities) and all(tuple(c) >= FLOAT16_COMPUTE_CAPABILITY for c in capabilities)


def start_backend():
    """Load TensorFlow, where it is Keras' backend, without its start-up chatter; take VRAM only as needed.

    TensorFlow otherwise claims nearly all VRAM at its first use, and prints C++ messages that look
    like errors. Call it before keras is imported; it does nothing for another backend.
    """
    if backend_name() != "tensorflow":
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _stderr_closed():
        import tensorflow
    tensorflow.get_logger().setLevel("ERROR")
    for gpu in tensorflow.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):  # too late: the GPU is in use already
            tensorflow.config.experimental.set_memory_growth(gpu, True)


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
