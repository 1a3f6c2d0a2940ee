import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import archives
import numpy as np
import pytest
from PIL import Image

from data_prep.packing.decoding import decode
from data_prep.packing.store import CHUNK_ROWS, check_packed, load_manifest
from data_prep.prepare_celeba import prepare
from helpers.files import InputError

FILES = archives.jpegs(20)


def reference(data, box=(15, 35, 163, 183), size=96):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return np.asarray(image.resize((size, size), Image.Resampling.HAMMING, box=box))


def array(folder, name):
    return np.load(folder / name, allow_pickle=False)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    prepare(archives.official(folder, FILES), folder / "out")
    return folder / "out"


def test_official_archive_gives_the_packed_files(packed):
    images, attributes, splits = (array(packed, f"{name}.npy") for name in ("images", "attributes", "splits"))
    assert images.shape == (20, 96, 96, 3) and images.dtype == np.uint8
    assert attributes.dtype == np.int8 and splits.dtype == np.uint8
    assert (attributes == (archives.attribute_values(20) > 0)).all()
    assert splits.tolist() == archives.partition(20)
    assert (packed / "names.txt").read_text().splitlines() == sorted(FILES)
    for row, name in enumerate(sorted(FILES)):
        assert (images[row] == reference(FILES[name])).all()


def test_manifest_tells_what_is_there(packed):
    manifest = load_manifest(packed)
    assert manifest["images"] == 20 and manifest["splits"] == {"train": 16, "valid": 2, "test": 2}
    assert manifest["shape"] == [20, 96, 96, 3] and manifest["dtype"] == "uint8"
    assert manifest["attribute_names"] == archives.ATTRIBUTES and manifest["skipped"] == {}
    assert manifest["source"]["name"] == "img_align_celeba.zip" and manifest["source"]["entries"] == 20
    for name, entry in manifest["files"].items():
        data = (packed / name).read_bytes()
        assert entry == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert str(packed.parent) not in (packed / "manifest.json").read_text()


def kaggle(folder):
    junk = {"__MACOSX/img_align_celeba/._000001.jpg": b"junk", ".DS_Store": b"junk"}
    images = {f"img_align_celeba/img_align_celeba/{name}": data for name, data in FILES.items()}
    return archives.write_zip(
        folder / "archive.zip", images | junk | archives.lists_csv(FILES), "", zipfile.ZIP_DEFLATED
    )


def unpacked(folder):
    images = {f"img_align_celeba/img_align_celeba/{name}": data for name, data in FILES.items()}
    junk = {"img_align_celeba/.DS_Store": b"", "img_align_celeba/Thumbs.db": b"", "._000001.jpg": b""}
    return archives.write_folder(folder / "celeba", images | junk | archives.lists_csv(FILES))


def lists_beside_folder(folder):
    archives.write_folder(folder, archives.lists_txt(FILES))
    return archives.write_folder(folder / "img_align_celeba", FILES)


def drive_layout(folder):
    lists = archives.lists_txt(FILES)
    archives.write_folder(folder / "Anno", {"list_attr_celeba.txt": lists["list_attr_celeba.txt"]})
    archives.write_folder(folder / "Eval", {"list_eval_partition.txt": lists["list_eval_partition.txt"]})
    (folder / "Img").mkdir()
    return archives.write_zip(folder / "Img" / "img_align_celeba.zip", FILES)


def folder_with_archive(folder):
    return archives.official(folder, FILES).parent


def dotted_entries(folder):
    archives.write_folder(folder, archives.lists_txt(FILES))
    return archives.write_zip(folder / "celeba.zip", FILES, "./img_align_celeba/")


@pytest.mark.parametrize(
    "make", [kaggle, unpacked, lists_beside_folder, drive_layout, folder_with_archive, dotted_entries]
)
def test_all_forms_of_the_data_give_the_same(make, packed, tmp_path):
    prepare(make(tmp_path), tmp_path / "out", workers=1)
    results = [archives.result(folder) for folder in (packed, tmp_path / "out")]
    for name in archives.FINAL_NAMES[:-1]:
        assert results[0][name] == results[1][name], name
    manifests = [json.loads(found["manifest.json"]) for found in results]
    assert manifests[0]["files"] == manifests[1]["files"]


