"""A workspace in MyDrive: only what is whole, never older over newer, and nothing lost."""

import errno
import hashlib
import json
import os
import random
import shutil
import threading
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.drive import mount, results, transfer
from helpers.files import InputError, keep_arrays, save_array, sha256_of, write_json, written_whole
from tools.colab_stand_in.drive_faults import FaultyDrive, installed

BLOCK = 1 << 12
SETTINGS = {"model": "Autoencoder", "seed": 1}


pytestmark = pytest.mark.usefixtures("small_blocks_and_short_pauses")


@pytest.fixture
def vm(tmp_path):
    return tmp_path / "vm" / "celeba-full"


def write_epoch(folder, epoch, settings=SETTINGS, run=0):
    """Weights, state and log of a training after an epoch, written as `training.EpochKeeper` does."""
    weights = folder / f"epoch-{epoch:04d}.weights.h5"
    with written_whole(weights) as temporary:
        temporary.write_bytes(random.Random(f"{settings} {epoch} {run}").randbytes(3 * BLOCK))
    state = {"settings": settings, "weights": weights.name, "weights_sha256": sha256_of(weights)}
    log = [{"epoch": number + 1, "total_loss": run} for number in range(epoch)]
    write_json(folder / "state.json", {**state, "log": log})
    with written_whole(folder / "log.csv") as temporary:
        temporary.write_text(f"{epoch} rows of run {run}")
    for older in folder.glob("epoch-*.weights.h5"):
        if older.name != weights.name:
            older.unlink()


def fill(workspace):
    """A workspace with an archive, a training, z-points and a page."""
    images = workspace / "archive"
    save_array(images / "images.npy", np.random.default_rng(1).integers(0, 256, (5, 8, 8, 3), np.uint8))
    entry = {"bytes": (images / "images.npy").stat().st_size, "sha256": sha256_of(images / "images.npy")}
    write_json(images / "manifest.json", {"images": 5, "files": {"images.npy": entry}})
    write_epoch(workspace / "autoencoder", 3)
    encoded = {"weights_sha256": "0", "split": None}  # what `encoding.encode` keeps beside z-points
    keep_arrays([workspace / "autoencoder" / "z_points.npy"], encoded, lambda: [[np.arange(4.0)]])
    keep_arrays([workspace / "maps" / "z.npy"], {"seed": 1}, lambda: [[np.arange(6.0)]])
    (workspace / "index.html").write_text("page")


def content(folder):
    """Relative path → bytes of all files that are no temporary ones."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    shown = [path for path in paths if not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in shown}


def published(mydrive):
    """Relative path → bytes of what published.json names; each checked against size and sha256."""
    found = {}
    for manifest in mydrive.rglob("published.json"):
        for name, entry in json.loads(manifest.read_text())["files"].items():
            data = (manifest.parent / entry["stored"]).read_bytes()
            assert len(data) == entry["bytes"] and hashlib.sha256(data).hexdigest() == entry["sha256"]
            found[(manifest.parent / name).relative_to(mydrive).as_posix()] = data
    return found


def restore(drive_folder, workspace):
    """Restore a workspace's folders one by one, damaged ones passed over until the end; number of files."""
    taken, damaged = 0, []
    for name in ("", "a", "archive", "autoencoder", "b", "maps"):
        try:
            taken += results.restore_folder(drive_folder / name, workspace / name)
        except transfer.DamagedSource as error:
            damaged.append(error)
    if damaged:
        raise damaged[0]
    return taken


def epochs_in(folder):
    return len(json.loads((folder / "state.json").read_text())["log"])


def test_a_workspace_comes_back_as_it_was(mydrive, vm, tmp_path):
    fill(vm)
    assert results.publish(vm, mydrive / "celeba-full") == 10
    assert published(mydrive / "celeba-full") == content(vm)
    fresh = tmp_path / "fresh"
    assert restore(mydrive / "celeba-full", fresh) == 10
    assert content(fresh) == content(vm)
    for path in content(vm):
        assert (fresh / path).stat().st_mtime_ns == (vm / path).stat().st_mtime_ns
    before = content(mydrive)
    assert results.publish(fresh, mydrive / "celeba-full") == restore(mydrive / "celeba-full", vm) == 0
    assert content(mydrive) == before


