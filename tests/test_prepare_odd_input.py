"""What people bring: damaged and odd photos, data and lists in other places, few images, edited photos."""

import json
import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec

import archives
import numpy as np
import pytest
from PIL import Image

from data_prep import prepare_celeba
from data_prep.packing import sources
from data_prep.packing.decoding import decode
from data_prep.packing.sources import BadImage, find_source
from data_prep.packing.store import check_packed, load_manifest
from data_prep.prepare_celeba import prepare, suggest_crop
from data_prep.synthetic_faces import make_synthetic_faces
from helpers.files import InputError

FILES = archives.jpegs(20)
PHOTO = archives.encode(archives.picture(3, 300, 200), quality=95)
LISTS = archives.lists_txt(FILES)


def said(capfd):
    return capfd.readouterr().err.splitlines()


def line_with(capfd, *words):
    """The one line on stderr that has all these words."""
    lines = said(capfd)
    found = [line for line in lines if all(word in line for word in words)]
    assert len(found) == 1, lines
    return found[0]


def array(folder, name):
    return np.load(folder / name, allow_pickle=False)


# Odd photos


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("extent", [(178, 218), (1400, 1200)])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_without_its_end_marker_is_whole(missing, mode, extent, progressive):
    image = archives.picture(1, *extent).convert(mode)
    data = archives.encode(image, quality=90, progressive=progressive)
    assert (decode(data[:-missing], 0, 96)[0] == decode(data, 0, 96)[0]).all()


@pytest.mark.parametrize("missing", [3, 5, 50, 700])
def test_jpeg_without_more_than_that_is_damaged(missing):
    with pytest.raises(BadImage, match="damaged"):
        decode(PHOTO[:-missing], 0, 96)


