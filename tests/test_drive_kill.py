"""kill -9 at random moments, and a stop at every single call: nothing half counts, nothing is lost."""

import hashlib
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from types import SimpleNamespace

import pytest
from test_drive_workspace import content, epochs_in, fill, published, restore, write_epoch

from helpers.drive import copying, results, transfer
from tools.colab_stand_in.drive_faults import FaultyDrive, installed

BLOCK = 1 << 16
BLOCKS = 24

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")


def do_nothing(descriptor):
    """Stands in for fsync, which is slow: a kill, unlike a power failure, loses nothing that was written."""


def work_until_killed(number, folder, seed, function, *arguments):
    """Call a function of `drive`; the kernel kills the process at its call of this number below `folder`."""
    transfer.BLOCK_BYTES = BLOCK
    os.fsync = do_nothing
    with installed(FaultyDrive(folder, seed=seed)) as faulty:
        faulty.killed_from, faulty.killed_really = number, True
        function(*arguments)


def kill(number, folder, function, *arguments):
    """`work_until_killed` in a clean process of its own; its exit code is that of kill -9."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["test_drive_kill"])
    process = context.Process(target=work_until_killed, args=(number, folder, number, function, *arguments))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def count_calls(folder, function, *arguments):
    """Number of calls below `folder` that the work takes."""
    with installed(FaultyDrive(folder)) as faulty:
        function(*arguments)
    return faulty.calls


def noise(seed, size):
    return random.Random(seed).randbytes(size)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(transfer, "BLOCK_BYTES", BLOCK)
    monkeypatch.setattr(os, "fsync", do_nothing)


@pytest.fixture
def sides(tmp_path):
    """MyDrive and the folder of the machine."""
    for name in ("MyDrive", "vm"):
        (tmp_path / name).mkdir()
    return tmp_path / "MyDrive", tmp_path / "vm"


@pytest.fixture
def rng():
    """Random moments; their seed is shown when a test fails."""
    seed = time.time_ns()
    print("seed of the moments:", seed)
    return random.Random(seed)


def check_manifest(target, contents):
    """The target is one of these, and a manifest that fits its size and time names its very sha256."""
    data = target.read_bytes()
    assert data in contents
    manifest = target.with_name(f"{target.name}.manifest.json")
    if manifest.exists():
        assert json.loads(manifest.read_text())["sha256"] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("direction", "kills"), [("to MyDrive", 10), ("from MyDrive", 10), ("folder to MyDrive", 5)]
)
def test_a_copy_killed_at_random_moments(direction, kills, sides, rng, tmp_path):
    mydrive, vm = sides
    origin, place = (mydrive, vm) if direction == "from MyDrive" else (vm, mydrive)
    old, new = noise(1, 5 * BLOCK + 3), noise(2, BLOCKS * BLOCK)
    if direction == "folder to MyDrive":
        (origin / "a").mkdir()
        for number in range(BLOCKS):
            (origin / "a" / f"{number:02d}").write_bytes(noise(number, BLOCK - 200))
        new = copying.copy_verified(origin / "a", vm / "expected.zip").read_bytes()
    else:
        (origin / "a").write_bytes(new)
    calls = count_calls(tmp_path, copying.copy_verified, origin / "a", place / "undisturbed")
    before = {path: path.read_bytes() for path in mydrive.iterdir()}
    for number in rng.sample(range(1, calls + 1), kills):
        (place / str(number)).mkdir()
        target = place / str(number) / "copy"
        target.write_bytes(old)
        os.utime(target, (1_600_000_000, 1_600_000_000))
        kill(number, tmp_path, copying.copy_verified, origin / "a", target)
        check_manifest(target, (old, new))
        inode = target.stat().st_ino if target.read_bytes() == new else None
        copying.copy_verified(origin / "a", target)
        assert inode in (None, target.stat().st_ino)  # what had arrived whole is not copied again
        assert target.read_bytes() == new
        assert sorted(os.listdir(target.parent)) == ["copy", "copy.manifest.json"]
    assert {path: path.read_bytes() for path in before} == before


def reset(folder, kept):
    """Make a folder what `kept` is."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(kept, folder)


def check_training(folder, epochs):
    """The training that counts is one of these, and whole."""
    state = json.loads((folder / "state.json").read_text())
    weights = (folder / state["weights"]).read_bytes()
    assert hashlib.sha256(weights).hexdigest() == state["weights_sha256"] and epochs_in(folder) in epochs