def test_crop_is_central(tmp_path):
    pattern = np.zeros((218, 178, 3), np.uint8)
    pattern[35:183, 15:163] = (40, 120, 200)
    small, extent = decode(archives.encode(Image.fromarray(pattern), "PNG"), 148, 148)
    assert extent == (178, 218) and (small == (40, 120, 200)).all()
    wider, _ = decode(archives.encode(Image.fromarray(pattern), "PNG"), 150, 150)
    assert (wider[0] == 0).all() and (wider[:, -1] == 0).all() and (wider[1:-1, 1:-1] == (40, 120, 200)).all()


def test_large_photos_are_drafted_without_losing_detail():
    photo = archives.picture(3, 4000, 3000)
    small, _ = decode(archives.encode(photo, quality=95), 0, 96)
    exact = np.asarray(photo.resize((96, 96), Image.Resampling.HAMMING, box=(500, 0, 3500, 3000)))
    assert np.abs(small.astype(int) - exact).mean() < 1


def test_orientation_of_photos_is_honoured():
    upright = archives.picture(4, 300, 400)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90° clockwise
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    small, _ = decode(archives.encode(turned, exif=exif, quality=95), 0, 96)
    expected = reference(archives.encode(upright, quality=95), box=(0, 50, 300, 350))
    assert np.abs(small.astype(int) - expected).mean() < 2


def grey_ramp(kind):
    ramp = np.tile(np.linspace(0, 255, 178).astype(np.uint8), (218, 1))
    if kind == "I;16":
        return archives.encode(Image.fromarray(ramp.astype(np.uint16) * 257), "PNG")
    image = Image.fromarray(ramp).convert(kind)
    return archives.encode(
        image, "JPEG" if kind == "CMYK" else "PNG", **{"quality": 95} if kind == "CMYK" else {}
    )


def test_grey_jpeg_becomes_rgb():
    grey = archives.encode(archives.picture(5, 178, 218).convert("L"), quality=90)
    assert (decode(grey, 148, 96)[0] == reference(grey)).all()


@pytest.mark.parametrize("kind", ["L", "P", "CMYK", "RGBA", "LA", "I;16"])
def test_other_colour_modes_become_rgb(kind):
    small, _ = decode(grey_ramp(kind), 148, 96)
    plain, _ = decode(grey_ramp("RGB"), 148, 96)
    assert np.abs(small.astype(int) - plain).max() <= 4


def test_transparent_pixels_become_white():
    image = Image.new("RGBA", (178, 218), (200, 0, 0, 0))
    assert (decode(archives.encode(image, "PNG"), 148, 96)[0] == 255).all()


def test_own_photos_without_lists_get_seeded_splits(tmp_path, capfd):
    photos = {
        f"{year}/photo {n}.{suffix}": archives.encode(archives.picture(n, 300 + n, 200), kind)
        for year, suffix, kind in ((2019, "JPG", "JPEG"), (2020, "png", "PNG"))
        for n in range(10)
    }
    manifest = prepare(archives.write_folder(tmp_path / "photos", photos), tmp_path / "out")
    assert manifest["splits"] == {"train": 16, "valid": 2, "test": 2}
    assert not (tmp_path / "out" / "attributes.npy").exists()
    assert (tmp_path / "out" / "names.txt").read_text().splitlines() == sorted(photos)
    lines = [line for line in capfd.readouterr().err.splitlines() if "178×218" in line]
    assert len(lines) == 1 and "20 images" in lines[0] and "--crop" in lines[0]
    first = archives.result(tmp_path / "out")
    prepare(tmp_path / "photos", tmp_path / "again")
    assert archives.result(tmp_path / "again") == first


def test_crop_zero_takes_the_largest_square(tmp_path):
    small = archives.encode(archives.picture(0, 120, 90), quality=95)
    prepare(archives.write_folder(tmp_path / "photos", {"a.jpg": small}), tmp_path / "out", crop=0)
    expected = reference(small, box=(15, 0, 105, 90))
    assert (array(tmp_path / "out", "images.npy")[0] == expected).all()


def test_limit_keeps_the_shares_of_the_splits(tmp_path):
    manifest = prepare(archives.official(tmp_path, FILES), tmp_path / "out", limit=10)
    assert manifest["images"] == 10 and manifest["splits"] == {"train": 8, "valid": 1, "test": 1}
    assert (tmp_path / "out" / "names.txt").read_text().splitlines() == sorted(FILES)[::2]
    assert (array(tmp_path / "out", "attributes.npy") == (archives.attribute_values(20)[::2] > 0)).all()