@pytest.mark.parametrize(
    "exif", [b"garbage", b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08\0\x05\x01\x12", b"II*\0\xff\xff\xff\xff"]
)
def test_photo_with_damaged_exif_is_a_photo(exif, tmp_path, capfd, recwarn):
    image = archives.picture(3, 300, 200)
    data = archives.encode(image, quality=95, exif=b"Exif\0\0" + exif)
    assert (decode(data, 0, 96)[0] == decode(PHOTO, 0, 96)[0]).all()
    prepare(archives.write_folder(tmp_path / "photos", {"a.jpg": data, "b.jpg": PHOTO}), tmp_path / "out")
    assert not recwarn.list and "Warning" not in "".join(said(capfd))
    assert load_manifest(tmp_path / "out")["skipped"] == {}


@pytest.fixture(scope="module")
def large_photo():
    """A JPEG of 200 megapixels, 16,320 × 12,240 pixels, that was made in strips."""
    small = archives.picture(8, 1020, 765)
    return archives.encode(small.resize((16_320, 12_240), Image.Resampling.NEAREST), quality=60)


def test_photo_of_200_megapixels_is_a_photo(large_photo):
    small, extent = decode(large_photo, 0, 96)
    assert extent == (16_320, 12_240)
    exact = archives.picture(8, 1020, 765).resize((96, 96), Image.Resampling.HAMMING, (127.5, 0, 892.5, 765))
    assert np.abs(small.astype(int) - np.asarray(exact)).mean() < 2


PEAK = """
import sys
from pathlib import Path
from data_prep.packing.decoding import decode

def peak():  # KiB; of this process alone, other than ru_maxrss
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split(maxsplit=1)[0])

data = Path(sys.argv[1]).read_bytes()
before = peak()
decode(data, 0, 96)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
def test_photo_of_200_megapixels_takes_little_memory(large_photo, tmp_path):
    (tmp_path / "large.jpg").write_bytes(large_photo)
    command = [sys.executable, "-c", PEAK, tmp_path / "large.jpg"]
    ran = subprocess.run(command, cwd=archives.ROOT, capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 60_000  # KiB; 600 MB decoded at full scale


def test_small_piece_of_a_huge_photo_is_refused(large_photo):
    with pytest.raises(BadImage, match="more pixels than can be decoded"):
        decode(large_photo, 100, 96)


def test_webp_is_a_photo(tmp_path, capfd):
    image = archives.picture(3, 300, 200)
    photos = {"a.webp": archives.encode(image, "WEBP", quality=95), "b.JPG": PHOTO}
    photos["c.jpg"] = photos["a.webp"]  # as pages of the web name it
    manifest = prepare(archives.write_folder(tmp_path / "photos", photos), tmp_path / "out")
    assert manifest["images"] == 3 and not manifest["skipped"]
    images = array(tmp_path / "out", "images.npy").astype(int)
    assert np.abs(images - decode(PHOTO, 0, 96)[0]).mean() < 3


def test_what_is_passed_over_is_counted_by_kind(tmp_path, capfd):
    photos = {"a.jpg": PHOTO, "b.gif": b"", "c.gif": b"", "d.mov": b"", "Thumbs.db": b"", "raw": b""}
    prepare(archives.write_folder(tmp_path / "photos", photos), tmp_path / "out")
    assert line_with(capfd, "Passed over") == "Passed over: 2 .gif, 1 .mov, 1 raw."


@pytest.mark.skipif(find_spec("pillow_heif") is not None, reason="HEIC is read here")
def test_heic_without_its_decoder_is_told(tmp_path, capfd):
    photos = archives.write_folder(tmp_path / "photos", {"a.jpg": PHOTO, "b.heic": b"", "c.HEIC": b""})
    prepare(photos, tmp_path / "out")
    line_with(capfd, "2 .heic", "pip install pillow-heif")
    (photos / "a.jpg").unlink()
    with pytest.raises(InputError, match=r"no JPEG.*2 \.heic.*pip install pillow-heif"):
        prepare(photos, tmp_path / "out")


def test_heic_with_its_decoder_is_read(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(archives.picture(3, 300, 200)).save(tmp_path / "a.heic", quality=95)
    assert prepare(tmp_path, tmp_path / "out")["images"] == 1
    assert np.abs(array(tmp_path / "out", "images.npy")[0].astype(int) - decode(PHOTO, 0, 96)[0]).mean() < 3


# Damaged photos


def damaged_photos(folder, count):
    photos = {f"{n:02d}.jpg": PHOTO for n in range(20)} | {f"{n:02d}.jpg": b"" for n in range(count)}
    return archives.write_folder(folder, photos)


def test_own_photos_that_are_damaged_are_left_out_and_named(tmp_path, capfd):
    manifest = prepare(damaged_photos(tmp_path / "photos", 7), tmp_path / "out")
    line = line_with(capfd, "Left out")
    assert "7 of 20" in line and "00.jpg, 01.jpg, 02.jpg, 03.jpg, 04.jpg and 2 more" in line
    rows = [row.split("\t") for row in (tmp_path / "out" / "left_out.txt").read_text().splitlines()]
    assert rows == [[f"{n:02d}.jpg", manifest["skipped"][f"{n:02d}.jpg"]] for n in range(7)]
    assert manifest["images"] == 13 == len(array(tmp_path / "out", "images.npy"))


def test_strict_refuses_also_what_was_made_without(tmp_path, capfd):
    photos, out = damaged_photos(tmp_path / "photos", 1), tmp_path / "out"
    prepare(photos, out)
    for _ in range(2):
        with pytest.raises(InputError, match=r"00\.jpg .*without --strict"):
            prepare(photos, out, strict=True)
    assert prepare(photos, out)["images"] == 19
    line_with(capfd, "already", "left out: 1")


def test_left_out_names_go_when_the_photo_is_whole_again(tmp_path):
    photos, out = damaged_photos(tmp_path / "photos", 1), tmp_path / "out"
    prepare(photos, out)
    (photos / "00.jpg").write_bytes(PHOTO)
    assert prepare(photos, out)["images"] == 20
    assert not (out / "left_out.txt").exists()


def test_celebas_archive_is_strict_unless_told(tmp_path, capfd):
    source, out = archives.official(tmp_path, FILES | {"000003.jpg": b""}), tmp_path / "out"
    with pytest.raises(InputError, match=r"000003\.jpg .*--skip-bad"):
        prepare(source, out)
    assert prepare(source, out, strict=False)["images"] == 19
    assert prepare(source, out)["images"] == 19  # made by hand, taken by the series
    line_with(capfd, "already", "left out: 1")


def test_what_was_given_by_hand_holds_in_later_calls(tmp_path, capfd):
    (tmp_path / "celeba").mkdir()
    source, out = archives.official(tmp_path / "celeba", FILES), tmp_path / "out"
    lists = archives.write_folder(tmp_path / "lists", archives.lists_csv(FILES))
    given = {"crop": 100, "attributes": lists / "list_attr_celeba.csv"}
    by_hand = prepare(source, out, **given)
    assert prepare(source, out) == by_hand == load_manifest(out)
    line_with(capfd, "already holds")
    assert prepare(source, out, crop=148)["crop"] == 148
    assert prepare(source, out, size=32)["shape"] == [20, 32, 32, 3]


def test_lost_drive_is_no_damaged_photo(tmp_path, monkeypatch):
    photos = archives.write_folder(tmp_path / "photos", {f"{n}.jpg": PHOTO for n in range(3)})
    real = sources.find_source

    def lose(images):
        source = real(images)
        (photos / "2.jpg").unlink()
        return source

    monkeypatch.setattr(prepare_celeba, "find_source", lose)
    with pytest.raises(InputError, match=r"2\.jpg .*see that its disk or drive is there"):
        prepare(photos, tmp_path / "out")


def test_crop_is_suggested_by_the_first_photo_that_can_be_read(tmp_path):
    own = archives.write_folder(tmp_path / "own", {"a.jpg": b"", "b.jpg": PHOTO})
    assert suggest_crop(find_source(own)) == 0
    celeba = archives.write_folder(tmp_path / "celeba", FILES | {"0.jpg": b""})
    assert suggest_crop(find_source(celeba)) == 148


# Archives and lists in other places


def assert_labelled(folder):
    assert array(folder, "splits.npy").tolist() == archives.partition(20)
    assert (array(folder, "attributes.npy") == (archives.attribute_values(20) > 0)).all()


def renamed(name):
    stems = dict(zip(("attr_celeba", "eval_partition"), LISTS.values(), strict=True))
    return {name.format(stem): text for stem, text in stems.items()}


@pytest.mark.parametrize(
    "name", ["list_{} (1).txt", "list_{}(2).txt", "list_{}.txt.txt", "list_{}.txt (1).txt", "LIST_{}.TXT"]
)
def test_lists_under_other_names(name, tmp_path):
    archives.write_folder(tmp_path, renamed(name))
    prepare(archives.write_zip(tmp_path / "img_align_celeba.zip", FILES), tmp_path / "out")
    assert_labelled(tmp_path / "out")
    prepare(archives.write_folder(tmp_path / "faces", FILES), tmp_path / "again")
    assert_labelled(tmp_path / "again")


@pytest.mark.parametrize("place", ["a/b/c", "a/b", "a"])
def test_lists_up_to_two_folders_above(place, tmp_path):
    archives.write_folder(tmp_path / "a", LISTS)
    (tmp_path / place).mkdir(exist_ok=True, parents=True)
    prepare(archives.write_zip(tmp_path / place / "faces.zip", FILES), tmp_path / "out")
    assert_labelled(tmp_path / "out")


def test_nearest_list_goes_first(tmp_path):
    archives.write_folder(tmp_path, {"list_eval_partition.txt": "".join(f"{name} 2\n" for name in FILES)})
    archives.write_folder(tmp_path / "faces", archives.lists_csv(FILES))
    prepare(archives.write_folder(tmp_path / "faces", FILES), tmp_path / "out")
    assert_labelled(tmp_path / "out")


@pytest.mark.parametrize("images", ["zip", "folder", "both"])
def test_official_root(images, tmp_path):
    root = tmp_path / "CelebA"
    archives.write_folder(root / "Anno", {"list_attr_celeba.txt": LISTS["list_attr_celeba.txt"]})
    archives.write_folder(root / "Eval", {"list_eval_partition.txt": LISTS["list_eval_partition.txt"]})
    archives.write_folder(root, {"README.txt": b"", "Img/img_celeba/000001.jpg": FILES["000002.jpg"]})
    if images != "folder":
        archives.write_zip(root / "Img" / "img_align_celeba.zip", FILES)
    if images != "zip":
        archives.write_folder(root / "Img" / "img_align_celeba", FILES)
    manifest = prepare(root, tmp_path / "out")
    assert manifest["images"] == 20 and manifest["crop"] == 148
    assert_labelled(tmp_path / "out")


@pytest.mark.parametrize("suffix", ["png", "PNG", "JPG"])
def test_lists_of_the_png_version_say_jpg(suffix, tmp_path):
    kind = "JPEG" if suffix == "JPG" else "PNG"
    images = {
        f"img_align_celeba_png/{n + 1:06d}.{suffix}": archives.encode(archives.picture(n), kind)
        for n in range(20)
    }
    prepare(archives.write_folder(tmp_path / "celeba", images | LISTS), tmp_path / "out")
    assert_labelled(tmp_path / "out")


def test_names_that_differ_by_their_ending_alone_need_their_own_list(tmp_path):
    images = {"000001.jpg": PHOTO, "000001.png": archives.encode(archives.picture(0), "PNG")}
    folder = archives.write_folder(tmp_path / "faces", images | archives.lists_txt(["000001.jpg"]))
    with pytest.raises(InputError, match=r"misses 1 of 2 images \(first: 000001\.png\)"):
        prepare(folder, tmp_path / "out")


def test_missing_lists_are_told_with_what_follows(tmp_path, capfd):
    prepare(archives.write_zip(tmp_path / "faces.zip", FILES), tmp_path / "out")
    line = line_with(capfd, "Found with the images")
    assert "there are no attributes" in line and "the split is random, 80/10/10" in line


def test_list_nearby_that_belongs_to_other_images_is_told_and_not_used(tmp_path, capfd):
    archives.write_folder(tmp_path, LISTS)
    photos = archives.write_folder(tmp_path / "photos", {f"{n}.jpg": PHOTO for n in range(20)})
    manifest = prepare(photos, tmp_path / "out")
    assert manifest["attribute_names"] is None and manifest["splits"] == {"train": 16, "valid": 2, "test": 2}
    assert sum("names none of these images and is not used" in line for line in said(capfd)) == 2
    archives.write_folder(photos, LISTS)
    with pytest.raises(InputError, match="misses 20 of 20"):
        prepare(photos, tmp_path / "other")


def test_masks_are_no_faces(tmp_path, capfd):
    mask = archives.encode(Image.new("L", (512, 512)), "PNG")
    files = {f"CelebA-HQ-img/{n}.jpg": PHOTO for n in range(3)}
    files |= {
        f"CelebAMask-HQ-mask-anno/0/{n:05d}_{part}.png": mask for n in range(3) for part in ("hair", "nose")
    }
    root = archives.write_folder(tmp_path / "CelebAMask-HQ", files)
    assert prepare(root, tmp_path / "out")["images"] == 3
    line_with(capfd, "Passed over: 6 .png")
    with pytest.raises(InputError, match=r"no JPEG.*6 \.png"):
        prepare(root / "CelebAMask-HQ-mask-anno", tmp_path / "masks")


# Few images


def test_first_images_of_celeba_are_split_anew(tmp_path, capfd):
    partition = {"list_eval_partition.txt": "".join(f"{name} 0\n" for name in FILES)}
    archives.write_folder(tmp_path, LISTS | partition)
    manifest = prepare(archives.write_zip(tmp_path / "img_align_celeba.zip", FILES), tmp_path / "out")
    assert manifest["splits"] == {"train": 16, "valid": 2, "test": 2}
    line_with(capfd, "these images are all train: the split is random instead, 80/10/10")


# Between two runs


def tile(red):
    """A PNG file that is as long for every colour."""
    return archives.encode(Image.new("RGB", (50, 50), (red, 0, 0)), "PNG", compress_level=0)


@pytest.fixture
def photos(tmp_path):
    images = {f"{n}.png": tile(n) for n in range(20)}
    folder = archives.write_folder(tmp_path / "photos", images)
    prepare(folder, tmp_path / "out")
    return folder


def packed_reds(photos):
    out = photos.parent / "out"
    prepare(photos, out)
    check_packed(out, hashes=True)
    return array(out, "images.npy")[:, 0, 0, 0].tolist()


def test_edited_photo_of_equal_size_is_noticed(photos, capfd):
    before, path = packed_reds(photos), photos / "7.png"
    edited = tile(77)
    assert len(edited) == path.stat().st_size
    path.write_bytes(edited)
    assert sorted(packed_reds(photos)) == sorted([77, *set(before) - {7}])


def test_replaced_photos_of_equal_sizes_are_noticed(photos):
    paths = sorted(photos.iterdir())
    data = [path.read_bytes() for path in paths]
    before = packed_reds(photos)
    for path, content in zip(paths, data[::-1], strict=True):
        path.write_bytes(content)
    assert packed_reds(photos) == before[::-1]


def test_new_times_of_equal_photos_keep_the_result(photos, capfd):
    images = photos.parent / "out" / "images.npy"
    inode = images.stat().st_ino
    for path in photos.iterdir():
        os.utime(path)
    packed_reds(photos)
    line_with(capfd, "20 images looked through")
    packed_reds(photos)
    assert "looked through" not in "".join(said(capfd)) and images.stat().st_ino == inode


def test_copied_archive_is_not_read_again(tmp_path, capfd):
    source = archives.official(tmp_path, FILES)
    prepare(source, tmp_path / "out")
    os.utime(source)
    said(capfd)
    prepare(source, tmp_path / "out")
    assert len(said(capfd)) == 1


@pytest.mark.parametrize("name", ["images.npy", "splits.npy", "names.txt"])
def test_flipped_bit_in_the_result_is_mended(name, photos):
    path = photos.parent / "out" / name
    right = path.read_bytes()
    path.write_bytes(right[:-2] + bytes([right[-2] ^ 1]) + right[-1:])
    packed_reds(photos)
    assert path.read_bytes() == right


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"images": 20', "\x00", "[" * 100_000])
def test_damaged_manifest_is_one_sentence_and_made_anew(text, photos):
    out = photos.parent / "out"
    right = archives.result(out)
    (out / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json is damaged; delete it and prepare .*\.$"):
        load_manifest(out)
    packed_reds(photos)
    assert archives.result(out) == right


@pytest.mark.parametrize("key", ["images", "files", "skipped", "crop", "lists", "source", "stamp", "content"])
@pytest.mark.parametrize("value", [None, [], {}, 3, "x", {"images.npy": 3}])
def test_odd_value_in_the_manifest_is_made_anew(key, value, photos):
    out = photos.parent / "out"
    right = archives.result(out)
    manifest = json.loads(right["manifest.json"])
    (out / "manifest.json").write_text(json.dumps(manifest | {key: value}))
    packed_reds(photos)
    assert {name: data for name, data in archives.result(out).items() if name != "manifest.json"} == {
        name: data for name, data in right.items() if name != "manifest.json"
    }


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"count": 2', '"x"'])
def test_damaged_settings_of_synthetic_faces_are_made_anew(text, tmp_path):
    make_synthetic_faces(tmp_path, count=2, workers=1)
    before = archives.result(tmp_path)
    (tmp_path / "synthetic_faces.json").write_text(text)
    make_synthetic_faces(tmp_path, count=2, workers=1)
    assert archives.result(tmp_path) == before


# Whose faces


def celebas_own(folder):
    names = [prepare_celeba.CELEBA_ATTRIBUTE, *archives.ATTRIBUTES[1:]]
    text = LISTS["list_attr_celeba.txt"].replace(" ".join(archives.ATTRIBUTES), " ".join(names))
    archives.write_folder(folder, LISTS | {"list_attr_celeba.txt": text})
    return archives.write_zip(folder / "img_align_celeba.zip", FILES)


def test_manifest_says_whose_faces_they_are(tmp_path):
    for name in ("celeba", "alone", "lists"):
        (tmp_path / name).mkdir()
    assert prepare(celebas_own(tmp_path / "celeba"), tmp_path / "out")["celeba"]
    assert not prepare(archives.write_zip(tmp_path / "own.zip", FILES), tmp_path / "own")["celeba"]
    drawn = tmp_path / "drawn"
    make_synthetic_faces(drawn, count=5, workers=1)
    (drawn / "img_align_celeba.zip").rename(tmp_path / "alone" / "faces.zip")
    (drawn / "list_attr_celeba.txt").rename(tmp_path / "alone" / "list_attr_celeba.txt")
    manifest = prepare(tmp_path / "alone" / "faces.zip", tmp_path / "made")
    assert manifest["synthetic"] and not manifest["celeba"] and manifest["attribute_names"]
    with zipfile.ZipFile(tmp_path / "alone" / "faces.zip") as archive:
        archive.extractall(drawn)
    assert find_source(drawn).synthetic and find_source(drawn / "img_align_celeba").synthetic
