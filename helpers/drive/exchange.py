"""One folder of a workspace: published to its counterpart in MyDrive, or restored from there.

In MyDrive every file has the start of its sha256 in its name, and published.json names those that count. It
is replaced last and in one step, so that a stop at any moment leaves the state before or the one after.
"""

import json
import os
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path

from helpers.drive.mount import check_space, find_mount, look_up, make_folder, persist
from helpers.drive.transfer import (
    DamagedSource,
    bytes_source,
    drop_unfinished,
    file_source,
    hash_source,
    open_source,
    show_progress,
    transfer,
)
from helpers.files import InputError, read_json, shown_path, write_json
from helpers.reporting import note

PUBLISHED = "published.json"  # in MyDrive
SEEN = ".mydrive.json"  # here: what the files were when they were last the same in MyDrive
ATTEMPTS = 5  # to publish while another machine does
one_at_a_time = threading.Lock()  # a training publishes in the background
STATE, WEIGHTS = "state.json", "epoch-*.weights.h5"  # of a training; the state names the weights that count
TRAINING = ("settings", "log", "weights")  # what a state says of it
MANIFEST_SUFFIX = ".manifest.json"  # of the file beside one that was copied
NOTHING = {"files": {}, "training": None}
LISTING_ATTEMPTS, PAUSE = 20, 0.05  # to find the folder unchanged; pause in seconds
HASH_LETTERS = 16


def publish_folder(folder, drive_folder, progress=show_progress):
    """Publish the finished files of one folder, subfolders left out; return how many were sent.

    Others may go on writing to the folder. `progress` as `transfer.show_progress`. Raises OlderThanDrive
    where MyDrive holds something newer (see `exchange.merge`), InputError when MyDrive cannot be written to.
    """
    folder, drive_folder = Path(folder), Path(drive_folder)
    mount = find_mount(drive_folder)
    with one_at_a_time, open_files(folder) as files:
        seen = _load_seen(folder, drive_folder)
        mine = take_inventory(files, seen)
        if not mine["files"]:
            return 0
        for _ in range(ATTEMPTS):
            theirs = read_published(drive_folder, mount)
            merged = merge(mine, theirs, seen)
            sent = _send(files, mine, merged, drive_folder, mount, progress)
            if read_published(drive_folder, mount) == theirs:
                break
        else:
            raise InputError(f"Another machine is publishing to {drive_folder}; wait for its end.")
        if merged != theirs:
            _commit(merged, theirs, drive_folder, mount)
        sent_or_there = {name for name in mine["files"] if not differs(name, mine, merged)}
        _save_seen(folder, drive_folder, seen, merged, sent_or_there)
    return sent


def _send(files, mine, merged, drive_folder, mount, progress):
    """Copy the files that MyDrive lacks to their names there; return how many."""
    make_folder(drive_folder, mount)
    there = _list_sizes(drive_folder, mount)
    wanted = {
        name: entry
        for name, entry in merged["files"].items()
        if entry["sha256"] == mine["files"].get(name, {}).get("sha256")
        and there.get(entry["stored"]) != entry["bytes"]
    }
    if wanted:
        size = sum(entry["bytes"] for entry in wanted.values())
        check_space(size, mount)
        with progress(f"{drive_folder.name} to MyDrive", size) as count:
            for name, entry in wanted.items():
                source = open_source(name, files[name])
                transfer(source, drive_folder / entry["stored"], mount, count, entry["sha256"])
    return len(wanted)


def _commit(merged, theirs, drive_folder, mount):
    """Make the inventory `merged` the one that counts, then remove what only the former one named."""
    content = json.dumps(merged, indent=1).encode()
    transfer(bytes_source(PUBLISHED, content, time.time_ns()), drive_folder / PUBLISHED, mount)
    former, current = (
        {entry["stored"] for entry in inventory["files"].values()} for inventory in (theirs, merged)
    )
    with suppress(OSError):  # what is left over does no harm
        leftovers = [path.name for path in drive_folder.glob(".*.partial*")]
        for name in (former - current).union(leftovers):
            (drive_folder / name).unlink(missing_ok=True)


