import json
import os
from itertools import pairwise

import numpy as np
import pytest

from helpers import files, workspace
from helpers.files import InputError, written_whole


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "values.json"
    files.write_json(target, [1])
    with pytest.raises(RuntimeError), written_whole(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(target.read_text()) == [1]
    assert os.listdir(tmp_path) == ["values.json"]


def test_the_temporary_name_keeps_all_suffixes(tmp_path):
    with written_whole(tmp_path / "epoch-0001.weights.h5") as temporary:
        assert temporary.name.endswith(".weights.h5")  # Keras insists on it
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"x")
    assert (tmp_path / "epoch-0001.weights.h5").read_bytes() == b"x"


def test_arrays_are_saved_without_pickle(tmp_path):
    files.save_array(tmp_path / "a.npy", np.arange(3))
    assert np.load(tmp_path / "a.npy", allow_pickle=False).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="pickle"):
        files.save_array(tmp_path / "b.npy", np.array([{}], dtype=object))
    assert os.listdir(tmp_path) == ["a.npy"]


def test_arrays_are_kept_for_one_identity_and_made_anew_for_another_or_when_damaged(tmp_path):
    targets, calls = [tmp_path / "a.npy", tmp_path / "b.npy"], []

    def make():
        calls.append(1)
        yield [np.arange(2), np.eye(2, dtype="f4")]

    for identity, expected in (({"n": 1}, 1), ({"n": 1}, 1), ({"n": 2}, 2)):
        files.keep_arrays(targets, identity, make)
        first, second = map(files.load_array, targets)
        assert (first.tolist(), second.dtype) == ([0, 1], np.float32)
        assert len(calls) == expected
    targets[1].write_bytes(b"half")
    files.keep_arrays(targets, {"n": 2}, make)
    assert files.load_array(targets[1]).tolist() == [[1, 0], [0, 1]]
    assert len(calls) == 3
    assert sorted(os.listdir(tmp_path)) == ["a.json", "a.npy", "b.json", "b.npy"]


def test_pieces_of_any_length_make_the_file_that_numpy_would_write(tmp_path):
    whole = np.random.default_rng(0).normal(size=(123_457, 3)).astype("f4"), np.arange(123_457)
    ends = [0, 1, 9, 99_998, 123_457]
    pieces = ([array[a:b] for array in whole] for a, b in pairwise(ends))
    targets = [tmp_path / "a.npy", tmp_path / "b.npy"]
    files.keep_arrays(targets, {}, lambda: pieces)
    for target, array in zip(targets, whole, strict=True):
        np.save(tmp_path / "by_numpy.npy", array)
        assert target.read_bytes() == (tmp_path / "by_numpy.npy").read_bytes()
        rows = [5, 123_456, 0]
        assert np.array_equal(files.load_array(target, rows), array[rows])
        assert type(files.load_array(target, rows)) is np.ndarray  # no mapping stays open


def test_an_error_between_two_pieces_leaves_what_was_kept(tmp_path):
    target = tmp_path / "a.npy"
    files.keep_arrays([target], {"n": 1}, lambda: [[np.arange(3)]])

    def make():
        yield [np.arange(5)]
        raise InterruptedError

    with pytest.raises(InterruptedError):
        files.keep_arrays([target], {"n": 2}, make)
    assert files.load_array(target).tolist() == [0, 1, 2]
    assert sorted(os.listdir(tmp_path)) == ["a.json", "a.npy"]


def test_the_sum_of_arrays_depends_on_their_content_not_on_their_layout():
    a = np.arange(6, dtype="f4").reshape(2, 3)
    assert files.sha256_of_arrays([a]) == files.sha256_of_arrays([np.asfortranarray(a)])
    assert files.sha256_of_arrays([a]) == files.sha256_of_arrays([a[:1], a[1:]])
    assert files.sha256_of_arrays([a]) != files.sha256_of_arrays([a + 1])
    assert len(files.sha256_of_arrays([np.float32(1)])) == 64


def test_results_are_named_after_data_and_profile(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENT_FACES_RESULTS", str(tmp_path))
    (tmp_path / "celeba").mkdir()
    assert workspace.workspace_folder(None, "quick") == tmp_path / "synthetic-quick"
    assert workspace.workspace_folder(tmp_path / "celeba", "full") == tmp_path / "celeba-full"


def test_missing_data_is_said_in_one_sentence():
    with pytest.raises(InputError, match=r"^There is no file or folder 'nowhere'; .*\.$"):
        workspace.resolve_data("nowhere")


def test_paths_are_never_shown_absolute(tmp_path):
    assert files.shown_path(files.project_root() / "results" / "x") == "results/x"
    assert not os.path.isabs(files.shown_path(tmp_path / "x"))


def test_synthetic_faces_are_not_taken_for_celeba(faces_archive, packed, tmp_path):
    assert not workspace.is_celeba(None, packed)
    assert not workspace.is_celeba(faces_archive, packed)
    assert workspace.is_celeba(tmp_path, packed)  # the same attribute names without our factors beside


def test_own_photos_without_attributes_are_not_taken_for_celeba(tmp_path):
    files.write_json(tmp_path / "manifest.json", {"attribute_names": None})
    assert not workspace.is_celeba(tmp_path, tmp_path)