def test_only_what_is_whole_is_published(mydrive, vm):
    fill(vm)
    expected = set(content(vm))
    (vm / "archive" / ".images.unfinished.npy").write_bytes(b"half")
    (vm / "autoencoder" / ".epoch-0004.partial.weights.h5").write_bytes(b"half")
    (vm / "autoencoder" / "epoch-0004.weights.h5").write_bytes(b"whole, but no state names it")
    save_array(vm / "maps" / "z.npy", np.arange(7.0))  # killed before its JSON
    save_array(vm / "maps" / "fresh.npy", np.arange(8.0))
    results.publish(vm, mydrive)
    assert set(published(mydrive)) == expected - {"maps/z.npy", "maps/z.json"} | {"maps/fresh.npy"}
    os.truncate(vm / "archive" / "images.npy", 100)
    (vm / "autoencoder" / "epoch-0003.weights.h5").unlink()
    before = published(mydrive)
    results.publish(vm, mydrive)
    assert published(mydrive) == before


def test_each_epoch_takes_the_place_of_the_one_before(mydrive, vm):
    for epoch in range(1, 6):
        write_epoch(vm, epoch)
        results.publish(vm, mydrive)
        assert published(mydrive) == content(vm)
        assert len(list(mydrive.glob("epoch-*"))) == 1
    assert len(list(mydrive.iterdir())) == 4 and not list(mydrive.glob(".*"))


def test_fewer_epochs_do_not_replace_more(mydrive, vm, tmp_path, capfd):
    write_epoch(vm, 3)
    results.publish(vm, mydrive)
    before = content(mydrive)
    fresh = tmp_path / "fresh"
    write_epoch(fresh, 1, run=1)  # trained from the start, as nothing had been restored
    results.publish(fresh, mydrive)
    assert content(mydrive) == before
    assert "newer training of 3 epochs" in capfd.readouterr().err
    restore(mydrive, fresh)
    assert epochs_in(fresh) == 3 and content(fresh) == content(vm)
    assert [epochs_in(aside) for aside in tmp_path.glob("fresh.2*")] == [1]
    write_epoch(fresh, 4)
    results.publish(fresh, mydrive)
    assert published(mydrive) == content(fresh)


def test_more_epochs_that_have_not_seen_fewer_keep_both(mydrive, vm, tmp_path):
    write_epoch(vm, 3)
    results.publish(vm, mydrive)
    before = content(vm)
    fresh = tmp_path / "fresh"
    write_epoch(fresh, 5, run=1)
    restore(mydrive, fresh)
    assert epochs_in(fresh) == 5
    results.publish(fresh, mydrive)
    after = published(mydrive)
    assert content(fresh).items() <= after.items()
    assert set(before.values()) <= set(after.values())


def test_a_training_copied_by_hand_goes_on_where_mydrive_stands(mydrive, vm, tmp_path):
    write_epoch(vm, 3)
    results.publish(vm, mydrive)
    copy = tmp_path / "copy"
    shutil.copytree(vm, copy, ignore=lambda folder, names: [name for name in names if name[0] == "."])
    write_epoch(copy, 4)
    results.publish(copy, mydrive)
    assert published(mydrive) == content(copy)
    assert results.publish(vm, mydrive) == 0 and published(mydrive) == content(copy)
    restore(mydrive, vm)
    assert epochs_in(vm) == 4 and not list((tmp_path / "vm").rglob("*.2*"))


def test_a_training_that_was_begun_anew_waits_until_it_is_ahead(mydrive, vm):
    write_epoch(vm, 3)
    results.publish(vm, mydrive)
    first = set(content(vm).values())
    for epoch in range(1, 5):
        write_epoch(vm, epoch, run=1)
        results.publish(vm, mydrive)
        assert first <= set(published(mydrive).values())
    assert content(vm).items() <= published(mydrive).items()


def test_another_training_in_the_same_folder_keeps_the_former(mydrive, vm):
    write_epoch(vm, 3)
    results.publish(vm, mydrive)
    former = set(content(vm).values())
    shutil.rmtree(vm)
    for epoch in (1, 2):
        write_epoch(vm, epoch, {**SETTINGS, "seed": 2})
        results.publish(vm, mydrive)
    after = published(mydrive)
    assert former | set(content(vm).values()) == set(after.values())
    assert json.loads(after["state.json"])["settings"]["seed"] == 2