def test_lists_can_be_given(tmp_path):
    source = archives.write_zip(tmp_path / "faces.zip", FILES)
    lists = archives.write_folder(tmp_path / "lists", archives.lists_csv(FILES))
    ran = archives.run(
        source,
        tmp_path / "out",
        "--attributes",
        lists / "list_attr_celeba.csv",
        "--partition",
        lists / "list_eval_partition.csv",
        "--workers",
        1,
    )
    assert ran.returncode == 0 and "20 images" in ran.stdout
    assert ran.stderr.startswith("20 images read in ")
    assert array(tmp_path / "out", "splits.npy").tolist() == archives.partition(20)


def test_whole_result_is_skipped_and_damage_repaired(packed, capfd):
    source = packed.parent / "img_align_celeba.zip"
    before, time = archives.result(packed), (packed / "images.npy").stat().st_mtime_ns
    prepare(source, packed)
    assert "already" in capfd.readouterr().err
    assert (packed / "images.npy").stat().st_mtime_ns == time
    with (packed / "images.npy").open("ab") as file:
        file.write(b"x")
    with pytest.raises(InputError, match=r"images\.npy"):
        check_packed(packed)
    prepare(source, packed)
    assert archives.result(packed) == before
    assert check_packed(packed, hashes=True)["images"] == 20


def test_other_settings_replace_the_result(tmp_path):
    source = archives.official(tmp_path, FILES)
    prepare(source, tmp_path / "out")
    (tmp_path / "list_attr_celeba.txt").unlink()
    manifest = prepare(source, tmp_path / "out", size=32)
    assert manifest["shape"] == [20, 32, 32, 3] and manifest["attribute_names"] is None
    assert set(archives.result(tmp_path / "out")) == {
        "images.npy",
        "splits.npy",
        "names.txt",
        "manifest.json",
    }
    assert check_packed(tmp_path / "out", hashes=True) == manifest


def test_missing_or_damaged_manifest_is_named(tmp_path):
    with pytest.raises(InputError, match=r"prepare_celeba"):
        check_packed(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        check_packed(tmp_path)


def test_second_writer_is_refused(tmp_path):
    fcntl = pytest.importorskip("fcntl", reason="the other writer is simulated by a POSIX lock")
    source = archives.official(tmp_path, FILES)
    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / ".prepare.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ran = archives.run(source, tmp_path / "out")
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1 and "Another run" in ran.stderr
    assert archives.result(tmp_path / "out") == {}
    assert archives.run(source, tmp_path / "out").returncode == 0


def test_many_chunks_keep_their_order(tmp_path):
    tiles = {
        f"{n:05d}.png": archives.encode(Image.new("RGB", (8, 8), (n % 256, n // 256, 7)), "PNG")
        for n in range(5 * CHUNK_ROWS + 3)
    }
    source = archives.write_zip(tmp_path / "tiles.zip", tiles)
    prepare(source, tmp_path / "out", crop=8, size=4, workers=4)
    images = array(tmp_path / "out", "images.npy")
    assert (images[:, 0, 0, :2] @ np.array([1, 256]) == np.arange(len(tiles))).all()


def test_real_celeba(tmp_path):
    if "CELEBA_DIR" not in os.environ:
        pytest.skip("CELEBA_DIR names no folder with img_align_celeba.zip and its lists")
    celeba = Path(os.environ["CELEBA_DIR"])
    manifest = prepare(celeba, tmp_path / "out")
    assert manifest["images"] == 16_013
    assert manifest["splits"] == {"train": 12_840, "valid": 1_639, "test": 1_534}
    assert check_packed(tmp_path / "out", hashes=True) == manifest
    names = (tmp_path / "out" / "names.txt").read_text().splitlines()
    images = np.load(tmp_path / "out" / "images.npy", mmap_mode="r", allow_pickle=False)
    with zipfile.ZipFile(celeba / "img_align_celeba.zip") as archive:
        for row in (0, 1, 4_711, 8_000, 16_012):
            assert (images[row] == reference(archive.read(f"img_align_celeba/{names[row]}"))).all()
