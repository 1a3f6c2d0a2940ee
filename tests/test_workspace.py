import json
import os
import shutil
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


def make_photos(folder, value=0):
    """A folder with a photo; another `value`, another photo of the same size."""
    folder.mkdir(parents=True)
    (folder / "1.jpg").write_bytes(bytes([value]) * 9)
    return folder


def identity(path):
    """Stands for the identity that the preparation finds in a folder of `make_photos`."""
    return lambda: {"kind": "folder", "fingerprint": path.joinpath("1.jpg").read_bytes().hex()}


def use(data, profile="smoke"):
    """What a run does: find the folder of the results, name their owner, pack images."""
    folder = workspace.workspace_folder(data, profile, identity(data))
    workspace.claim_folder(folder, data)
    files.write_json(folder / "images" / "manifest.json", {"source": identity(data)()})
    workspace.claim_folder(folder, data, source=identity(data)())
    return folder


def test_data_of_one_name_have_a_results_folder_each(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENT_FACES_RESULTS", str(tmp_path / "results"))
    names = ["a/faces", "b/faces", "c/faces", "photos.2023", "photos.2024", "synthetic", "photos"]
    data = [make_photos(tmp_path / name, value) for value, name in enumerate(names)]
    (tmp_path / "faces.zip").write_bytes(b"zip")
    folders = [use(path).name for path in data]
    assert folders == [
        "faces-smoke",
        "faces-2-smoke",
        "faces-3-smoke",
        "photos.2023-smoke",
        "photos.2024-smoke",
        "synthetic-2-smoke",
        "photos-smoke",
    ]
    assert workspace.workspace_folder(tmp_path / "faces.zip", "smoke").name == "faces-4-smoke"
    assert workspace.workspace_folder(None, "smoke").name == "synthetic-smoke"
    assert [use(path).name for path in data] == folders
    for folder in ("faces-smoke", "faces-2-smoke"):
        shutil.rmtree(tmp_path / "results" / folder)
    assert use(data[2]).name == "faces-3-smoke"  # a gap before it is no reason to begin anew


def test_the_same_images_at_another_path_find_their_results_again(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENT_FACES_RESULTS", str(tmp_path / "results"))
    data = make_photos(tmp_path / "here" / "faces")
    kept = use(data)
    (tmp_path / "there").mkdir()
    moved = data.rename(tmp_path / "there" / "faces")
    assert use(moved) == kept
    shutil.rmtree(kept / "images")  # they are not published to MyDrive, data.json is
    assert use(moved.rename(tmp_path / "faces")) == kept
    assert workspace.workspace_folder(make_photos(data, 5), "smoke", identity(data)) != kept


def test_results_of_an_earlier_version_belong_to_the_same_images(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENT_FACES_RESULTS", str(tmp_path / "results"))
    data = make_photos(tmp_path / "photos.2023")
    earlier = tmp_path / "results" / "photos-smoke"  # without data.json, named without the dot
    files.write_json(earlier / "images" / "manifest.json", {"source": identity(data)()})
    other = make_photos(tmp_path / "photos.2024", 1)
    assert use(other).name == "photos.2024-smoke"
    assert use(make_photos(tmp_path / "photos", 2)).name == "photos-2-smoke"
    assert use(data) == earlier
    assert workspace.read_owner(earlier)["path"] == str(data)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null", '{"source": 5}'])
def test_a_damaged_owner_is_told_by_the_images(content, tmp_path, monkeypatch):
    monkeypatch.setenv("LATENT_FACES_RESULTS", str(tmp_path / "results"))
    data = make_photos(tmp_path / "a" / "faces")
    kept = use(data)
    (kept / "data.json").write_text(content)
    assert workspace.workspace_folder(data, "smoke", identity(data)) == kept
    assert use(make_photos(tmp_path / "b" / "faces", 1)) != kept
    assert use(data) == kept


@pytest.mark.parametrize("data", [5, ["a"], True, 1.5])
def test_data_of_another_type_are_told_in_one_sentence(data):
    with pytest.raises(InputError, match=r"^DATA must be None or the path .*\.$"):
        workspace.workspace_folder(data, "smoke")


def test_an_empty_text_stands_for_the_synthetic_faces():
    assert workspace.workspace_folder("", "smoke") == workspace.workspace_folder(None, "smoke")


@pytest.mark.parametrize("profile", workspace.PROFILES.values(), ids=lambda profile: profile.name)
def test_sizes_follow_the_data(profile):
    fitted, lines = workspace.fit_profile(profile, "05_a", 164_800, 20_600)
    assert fitted.batch_size == profile.batch_size
    assert lines == [] or profile.name == "full"  # whose maps reach 165,000 points
    few, lines = workspace.fit_profile(profile, "01_a", 32, 4)
    assert (few.batch_size, few.compared_points, few.map_sizes) == (8, 32, (32,))
    assert few.epochs == profile.epochs
    assert lines[0].startswith("32 training images, 4 held out; sizes follow them: batch_size 8, ")
    assert lines[1] == "They are too few for notebook 05 and 06 and 08."


def test_a_notebook_says_at_its_start_how_many_images_it_needs():
    smoke = workspace.SMOKE
    with pytest.raises(workspace.TooFewImages, match=r"^Notebook 05_a needs 91 .* give DATA at least 114\.$"):
        workspace.fit_profile(smoke, "05_a", 84, 10)
    with pytest.raises(workspace.TooFewImages, match="at least 125"):
        workspace.fit_profile(smoke, "08_a", 84, 10)
    workspace.fit_profile(smoke, "my own", 84, 10)
    with pytest.raises(InputError) as nothing_to_train:
        workspace.fit_profile(smoke, "my own", 4, 0)
    assert nothing_to_train.type is InputError  # no notebook can do with them


def test_missing_data_is_said_in_one_sentence():
    with pytest.raises(InputError, match=r"^There is no file or folder 'nowhere'; .*\.$"):
        workspace.resolve_data("nowhere")


def test_paths_are_never_shown_absolute(tmp_path):
    assert files.shown_path(files.project_root() / "results" / "x") == "results/x"
    assert not os.path.isabs(files.shown_path(tmp_path / "x"))


def test_synthetic_faces_are_not_taken_for_celeba(faces_archive, packed):
    assert not workspace.is_celeba(None, packed)
    assert not workspace.is_celeba(faces_archive, packed)


def test_synthetic_faces_are_told_by_what_lies_beside_their_zip(faces_archive, packed, tmp_path):
    shutil.copy(packed / "manifest.json", tmp_path)
    content = files.read_json(tmp_path / "manifest.json")
    files.write_json(tmp_path / "manifest.json", {k: v for k, v in content.items() if k != "celeba"})
    archive = faces_archive / "img_align_celeba.zip"
    assert not workspace.is_celeba(archive, tmp_path)
    (tmp_path / "a").mkdir()
    shutil.copy(archive, tmp_path / "a")
    assert workspace.is_celeba(tmp_path / "a" / archive.name, tmp_path)
    files.write_json(tmp_path / "a" / "synthetic_faces.json", {})
    assert not workspace.is_celeba(tmp_path / "a", tmp_path)


@pytest.mark.parametrize("said", [True, False])
def test_a_manifest_says_whether_the_images_are_celebas(said, tmp_path):
    files.write_json(tmp_path / "manifest.json", {"celeba": said})
    assert workspace.is_celeba(tmp_path, tmp_path) is said
    assert not workspace.is_celeba(None, tmp_path)


def test_own_photos_without_attributes_are_not_taken_for_celeba(tmp_path):
    files.write_json(tmp_path / "manifest.json", {"attribute_names": None})
    assert not workspace.is_celeba(tmp_path, tmp_path)