def test_what_is_deleted_here_stays_in_mydrive(mydrive, vm):
    fill(vm)
    results.publish(vm, mydrive)
    before = published(mydrive)
    for path in list(vm.rglob("*.npy")) + list(vm.rglob("*.html")) + list(vm.rglob("state.json")):
        path.unlink()
    results.publish(vm, mydrive)
    assert published(mydrive) == before
    restore(mydrive, vm)
    assert content(vm) == before


def test_what_is_lost_in_mydrive_is_sent_again(mydrive, vm):
    fill(vm)
    results.publish(vm, mydrive)
    before = published(mydrive)
    next((mydrive / "archive").glob("images.*")).unlink()
    os.truncate(next((mydrive / "autoencoder").glob("epoch-*")), 100)
    assert results.publish(vm, mydrive) == 2
    assert published(mydrive) == before
    shutil.rmtree(mydrive / "autoencoder")
    assert results.publish(vm, mydrive) == 5 and published(mydrive) == before


@pytest.mark.parametrize("later", ["vm", "other"])
def test_where_both_sides_have_changed_the_later_keeps_the_name(later, mydrive, vm, tmp_path):
    other = tmp_path / "other"
    write_json(vm / "measurements.json", [1])
    results.publish(vm, mydrive)
    restore(mydrive, other)
    for folder, seconds in ((vm, 1_900_000_000), (other, 1_900_000_000 + (1 if later == "other" else -1))):
        write_json(folder / "measurements.json", folder.name)
        os.utime(folder / "measurements.json", (seconds, seconds))
    results.publish(other, mydrive)
    if later == "other":
        results.publish(vm, mydrive)
        assert json.loads(published(mydrive)["measurements.json"]) == "other"
    restore(mydrive, vm)
    results.publish(vm, mydrive)
    found = published(mydrive)
    expected = "other" if later == "other" else vm.name
    assert json.loads(found["measurements.json"]) == expected
    assert {json.loads(data) for data in found.values()} == {"other", vm.name}
    assert content(vm)["measurements.json"] == found["measurements.json"]


def test_a_machine_that_is_behind_does_not_turn_back_what_it_has_not_taken(mydrive, vm, tmp_path):
    other = tmp_path / "other"
    write_json(vm / "x.json", 1)
    results.publish(vm, mydrive)
    restore(mydrive, other)
    write_json(vm / "x.json", 2)
    write_json(vm / "y.json", 3)
    results.publish(vm, mydrive)
    for number in (4, 5):
        write_json(other / "z.json", number)
        results.publish(other, mydrive)
        found = {name: json.loads(data) for name, data in published(mydrive).items()}
        assert found == {"x.json": 2, "y.json": 3, "z.json": number}
    write_json(other / "y.json", 6)  # a file of the same name that was not made from MyDrive's
    results.publish(other, mydrive)
    assert {3, 6} <= {json.loads(data) for data in published(mydrive).values()}


