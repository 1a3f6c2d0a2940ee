"""What files.py promises when files are damaged, the disk is full or another process is at work."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from helpers import files
from helpers.files import InputError, project_root

resource = pytest.importorskip("resource")  # the limit stands for a full disk

DAMAGED = ["", "{", '{"a": 1', "null", "[]", '"text"', "\x00" * 40, "[" * 100_000, '{"b": 1}']


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_json_is_one_sentence(content, tmp_path):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match=r"a\.json is damaged; delete it and begin anew\."):
        files.read_json(tmp_path / "a.json", dict, ["a"], "delete it and begin anew")


def test_json_of_the_wanted_kind_is_read_and_a_missing_file_is_none(tmp_path):
    files.write_json(tmp_path / "a.json", {"a": None})
    assert files.read_json(tmp_path / "a.json", dict, ["a"]) == {"a": None}
    assert files.read_json(tmp_path / "b.json", dict, ["a"]) is None
    (tmp_path / "a.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match="damaged"):
        files.read_json(tmp_path / "a.json")


def test_a_folder_where_a_file_is_expected_is_one_sentence(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(InputError, match="damaged"):
        files.read_json(tmp_path / "a.json")
    with pytest.raises(InputError, match="is a folder where a file is to be; rename or delete it"):
        files.write_json(tmp_path / "a.json", {})
    with pytest.raises(InputError, match="is a folder"):
        files.keep_arrays([tmp_path / "a.json"], {}, lambda: [[np.zeros(3)]])
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("content", [*DAMAGED, '{"n": 1}', None])
def test_arrays_whose_label_is_damaged_are_made_anew(content, tmp_path):
    target, calls = tmp_path / "z_points.npy", []

    def make():
        calls.append(1)
        yield [np.arange(4)]

    files.keep_arrays([target], {"n": 1}, make)
    whole = (tmp_path / "z_points.json").read_bytes()
    (tmp_path / "z_points.json").unlink()
    if content is not None:
        (tmp_path / "z_points.json").write_text(content)
    files.keep_arrays([target], {"n": 1}, make)
    assert len(calls) == 2
    assert (tmp_path / "z_points.json").read_bytes() == whole


@pytest.mark.parametrize("rows", [None, [0, 2]])
@pytest.mark.parametrize("kept_bytes", [0, 7, 100, 140])
def test_an_array_that_is_cut_off_is_one_sentence(rows, kept_bytes, tmp_path):
    np.save(tmp_path / "z.npy", np.arange(4))
    os.truncate(tmp_path / "z.npy", kept_bytes)
    with pytest.raises(InputError, match=r"z\.npy is damaged; delete it"):
        files.load_array(tmp_path / "z.npy", rows)


def test_a_disk_without_room_is_one_sentence_and_keeps_the_old_file(tmp_path):
    target = tmp_path / "values.npy"
    files.save_array(target, np.arange(4))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(InputError, match=r"No space left for values\.npy; make room on its disk"):
            files.save_array(target, np.zeros(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files.load_array(target).tolist() == [0, 1, 2, 3]
    assert os.listdir(tmp_path) == ["values.npy"]


def test_a_lock_is_waited_for_and_ends_with_a_killed_process(tmp_path):
    program = (
        "import sys, time; from helpers.files import locked\n"
        "with locked(sys.argv[1], print): print('held', flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / ".lock")], cwd=project_root(), stdout=subprocess.PIPE
    )
    assert owner.stdout.readline() == b"held\n"
    said = []

    def wait():
        said.append(time.monotonic())
        owner.send_signal(signal.SIGKILL)

    with files.locked(tmp_path / ".lock", wait):
        assert len(said) == 1
    owner.communicate()

    def refuse():
        raise InputError("in use")

    with (
        files.locked(tmp_path / ".lock", refuse),
        pytest.raises(InputError, match="in use"),
        files.locked(tmp_path / ".lock", refuse),
    ):
        pass
    with files.locked(tmp_path / ".lock", refuse):
        pass


def test_dated_names_within_one_second_differ():
    assert len({files.dated("ae") for _ in range(50)}) > 1
    assert files.dated("ae").startswith("ae.2")


def test_a_hash_is_kept_until_the_file_changes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert files.sha256_once(path) == files.sha256_once(path) == files.sha256_of(path)
    before = path.stat()
    path.write_bytes(b"abd")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # size, time and inode as they were
    assert files.sha256_once(path) == files.sha256_of(path)
    assert len(json.loads((tmp_path / ".a.sha256.json").read_text())["stamp"]) == 4
