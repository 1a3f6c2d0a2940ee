"""One folder of a workspace: published to its counterpart in MyDrive, or restored from there.

In MyDrive every file has the start of its sha256 in its name, and published.json names those that count. It
is replaced last and in one step, so that a stop at any moment leaves the state before or the one after.
"""

import json
import os
import re
import stat
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

from helpers.drive.mount import check_space, find_mount, look_up, make_folder, parse_json, persist
from helpers.drive.transfer import DamagedSource, describe, hash_of, read_blocks, show_progress, transfer
from helpers.files import InputError, dated, read_json, shown_path, write_json
from helpers.reporting import note

PUBLISHED = "published.json"  # in MyDrive
SEEN = ".mydrive.json"  # here: what the files were when they were last the same in MyDrive
one_at_a_time = threading.Lock()  # a training publishes in the background
STATE, WEIGHTS = "state.json", "epoch-*.weights.h5"  # of a training; the state names the weights that count
TRAINING = {"settings": dict, "log": list, "weights": str}  # what a state says of it
ENTRY = {"bytes": int, "modified": int, "sha256": str, "stored": str}  # of a file in MyDrive
NOTHING = {"files": {}, "training": None}
LISTING_ATTEMPTS, PAUSE = 20, 0.05  # to find the folder unchanged; pause in seconds
HASH_LETTERS = 16
# How a file stands to that in MyDrive: made from it, or that from this one; else the later or the earlier.
AHEAD, BEHIND, LATER, EARLIER = "ahead", "behind", "later", "earlier"


def publish_folder(folder, drive_folder, progress=show_progress):
    """Publish the finished files of one folder, subfolders left out; return how many were sent.

    Others may go on writing to the folder. `progress` as `transfer.show_progress`. Nothing that MyDrive holds
    is dropped but the weights of an earlier epoch of the same training. InputError when MyDrive cannot be
    written to and, when all else is published, for what MyDrive holds newer.
    """
    folder, drive_folder = Path(folder), Path(drive_folder)
    mount = find_mount(drive_folder)
    with one_at_a_time, _open_files(folder) as files:
        seen = _load_seen(folder, drive_folder)
        mine = _take_inventory(files, seen)
        if not mine["files"]:
            return 0
        theirs = _read_published(drive_folder, mount)
        standing = _compare(mine, theirs, seen)
        merged = _merge(mine, theirs, standing)
        same = {name: merged["files"][name] for name in _same(mine, merged)}
        make_folder(drive_folder, mount)
        jobs = [
            (files[name], drive_folder / entry["stored"], entry)
            for name, entry in same.items()
            if not _is_stored(entry, drive_folder, mount)
        ]
        _copy_all(jobs, mount, f"{drive_folder.name} to MyDrive", progress)
        if _read_published(drive_folder, mount) != theirs:
            raise InputError(f"Another machine is publishing to {drive_folder}; wait for its end.")
        if merged != theirs:
            _commit(merged, theirs, drive_folder, mount)
        _save_seen(folder, drive_folder, seen, merged, same)
    earlier = sorted(name for name, how in standing.items() if how == EARLIER)
    if earlier:
        training = theirs["training"] if STATE in earlier else None
        what = f"training of {len(training['log'])} epochs" if training else earlier[0]
        raise InputError(
            f"MyDrive holds a newer {what}, which was not overwritten; restart the notebook, which takes it "
            "from there."
        )
    return len(jobs)


def _copy_all(jobs, mount, what, progress):
    """Copy files to a disk that has room for all: source, target and entry of an inventory of each."""
    if jobs:
        size = sum(entry["bytes"] for *_, entry in jobs)
        check_space(size, mount)
        with progress(what, size) as count:
            for source, target, entry in jobs:
                transfer(source, target, mount, count, entry["sha256"], entry["modified"])


def _commit(merged, theirs, drive_folder, mount):
    """Make the inventory `merged` the one that counts, then remove what only the former one named."""
    transfer(json.dumps(merged, indent=1).encode(), drive_folder / PUBLISHED, mount)
    former, current = ({entry["stored"] for entry in side["files"].values()} for side in (theirs, merged))
    with suppress(OSError):  # what is left over does no harm
        leftovers = [path.name for path in drive_folder.glob(".*.partial*")]
        for name in (former - current).union(leftovers):
            (drive_folder / name).unlink(missing_ok=True)