@pytest.mark.parametrize("harm", ["byte", "missing", "cut"])
def test_a_damaged_file_in_mydrive_is_not_taken_for_whole(harm, mydrive, vm, tmp_path):
    fill(vm)
    results.publish(vm, mydrive)
    stored = next((mydrive / "autoencoder").glob("epoch-*"))
    data = stored.read_bytes()
    if harm == "missing":
        stored.unlink()
    else:
        stored.write_bytes(data[:-1] if harm == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    fresh = tmp_path / "fresh"
    with pytest.raises(transfer.DamagedSource, match="damaged"):
        restore(mydrive, fresh)
    assert content(fresh) == {
        path: data for path, data in content(vm).items() if not path.startswith("autoencoder")
    }
    results.publish(vm, mydrive)
    if harm != "byte":  # its size tells that nothing is wrong with it
        restore(mydrive, fresh)
        assert content(fresh) == content(vm)


def test_an_absent_mydrive_is_told_and_not_made(tmp_path, vm, capfd):
    fill(vm)
    absent = tmp_path / "content" / "MyDrive" / "celeba-full"
    assert results.publish(vm, absent) == 0
    told = capfd.readouterr().err
    assert "mount Google Drive first" in told and told.count("\n") == 1
    with pytest.raises(InputError, match="mount Google Drive first"):
        restore(absent, vm)
    assert not (tmp_path / "content").exists()


def test_an_absent_workspace_is_told(mydrive, vm):
    with pytest.raises(InputError, match="check the path"):
        results.publish(vm, mydrive)


def test_nothing_published_yet_is_no_error(mydrive, vm):
    assert restore(mydrive / "celeba-full", vm) == 0 and not vm.exists()


@pytest.mark.parametrize("harm", ["cannot be read", "torn", "another's"])
def test_an_unreadable_published_json_is_not_taken_for_an_empty_drive(harm, mydrive, vm, tmp_path, capfd):
    write_epoch(vm, 3)
    results.publish(vm, mydrive)
    before = content(mydrive)
    fresh = tmp_path / "fresh"
    write_epoch(fresh, 1, run=1)
    if harm != "cannot be read":
        torn = before["published.json"][:99] if harm == "torn" else b"[]"
        (mydrive / "published.json").write_bytes(torn)
        before = content(mydrive)
    capfd.readouterr()
    with installed(FaultyDrive(mydrive)) as faulty:
        faulty.only = {"read": 5} if harm == "cannot be read" else {}
        results.publish(fresh, mydrive)
        words = "does not answer" if harm == "cannot be read" else "damaged"
        assert words in capfd.readouterr().err
        with pytest.raises(InputError, match=words):
            restore(mydrive, fresh)
    assert content(mydrive) == before


OUTSIDE = [
    "../out",
    "..",
    "",
    ".",
    "/tmp/out",
    "a/b",
    "a/../../out",
    "a\\b",
    "..\\out",
    "C:\\out",
    "C:out",
    "x:y",
]
OUTSIDE += ["\\\\host\\out", ".mydrive.json", ".out", "\ud800", "a\0b", " a", "a\n"]


@pytest.fixture
def two(mydrive, vm, tmp_path):
    """Two published folders; the first one's published.json, a function to try others, one to put it back."""
    for name in "ab":
        write_epoch(vm / name, 2)
    results.publish(vm, mydrive)
    manifest, fresh = mydrive / "a" / "published.json", tmp_path / "fresh"
    good = manifest.read_text()

    def refused(text):
        """The sentence that restoring ends with when published.json of `a` says this; `b` is restored."""
        manifest.write_text(text)
        shutil.rmtree(fresh, ignore_errors=True)
        before = content(tmp_path)
        with pytest.raises(InputError) as told:
            restore(mydrive, fresh)
        assert content(fresh) == {f"b/{name}": data for name, data in content(vm / "b").items()}
        shutil.rmtree(fresh)
        assert results.publish(vm, mydrive) == 0
        assert content(tmp_path) == before
        assert "\n" not in str(told.value)
        return str(told.value)

    return json.loads(good), refused, lambda: manifest.write_text(good)


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_in_mydrive_never_leads_out_of_its_folder(name, two, mydrive):
    published, refused, _ = two
    (mydrive / "out").write_bytes(b"evil")
    entry = {"bytes": 4, "modified": 1, "sha256": hashlib.sha256(b"evil").hexdigest()}
    entry["stored"] = f"x.{entry['sha256'][:16]}"
    (mydrive / "a" / entry["stored"]).write_bytes(b"evil")
    assert "published.json is damaged" in refused(
        json.dumps({**published, "files": {**published["files"], name: entry}})
    )
    place = next(iter(published["files"]))
    for stored in (name, f"{name}{entry['sha256'][:16]}/../out"):
        harmed = {**published["files"], place: {**entry, "stored": stored}}
        assert "published.json is damaged" in refused(json.dumps({**published, "files": harmed}))


@pytest.mark.parametrize(
    "harm",
    [
        *(lambda good, text=text: text for text in ("", "{", "[]", "{}", "null", "5", '"a"', "[" * 99_999)),
        lambda good: json.dumps(good)[:-40],
        lambda good: {"files": good["files"]},  # a state without its training
        lambda good: {"files": good["files"], "training": {}},
        lambda good: {"files": good["files"], "training": {**good["training"], "log": 3}},
        lambda good: {"files": good["files"], "training": {**good["training"], "weights": "../w"}},
        lambda good: {"files": {"log.csv": good["files"]["log.csv"]}, "training": good["training"]},
        *(lambda good, files=files: {**good, "files": files} for files in ([], None, {"a": []}, {"a": {}})),
        *(
            lambda good, key=key, value=value: {
                **good,
                "files": {name: {**entry, key: value} for name, entry in good["files"].items()},
            }
            for key in ("bytes", "modified", "sha256", "stored")
            for value in (None, "x", 1.5, [], {}, 1 << 99)
            if (key, value) != ("bytes", 1 << 99)
        ),
    ],
)
def test_a_published_json_of_another_kind_is_one_sentence(harm, two, mydrive):
    published, refused, put_back = two
    harmed = harm(published)
    text = harmed if isinstance(harmed, str) else json.dumps(harmed)
    assert "published.json is damaged; bring back its earlier version" in refused(text)
    put_back()
    assert restore(mydrive, mydrive.parent / "again") == 6


def test_a_link_that_lies_where_a_copy_grows_is_not_followed(mydrive, vm, tmp_path):
    (vm / "x.txt").parent.mkdir(parents=True)
    (vm / "x.txt").write_text("new")
    (tmp_path / "victim").write_text("mine")
    results.publish(vm, mydrive)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    for name in (".x.txt.partial", "x.txt"):
        (fresh / name).symlink_to(tmp_path / "victim")
    os.utime(tmp_path / "victim", (1, 1))
    restore(mydrive, fresh)
    assert (tmp_path / "victim").read_text() == "mine"
    assert (fresh / "x.txt").read_text() == "new" and not (fresh / "x.txt").is_symlink()


DAMAGED = ["", "{", "[]", "{}", "null", "5", '{"drive": 1}', '{"drive": "x", "files": {}}', "[" * 99_999]


@pytest.mark.parametrize("text", [*DAMAGED, "files of the right drive", "a folder"])
def test_what_was_seen_of_mydrive_is_found_out_again_where_it_is_damaged(text, mydrive, vm, capfd):
    write_epoch(vm, 3)
    write_json(vm / "maps" / "x.json", 1)
    results.publish(vm, mydrive)
    for folder, place in ((vm, mydrive), (vm / "maps", mydrive / "maps")):
        seen = folder / ".mydrive.json"
        if text == "a folder":
            seen.unlink()
            seen.mkdir()
        else:
            right = {"drive": os.path.abspath(place), "files": {"x.json": {"bytes": 2}, "state.json": []}}
            seen.write_text(json.dumps(right) if "right drive" in text else text)
    write_epoch(vm, 4)
    write_json(vm / "maps" / "x.json", 2)
    capfd.readouterr()
    results.publish(vm, mydrive)
    found = published(mydrive)
    assert content(vm).items() <= found.items()
    assert sorted(int(data) for name, data in found.items() if "x.json" in name) == [
        1,
        2,
    ]  # one of them dated
    told = [
        line for line in capfd.readouterr().err.splitlines() if "is a folder where a file is to be" in line
    ]
    assert len(told) == (2 if text == "a folder" else 0)
    if text != "a folder":
        assert results.publish(vm, mydrive) == 0 and restore(mydrive, vm) == 1


@pytest.mark.parametrize("text", [*DAMAGED, "other weights", "weights outside", "no sha256", "log of text"])
def test_a_damaged_state_is_not_published_over_a_whole_one(text, mydrive, vm):
    write_epoch(vm, 3)
    results.publish(vm, mydrive)
    before, state = content(vm), json.loads((vm / "state.json").read_text())
    whole = published(mydrive)
    if text == "other weights":
        text = json.dumps({**state, "weights": "epoch-0009.weights.h5"})
    elif text == "weights outside":
        text = json.dumps({**state, "weights": f"../{vm.name}/{state['weights']}"})
    elif text == "no sha256":
        text = json.dumps({**state, "weights": "epoch-0009.weights.h5", "weights_sha256": None})
    elif text == "log of text":
        text = json.dumps({**state, "log": "3 epochs"})
    (vm / "state.json").write_text(text)
    results.publish(vm, mydrive)
    assert published(mydrive) == whole
    restore(mydrive, vm)
    assert content(vm) == before


@pytest.mark.parametrize("text", ["", '{"id": ', "[" * 99_999])
def test_json_that_is_cut_off_is_not_published_over_whole_json(text, mydrive, vm):
    write_json(vm / "measurements.json", [1])
    results.publish(vm, mydrive)
    before = content(vm)
    (vm / "measurements.json").write_text(text)
    assert results.publish(vm, mydrive) == 0
    assert published(mydrive) == before
    restore(mydrive, vm)
    assert content(vm) == before


def test_a_link_to_nowhere_keeps_nothing_from_being_published(mydrive, vm):
    write_epoch(vm, 1)
    (vm / "gone.txt").symlink_to(vm / "nothing")
    assert results.publish(vm, mydrive) == 3


@pytest.fixture
def three(mydrive, vm):
    """A workspace with three trainings beside a page, published; then each goes on for an epoch."""
    for name in "abc":
        write_epoch(vm / name, 2)
    (vm / "index.html").write_text("page")
    results.publish(vm, mydrive)
    for name in "bc":
        write_epoch(vm / name, 3)
    (vm / "index.html").write_text("later page")
    return vm


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("newer in MyDrive", "newer training of 9 epochs"),
        ("published.json is torn", "published.json is damaged"),
        ("damaged here", "its sha256 is not the one"),
        ("does not answer", "does not answer"),
    ],
)
def test_trouble_of_one_folder_keeps_no_other_from_being_published(harm, words, three, mydrive, capfd):
    faulty = FaultyDrive(mydrive / "a")
    if harm == "newer in MyDrive":
        shutil.rmtree(mydrive / "a")
        write_epoch(mydrive.parent / "other", 9, run=1)
        results.publish(mydrive.parent / "other", mydrive / "a")
    elif harm == "published.json is torn":
        os.truncate(mydrive / "a" / "published.json", 99)
    elif harm == "damaged here":  # a byte has changed by itself, and what MyDrive had of the file is lost
        next((mydrive / "a").glob("epoch-*")).unlink()
        weights = three / "a" / "epoch-0002.weights.h5"
        status, data = weights.stat(), weights.read_bytes()
        weights.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        faulty.gone = range(1, 10**9)
    before = content(mydrive / "a")
    capfd.readouterr()
    with installed(faulty):
        assert results.publish(three, mydrive) == 7
    for name in "bc":
        assert published(mydrive / name) == content(three / name)
    assert (three / "index.html").read_bytes() in content(mydrive).values()
    assert content(mydrive / "a") == before
    (told,) = [line for line in capfd.readouterr().err.splitlines() if "Not all of" in line]
    assert "Not all of a is in MyDrive" in told and words in told


