import subprocess
import sys
import types

import numpy as np
import psutil
import pytest

from helpers import monitor


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
    before = monitor.memory()
    array = np.ones(30_000_000)  # 240 MB
    after = monitor.memory()
    assert 0.9 * array.nbytes < after.process - before.process < 1.3 * array.nbytes
    assert after.process_peak >= after.process
    assert after.machine_total == psutil.virtual_memory().total
    del array
    assert monitor.memory().process < after.process - 100e6
    assert monitor.memory().process_peak >= after.process_peak * 0.99


@pytest.mark.parametrize("name", ["Tesla T4", b"Tesla T4"])
def test_gpus_are_read_from_either_pynvml(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "pynvml", fake_pynvml(name))
    reading = monitor.memory()
    assert reading.gpus == (monitor.GpuMemory("Tesla T4", 2e9, 16e9),)
    assert "Tesla T4 2.0 of 16.0 GB" in monitor.format_memory(reading)


def test_no_pynvml_or_a_broken_one_means_no_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert monitor.read_gpus() == []
    monkeypatch.setitem(sys.modules, "pynvml", types.ModuleType("pynvml"))
    assert monitor.read_gpus() == []
    failing = fake_pynvml("x")

    def fail(*_):
        raise failing.NVMLError

    failing.nvmlDeviceGetCount = fail
    monkeypatch.setitem(sys.modules, "pynvml", failing)
    assert monitor.read_gpus() == []


def test_an_unused_gpu_is_warned_about():
    gpus = [monitor.GpuMemory("Tesla T4", 0, 16_000_000_000)]
    assert "WARNING: a GPU is there (Tesla T4) but it is not used" in monitor.describe_device(gpus, [])
    assert monitor.describe_device(gpus, [(7, 5)]) == "GPU: Tesla T4"
    assert "WARNING" not in monitor.describe_device([], [])


def test_reading_memory_does_not_load_tensorflow():
    code = "import sys; from helpers import monitor; monitor.memory(); sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_starting_the_backend_is_silent():
    code = "from helpers import monitor; monitor.start_backend(); print(monitor.gpus_of_backend())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.startswith("[")


def test_versions_are_named():
    line = monitor.describe_versions()
    assert line.startswith("Python 3.")
    assert "keras 3." in line