def restore_folder(drive_folder, folder, progress=show_progress):
    """Take what MyDrive holds of one folder, subfolders left out, where it is newer; return how many files.

    What has changed on both sides keeps its name on the newer one; the folder's own older files get dated
    names (see `exchange.choose`). Raises DamagedSource when a file in MyDrive is not as published.json says.
    """
    folder, drive_folder = Path(folder), Path(drive_folder)
    drive_mount = find_mount(drive_folder)
    folder.mkdir(parents=True, exist_ok=True)
    with one_at_a_time:
        theirs, seen = read_published(drive_folder, drive_mount), _load_seen(folder, drive_folder)
        with open_files(folder) as files:
            mine = take_inventory(files, seen)
        take, aside = choose(mine, theirs, seen)
        wanted = {name: theirs["files"][name] for name in sorted(take, key=_by_time(theirs))}
        _check_stored(wanted, drive_folder, drive_mount)
        for name in sorted(aside, key=_by_time(mine), reverse=True):
            kept_name = dated(name)
            os.replace(folder / name, folder / kept_name)
            note(f"{shown_path(folder / name)} is older than in MyDrive; kept as {kept_name}.")
        _fetch(wanted, drive_folder, folder, progress)
        same = {name for name in mine["files"] if not differs(name, mine, theirs)}
        for name in same:
            drop_unfinished(folder / name)
        _save_seen(folder, drive_folder, seen, theirs, take | same)
    return len(wanted)


def _by_time(inventory):
    """Sort key: the time of a file, as later ones may say that earlier ones are whole; JSON last."""
    return lambda name: (inventory["files"][name]["modified"], name.endswith(".json"), name)


def _fetch(wanted, drive_folder, folder, progress):
    """Copy files of MyDrive into the folder, each with its former time."""
    if not wanted:
        return
    mount, size = find_mount(folder), sum(entry["bytes"] for entry in wanted.values())
    check_space(size, mount)
    with progress(f"{folder.name} from MyDrive", size) as count:
        for name, entry in wanted.items():
            source = file_source(drive_folder / entry["stored"], entry["modified"])
            transfer(source, folder / name, mount, count, entry["sha256"])


def _check_stored(wanted, drive_folder, mount):
    """Raise DamagedSource unless MyDrive has all these files at their size."""
    there = _list_sizes(drive_folder, mount)
    for entry in wanted.values():
        if there.get(entry["stored"]) != entry["bytes"]:
            raise DamagedSource(
                f"{drive_folder / entry['stored']} is missing or damaged; look for it in MyDrive's bin, or "
                f"delete {PUBLISHED} beside it to do without what this folder held."
            )


def _list_sizes(drive_folder, mount):
    """Name → bytes of the files in a folder of MyDrive."""
    names = persist(lambda: os.listdir(drive_folder), drive_folder, mount)
    paths = [drive_folder / name for name in names]
    statuses = [look_up(path, mount) for path in paths]
    return {name: status.st_size for name, status in zip(names, statuses, strict=True) if status}


def read_published(drive_folder, mount):
    """Inventory of what MyDrive holds of a folder; `NOTHING` where nothing was published yet."""
    path = drive_folder / PUBLISHED
    if look_up(path, mount) is None:
        return NOTHING
    try:
        return json.loads(persist(lambda: path.read_text(encoding="utf-8"), path, mount))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is damaged; bring back its earlier version in MyDrive.") from error


def _load_seen(folder, drive_folder):
    """What the files of the folder were, as far as they came from this folder of MyDrive or went there."""
    seen = read_json(folder / SEEN)
    return seen if seen and seen["drive"] == os.path.abspath(drive_folder) else NOTHING


def _save_seen(folder, drive_folder, seen, there, names):
    """Remember what the files `names` are in MyDrive, the same as here; of others, what was known before."""
    former = {name: entry for name, entry in seen["files"].items() if name in there["files"]}
    files = {**former, **{name: there["files"][name] for name in names}}
    write_json(folder / SEEN, {"drive": os.path.abspath(drive_folder), "files": files})