@pytest.mark.parametrize("first", [1, 60])
def test_trouble_of_the_whole_drive_is_waited_for_and_told_once(first, three, mydrive, capfd, monkeypatch):
    pauses = []
    monkeypatch.setattr(mount, "time", SimpleNamespace(sleep=pauses.append))
    capfd.readouterr()
    with installed(FaultyDrive(mydrive)) as faulty:
        faulty.gone = range(first, 10**9)
        results.publish(three, mydrive)
    told = capfd.readouterr().err
    assert told.count("Not all of") == 1 and "new files" not in told
    assert len(pauses) <= len(mount.PAUSES)
    results.publish(three, mydrive)
    assert published(mydrive) == content(three)


def test_only_the_older_of_two_files_waits_and_what_lies_beside_it_is_published(mydrive, vm, capfd):
    other = vm.with_name("other")
    for folder, seconds in ((other, 1_900_000_000), (vm, 1_800_000_000)):
        write_json(folder / "measurements.json", folder.name)
        os.utime(folder / "measurements.json", (seconds, seconds))
        (folder / f"{folder.name}.html").write_text("page")
        results.publish(folder, mydrive)
    assert "newer measurements.json" in capfd.readouterr().err
    assert published(mydrive).keys() == {"measurements.json", "other.html", f"{vm.name}.html"}
    assert json.loads(published(mydrive)["measurements.json"]) == "other"


