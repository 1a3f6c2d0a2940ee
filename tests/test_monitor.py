import math
import os
import shutil
import subprocess
import sys
import threading
import types
from pathlib import Path

import numpy as np
import psutil
import pytest

from helpers.files import project_root
from helpers.monitor import backend, readings

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux' own")


def fake_pynvml(name, devices=1):
    """A pynvml with the calls that nvidia-ml-py3 and nvidia-ml-py share; it stands for a GPU."""
    module = types.ModuleType("pynvml")
    module.NVMLError = type("NVMLError", (Exception,), {})
    module.nvmlInit = module.nvmlShutdown = lambda: None
    module.nvmlDeviceGetCount = lambda: devices
    module.nvmlDeviceGetHandleByIndex = lambda index: index
    module.nvmlDeviceGetName = lambda handle: name
    module.nvmlDeviceGetMemoryInfo = lambda handle: types.SimpleNamespace(used=2e9, total=16e9)
    return module


def test_a_large_array_is_seen_in_the_reading():
    before = readings.memory()
    array = np.ones(30_000_000)  # 240 MB
    after = readings.memory()
    assert 0.9 * array.nbytes < after.process - before.process < 1.3 * array.nbytes
    assert after.process_peak >= after.process
    assert after.machine_total == psutil.virtual_memory().total
    del array
    assert readings.memory().process < after.process - 100e6
    assert readings.memory().process_peak >= after.process_peak * 0.99


@needs_proc
def test_the_peak_is_not_that_of_the_process_which_started_this_one():
    array = np.ones(100_000_000)  # 800 MB
    code = "from helpers import monitor; print(monitor.memory().process_peak)"
    done = subprocess.run([sys.executable, "-c", code], cwd=project_root(), capture_output=True, check=True)
    assert int(done.stdout) < array.nbytes / 2


@pytest.mark.parametrize("name", ["Tesla T4", b"Tesla T4"])
def test_gpus_are_read_from_either_pynvml(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "pynvml", fake_pynvml(name))
    reading = readings.memory()
    assert reading.gpus == (readings.GpuMemory("Tesla T4", 2e9, 16e9),)
    assert "Tesla T4 2.0 of 16.0 GB" in readings.format_memory(reading)


def test_no_pynvml_or_a_broken_one_means_no_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert readings.read_gpus() == []
    monkeypatch.setitem(sys.modules, "pynvml", types.ModuleType("pynvml"))
    assert readings.read_gpus() == []
    failing = fake_pynvml("x")

    def fail(*_):
        raise failing.NVMLError

    failing.nvmlDeviceGetCount = fail
    monkeypatch.setitem(sys.modules, "pynvml", failing)
    assert readings.read_gpus() == []


def test_nothing_that_nvml_does_is_raised(monkeypatch):
    class Broken(types.ModuleType):
        NVMLError = type("NVMLError", (Exception,), {})

        def __getattr__(self, name):
            raise RuntimeError("the driver is of another version")

    monkeypatch.setitem(sys.modules, "pynvml", Broken("pynvml"))
    assert readings.describe_gpus() == "no GPU (NVML does not answer: the driver is of another version)"
    module = fake_pynvml("x")
    module.nvmlDeviceGetCount = lambda: 1 / 0
    monkeypatch.setitem(sys.modules, "pynvml", module)
    assert readings.read_gpus() == [] and "division" in readings.describe_gpus()
    monkeypatch.setitem(sys.modules, "pynvml", fake_pynvml("x", devices=0))
    assert readings.describe_gpus() == "no GPU (NVML knows of none)"
    assert readings.format_memory(readings.memory()).endswith(", no GPU")


NAN = math.nan