@contextmanager
def open_files(folder):
    """Yield name → open file of all finished files of a folder, as they were at one moment.

    Finished files are replaced by renaming and never changed, so an open one keeps its content while a
    training goes on.
    """
    for _ in range(LISTING_ATTEMPTS):
        if found := _open_unchanged(Path(folder)):
            files, stack = found
            with stack:
                yield files
            return
        time.sleep(PAUSE)
    raise InputError(f"{shown_path(folder)} keeps changing; wait until what writes there has ended.")


def _open_unchanged(folder):
    """Name → open file, and what closes them; None when the folder changed meanwhile."""
    with ExitStack() as stack:
        try:
            before = _list_finished(folder)
            files = {name: stack.enter_context(open(folder / name, "rb")) for name in before}
            if _list_finished(folder) == before:
                return files, stack.pop_all()
        except FileNotFoundError:
            pass
    return None


def _list_finished(folder):
    """Name → identity of the files of a folder, without the temporary ones, whose names begin with a dot."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        finished = [entry for entry in entries if entry.is_file() and not entry.name.startswith(".")]
    statuses = {entry.name: os.stat(entry.path) for entry in finished}
    return {name: (status.st_ino, status.st_size, status.st_mtime_ns) for name, status in statuses.items()}


def take_inventory(files, known):
    """Inventory of open `files` (name → file), without those that are not whole.

    Files whose JSON says otherwise, and weights that no state names, are not whole. A file that the inventory
    `known` describes with equal size and time is not hashed again.
    """
    entries = {name: _describe(name, file, known["files"].get(name)) for name, file in files.items()}
    contents = {name: _parse(file) for name, file in files.items() if name.endswith(".json")}
    for name, content in contents.items():
        claims = _claims(name, content, entries)
        if any(entries.get(other, {}).get("sha256") != sha256 for other, sha256 in claims.items()):
            for broken in (name, *claims):
                entries.pop(broken, None)
    training = _training(contents[STATE]) if STATE in entries else None
    named = training["weights"] if training else None
    whole = {name: entry for name, entry in entries.items() if name == named or not fnmatch(name, WEIGHTS)}
    return {"files": whole, "training": training}


def _describe(name, file, known):
    source = open_source(name, file)
    entry = {"bytes": source.size, "modified": source.modified}
    if known and entry.items() <= known.items():
        return {**entry, "sha256": known["sha256"]}
    return {**entry, "sha256": hash_source(source)}


def _parse(file):
    """Content of an open JSON file, or None where it is none."""
    file.seek(0)
    try:
        return json.loads(file.read())
    except ValueError:
        return None


def _claims(name, content, entries):
    """Name → sha256 of the files that a JSON file speaks for: a training's state, a manifest and so on."""
    if not isinstance(content, dict):
        return {}
    if name == STATE and _training(content):
        return {content["weights"]: content["weights_sha256"]}
    if "sha256" in content:  # of a kept array, or of a file that was copied
        others = (Path(name).with_suffix(".npy").name, name.removesuffix(MANIFEST_SUFFIX))
        return {other: content["sha256"] for other in others if other in entries and other != name}
    files = content.get("files")
    listed = files if isinstance(files, dict) else {}
    hashes = {other: entry.get("sha256") for other, entry in listed.items() if isinstance(entry, dict)}
    return {other: sha256 for other, sha256 in hashes.items() if sha256}


def _training(state):
    """How far a training has come; None for what is none."""
    if not isinstance(state, dict) or not {*TRAINING, "weights_sha256"} <= state.keys():
        return None
    return {name: state[name] for name in TRAINING}


def differs(name, one, other):
    """True unless two inventories hold a file of this name with the same content."""
    hashes = [side["files"].get(name, {}).get("sha256") for side in (one, other)]
    return hashes[0] != hashes[1] or hashes[0] is None


class OlderThanDrive(InputError):
    """MyDrive holds something newer, which was not overwritten."""