def test_images_are_made_anew_and_not_published(mydrive, vm):
    write_epoch(vm / "autoencoder", 1)
    save_array(vm / "images" / "images.npy", np.arange(5))
    assert results.publish(vm, mydrive) == 3 and not (mydrive / "images").exists()


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_drive_that_is_away_for_a_moment_is_not_an_empty_one(length, mydrive, vm, tmp_path):
    write_epoch(vm, 3)
    results.publish(vm, mydrive)
    before = content(mydrive)
    own, empty = tmp_path / "own", tmp_path / "empty"
    write_epoch(own, 1, run=1)
    for function, arguments in ((results.publish, (own, mydrive)), (restore, (mydrive, empty))):
        with installed(FaultyDrive(mydrive)) as faulty:
            function(*arguments)
        for number in range(1, faulty.calls + 1):
            shutil.rmtree(empty, ignore_errors=True)
            with installed(FaultyDrive(mydrive)) as away:
                away.gone, away.gone_error = range(number, number + length), errno.ENOENT
                try:
                    function(*arguments)
                    assert function is results.publish or content(empty) == content(vm)
                except InputError as error:
                    assert "mount Google Drive first" in str(error)
            assert content(mydrive) == before
    assert faulty.calls > 20


def test_faults_at_random_calls_lose_nothing(mydrive, vm, tmp_path):
    struck = 0
    for seed in range(8):
        workspace, place = vm / str(seed), mydrive / str(seed)
        fill(workspace)
        with installed(FaultyDrive(mydrive, rate=0.1, seed=seed)) as faulty:
            results.publish(workspace, place)
            write_epoch(workspace / "autoencoder", 4)
            results.publish(workspace, place)
            restore(place, tmp_path / "fresh" / str(seed))
        assert published(place) == content(workspace) == content(tmp_path / "fresh" / str(seed))
        struck += faulty.struck
    assert struck > 100


