import json
import os
import struct
import subprocess
import zipfile
import zlib

import archives
import numpy as np
import pytest

from data_prep.packing.decoding import decode
from data_prep.packing.store import JOURNAL, ROWS
from data_prep.prepare_celeba import main

FILES = archives.jpegs(6)


def said(capfd):
    """Lines on stderr but for the count at the end and for lists that are not there."""
    usual = (" images read in ", "Found with the images")
    return [line for line in capfd.readouterr().err.splitlines() if not any(map(line.__contains__, usual))]


def refused(capfd, out, images, *options):
    """Run the command line; assert one sentence, exit code 2, nothing under a final name; the sentence."""
    code = main(["--images", str(images), "--out", str(out), *map(str, options)])
    lines = said(capfd)
    assert code == 2 and len(lines) == 1, lines
    assert lines[0].startswith("prepare_celeba: ") and lines[0].endswith(".")
    assert not out.is_dir() or archives.result(out) == {}
    return lines[0]


def assert_words(sentence, *words):
    assert [word for word in words if word not in sentence] == [], sentence


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


DRIVE = "<!DOCTYPE html><html><head><title>Google Drive - {}</title></head><body>{}</body></html>"
QUOTA = DRIVE.format(
    "Quota exceeded", "Sorry, you can't view or download this file at this time. Too many users"
)
VIRUS = DRIVE.format("Virus scan warning", "Google Drive can't scan this file for viruses. Download anyway?")


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (QUOTA, ("Google Drive's quota page", "signed in", "Kaggle")),
        (VIRUS, ("Google Drive's virus scan page", "signed in", "Kaggle")),
        ("\n<html><body>404</body></html>", ("web page (HTML)", "download the archive")),
    ],
)
def test_web_page_saved_as_zip(page, words, tmp_path, out, capfd):
    path = tmp_path / "img_align_celeba.zip"
    path.write_text(page)
    assert_words(refused(capfd, out, path), str(path), *words)
    assert_words(refused(capfd, out, tmp_path), str(path), *words)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95, 0.999])
def test_truncated_zip(share, tmp_path, out, capfd):
    path = archives.write_zip(tmp_path / "img_align_celeba.zip", FILES)
    size = int(path.stat().st_size * share)
    os.truncate(path, size)
    assert_words(
        refused(capfd, out, path), "cut off", f"{size:,} bytes", "1,443,490,838", "download it again"
    )


def test_zip_with_a_piece_missing(tmp_path, out, capfd):
    path = archives.write_zip(tmp_path / "faces.zip", FILES)
    data = path.read_bytes()
    path.write_bytes(data[:1000] + data[3000:])
    refused(capfd, out, path)


def test_not_a_zip(tmp_path, out, capfd):
    path = tmp_path / "faces.zip"
    path.write_bytes(bytes(range(256)) * 9)
    assert_words(refused(capfd, out, path), "not a zip archive")
    path.write_bytes(b"")
    assert_words(refused(capfd, out, path), "not a zip archive")


def test_zip_without_images(tmp_path, out, capfd):
    path = archives.write_zip(tmp_path / "faces.zip", {"readme.txt": b"x"})
    assert_words(refused(capfd, out, path), "no JPEG or PNG")


def test_missing_source_and_empty_folder(tmp_path, out, capfd):
    assert_words(refused(capfd, out, tmp_path / "nothing"), "nothing", "No such file", "--images")
    (tmp_path / "empty").mkdir()
    assert_words(refused(capfd, out, tmp_path / "empty"), "no JPEG or PNG")


def test_folder_with_two_archives(tmp_path, out, capfd):
    for name in ("a.zip", "b.zip"):
        archives.write_zip(tmp_path / name, FILES)
    assert_words(refused(capfd, out, tmp_path), "2 zip archives", "--images")


def damaged_jpeg():
    return FILES["000003.jpg"][:-700]