@pytest.mark.parametrize(
    ("call", "answer", "gpus", "line"),
    [
        ("nvmlDeviceGetName", lambda handle: b"\xffGeForce", ("\ufffdGeForce", 2e9, 16e9), "2.0 of 16.0 GB"),
        ("nvmlDeviceGetName", lambda handle: b"\xff".decode(), ("GPU 0", 2e9, 16e9), "GPU 0 2.0 of 16.0 GB"),
        ("nvmlDeviceGetMemoryInfo", lambda handle: 1 / 0, ("T4", NAN, NAN), "T4 of unknown memory"),
        ("nvmlDeviceGetHandleByIndex", lambda index: 1 / 0, ("GPU 0", NAN, NAN), "GPU 0 of unknown memory"),
    ],
)
def test_of_nvmls_answers_those_that_come_are_shown(monkeypatch, call, answer, gpus, line):
    module = fake_pynvml("T4")
    setattr(module, call, answer)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    assert readings.read_gpus() == [readings.GpuMemory(*gpus)]
    assert line in readings.describe_gpus() and line in readings.format_memory(readings.memory())


def test_one_gpu_that_fails_does_not_hide_the_other(monkeypatch):
    module = fake_pynvml("T4", devices=2)
    module.nvmlDeviceGetHandleByIndex = lambda index: 1 // (1 - index)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    assert readings.describe_gpus() == "T4 2.0 of 16.0 GB; GPU 1 of unknown memory"


