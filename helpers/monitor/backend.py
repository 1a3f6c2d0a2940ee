"""Keras' backend: started quietly, on which processor it runs, what that can do."""

import contextlib
import gc
import importlib.metadata
import os
import platform
import sys
import threading
from pathlib import Path
from typing import NamedTuple

from helpers.files import InputError

BACKENDS = ("tensorflow", "jax")
KERAS_SETTINGS = {"image_data_format": "channels_last", "floatx": "float32", "epsilon": 1e-7}
BFLOAT16_CPU_FLAGS = ("avx512_bf16", "amx_bf16")
FLOAT16_COMPUTE_CAPABILITY = (7, 0)  # from Volta on a GPU multiplies float16 in tensor cores
backend_started = threading.Event()  # asked earlier, TensorFlow would take all VRAM to answer


class BackendVram(NamedTuple):
    """What TensorFlow itself has of its first GPU, in bytes; NVML counts all that it has reserved."""

    now: int
    peak: int


def cpu_multiplies_bfloat16():
    """True where the processor has bfloat16 instructions (AVX512-BF16 or AMX), as far as Linux tells."""
    with contextlib.suppress(OSError):
        flags = Path("/proc/cpuinfo").read_text()
        return any(flag in flags for flag in BFLOAT16_CPU_FLAGS)
    return False


def backend_name():
    """Name of the backend that Keras runs on, which is imported for it."""
    import keras

    return keras.config.backend()


def gpus_of_backend():
    """Compute capability (major, minor) of each GPU that the backend uses; (0, 0) where it is unknown."""
    if backend_name() == "tensorflow":
        from tensorflow import config

        details = map(config.experimental.get_device_details, config.list_physical_devices("GPU"))
        return [detail.get("compute_capability", (0, 0)) for detail in details]
    import jax

    gpus = [device for device in jax.devices() if device.platform == "gpu"]
    return [tuple(map(int, str(getattr(gpu, "compute_capability", "0.0")).split("."))) for gpu in gpus]


def backend_vram():
    """`BackendVram` of TensorFlow's first GPU; None where it uses none, or was not started here."""
    if not backend_started.is_set() or not gpus_of_backend():
        return None
    from tensorflow import config

    reading = config.experimental.get_memory_info("GPU:0")
    return BackendVram(reading["current"], reading["peak"])


def start_backend():
    """Import Keras and its backend without TensorFlow's start-up chatter; take VRAM only as needed.

    Call it before keras is imported: TensorFlow otherwise claims nearly all VRAM at its first use. By itself
    it takes Intel's oneDNN for convolutions only where the processor has AVX512-VNNI or newer instructions;
    on others training is two to four times as fast with it. Settings of keras.json that the numbers rely on
    do not hold, which is said. InputError for a backend or a keras.json that cannot be taken.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        with stderr_closed():
            from keras import config
        if backend_name() not in BACKENDS:
            raise ValueError(f"the networks are not made for {backend_name()!r}")
    except Exception as error:  # of any kind: older Keras asserts what keras.json holds
        raise InputError(
            f"Keras does not start here: {str(error) or repr(error)}. Set KERAS_BACKEND to tensorflow or "
            "jax, correct or delete keras.json in the folder .keras, and begin anew."
        ) from error
    for name, value in KERAS_SETTINGS.items():
        asked = getattr(config, name)()
        if asked != value:
            getattr(config, f"set_{name}")(value)
            print(f"keras.json asks for {name} {asked}; here it is {value}.")
    if backend_name() == "tensorflow":
        import tensorflow

        tensorflow.get_logger().setLevel("ERROR")
        for gpu in tensorflow.config.list_physical_devices("GPU"):
            with contextlib.suppress(RuntimeError):  # too late: the GPU is in use already
                tensorflow.config.experimental.set_memory_growth(gpu, True)
        backend_started.set()


def forget_gradients():
    """Have TensorFlow drop the gradients that it has registered for each training step that it traced.

    Each holds the graph of its step, and so all variables of the network, and TensorFlow never drops one: a
    network keeps its memory for good (issue 80895 of tensorflow, open in 2026). Traced steps go on working.
    """
    if "tensorflow" not in sys.modules:
        return
    with contextlib.suppress(ImportError, AttributeError):
        from tensorflow.python.framework import ops

        registry = ops.gradient_registry._registry
        for name in [name for name in registry if name.startswith("CustomGradient-")]:
            del registry[name]
    gc.collect()


@contextlib.contextmanager
def dtype_policy(name=None):
    """Within the block Keras' dtype policy is the one of this name, None: as it is; then the former again."""
    import keras

    former = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name or former)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(former)


@contextlib.contextmanager
def stderr_closed():
    """Send what C++ code writes to stderr nowhere; Python's exceptions still come through."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def describe_versions():
    """One line with the versions of Python and of the packages that decide the results."""
    packages = (backend_name(), "keras", "numpy", "scipy", "scikit-learn")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return ", ".join([f"Python {platform.python_version()}", *versions])


def describe_device(gpus, capabilities):
    """Say where the networks run; warn when a GPU is there (`read_gpus`) and the backend uses none."""
    names = ", ".join(gpu.name for gpu in gpus)
    if capabilities:
        return "GPU: " + (names or ", ".join(f"compute capability {a}.{b}" for a, b in capabilities))
    cores = f"CPU with {os.cpu_count()} cores"
    if not gpus:
        return f"{cores} (no GPU found)"
    return (
        f"{cores}. WARNING: a GPU is there ({names}) but it is not used. Locally run `make setup GPU=1`; "
        "on Colab choose Runtime > Change runtime type > GPU; then restart the kernel."
    )