def huge_png():
    """A PNG whose header declares 60000×60000 pixels."""
    data = bytearray(archives.encode(archives.picture(0, 20, 20), "PNG"))
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def huge_jpeg():
    """A JPEG whose header declares 60000×60000 pixels."""
    data = bytearray(FILES["000003.jpg"])
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", 60_000, 60_000)
    return bytes(data)


BAD_IMAGES = {
    "truncated": (damaged_jpeg, "is damaged"),
    "garbage": (lambda: b"\xff\xd8\xff" + bytes(3000), "is damaged"),
    "empty": (lambda: b"", "not a JPEG or PNG"),
    "page": (lambda: QUOTA.encode(), "not a JPEG or PNG"),
    "huge PNG": (huge_png, "3600000000 pixels"),
    "huge JPEG": (huge_jpeg, "3600000000 pixels"),
    "small": (lambda: archives.encode(archives.picture(0, 120, 90)), "120×90 pixels, too few for --crop 148"),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
@pytest.mark.parametrize("source", ["zip", "folder"])
def test_bad_image_is_named_or_skipped(kind, source, tmp_path, out, capfd):
    make, words = BAD_IMAGES[kind]
    files = FILES | {"000003.jpg": make()}
    write = {"zip": archives.write_zip, "folder": archives.write_folder}[source]
    path = write(tmp_path / "faces.zip", files)
    assert_words(refused(capfd, out, path, "--strict"), "000003.jpg", words, "without --strict")
    if source == "zip":  # its folder has the name of CelebA's
        assert_words(refused(capfd, out, path), "000003.jpg", words, "--skip-bad")
        assert_skipped(capfd, path, out, words, "--skip-bad")
    else:
        assert_skipped(capfd, path, out, words)


def assert_skipped(capfd, path, out, words, *options):
    """Run with these options; the third of FILES must be left out, named, and the others be as ever."""
    options = ["--images", str(path), "--out", str(out), *options]
    assert main(options) == 0
    lines = said(capfd)
    assert len(lines) == 1, lines
    assert_words(lines[0], "Left out: 1 of 6 images", "000003.jpg", "left_out.txt", "--strict")
    name, reason = (out / "left_out.txt").read_text().splitlines()[0].split("\t")
    assert name == "000003.jpg" and words in reason
    manifest = json.loads((out / "manifest.json").read_text())
    assert list(manifest["skipped"]) == ["000003.jpg"] and manifest["images"] == 5
    assert sum(manifest["splits"].values()) == 5 == len(np.load(out / "splits.npy"))
    names = sorted(set(FILES) - {"000003.jpg"})
    assert (out / "names.txt").read_text().splitlines() == names
    images = np.load(out / "images.npy")
    expected = [decode(FILES[name], 148, 96)[0] for name in names]
    assert (images == expected).all()
    assert main(options) == 0 and "already" in capfd.readouterr().err
    assert not (out / ROWS).exists() and not (out / JOURNAL).exists()


def test_wrong_checksum_in_the_archive(tmp_path, out, capfd):
    path = archives.write_zip(tmp_path / "faces.zip", FILES)
    data = bytearray(path.read_bytes())
    data[data.index(FILES["000003.jpg"]) + 2000] ^= 1
    path.write_bytes(data)
    assert_words(refused(capfd, out, path), "000003.jpg", "checksum", "--skip-bad")
    assert_skipped(capfd, path, out, "checksum", "--skip-bad")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("flag_bits", 1, "encrypted"),
        ("file_size", 9 << 30, "9,663,676,416 bytes"),
        ("compress_type", 12, "rare"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_entry_that_declares_something_odd(field, value, words, tmp_path, out, capfd):
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
        setattr(archive.getinfo("000003.jpg"), field, value)
    assert_words(refused(capfd, out, path, "--strict"), "000003.jpg", words)
    assert_skipped(capfd, path, out, words)


def test_deflate_bomb_stops_at_its_declared_size(tmp_path, out, capfd):
    path = archives.write_zip(tmp_path / "faces.zip", FILES | {"000003.jpg": bytes(50 << 20)}, "", 8)
    data = path.read_bytes().replace(struct.pack("<I", 50 << 20), struct.pack("<I", 1000))
    path.write_bytes(data)
    assert_words(refused(capfd, out, path, "--strict"), "000003.jpg", "damaged")


def test_all_images_bad(tmp_path, out, capfd):
    path = archives.write_zip(tmp_path / "faces.zip", {"000001.jpg": b"x"})
    sentence = refused(capfd, out, path, "--skip-bad")
    assert_words(sentence, "None of the 1 images", "000001.jpg is not a JPEG")


@pytest.mark.parametrize("entry", ["../x.jpg", "a/../../x.jpg", "/etc/x.jpg", "C:/x.jpg", "..\\x.jpg"])
def test_zip_path_that_climbs_out(entry, tmp_path, out, capfd):
    path = archives.write_zip(tmp_path / "faces.zip", {**FILES, entry: FILES["000001.jpg"]}, "")
    assert_words(refused(capfd, out, path), "leads out of its folder")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_with_a_doubled_name(tmp_path, out, capfd):
    path = archives.write_zip(tmp_path / "faces.zip", FILES)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("img_align_celeba/000002.jpg", b"x")
    assert_words(refused(capfd, out, path), "000002.jpg twice")


def test_link_out_of_the_folder(tmp_path, out, capfd):
    (tmp_path / "secret.jpg").write_bytes(FILES["000001.jpg"])
    folder = archives.write_folder(tmp_path / "photos", FILES)
    (folder / "link.jpg").symlink_to("../secret.jpg")
    assert_words(refused(capfd, out, folder), "link.jpg", "leads out of the folder")


def test_name_that_would_break_the_list_of_names(tmp_path, out, capfd):
    folder = archives.write_folder(tmp_path / "photos", FILES | {"two\nlines.jpg": FILES["000001.jpg"]})
    assert_words(refused(capfd, out, folder), "two\\nlines.jpg", "rename")


ATTRIBUTES, PARTITION = archives.lists_txt(FILES).values()
CSV_ATTRIBUTES, CSV_PARTITION = archives.lists_csv(FILES).values()
BAD_ATTRIBUTES = {
    "misses images": (ATTRIBUTES.replace("000002.jpg", "900002.jpg"), ("misses 1 of 6", "000002.jpg")),
    "csv misses images": (CSV_ATTRIBUTES.replace("00000", "90000"), ("misses 6 of 6", "000001.jpg")),
    "wrong count": ("7" + ATTRIBUTES[1:], ("'7' images", "6 rows")),
    "header lost": (ATTRIBUTES.split("\n", 2)[2], ("wrong header",)),
    "csv header lost": (CSV_ATTRIBUTES.split("\n", 1)[1], ("wrong header",)),
    "39 names": (ATTRIBUTES.replace("Attribute_7 ", ""), ("wrong header", "39 columns")),
    "39 values": (ATTRIBUTES.rsplit(" ", 1)[0] + "\n", ("Line 8", "40 value")),
    "odd value": (ATTRIBUTES.replace(" -1", "  2", 1), ("Line 3", "'2'")),
    "doubled": (ATTRIBUTES.replace("000002.jpg", "000001.jpg"), ("000001.jpg twice",)),
    "empty": ("", ("empty",)),
    "one line": ("6\n", ("wrong header",)),
    "page": (QUOTA, ("wrong header",)),
    "no text": (b"\xff\xfe\x00\xd8", ("not a text file",)),
}
BAD_PARTITIONS = {
    "misses images": (PARTITION.replace("000006.jpg", "900006.jpg"), ("misses 1 of 6", "000006.jpg")),
    "odd value": (PARTITION.replace("000002.jpg 0", "000002.jpg 3"), ("Line 2", "'3'")),
    "no value": (PARTITION.replace("000002.jpg 0", "000002.jpg"), ("Line 2",)),
    "csv header lost": (CSV_PARTITION.split("\n", 1)[1], ("header line image_id,partition",)),
    "attribute list": (ATTRIBUTES, ("Line 1",)),
}
BAD_LISTS = [("--attributes", *case) for case in BAD_ATTRIBUTES.values()] + [
    ("--partition", *case) for case in BAD_PARTITIONS.values()
]


@pytest.mark.parametrize(("option", "text", "words"), BAD_LISTS, ids=[*BAD_ATTRIBUTES, *BAD_PARTITIONS])
def test_bad_list(option, text, words, tmp_path, out, capfd):
    path = archives.write_zip(tmp_path / "faces.zip", FILES)
    (tmp_path / "list").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert_words(refused(capfd, out, path, option, tmp_path / "list"), str(tmp_path / "list"), *words)


def test_missing_list(tmp_path, out, capfd):
    path = archives.write_zip(tmp_path / "faces.zip", FILES)
    assert_words(refused(capfd, out, path, "--attributes", tmp_path / "none.txt"), "none.txt", "No such file")


@pytest.mark.parametrize("options", [("--crop", -1), ("--size", 0), ("--limit", 0), ("--workers", 0)])
def test_senseless_number(options, tmp_path, out, capfd):
    refused(capfd, out, archives.write_zip(tmp_path / "faces.zip", FILES), *options)


def test_images_of_another_size_are_told(tmp_path, out, capfd):
    files = FILES | {f"{n}.jpg": archives.encode(archives.picture(n, 200, 250)) for n in range(3)}
    path = archives.write_zip(tmp_path / "faces.zip", files)
    assert main(["--images", str(path), "--out", str(out), "--crop", "148"]) == 0
    lines = said(capfd)
    assert len(lines) == 1
    assert_words(lines[0], "3 images", "178×218", "200×250 (3)", "148×148", "--crop")


@pytest.mark.parametrize("place", ["a file", "in a file"])
def test_target_that_is_no_folder(place, tmp_path, capfd):
    path = archives.write_zip(tmp_path / "faces.zip", FILES)
    (tmp_path / "file").write_text("mine")
    target = tmp_path / "file" if place == "a file" else tmp_path / "file" / "out"
    assert_words(refused(capfd, target, path), "Cannot write to", str(target), "--out")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MiB in memory, writable or not as the test mounts it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if os.name != "posix" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root on Linux")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_disk_too_small(small_disk, tmp_path, capfd):
    path = archives.write_zip(tmp_path / "faces.zip", archives.jpegs(30))
    sentence = refused(capfd, small_disk / "out", path, "--size", 400)
    assert_words(sentence, "Too little space", "31,177,344 bytes are needed", "are free", "--limit")


def test_disk_filled_while_writing(small_disk, tmp_path, capfd, monkeypatch):
    path = archives.write_zip(tmp_path / "faces.zip", archives.jpegs(60))
    monkeypatch.setattr("data_prep.packing.store.check_space", lambda out, needed: None)
    assert_words(refused(capfd, small_disk / "out", path, "--size", 400), "is full", "make room")
    monkeypatch.undo()
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    assert main(["--images", str(path), "--out", str(small_disk / "out"), "--size", "400"]) == 0
    assert main(["--images", str(path), "--out", str(tmp_path / "fresh"), "--size", "400"]) == 0
    assert archives.result(small_disk / "out") == archives.result(tmp_path / "fresh")


def test_read_only_target(small_disk, tmp_path, capfd):
    path = archives.write_zip(tmp_path / "faces.zip", FILES)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert_words(refused(capfd, small_disk / "out", path), "Cannot write to", "Read-only")


def test_failure_leaves_an_older_result_whole(tmp_path, out, capfd):
    path = archives.write_zip(tmp_path / "faces.zip", FILES)
    assert main(["--images", str(path), "--out", str(out)]) == 0
    before = archives.result(out)
    archives.write_zip(path, FILES | {"000003.jpg": damaged_jpeg()})
    capfd.readouterr()
    assert main(["--images", str(path), "--out", str(out)]) == 2
    assert archives.result(out) == before
