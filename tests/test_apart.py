import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.models import costs
from helpers.monitor import readings

EIGHTY_MEGABYTES = 80_000_000


def measure(size, deed="tell"):
    """What the other process is to do: report itself, fail or die."""
    if deed == "fail":
        raise ValueError("bad weather")
    if deed == "die":
        os.kill(os.getpid(), 9)
    print("a library says something")
    before = readings.memory().process
    held = b"x" * size
    return {"id": os.getpid(), "grown": readings.memory().process - before, "size": len(held)}


@pytest.fixture
def importable(monkeypatch):
    """This module can be imported by other processes, which need not load TensorFlow for it."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setenv("KERAS_BACKEND", "jax")


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_each_task_has_a_process_that_knows_nothing_of_the_others(importable, monkeypatch, method):
    if method not in costs.get_all_start_methods():
        pytest.skip("this system does not fork")
    monkeypatch.setattr(costs, "get_all_start_methods", lambda: [method])
    sizes = (EIGHTY_MEGABYTES, 10, EIGHTY_MEGABYTES)
    results = costs.measure_apart(measure, [{"size": size} for size in sizes])
    assert [result["size"] for result in results] == list(sizes)
    assert len({os.getpid(), *(result["id"] for result in results)}) == 4
    assert min(results[0]["grown"], results[2]["grown"]) > 0.9 * EIGHTY_MEGABYTES
    assert results[1]["grown"] < 5_000_000


@pytest.mark.parametrize(("deed", "words"), [("fail", "bad weather"), ("die", "terminated abruptly")])
def test_a_task_that_fails_is_told(importable, deed, words):
    tasks = [{"size": 1}, {"size": 1, "deed": deed}]
    with pytest.raises(RuntimeError, match=f"The measuring process failed: .*{words}"):
        costs.measure_apart(measure, tasks)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux' own")
def test_a_process_forks_before_the_backend_has_begun_to_work():
    threads = "import os, helpers.models.costs; print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run([sys.executable, "-c", threads], capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) <= 2 * os.cpu_count()  # threads of libraries that wait, no more