def restore_folder(drive_folder, folder):
    """Take what MyDrive holds of one folder, subfolders left out, where it is newer; return how many files.

    What has changed on both sides keeps its name on the later one; an earlier file here, or the whole folder
    of an earlier training, gets a dated name. Stopped at any moment, the next call goes on. Raises
    DamagedSource, before anything is changed here, when MyDrive lacks a file that published.json names.
    """
    folder, drive_folder = Path(folder), Path(drive_folder)
    drive_mount = find_mount(drive_folder)
    with one_at_a_time:
        theirs, seen = _read_published(drive_folder, drive_mount), _load_seen(folder, drive_folder)
        if not theirs["files"]:
            return 0
        with _open_files(folder) as files:
            mine = _take_inventory(files, seen)
        standing = _compare(mine, theirs, seen)
        aside = [folder / name for name in mine["files"] if standing.get(name) == EARLIER]
        if folder / STATE in aside:
            aside, mine, seen, standing = [folder], NOTHING, NOTHING, dict.fromkeys(theirs["files"], BEHIND)
        newer = [name for name in theirs["files"] if standing.get(name) in (BEHIND, EARLIER)]
        jobs = []
        for name in sorted(newer, key=lambda name: name.endswith(".json")):  # what says it is whole: last
            entry = theirs["files"][name]
            if not _is_stored(entry, drive_folder, drive_mount):
                raise DamagedSource(
                    f"{drive_folder / entry['stored']} is missing or damaged; look for it in MyDrive's bin, "
                    f"or delete {PUBLISHED} beside it to do without what this folder held."
                )
            jobs.append((drive_folder / entry["stored"], folder / name, entry))
        for path in aside:
            kept = path.with_name(dated(path.name))
            os.replace(path, kept)
            note(f"{shown_path(path)} is older than in MyDrive; kept as {kept.name}.")
        folder.mkdir(parents=True, exist_ok=True)
        _copy_all(jobs, find_mount(folder), f"{folder.name} from MyDrive", show_progress)
        _save_seen(folder, drive_folder, seen, theirs, [*newer, *_same(mine, theirs)])
    return len(jobs)


def _is_stored(entry, drive_folder, mount):
    """Whether MyDrive has a file at its size."""
    status = look_up(drive_folder / entry["stored"], mount)
    return status is not None and status.st_size == entry["bytes"]


def _read_published(drive_folder, mount):
    """Inventory of what MyDrive holds of a folder; `NOTHING` where nothing was published yet."""
    path = drive_folder / PUBLISHED
    status = look_up(path, mount)
    if status is None:
        return NOTHING
    published = parse_json(persist(path.read_bytes, path, mount)) if stat.S_ISREG(status.st_mode) else None
    if _is_inventory(published):
        return {**NOTHING, **published}
    raise DamagedSource(f"{path} is damaged; bring back its earlier version in MyDrive.")


def _is_inventory(content):
    """Whether content of JSON is an inventory, and its names lead nowhere but into their folder."""
    if not _has(content, {"files": dict}):
        return False
    files, training = content["files"], content.get("training")
    return (training is None or (STATE in files and _is_training(training))) and all(
        _has(entry, ENTRY)
        and entry["sha256"][:HASH_LETTERS] in entry["stored"]
        and abs(entry["modified"]) < 1 << 63
        and _is_plain(name)
        and _is_plain(entry["stored"])
        for name, entry in files.items()
    )


def _is_training(state):
    """Whether content of JSON says how far a training has come."""
    return _has(state, TRAINING) and fnmatch(state["weights"], WEIGHTS)


def _has(content, kinds):
    """Whether content of JSON has something of each kind under its name."""
    return isinstance(content, dict) and all(isinstance(content.get(name), kinds[name]) for name in kinds)


def _is_plain(name):
    """Whether a file of this name lies in its own folder on every system, and is no hidden one."""
    return bool(re.fullmatch(r"[^.\s/\\:][^/\\:]*", name)) and name.isprintable()


def _load_seen(folder, drive_folder):
    """What the files of the folder were, as far as they came from this folder of MyDrive or went there."""
    with suppress(InputError, OSError):  # forgotten, it is found out again: later versions by their times
        seen = read_json(folder / SEEN)
        if _is_inventory(seen) and seen.get("drive") == os.path.abspath(drive_folder):
            return seen
    return NOTHING


def _save_seen(folder, drive_folder, seen, there, names):
    """Remember what the files `names` are in MyDrive, the same as here; of others, what was known before."""
    former = {name: entry for name, entry in seen["files"].items() if name in there["files"]}
    files = {**former, **{name: there["files"][name] for name in names}}
    write_json(folder / SEEN, {"drive": os.path.abspath(drive_folder), "files": files})


@contextmanager
def _open_files(folder):
    """Yield name → descriptor of all finished files of a folder, opened as they were at one moment.

    Finished files are replaced by renaming and never changed, so an open one keeps its content while a
    training goes on.
    """
    with ExitStack() as stack:
        for _ in range(LISTING_ATTEMPTS):
            with suppress(FileNotFoundError):
                before = _list_finished(folder)
                files = {name: stack.enter_context(open(folder / name, "rb")).fileno() for name in before}
                if _list_finished(folder) == before:
                    break
            stack.close()
            time.sleep(PAUSE)
        else:
            raise InputError(f"{shown_path(folder)} keeps changing; wait until what writes there has ended.")
        yield files