def check_folders(found, first, second):
    """Each folder is as in one of two states."""
    for name in {path.rpartition("/")[0] for path in found}:
        parts = [
            {path: data for path, data in state.items() if path.rpartition("/")[0] == name}
            for state in (found, first, second)
        ]
        assert parts[0] in parts[1:], name


@pytest.fixture
def exchange(sides, tmp_path):
    """A workspace one epoch ahead of MyDrive, and both states of both sides for `reset`."""
    mydrive, vm = sides
    fill(vm)
    results.publish(vm, mydrive)
    states = SimpleNamespace(first=published(mydrive), **{n: tmp_path / n for n in ("old", "new", "behind")})
    shutil.copytree(vm, states.old)
    shutil.copytree(mydrive, states.behind)
    write_epoch(vm / "autoencoder", 4)
    (vm / "index.html").write_text("another page")
    shutil.copytree(vm, states.new)
    states.second = content(vm)
    return states


def test_publishing_killed_at_random_moments(exchange, sides, rng, tmp_path):
    mydrive, vm = sides
    calls = count_calls(tmp_path, results.publish, vm, mydrive)
    for number in rng.sample(range(1, calls + 1), 10):
        reset(mydrive, exchange.behind)
        reset(vm, exchange.new)
        kill(number, tmp_path, results.publish, vm, mydrive)
        check_folders(published(mydrive), exchange.first, exchange.second)
        results.publish(vm, mydrive)
        assert published(mydrive) == exchange.second
        assert not list(mydrive.rglob(".*.partial*"))


def test_restoring_killed_at_random_moments(exchange, sides, rng, tmp_path):
    mydrive, vm = sides
    results.publish(vm, mydrive)
    reset(vm, exchange.old)
    calls = count_calls(tmp_path, restore, mydrive, vm)
    for number in rng.sample(range(1, calls + 1), 10):
        reset(vm, exchange.old)
        kill(number, tmp_path, restore, mydrive, vm)
        check_training(vm / "autoencoder", (3, 4))
        restore(mydrive, vm)
        check_training(vm / "autoencoder", (4,))
        assert exchange.second.items() <= content(vm).items()
        assert published(mydrive) == exchange.second


def stop_at(number, folder, function, *arguments):
    """Call a function that does nothing any more from this call below `folder` on; True when it finished."""
    with installed(FaultyDrive(folder)) as faulty:
        faulty.killed_from = number
        try:
            function(*arguments)
        except KeyboardInterrupt:
            return False
        return True


def test_publishing_stopped_at_every_call(sides, tmp_path):
    """Unlike an error, and like a kill, the stop keeps the calls from happening that would clean up."""
    mydrive, vm = sides
    write_epoch(vm, 1)
    results.publish(vm, mydrive)
    old = content(vm)
    write_epoch(vm, 2)
    new = content(vm)
    shutil.copytree(mydrive, tmp_path / "drive")
    shutil.copytree(vm, tmp_path / "machine")
    for number in itertools.count(1):
        reset(mydrive, tmp_path / "drive")
        reset(vm, tmp_path / "machine")
        finished = stop_at(number, tmp_path, results.publish, vm, mydrive)
        assert published(mydrive) in (old, new)
        results.publish(vm, mydrive)
        assert published(mydrive) == new and not list(mydrive.glob(".*.partial*"))
        if finished:
            break
    assert number > 50


@pytest.mark.parametrize("own", ["nothing", "older epoch", "other training"])
def test_restoring_stopped_at_every_call(own, sides, tmp_path):
    mydrive, vm = sides
    write_epoch(vm, 1, run=int(own == "other training"))
    if own == "older epoch":
        results.publish(vm, mydrive)
    older = {} if own == "nothing" else content(vm)
    shutil.copytree(vm, tmp_path / "machine")
    write_epoch(vm, 3)
    results.publish(vm, mydrive)
    newer = content(vm)
    for number in itertools.count(1):
        reset(vm, tmp_path / "machine")
        for aside in [*tmp_path.glob("vm.2*"), *([vm] if own == "nothing" else [])]:
            shutil.rmtree(aside)
        finished = stop_at(number, tmp_path, restore, mydrive, vm)
        if own == "older epoch" or (vm / "state.json").exists():
            check_training(vm, (1, 3))
        restore(mydrive, vm)
        assert newer.items() <= content(vm).items() and published(mydrive) == newer
        assert not list(vm.glob(".*.partial*"))
        kept = {data for folder in tmp_path.glob("vm*") for data in content(folder).values()}
        assert own != "other training" or set(older.values()) <= kept
        if finished:
            break
    assert number > 30