def merge(mine, theirs, seen):
    """Inventory of MyDrive after publishing; each file's `stored` says what it is called there.

    Nothing that MyDrive holds is dropped but the weights of an earlier epoch of the same training. Raises
    OlderThanDrive where both sides have changed and MyDrive's is the newer.
    """
    clashing = _clashing(mine, theirs, seen)
    if clashing and not _is_newer(mine, theirs, clashing):
        raise OlderThanDrive(
            f"MyDrive holds a newer {_example(clashing, theirs)}, which was not overwritten; restore the "
            "workspace from MyDrive, then go on."
        )
    kept = _set_aside(theirs["files"], {n for n in _belonging(clashing, theirs) if differs(n, mine, theirs)})
    given = {name for name in mine["files"] if not _succeeds(name, theirs, mine, seen)}
    training = theirs["training"]
    if STATE in given and mine["training"]:
        kept.pop((training or mine["training"])["weights"], None)
        training = mine["training"]
    elif mine["training"]:
        given.discard(mine["training"]["weights"])
    files = {name: mine["files"][name] for name in given}
    stored = {name: {**entry, "stored": stored_name(name, entry)} for name, entry in files.items()}
    return {"files": {**kept, **stored}, "training": training}


def choose(mine, theirs, seen):
    """Names of the files to take from MyDrive, and of those to set aside here before."""
    clashing, kept = _clashing(mine, theirs, seen), set()
    if clashing and _is_newer(mine, theirs, clashing):
        clashing, kept = set(), clashing
    there = {entry["sha256"] for entry in theirs["files"].values()}
    aside = {name for name in _belonging(clashing, mine) if mine["files"][name]["sha256"] not in there}
    newer = {name for name in mine["files"] if _succeeds(name, mine, theirs, seen)} - aside
    take = {name for name in theirs["files"] if differs(name, mine, theirs)} - newer - kept
    if STATE in newer | kept and theirs["training"]:
        take.discard(theirs["training"]["weights"])
    return take, aside


def _succeeds(name, one, other, seen):
    """True where the file of `one` is a later version of that of `other`.

    That is so in a training that goes on from the other's log; elsewhere, where the other is as it was seen.
    """
    if name not in one["files"] or name not in other["files"]:
        return False
    if one["training"] and other["training"] and one["training"] != other["training"]:
        return _goes_on(one["training"], other["training"])
    return not differs(name, other, seen) and differs(name, one, seen)


def _goes_on(training, former):
    """True where a training is `former` with more epochs."""
    count = len(former["log"])
    same = training["settings"] == former["settings"] and training["log"][:count] == former["log"]
    return same and len(training["log"]) > count


def _clashing(mine, theirs, seen):
    """Names of files on both sides of which neither may simply replace the other."""
    return {
        name
        for name in mine["files"].keys() & theirs["files"].keys()
        if differs(name, mine, theirs)
        and not _succeeds(name, mine, theirs, seen)
        and not _succeeds(name, theirs, mine, seen)
    }


def _is_newer(mine, theirs, names):
    """True where `mine` has more epochs of the same training, else where its files are of a later time."""
    trainings = (mine["training"], theirs["training"])
    if all(trainings) and trainings[0]["settings"] == trainings[1]["settings"]:
        epochs = [len(training["log"]) for training in trainings]
        if epochs[0] != epochs[1]:
            return epochs[0] > epochs[1]
    times = [max(side["files"][name]["modified"] for name in names) for side in (mine, theirs)]
    return times[0] > times[1]


def _belonging(names, side):
    """These names; with a training's state all files of its folder, as others are called the same."""
    return set(side["files"]) if STATE in names else names


def _set_aside(files, names):
    """A dict like `files` with dated names in place of `names`."""
    return {dated(name) if name in names else name: entry for name, entry in files.items()}


def dated(name):
    """Name for what is set aside now, to the microsecond so that no other has it."""
    return f"{name}.{datetime.now():%Y%m%d-%H%M%S-%f}"


def _example(names, side):
    """What people are told of the files `names`."""
    if STATE in names and side["training"]:
        return f"training of {len(side['training']['log'])} epochs"
    return sorted(names)[0]


def stored_name(name, entry):
    """Name of a file in MyDrive: its own with the start of its sha256 before the suffix."""
    stem, dot, suffixes = name.partition(".")
    return f"{stem}.{entry['sha256'][:HASH_LETTERS]}{dot}{suffixes}"