def test_a_drive_that_vanishes_while_publishing_keeps_the_state_before(mydrive, vm, tmp_path):
    write_epoch(vm, 1)
    results.publish(vm, mydrive)
    first = published(mydrive)
    with installed(FaultyDrive(mydrive)) as faulty:
        write_epoch(vm, 2)
        shutil.copytree(mydrive, tmp_path / "copy")
        shutil.copy(vm / ".mydrive.json", tmp_path / "seen")
        results.publish(vm, mydrive)
    after, calls = published(mydrive), faulty.calls
    for number in range(1, calls, 6):
        shutil.rmtree(mydrive)
        shutil.copytree(tmp_path / "copy", mydrive)
        shutil.copy(tmp_path / "seen", vm / ".mydrive.json")
        with installed(FaultyDrive(mydrive)) as faulty:
            faulty.gone = range(number, 10**9)
            results.publish(vm, mydrive)
        assert published(mydrive) in (first, after)
        results.publish(vm, mydrive)
        assert published(mydrive) == after


def test_what_is_published_belongs_together_while_a_training_writes(mydrive, vm):
    write_epoch(vm, 1)
    stopped = threading.Event()

    def train():
        epoch = 1
        while not stopped.is_set():
            epoch += 1
            write_epoch(vm, epoch)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        epochs = set()
        for _ in range(12):
            results.publish(vm, mydrive)
            found = published(mydrive)
            state = json.loads(found["state.json"])
            assert hashlib.sha256(found[state["weights"]]).hexdigest() == state["weights_sha256"]
            assert found["log.csv"] in (f"{len(state['log']) - n} rows of run 0".encode() for n in (0, 1))
            epochs.add(len(state["log"]))
    finally:
        stopped.set()
        thread.join()
    assert len(epochs) > 3


@pytest.mark.parametrize("seed", range(6))
def test_no_version_is_lost_whatever_two_machines_do(seed, mydrive, tmp_path):
    """Versions that no later one was made from must be found somewhere, under whatever name."""
    rng = random.Random(seed)
    machines = [tmp_path / "a", tmp_path / "b"]
    newest, last, count = set(), {}, 0
    for _ in range(60):
        machine = rng.choice(machines)
        action = rng.choice(["edit", "edit", "publish", "restore", "delete"])
        path = machine / rng.choice(["x.txt", "y.txt"])
        if action == "edit":
            count += 1
            newest.discard(path.read_text() if path.exists() else last.get(path))
            newest.add(f"version {count}")
            with written_whole(path) as temporary:
                temporary.write_text(f"version {count}")
            os.utime(path, (1_700_000_000 + rng.randrange(1000),) * 2)
        elif action != "delete" and machine.exists():
            with installed(FaultyDrive(tmp_path)) as faulty, suppress(KeyboardInterrupt):
                faulty.killed_from = rng.randrange(400)  # most calls need fewer to finish
                results.publish(machine, mydrive) if action == "publish" else restore(mydrive, machine)
        elif action == "delete" and path.exists():
            last[path] = path.read_text()
            path.unlink()
        found = {text for folder in machines if folder.exists() for text in content(folder).values()}
        found |= set(published(mydrive).values())
        if action == "delete":
            newest = {version for version in newest if version.encode() in found}
        assert {version.encode() for version in newest} <= found
