"""Keras' backend: started quietly, on which processor it runs, what that can do."""

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from helpers.files import InputError

BACKENDS = ("tensorflow", "jax")
KERAS_SETTINGS = {"image_data_format": "channels_last", "floatx": "float32", "epsilon": 1e-7}
BFLOAT16_CPU_FLAGS = ("avx512_bf16", "amx_bf16")
FLOAT16_COMPUTE_CAPABILITY = (7, 0)  # from Volta on a GPU multiplies float16 in tensor cores
backend_started = threading.Event()  # asked earlier, TensorFlow would take all VRAM to answer


@dataclass(frozen=True)
class BackendVram:
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
    """Name of the backend that Keras takes: what KERAS_BACKEND or else keras.json says, or 'tensorflow'."""
    return os.environ.get("KERAS_BACKEND") or read_keras_json().get("backend", BACKENDS[0])


@cache
def read_keras_json():
    """Settings of the user's keras.json where Keras looks for it; as there, none where it is no JSON."""
    home, settings = os.path.expanduser("~"), {}
    usual = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    path = Path(os.environ.get("KERAS_HOME", usual), "keras.json").expanduser()
    with contextlib.suppress(OSError, ValueError):
        settings = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(settings, dict):
        raise InputError(f"{path} holds no settings; delete it, Keras makes it anew.")
    return settings


def gpus_of_backend():
    """Compute capability (major, minor) of each GPU that the backend uses; (0, 0) where it is unknown."""
    if backend_name() == "tensorflow":
        import tensorflow

        gpus = tensorflow.config.list_physical_devices("GPU")
        details = [tensorflow.config.experimental.get_device_details(gpu) for gpu in gpus]
        return [detail.get("compute_capability", (0, 0)) for detail in details]
    devices = importlib.import_module(backend_name()).devices()
    told = [getattr(device, "compute_capability", "0.0") for device in devices if device.platform == "gpu"]
    return [tuple(map(int, str(capability).split("."))) for capability in told]


def backend_vram():
    """`BackendVram` of TensorFlow's first GPU; None where it uses none, or jax is the backend."""
    if backend_name() != "tensorflow" or not gpus_of_backend():
        return None
    import tensorflow

    reading = tensorflow.config.experimental.get_memory_info("GPU:0")
    return BackendVram(reading["current"], reading["peak"])


def gpu_multiplies_float16(capabilities):
    """True where every GPU in use, given by compute capability, has float16 tensor cores."""
    return bool(capabilities) and all(tuple(c) >= FLOAT16_COMPUTE_CAPABILITY for c in capabilities)


def start_backend():
    """Load TensorFlow, where it is Keras' backend, without its start-up chatter; take VRAM only as needed.

    TensorFlow otherwise claims nearly all VRAM at its first use, and prints C++ messages that look
    like errors. Call it before keras is imported; it does nothing for another backend.

    Intel's oneDNN computes the convolutions. TensorFlow takes it by itself only where the processor has
    AVX512-VNNI or newer instructions; on others training is two to four times as fast with it.

    Returns a line on what keras.json asks for in vain, if it does. InputError for a backend that is not
    installed or that the networks do not know, and for a keras.json that Keras does not take.
    """
    name = backend_name()
    if name not in BACKENDS or importlib.util.find_spec(name) is None:
        raise InputError(
            f"Keras is to run on {name!r} (KERAS_BACKEND, or keras.json in the folder .keras), which is "
            "not installed or not what the networks are made for; set KERAS_BACKEND to tensorflow or jax."
        )
    if name == "tensorflow":
        _start_tensorflow()
    return _settle_keras()


def _start_tensorflow():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with stderr_closed():
        import tensorflow
    tensorflow.get_logger().setLevel("ERROR")
    for gpu in tensorflow.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):  # too late: the GPU is in use already
            tensorflow.config.experimental.set_memory_growth(gpu, True)
    backend_started.set()


def _settle_keras():
    """Give Keras the settings that all rely on; a line where keras.json has others, else None."""
    asked = read_keras_json()
    others = [name for name, value in KERAS_SETTINGS.items() if asked.get(name, value) != value]
    if not others:
        return None
    try:
        from keras import config
    except (ValueError, TypeError) as error:
        raise InputError(f"Keras does not take your keras.json: {error} Correct or delete it.") from error
    for name in others:
        getattr(config, f"set_{name}")(KERAS_SETTINGS[name])
    told = ", ".join(f"{name} {asked[name]}, here {KERAS_SETTINGS[name]}" for name in others)
    return f"keras.json asks for {told} (for this process only)."


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
        names = [gpu.name for gpu in gpus] or [f"compute capability {a}.{b}" for a, b in capabilities]
        return "GPU: " + ", ".join(names)
    cores = f"CPU with {os.cpu_count()} cores"
    if not gpus:
        return f"{cores} (no GPU found)"
    names = ", ".join(gpu.name for gpu in gpus)
    return (
        f"{cores}. WARNING: a GPU is there ({names}) but it is not used. Locally run `make setup GPU=1`; "
        "on Colab choose Runtime > Change runtime type > GPU; then restart the kernel."
    )
