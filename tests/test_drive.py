"""Copies to and from a drive on which anything may fail: whole or not at all, and nothing is lost."""

import errno
import hashlib
import json
import os
import random
import stat
import subprocess
import zipfile
from contextlib import contextmanager

import archives
import numpy as np
import pytest

from data_prep.prepare_celeba import prepare
from helpers.drive import copying, mount, transfer
from helpers.files import InputError
from tools.colab_stand_in.drive_faults import FaultyDrive, installed

BLOCK = 1 << 14
SIZE = 10 * BLOCK + 77


pytestmark = pytest.mark.usefixtures("small_blocks_and_short_pauses")


@pytest.fixture
def local(tmp_path):
    folder = tmp_path / "vm"
    folder.mkdir()
    return folder


def noise(seed, size=SIZE):
    return random.Random(seed).randbytes(size)


def write(path, content, seconds=1_700_000_000):
    """A file of a certain time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (seconds, seconds))
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def writes(monkeypatch):
    """List that grows by the number of each block that copies of more than one block write."""
    taken, put = [], transfer._put

    def note_put(file, place, block):
        if not file.name.endswith("manifest.json.partial"):
            taken.append(place // BLOCK)
        put(file, place, block)

    monkeypatch.setattr(transfer, "_put", note_put)
    return taken


def before_block(monkeypatch, number, act):
    """Have copies call `act(file)` each time before they write this block."""
    put = transfer._put

    def put_after(file, place, block):
        if place // BLOCK == number:
            act(file)
        put(file, place, block)

    monkeypatch.setattr(transfer, "_put", put_after)


@contextmanager
def stop_at_block(monkeypatch, number):
    """Let copies in the block end as by a kill before they write this block: nothing is cleaned up."""

    def stop(file):
        monkeypatch.setattr(transfer, "drop_partial", lambda target: None)
        raise KeyboardInterrupt

    with monkeypatch.context() as monkeypatch, pytest.raises(KeyboardInterrupt):
        before_block(monkeypatch, number, stop)
        yield


def test_a_copy_is_equal_and_its_manifest_says_so(mydrive, local):
    content = noise(1)
    source = write(local / "big.bin", content)
    target = copying.copy_verified(source, mydrive / "a" / "b" / "big.bin")
    assert target.read_bytes() == content
    assert target.stat().st_mtime_ns == source.stat().st_mtime_ns
    manifest = json.loads((target.parent / "big.bin.manifest.json").read_text())
    assert (manifest["bytes"], manifest["sha256"]) == (SIZE, hashlib.sha256(content).hexdigest())
    assert names(target.parent) == ["big.bin", "big.bin.manifest.json"]


def test_the_copy_is_on_disk_before_it_gets_its_name(mydrive, local, monkeypatch):
    events, replace = [], os.replace

    def note_replace(source, target):
        events.append(("replace", os.stat(source).st_ino))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", lambda descriptor: events.append(("fsync", os.fstat(descriptor).st_ino)))
    monkeypatch.setattr(os, "replace", note_replace)
    target = copying.copy_verified(write(local / "a", noise(1)), mydrive)
    copied, manifest, folder = (p.stat().st_ino for p in (target, mydrive / "a.manifest.json", mydrive))
    steps = [("fsync", copied), ("replace", copied), ("fsync", folder)]
    steps += [("fsync", manifest), ("replace", manifest), ("fsync", folder)]
    assert [event for n, event in enumerate(events) if event != events[n - 1]] == steps


def test_a_drive_that_cannot_flush_names_is_no_obstacle(mydrive, local, monkeypatch):
    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", fsync)
    assert copying.copy_verified(write(local / "a", noise(1)), mydrive).read_bytes() == noise(1)


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK])
def test_sizes_around_a_block(size, mydrive, local):
    source = write(local / "a", noise(2, size))
    assert copying.copy_verified(source, mydrive).read_bytes() == source.read_bytes()
    assert names(mydrive) == ["a", "a.manifest.json"]


def test_what_is_there_is_not_copied_again(mydrive, local, monkeypatch, capfd):
    source = write(local / "a", noise(3))
    first = copying.copy_verified(source, mydrive).stat()
    taken = writes(monkeypatch)
    assert copying.copy_verified(source, mydrive).stat().st_ino == first.st_ino
    assert taken == []
    assert "there already" in capfd.readouterr().err


def test_a_copy_made_by_other_means_only_gets_its_manifest(mydrive, local):
    source = write(local / "a", noise(3))
    target = write(mydrive / "a", noise(3), 1_800_000_000)
    inode = target.stat().st_ino
    copying.copy_verified(source, target)
    assert target.stat().st_ino == inode and names(mydrive) == ["a", "a.manifest.json"]


@pytest.mark.parametrize("size", [0, 1, BLOCK, SIZE - 1])
def test_half_a_copy_made_by_other_means_is_replaced(size, mydrive, local):
    source = write(local / "a", noise(4))
    target = write(mydrive / "a", noise(4)[:size], 1_800_000_000)
    copying.copy_verified(source, target)
    assert target.read_bytes() == noise(4) and names(mydrive) == ["a", "a.manifest.json"]


@pytest.mark.parametrize("place", [0, BLOCK, SIZE - 1])
def test_a_changed_byte_in_a_whole_copy_is_found(place, mydrive, local):
    source = write(local / "a", noise(5))
    target = copying.copy_verified(source, mydrive)
    with target.open("r+b") as file:
        file.seek(place)
        file.write(bytes([noise(5)[place] ^ 1]))
    copying.copy_verified(source, mydrive)
    assert target.read_bytes() == noise(5)


def test_a_changed_byte_is_found_where_size_and_time_were_kept(mydrive, local):
    (local / "a").write_bytes(noise(4))
    copying.copy_verified(local / "a", mydrive / "a")
    status = (mydrive / "a").stat()
    (mydrive / "a").write_bytes(b"x" + noise(4)[1:])
    os.utime(mydrive / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    copying.copy_verified(local / "a", mydrive / "a")
    assert (mydrive / "a").read_bytes() == noise(4)


def test_a_newer_target_is_kept_under_another_name(mydrive, local, capfd):
    source = write(local / "a.zip", noise(6), 1_700_000_000)
    target = write(mydrive / "a.zip", noise(7), 1_700_000_001)
    copying.copy_verified(source, target)
    assert target.read_bytes() == noise(6)
    kept = list(mydrive.glob("a.zip.2*"))
    assert [path.read_bytes() for path in kept] == [noise(7)]
    assert kept[0].name in capfd.readouterr().err


def test_a_later_version_replaces_the_former_one(mydrive, local):
    copying.copy_verified(write(local / "a", noise(8), 1_700_000_000), mydrive)
    copying.copy_verified(write(local / "a", noise(9), 1_700_000_009), mydrive)
    assert (mydrive / "a").read_bytes() == noise(9) and names(mydrive) == ["a", "a.manifest.json"]


@pytest.mark.parametrize("block", [0, 5, 10])
def test_a_copy_that_was_killed_begins_anew_and_leaves_nothing_behind(block, mydrive, local, monkeypatch):
    source = write(mydrive / "a", noise(10))
    with stop_at_block(monkeypatch, block):
        copying.copy_verified(source, local)
    assert names(local) == [".a.partial"]
    taken = writes(monkeypatch)
    assert copying.copy_verified(source, local).read_bytes() == noise(10)
    assert taken == list(range(11))
    assert names(local) == ["a", "a.manifest.json"]


def test_a_copy_that_an_error_ended_leaves_nothing_behind(mydrive, local, monkeypatch):
    before_block(monkeypatch, 3, lambda file: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        copying.copy_verified(write(mydrive / "a", noise(10)), local)
    assert names(local) == []


@pytest.mark.parametrize("harm", ["longer", "other source"])
def test_whatever_became_of_an_unfinished_copy_the_next_is_right(harm, mydrive, local, monkeypatch):
    source, expected = write(mydrive / "a", noise(11)), noise(11)
    with stop_at_block(monkeypatch, 7):
        copying.copy_verified(source, local)
    if harm == "longer":
        with (local / ".a.partial").open("ab") as file:
            file.write(bytes(9 * BLOCK))
    else:
        expected = noise(12, SIZE)
        write(source, expected, 1_700_000_005)
    assert copying.copy_verified(source, local).read_bytes() == expected
    assert names(local) == ["a", "a.manifest.json"]


def test_a_disk_that_gives_back_other_bytes_is_told(mydrive, local, monkeypatch):
    taken = writes(monkeypatch)
    before_block(monkeypatch, 7, lambda file: os.truncate(file.name, BLOCK))
    with pytest.raises(InputError, match="other bytes than were written"):
        copying.copy_verified(write(local / "a", noise(13)), mydrive)
    assert names(mydrive) == [] and len(taken) == 11 * transfer.ATTEMPTS


def test_what_a_disk_gave_back_otherwise_once_is_written_again(mydrive, local, monkeypatch):
    harms = [lambda file: os.truncate(file.name, BLOCK)]
    before_block(monkeypatch, 7, lambda file: harms and harms.pop()(file))
    assert copying.copy_verified(write(local / "a", noise(13)), mydrive).read_bytes() == noise(13)


def test_a_source_that_changes_meanwhile_is_told(mydrive, local, monkeypatch):
    source = write(local / "a", noise(14))
    before_block(monkeypatch, 5, lambda file: os.utime(source, (1_700_000_100, 1_700_000_100)))
    with pytest.raises(InputError, match="changed while it was copied"):
        copying.copy_verified(source, mydrive)
    assert names(mydrive) == []


def test_a_folder_that_changes_meanwhile_is_told(mydrive, local, monkeypatch):
    first, *_ = [write(local / "photos" / f"{number}.jpg", noise(number, 3 * BLOCK)) for number in range(3)]
    before_block(monkeypatch, 5, lambda file: os.utime(first, (1_700_000_100, 1_700_000_100)))
    with pytest.raises(InputError, match="changed while it was copied"):
        copying.copy_verified(local / "photos", mydrive)
    assert names(mydrive) == []


@pytest.mark.parametrize("harm", ["byte", "size"])
def test_a_source_unlike_its_manifest_is_not_taken_for_whole(harm, mydrive, local):
    copying.copy_verified(write(local / "a", noise(15)), mydrive)
    write(mydrive / "a", noise(16) if harm == "byte" else noise(15)[:-1], 1_700_000_000)
    with pytest.raises(transfer.DamagedSource, match="delete"):
        copying.copy_verified(mydrive / "a", local / "fresh" / "a")
    assert names(local / "fresh") == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"sha256": 5, "bytes": 1}', "[" * 99_999])
def test_a_damaged_manifest_on_either_side_is_made_anew(text, mydrive, local):
    source = write(local / "a", noise(15))
    copying.copy_verified(source, mydrive)
    for folder in (local, mydrive):
        (folder / "a.manifest.json").write_text(text)
    copying.copy_verified(source, mydrive)
    assert (mydrive / "a").read_bytes() == noise(15)
    made = json.loads((mydrive / "a.manifest.json").read_text())
    assert made["sha256"] == hashlib.sha256(noise(15)).hexdigest()


def test_a_folder_becomes_one_archive(mydrive, local):
    folder = local / "photos"
    files = {f"{'deep/er/' if i % 3 else ''}{i:02d} ü.bin": noise(i, i * 1500) for i in range(30)}
    for number, (name, content) in enumerate(files.items()):
        write(folder / name, content, 1_700_000_000 + 2 * number)
    target = copying.copy_verified(folder, mydrive)
    assert target == mydrive / "photos.zip"
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            f"photos/{name}": content for name, content in files.items()
        }
        hour = {info.date_time[3] for info in archive.infolist()}
    assert len(hour) == 1
    again = copying.copy_verified(folder, local / "again.zip")
    assert again.read_bytes() == target.read_bytes()
    if zip_tool := next((p for p in ("/usr/bin/unzip", "/usr/local/bin/unzip") if os.path.exists(p)), None):
        assert subprocess.run([zip_tool, "-tq", target], capture_output=True).returncode == 0


def test_files_of_all_sizes_are_packed_and_an_archive_is_not_packed_twice(mydrive, local, monkeypatch, capfd):
    folder = local / "photos"
    for number, size in enumerate([0, 5, 3 * BLOCK, 10, BLOCK, 700, 5 * BLOCK + 1, 900, 0]):
        write(folder / f"{number}.bin", noise(number, size))
    with stop_at_block(monkeypatch, 4):
        copying.copy_verified(folder, mydrive)
    with zipfile.ZipFile(copying.copy_verified(folder, mydrive)) as archive:
        assert archive.testzip() is None
        assert [archive.read(info) for info in archive.infolist()] == [
            path.read_bytes() for path in sorted(folder.iterdir())
        ]
    assert names(mydrive) == ["photos.zip", "photos.zip.manifest.json"]
    taken = writes(monkeypatch)
    copying.copy_verified(folder, mydrive)
    (mydrive / "photos.zip.manifest.json").unlink()  # as after a kill right before it was written
    copying.copy_verified(folder, mydrive)
    assert taken == [] and capfd.readouterr().err.count("there already") == 2
    write(folder / "9.bin", noise(9))
    with zipfile.ZipFile(copying.copy_verified(folder, mydrive)) as archive:
        assert len(archive.namelist()) == 10


def test_packed_photos_are_prepared_in_place(mydrive, tmp_path):
    folder = archives.write_folder(tmp_path / "photos", archives.jpegs(6, width=40, height=40))
    target = copying.copy_verified(folder, mydrive)
    for source, out in ((folder, "from_folder"), (target, "from_archive")):
        prepare(source, tmp_path / out, crop=32, size=16, workers=1)
    images = [np.load(tmp_path / out / "images.npy") for out in ("from_folder", "from_archive")]
    assert images[0].shape == (6, 16, 16, 3) and (images[0] == images[1]).all()


def test_bad_input_is_told_in_a_sentence(mydrive, local):
    source = write(local / "photos" / "a", b"content")
    plain = write(local / "plain", b"content")
    (local / "empty").mkdir()
    for arguments, words in (
        ((local / "nothing", mydrive), "no file or folder"),
        ((local / "empty", mydrive), "no files"),
        ((source, source), "outside it"),
        ((local / "photos", local / "photos" / "b.zip"), "outside it"),
        ((local / "photos", mydrive / "photos.tar"), r"\.zip"),
        ((source, plain / "b"), "check the path"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            copying.copy_verified(*arguments)
        assert str(caught.value).count("\n") == 0
    assert names(mydrive) == []


def test_an_absent_mydrive_is_not_made_anew(tmp_path, local):
    source = write(local / "a", b"content")
    absent = tmp_path / "content" / "drive" / "MyDrive"
    for arguments in ((source, absent / "b" / "a"), (absent / "a", local / "b")):
        with pytest.raises(InputError, match="mount Google Drive first"):
            copying.copy_verified(*arguments)
    assert not (tmp_path / "content").exists() and names(local) == ["a"]


@pytest.mark.parametrize("direction", ["to", "from"])
def test_faults_at_random_calls_change_nothing(direction, mydrive, local):
    sides = (local, mydrive) if direction == "to" else (mydrive, local)
    struck = 0
    for seed in range(30):
        source = write(sides[0] / str(seed) / "a", noise(seed))
        target = write(sides[1] / str(seed) / "a", noise(-1 - seed), 1_600_000_000)
        with installed(FaultyDrive(mydrive, rate=0.15, seed=seed)) as faulty:
            assert copying.copy_verified(source, target) == target
        assert target.read_bytes() == noise(seed)
        struck += faulty.struck
        shown = [name for name in names(target.parent) if not name.startswith(".")]
        assert shown == ["a", "a.manifest.json"]
    assert struck > 100


def test_a_folder_is_packed_through_faults(mydrive, local):
    for number in range(12):
        write(local / "photos" / f"{number}", noise(number, 9000))
    for seed in range(10):
        with installed(FaultyDrive(mydrive, rate=0.15, seed=seed)):
            target = copying.copy_verified(local / "photos", mydrive / f"{seed}.zip")
        with zipfile.ZipFile(target) as archive:
            assert archive.testzip() is None and len(archive.namelist()) == 12


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace", "mkdir"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_errors_that_last_are_not_tried_again(call, number, mydrive, local):
    source = write(local / "a", noise(17))
    with installed(FaultyDrive(mydrive)) as faulty:
        faulty.only = {call: number}
        with pytest.raises(InputError, match=r"full|quota|permission|only be read") as caught:
            copying.copy_verified(source, mydrive / "new" / "a")
        assert faulty.struck <= 2  # once, and once more where closing a file repeats the write
    assert str(caught.value).endswith("once more.")
    assert copying.copy_verified(source, mydrive / "new" / "a").read_bytes() == noise(17)


@pytest.mark.parametrize("number", [errno.ENOTCONN, errno.ENOENT, errno.EIO])
@pytest.mark.parametrize("direction", ["to", "from"])
def test_a_drive_that_vanishes_in_mid_copy_and_comes_back(direction, number, mydrive, local):
    sides = (local, mydrive) if direction == "to" else (mydrive, local)
    source, target = write(sides[0] / "a", noise(18)), sides[1] / "a"
    with installed(FaultyDrive(mydrive)) as faulty:
        copying.copy_verified(source, target)
    calls = faulty.calls
    for first in range(5, calls, 7):
        again = sides[1] / str(first) / "a"
        with installed(FaultyDrive(mydrive)) as faulty:
            faulty.gone, faulty.gone_error = range(first, first + 9), number
            try:
                copying.copy_verified(source, again)
            except InputError as error:  # not there at the very beginning
                assert first < 12 and ("no file or folder" in str(error) or "mount" in str(error))
                copying.copy_verified(source, again)
        assert again.read_bytes() == noise(18)


@pytest.mark.parametrize("number", [errno.ENOTCONN, errno.ENOENT])
@pytest.mark.parametrize("direction", ["to", "from"])
def test_a_drive_that_stays_away_is_told(direction, number, mydrive, local):
    sides = (local, mydrive) if direction == "to" else (mydrive, local)
    source = write(sides[0] / "a", noise(19))
    with installed(FaultyDrive(mydrive)) as faulty:
        copying.copy_verified(source, sides[1] / "undisturbed")
    calls = faulty.calls
    for share in (0.3, 0.5, 0.7):
        old = write(sides[1] / str(share) / "a", noise(20), 1_600_000_000)
        with installed(FaultyDrive(mydrive)) as faulty:
            first = int(share * calls)
            faulty.gone, faulty.gone_error = range(first, 10**9), number
            with pytest.raises(InputError, match="does not answer"):
                copying.copy_verified(source, old)
        assert old.read_bytes() in (noise(19), noise(20))
        if (manifest := old.with_name("a.manifest.json")).exists():
            assert json.loads(manifest.read_text())["sha256"] == hashlib.sha256(old.read_bytes()).hexdigest()
        copying.copy_verified(source, old)
        assert old.read_bytes() == noise(19)


def test_a_folder_moved_away_in_mid_copy_is_not_made_anew(mydrive, local, monkeypatch):
    source, away = write(local / "a", noise(21)), mydrive.with_name("away")
    with monkeypatch.context() as patch:
        before_block(patch, 4, lambda file: mydrive.rename(away))
        with pytest.raises(InputError, match="does not answer"):
            copying.copy_verified(source, mydrive / "b" / "a")
    assert not mydrive.exists()
    away.rename(mydrive)
    assert copying.copy_verified(source, mydrive / "b" / "a").read_bytes() == noise(21)
    assert names(mydrive / "b") == ["a", "a.manifest.json"]


def test_too_little_space_is_told_before_anything_is_written(mydrive, local, monkeypatch):
    usage = type("Usage", (), {"free": SIZE - 1})
    monkeypatch.setattr(mount.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError, match="Too little space"):
        copying.copy_verified(write(local / "a", noise(22)), mydrive)
    assert not (mydrive / "a").exists()


@pytest.fixture
def tiny_disk(tmp_path):
    """A disk of 1 MiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"a small disk needs the right to mount one: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("side", ["MyDrive", "vm"])
def test_a_full_disk_on_either_side(side, tiny_disk, tmp_path, monkeypatch):
    source = write(tmp_path / "elsewhere" / "a", noise(23, 40 * BLOCK))
    folder = tiny_disk / side
    old = write(folder / "a", noise(24, 10 * BLOCK), 1_600_000_000)
    other = write(folder / "other", noise(25, 30 * BLOCK))
    usage = type("Usage", (), {"free": 1 << 40})  # as drives do that do not know their quota
    with monkeypatch.context() as patch:
        patch.setattr(mount.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(InputError, match="the disk is full"):
            copying.copy_verified(source, old)
    assert old.read_bytes() == noise(24, 10 * BLOCK) and other.read_bytes() == noise(25, 30 * BLOCK)
    with pytest.raises(InputError, match="Too little space"):
        copying.copy_verified(source, old)
    other.unlink()
    assert copying.copy_verified(source, old).read_bytes() == source.read_bytes()
