import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers import files, study
from helpers.files import InputError, read_json, sha256_of, write_json
from helpers.models import images
from helpers.workspace import get_profile


def batches(packed, **options):
    return images.ImageBatches(packed, "train", 10, **options)


def test_one_epoch_hands_out_every_image_of_the_split_once(packed):
    train = batches(packed, shuffle=True, seed=3)
    handed_out = np.concatenate([batch for (batch,) in train])
    expected = images.load_images(packed, images.rows_of_split(packed, "train"))
    assert [len(batch) for (batch,) in train] == [10, 10, 10, 10, 8]
    assert all(np.array_equal(batch, train[i][0]) for i, (batch,) in enumerate(train))
    assert handed_out.dtype == np.float32
    key = lambda array: sorted(image.tobytes() for image in array)  # noqa: E731
    assert key(handed_out) == key(expected)
    assert not np.array_equal(handed_out, expected)


def test_values_are_the_bytes_over_255(packed):
    raw = np.load(packed / "images.npy")
    rows = images.rows_of_split(packed, "valid")
    assert np.array_equal(images.ImageBatches(packed, "valid", 6)[0][0], (raw[rows] / np.float32(255)))


def test_the_order_depends_on_seed_and_epoch_alone(packed):
    first, again, other = (batches(packed, shuffle=True, seed=s) for s in (1, 1, 2))
    first.on_epoch_end()
    again.set_epoch(1)
    assert np.array_equal(first.order, again.order)
    assert not np.array_equal(first.order, other.order)
    again.set_epoch(2)
    assert not np.array_equal(first.order, again.order)


def test_a_limit_takes_the_first_images_of_a_split_and_none_beyond_its_end(packed):
    some, everything = batches(packed, limit=5), batches(packed, limit=500)
    assert np.array_equal(some.rows, images.rows_of_split(packed, "train")[:5])
    assert (some.limit, len(some[0][0])) == (5, 5)
    assert (everything.limit, len(everything.rows)) == (None, 48)


def test_no_mapping_of_the_file_stays_open(packed):
    with open("/proc/self/maps") as maps:
        before = maps.read().count("images.npy")
    train = batches(packed, shuffle=True)
    held = list(train)
    with open("/proc/self/maps") as maps:
        assert maps.read().count("images.npy") == before
    assert len(held) == train.num_batches


def test_splits_do_not_overlap_and_none_is_lost(packed):
    rows = [images.rows_of_split(packed, split) for split in images.SPLITS]
    assert sorted(np.concatenate(rows)) == images.rows_of_split(packed, None).tolist()
    with pytest.raises(KeyError):
        images.rows_of_split(packed, "validation")


def test_own_photos_keep_their_largest_central_square(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENT_FACES_RESULTS", str(tmp_path / "results"))
    (tmp_path / "photos").mkdir()
    for number in range(12):
        pixels = np.zeros((400, 600, 3), np.uint8)
        pixels[:, 100:500] = 10 * number + 100  # the central square, and nothing of it left out
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number:02d}.jpg")
    folder = study.ensure_images(tmp_path / "photos", get_profile("smoke"))
    packed_images = np.load(folder / "images.npy")
    assert packed_images.shape == (12, 96, 96, 3)
    assert read_json(folder / "manifest.json")["crop"] == 0
    assert (np.abs(packed_images[5].astype(int) - 150) < 12).all()


def test_pictures_of_celebas_size_are_cut_as_celeba(faces_archive, tmp_path, monkeypatch):
    monkeypatch.setenv("LATENT_FACES_RESULTS", str(tmp_path))
    folder = study.ensure_images(faces_archive, get_profile("smoke"))
    assert read_json(folder / "manifest.json")["crop"] == 148


def test_data_without_images_is_said_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENT_FACES_RESULTS", str(tmp_path / "results"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        study.ensure_images(tmp_path / "empty", get_profile("smoke"))


def test_attribute_names_stand_in_the_order_of_the_columns(packed, tmp_path):
    names = images.attribute_names(packed)
    assert len(names) == images.load_attributes(packed).shape[1] == 40
    assert names[20] == "Male"
    write_json(tmp_path / "manifest.json", {"attribute_names": None})
    assert images.attribute_names(tmp_path) == []


@pytest.fixture
def copy(packed, tmp_path):
    """The packed images with the times of the files kept, as copies and restores keep them."""
    return Path(shutil.copytree(packed, tmp_path / "images"))


def flip_bit(path, place):
    """Change one bit of a file; size and time stay as they were."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("name", ["images.npy", "attributes.npy", "splits.npy", "names.txt"])
def test_a_flipped_bit_is_one_sentence(copy, name):
    batches(copy, attributes=True)
    flip_bit(copy / name, -1)
    with pytest.raises(
        InputError, match=rf"{name} is missing or not as manifest.json says; delete the folder images, and"
    ):
        batches(copy, attributes=True)
    if name == "images.npy":
        with pytest.raises(InputError, match="images anew"):
            images.load_images(copy, [0])


def test_another_data_sets_images_of_the_same_size_are_refused(copy):
    whole = images.load_images(copy, [0])
    other = copy.parent / "other.npy"
    np.save(other, np.load(copy / "images.npy")[::-1])
    shutil.copystat(copy / "images.npy", other)
    assert other.stat().st_size == (copy / "images.npy").stat().st_size
    os.replace(other, copy / "images.npy")
    with pytest.raises(InputError, match=r"not as manifest\.json says"):
        images.load_images(copy, [0])
    assert whole.shape == (1, 96, 96, 3)


def test_the_images_are_hashed_once(copy, monkeypatch):
    hashed = []
    monkeypatch.setattr(files, "sha256_of", lambda path: hashed.append(path.name) or sha256_of(path))
    for _ in range(3):
        images.load_images(copy, [0])
        batches(copy)
    assert hashed == ["images.npy"]
    os.utime(copy / "images.npy")  # as after a copy: the content is looked at again
    images.load_images(copy, [0])
    assert hashed == ["images.npy"] * 2
    (copy / ".images.npy.sha256.json").write_text("[]")
    images.load_images(copy, [0])
    assert hashed == ["images.npy"] * 3


DAMAGED = ["", "[]", "{}", '{"files": [1]}', '{"files": {"images.npy": null}}']


@pytest.mark.parametrize("content", [*DAMAGED, None])
def test_a_damaged_manifest_is_one_sentence(copy, content):
    (copy / "manifest.json").unlink()
    if content is not None:
        (copy / "manifest.json").write_text(content)
    with pytest.raises(InputError, match="delete the folder images, and the next run packs the images anew"):
        batches(copy)