def _list_finished(folder):
    """Name → identity of the files of a folder, without hidden ones and names that only some systems take."""
    paths = folder.iterdir() if folder.is_dir() else ()
    finished = [(path.name, path.stat()) for path in paths if _is_plain(path.name) and path.is_file()]
    return {name: (status.st_ino, status.st_size, status.st_mtime_ns) for name, status in finished}


def _take_inventory(files, known):
    """Inventory of open `files` (name → descriptor), without those that are not whole.

    JSON that cannot be read, files whose JSON says otherwise, and weights that no state names, are not whole.
    A file that the inventory `known` describes with equal size and time is not hashed again.
    """
    entries = {}
    for name, file in files.items():
        entry, former = describe(file), known["files"].get(name, {})
        is_known = entry.items() <= former.items()
        entries[name] = {**entry, "sha256": former["sha256"] if is_known else hash_of(file)}
    json_files = [name for name in files if name.endswith(".json")]
    contents = {name: parse_json(b"".join(read_blocks(files[name]))) for name in json_files}
    for name, content in contents.items():
        claims = _claims(name, content, entries)
        if any(entries.get(other, {}).get("sha256") != sha256 for other, sha256 in claims.items()):
            for broken in (name, *claims):
                entries.pop(broken, None)
    training = {key: contents[STATE][key] for key in TRAINING} if STATE in entries else None
    named = training and training["weights"]
    whole = {name: entry for name, entry in entries.items() if name == named or not fnmatch(name, WEIGHTS)}
    return {"files": whole, "training": training}


def _claims(name, content, entries):
    """Name → sha256 of the files that a JSON file speaks for: a training's state, a manifest and so on.

    A file that is not what its name says speaks wrongly for itself.
    """
    if content is None or (name == STATE and not _is_training(content)):
        return {name: None}
    if name == STATE:
        return {content["weights"]: str(content.get("weights_sha256"))}
    with suppress(AttributeError, KeyError, TypeError):
        array = Path(name).with_suffix(".npy").name
        if "sha256" in content and array in entries:
            return {array: content["sha256"]}
        return {other: entry["sha256"] for other, entry in content["files"].items()}
    return {}


def _same(mine, theirs):
    """Names of the files that two inventories hold with the same content."""
    return [name for name in mine["files"] if not _differs(name, mine, theirs)]


def _differs(name, one, other):
    """True unless two inventories hold a file of this name with the same content."""
    hashes = [side["files"].get(name, {}).get("sha256") for side in (one, other)]
    return hashes[0] != hashes[1] or hashes[0] is None


def _compare(mine, theirs, seen):
    """Name → how the files that differ here (`mine`) stand to those in MyDrive (`theirs`).

    A file was made from the other side's where that is as it was last `seen`; a training tells by its log,
    and what lies beside it goes with it.
    """
    names = {name for name in mine["files"] | theirs["files"] if _differs(name, mine, theirs)}
    standing = {name: _compare_files(name, mine, theirs, seen) for name in names}
    trainings = [side["training"] for side in (mine, theirs)]
    if None in trainings or trainings[0] == trainings[1]:
        return standing
    how = _compare_trainings(mine, theirs)
    on_both = mine["files"].keys() & theirs["files"].keys() | {training["weights"] for training in trainings}
    return standing | dict.fromkeys(names & on_both if how in (AHEAD, BEHIND) else names, how)


def _compare_files(name, mine, theirs, seen):
    if name not in mine["files"] or name not in theirs["files"]:
        return AHEAD if name in mine["files"] else BEHIND
    if not _differs(name, theirs, seen):
        return AHEAD
    if not _differs(name, mine, seen):
        return BEHIND
    times = [side["files"][name]["modified"] for side in (mine, theirs)]
    return LATER if times[0] > times[1] else EARLIER


def _compare_trainings(mine, theirs):
    """How a training stands to another one: by its epochs or, where they do not tell, by its time."""
    (settings, log), (their_settings, their_log) = (
        (side["training"]["settings"], side["training"]["log"]) for side in (mine, theirs)
    )
    if settings != their_settings or len(log) == len(their_log):
        return _compare_files(STATE, mine, theirs, NOTHING)
    is_later = len(log) > len(their_log)
    if all(one == other for one, other in zip(log, their_log, strict=False)):
        return AHEAD if is_later else BEHIND
    return LATER if is_later else EARLIER


def _merge(mine, theirs, standing):
    """Inventory of MyDrive after publishing; each file's `stored` says what it is called there.

    What is later here takes the name, and MyDrive's gets a dated one; what is earlier here stays away.
    """
    files = {
        dated(name) if standing.get(name) == LATER else name: entry
        for name, entry in theirs["files"].items()
        if standing.get(name) != AHEAD
    }
    given = {name: entry for name, entry in mine["files"].items() if standing.get(name) in (AHEAD, LATER)}
    for name, entry in given.items():
        stem, dot, suffixes = name.partition(".")
        files[name] = {**entry, "stored": f"{stem}.{entry['sha256'][:HASH_LETTERS]}{dot}{suffixes}"}
    return {"files": files, "training": (mine if STATE in given else theirs)["training"]}