def test_tensorflows_own_figures_do_not_need_nvml(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    started = threading.Event()
    started.set()
    monkeypatch.setattr(backend, "backend_started", started)
    monkeypatch.setattr(backend, "backend_vram", lambda: backend.BackendVram(2_000_000_000, 3_000_000_000))
    line = readings.format_memory(readings.memory())
    assert line.endswith(", a GPU that NVML does not know, TensorFlow's VRAM 2.00 GB (peak 3.00)")
    assert backend.describe_device([], [(9, 0)]) == "GPU: compute capability 9.0"


def write_keras_json(folder, text):
    (folder / "keras.json").write_text(text)
    names = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    return {**names, "KERAS_HOME": str(folder)}


STARTED = """if True:
    from helpers import monitor
    from helpers.files import InputError
    try:
        monitor.start().stop()
    except InputError as error:
        print("refused:", error)
        raise SystemExit
    import keras, sys
    from helpers.models.networks import Autoencoder
    from helpers.monitor.backend import backend_name
    print(keras.config.floatx(), keras.config.image_data_format(), keras.config.dtype_policy().name)
    print(keras.config.epsilon(), keras.backend.backend(), backend_name())
    print(Autoencoder(z_dim=2, filters=(2, 2, 2, 2)).decoder(keras.ops.zeros((3, 2))).shape[1:])
"""


@pytest.mark.parametrize(
    ("text", "variable", "name"),
    [
        ('{"backend": "jax", "image_data_format": "channels_first", "floatx": "float16"}', None, "jax"),
        ('{"backend": "torch", "floatx": "float64", "epsilon": 0.1}', "tensorflow", "tensorflow"),
        ("null\n{", None, "tensorflow"),
    ],
)
def test_the_backend_of_keras_json_runs_and_is_named_and_its_other_settings_do_not_hold(
    tmp_path, text, variable, name
):
    environment = write_keras_json(tmp_path, text) | ({"KERAS_BACKEND": variable} if variable else {})
    told = subprocess.run(
        [sys.executable, "-c", STARTED], env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    passed_over = [line.split()[3] for line in told if line.startswith("keras.json asks for ")]
    assert passed_over == [key for key in backend.KERAS_SETTINGS if key in text]
    versions = told[len(passed_over)]
    assert versions.startswith("Python 3.") and f", {name} " in versions and "keras 3." in versions
    assert told[-3:] == ["float32 channels_last float32", f"1e-07 {name} {name}", "(96, 96, 3)"]
    assert (tmp_path / "keras.json").read_text() == text


@pytest.mark.parametrize(
    ("text", "variable", "words"),
    [
        ('{"backend": "torch"}', None, "'torch'"),
        ('{"backend": ["jax"]}', "", "['jax']"),
        ('{"backend": "jax"}', "numpy", "'numpy'"),
        ('{"backend": "jax", "floatx": "float8"}', None, "Invalid `floatx`"),
        ("[]", "jax", "delete keras.json"),
    ],
)
def test_a_keras_json_that_cannot_be_followed_is_told_in_a_sentence(tmp_path, text, variable, words):
    environment = write_keras_json(tmp_path, text) | ({} if variable is None else {"KERAS_BACKEND": variable})
    done = subprocess.run(
        [sys.executable, "-c", STARTED], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("refused: ") and words in done.stdout and done.stdout.count("\n") == 1


def test_nvml_is_opened_once_whatever_comes_of_it(monkeypatch):
    for count in (lambda: 1, lambda: 1 / 0):
        module, opened = fake_pynvml("Tesla T4"), []
        module.nvmlInit, module.nvmlDeviceGetCount = lambda opened=opened: opened.append("once"), count
        monkeypatch.setitem(sys.modules, "pynvml", module)
        assert len({readings.describe_gpus() for _ in range(3)}) == len(opened) == 1


def test_tensorflows_own_figures_stand_beside_nvmls():
    gpus = (readings.GpuMemory("Tesla T4", 15_000_000_000, 16_000_000_000),)
    reading = readings.Memory(1, 1, 1, 1, gpus, backend.BackendVram(2_000_000_000, 3_000_000_000))
    line = readings.format_memory(reading)
    assert line.endswith("Tesla T4 15.0 of 16.0 GB, of it TensorFlow's VRAM 2.00 GB (peak 3.00)")


def proc_bytes(file, name):
    """A figure of /proc in bytes."""
    lines = (line.split() for line in Path(file).read_text().splitlines())
    return next(int(words[1]) * 1024 for words in lines if words[0] == f"{name}:")


@needs_proc
def test_the_figures_are_those_of_proc():
    array = np.ones(30_000_000)
    reading = readings.memory()
    assert reading.process == pytest.approx(proc_bytes("/proc/self/status", "VmRSS"), rel=0.02)
    assert reading.process == pytest.approx(readings.resident_bytes(), rel=0.02)
    assert reading.process_peak == pytest.approx(proc_bytes("/proc/self/status", "VmHWM"), rel=0.02)
    assert reading.machine_total == proc_bytes("/proc/meminfo", "MemTotal")
    used = reading.machine_total - proc_bytes("/proc/meminfo", "MemAvailable")
    assert reading.machine_used == pytest.approx(used, abs=0.02 * reading.machine_total)
    assert array.nbytes < reading.process
    disk = shutil.disk_usage("/")
    assert f"of {disk.total / 1e9:.1f} GB" in readings.format_disk("/")


FAKE_NVML = r"""
#include <string.h>
int devices = DEVICES;
int nvmlInit(void) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount(unsigned *n) { *n = devices; return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = devices; return 0; }
int nvmlDeviceGetHandleByIndex(unsigned i, void **h) { *h = &devices; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h) { *h = &devices; return 0; }
int nvmlDeviceGetName(void *h, char *name, unsigned n) { strncpy(name, "Tesla T4", n); return 0; }
int nvmlDeviceGetMemoryInfo(void *h, unsigned long long *m) {
    m[0] = 16000000000; m[1] = 14000000000; m[2] = 2000000000; return 0;
}
"""
SECOND_VERSION = r"""
struct memory { unsigned version; unsigned long long total, reserved, free, used; };
int nvmlDeviceGetMemoryInfo_v2(void *h, struct memory *m) {
    if (m->version != 0x2000028) return 25;
    m->total = 16000000000; m->reserved = 300000000; m->free = 14000000000; m->used = 1700000000; return 0;
}
"""
TELL = "from helpers import monitor; monitor.memory(); print(monitor.describe_gpus())"


@pytest.fixture(scope="module", params=["", "nvidia-ml-py", "nvidia-ml-py3"])
def nvml_environment(request, tmp_path_factory):
    """A virtual environment with no pynvml or one of the two; its name and its Python."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    packages = ["psutil", *filter(None, [request.param])]
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the package index does not give {packages}: {done.stderr[-200:]}")
    (folder / "numpy.py").write_text("")  # the monitor computes nothing with it, and it is large
    return request.param, python


def tell_gpus(python, libraries):
    """What a process in this environment, with the libraries of this folder, says of its GPUs."""
    path = os.pathsep.join(map(str, (project_root(), python.parents[1])))
    environment = {**os.environ, "PYTHONPATH": path, "LD_LIBRARY_PATH": str(libraries)}
    done = subprocess.run([python, "-c", TELL], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def build_nvml(folder, devices, source):
    """A library of NVML's name with so many GPUs in it."""
    (folder / "nvml.c").write_text(source.replace("DEVICES", str(devices)))
    command = ["cc", "-shared", "-fPIC", "-o", str(folder / "libnvidia-ml.so.1"), str(folder / "nvml.c")]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def test_either_pynvml_or_none_without_the_nvml_library(nvml_environment, tmp_path):
    name, python = nvml_environment
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine has NVML")
    told = tell_gpus(python, tmp_path)
    assert told.startswith(
        "no GPU (NVML does not answer: " if name else "no GPU (the module pynvml is missing)"
    )


@needs_proc
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to build a stand-in for NVML")
@pytest.mark.parametrize(
    ("devices", "source", "says"),
    [
        (0, FAKE_NVML, "no GPU (NVML knows of none)"),
        (1, FAKE_NVML, "Tesla T4 2.0 of 16.0 GB"),  # an older driver
        (1, FAKE_NVML + SECOND_VERSION, "Tesla T4 1.7 of 16.0 GB"),  # without what the driver reserves
    ],
)
def test_either_pynvml_reads_the_nvml_library(nvml_environment, tmp_path, devices, source, says):
    name, python = nvml_environment
    told = tell_gpus(python, build_nvml(tmp_path, devices, source))
    assert told == (says if name else "no GPU (the module pynvml is missing)")


@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="no GPU here")
def test_a_gpus_memory_is_that_of_nvidia_smi():
    command = ["nvidia-smi", "--query-gpu=memory.used,memory.total", "--format=csv,noheader,nounits"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    gpus = readings.read_gpus()
    assert len(gpus) == len(told)
    for gpu, line in zip(gpus, told, strict=True):
        used, total = (int(number) * 2**20 for number in line.split(","))
        assert gpu.used == pytest.approx(used, rel=0.05, abs=20e6)
        assert gpu.total == pytest.approx(total, rel=0.01)


def test_an_unused_gpu_is_warned_about():
    gpus = [readings.GpuMemory("Tesla T4", 0, 16_000_000_000)]
    assert "WARNING: a GPU is there (Tesla T4) but it is not used" in backend.describe_device(gpus, [])
    assert backend.describe_device(gpus, [(7, 5)]) == "GPU: Tesla T4"
    assert "WARNING" not in backend.describe_device([], [])


def test_reading_memory_does_not_load_tensorflow():
    code = "import sys; from helpers import monitor; monitor.memory(); sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_starting_the_backend_is_silent():
    code = "from helpers import monitor; monitor.start_backend(); print(monitor.gpus_of_backend())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.startswith("[")


@pytest.mark.parametrize(("wanted", "taken"), [(None, "1"), ("0", "0")])
def test_convolutions_are_computed_by_onednn_unless_the_user_refuses(wanted, taken):
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    environment |= {} if wanted is None else {"TF_ENABLE_ONEDNN_OPTS": wanted}
    code = """if True:
        import os
        from helpers import monitor
        monitor.start_backend()
        import tensorflow
        print(os.environ["TF_ENABLE_ONEDNN_OPTS"])
    """
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [taken]


def test_versions_are_named():
    line = backend.describe_versions()
    assert line.startswith("Python 3.")
    assert "keras 3." in line
