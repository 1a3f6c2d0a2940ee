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

from helpers.drive.mount import check_space, find_mount, look_up, make_folder, persist
from helpers.drive.transfer import DamagedSource, describe, hash_of, read_blocks, show_progress, transfer
from helpers.files import InputError, dated, parse_json, read_json, shown_path, write_json
from helpers.reporting import note

PUBLISHED = "published.json"  # in MyDrive
SEEN = ".mydrive.json"  # here: what the files were when they were last the same in MyDrive
one_at_a_time = threading.Lock()  # a training publishes in the background
STATE, WEIGHTS = "state.json", "epoch-*.weights.h5"  # of a training; the state names the weights that count
TRAINING = {"settings": dict, "log": list, "weights": str}  # what a state says of it
ENTRY = {"bytes": int, "modified": int, "sha256": str, "stored": str}  # of a file in MyDrive
LISTING_ATTEMPTS, PAUSE = 20, 0.05  # to find the folder unchanged; pause in seconds
HASH_LETTERS = 16
# How a file stands to that in MyDrive: made from it, or that from this one; else the later or the earlier.
SAME, AHEAD, BEHIND, LATER, EARLIER = "same", "ahead", "behind", "later", "earlier"


def publish_folder(folder, drive_folder, progress=show_progress):
    """Publish the finished files of one folder, subfolders left out; return how many were sent.

    Others may go on writing to it. `progress` as `transfer.show_progress`. Nothing in MyDrive is dropped but
    the weights of earlier epochs. InputError where it cannot be written to or, all else sent, holds newer.
    """
    folder, drive_folder = Path(folder), Path(drive_folder)
    mount = find_mount(drive_folder)
    with one_at_a_time, _open_files(folder) as files:
        seen = _load_seen(folder, drive_folder)
        if not (mine := _take_inventory(files, seen)):
            return 0
        theirs = _read_published(drive_folder, mount)
        standing = _compare(mine, theirs, seen)
        merged = _merge(mine, theirs, standing)
        same = {name: merged[name] for name in mine if standing[name] in (SAME, AHEAD, LATER)}
        jobs = [(files[name], drive_folder / entry["stored"], entry) for name, entry in same.items()]
        jobs = [job for job in jobs if not _is_stored(*job[1:], mount)]
        make_folder(drive_folder, mount)
        _copy_all(jobs, mount, f"{drive_folder.name} to MyDrive", progress)
        if _read_published(drive_folder, mount) != theirs:
            raise InputError(f"Another machine is publishing to {drive_folder}; wait for its end.")
        if merged != theirs:
            _commit(merged, theirs, drive_folder, mount)
        _save_seen(folder, drive_folder, seen, merged, same)
    earlier = sorted(name for name, how in standing.items() if how == EARLIER)
    if earlier:
        epochs = len(theirs[STATE]["training"]["log"]) if STATE in earlier else 0
        what = f"training of {epochs} epochs" if epochs else earlier[0]
        raise InputError(f"MyDrive holds a newer {what}; restart the notebook, which takes it from there.")
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
    content = {"files": _entries(merged), "training": merged.get(STATE, {}).get("training")}
    transfer(json.dumps(content, indent=1).encode(), drive_folder / PUBLISHED, mount)
    former, current = ({entry["stored"] for entry in side.values()} for side in (theirs, merged))
    with suppress(OSError):  # what is left over does no harm
        leftovers = [path.name for path in drive_folder.glob(".*.partial*")]
        for name in (former - current).union(leftovers):
            (drive_folder / name).unlink(missing_ok=True)


def restore_folder(drive_folder, folder):
    """Take what MyDrive holds of one folder, subfolders left out, where it is newer; return how many files.

    An earlier file here, or the whole folder of an earlier training, gets a dated name. After a stop at any
    moment the next call goes on. DamagedSource, before anything is changed, when MyDrive lacks a file.
    """
    folder, drive_folder = Path(folder), Path(drive_folder)
    drive_mount = find_mount(drive_folder)
    with one_at_a_time:
        theirs, seen = _read_published(drive_folder, drive_mount), _load_seen(folder, drive_folder)
        if not theirs:
            return 0
        with _open_files(folder) as files:
            mine = _take_inventory(files, seen)
        standing = _compare(mine, theirs, seen)
        aside = [folder / name for name in mine if standing[name] == EARLIER]
        if folder / STATE in aside:
            aside, seen, standing = [folder], {}, dict.fromkeys(theirs, BEHIND)
        newer = [name for name in theirs if standing[name] in (BEHIND, EARLIER)]
        newer.sort(key=lambda name: name.endswith(".json"))  # what says it is whole: last
        jobs = [(drive_folder / theirs[name]["stored"], folder / name, theirs[name]) for name in newer]
        for source, _, entry in jobs:
            if not _is_stored(source, entry, drive_mount):
                raise DamagedSource(
                    f"{source} is missing or damaged; look for it in MyDrive's bin, or delete {PUBLISHED} "
                    "beside it to do without what this folder held."
                )
        for path in aside:
            kept = path.with_name(dated(path.name))
            os.replace(path, kept)
            note(f"{shown_path(path)} is older than in MyDrive; kept as {kept.name}.")
        folder.mkdir(parents=True, exist_ok=True)
        _copy_all(jobs, find_mount(folder), f"{folder.name} from MyDrive", show_progress)
        same = {name: theirs[name] for name in theirs if standing[name] in (SAME, BEHIND, EARLIER)}
        _save_seen(folder, drive_folder, seen, theirs, same)
    return len(jobs)


def _is_stored(path, entry, mount):
    """Whether MyDrive has a file at its size."""
    status = look_up(path, mount)
    return status is not None and status.st_size == entry["bytes"]


def _read_published(drive_folder, mount):
    """Inventory of what MyDrive holds of a folder; empty where nothing was published yet."""
    path = drive_folder / PUBLISHED
    status = look_up(path, mount)
    if status is None:
        return {}
    published = parse_json(persist(path.read_bytes, path, mount)) if stat.S_ISREG(status.st_mode) else None
    if _has(published, {"files": dict}) and _are_entries(published["files"]):
        files, training = published["files"], published.get("training")
        if STATE not in files and training is None:
            return files
        if STATE in files and _is_training(training):
            return {**files, STATE: {**files[STATE], "training": training}}
    raise DamagedSource(f"{path} is damaged; bring back its earlier version in MyDrive.")


def _are_entries(files):
    """Whether content of JSON tells of files in MyDrive whose names lead nowhere but into their folder."""
    return all(
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
        is_whole = _has(seen, {"files": dict, "drive": str}) and _are_entries(seen["files"])
        if is_whole and seen["drive"] == os.path.abspath(drive_folder):
            return seen["files"]
    return {}


def _save_seen(folder, drive_folder, seen, there, same):
    """Remember the files that are the `same` here and `there`, in MyDrive; of others, what was known."""
    former = {name: entry for name, entry in seen.items() if name in there}
    files = _entries({**former, **same})
    write_json(folder / SEEN, {"drive": os.path.abspath(drive_folder), "files": files})


def _entries(inventory):
    """What is kept of an inventory's files."""
    return {name: {key: entry[key] for key in ENTRY} for name, entry in inventory.items()}


@contextmanager
def _open_files(folder):
    """Yield name → descriptor of all finished files of a folder, opened as they were at one moment.

    Finished files are replaced and never changed: an open one keeps its content while a training goes on.
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
    A state's entry has its training too. What `known` describes with equal size and time is not hashed again.
    """
    entries = {}
    for name, file in files.items():
        entry, former = describe(file), known.get(name, {})
        is_known = entry.items() <= former.items()
        entries[name] = {**entry, "sha256": former["sha256"] if is_known else hash_of(file)}
    for name in [name for name in files if name.endswith(".json")]:
        content = parse_json(b"".join(read_blocks(files[name])))
        claims = _claims(name, content, entries)
        if any(entries.get(other, {}).get("sha256") != sha256 for other, sha256 in claims.items()):
            for broken in (name, *claims):
                entries.pop(broken, None)
        elif name == STATE and STATE in entries:
            entries[STATE]["training"] = {key: content[key] for key in TRAINING}
    named = entries[STATE]["training"]["weights"] if STATE in entries else None
    return {name: entry for name, entry in entries.items() if name == named or not fnmatch(name, WEIGHTS)}


def _claims(name, content, entries):
    """Name → sha256 of the files that a JSON file speaks for: a training's state, a manifest and so on."""
    if content is None or (name == STATE and not _is_training(content)):
        return {name: None}  # no file has that: this one is not whole
    if name == STATE:
        return {content["weights"]: str(content.get("weights_sha256"))}
    with suppress(AttributeError, KeyError, TypeError):
        array = Path(name).with_suffix(".npy").name
        if "sha256" in content and array in entries:
            return {array: content["sha256"]}
        return {other: entry["sha256"] for other, entry in content["files"].items()}
    return {}


def _compare(mine, theirs, seen):
    """Name → how each file of the inventory here (`mine`) stands to that in MyDrive (`theirs`).

    A file was made from the other side's where that is as it was last `seen`; a training tells by its log.
    """
    standing = {}
    for name in mine | theirs:
        here, there, former = (side.get(name, {}).get("sha256") for side in (mine, theirs, seen))
        if here == there:
            standing[name] = SAME
        elif None in (here, there):
            standing[name] = AHEAD if here else BEHIND
        elif former in (here, there):
            standing[name] = AHEAD if former == there else BEHIND
        else:
            is_later = mine[name]["modified"] > theirs[name]["modified"]
            standing[name] = LATER if is_later else EARLIER
    trainings = [side.get(STATE, {}).get("training") for side in (mine, theirs)]
    if None in trainings or trainings[0] == trainings[1]:
        return standing
    differing = {name for name, how in standing.items() if how != SAME}
    on_both = mine.keys() & theirs.keys() | {training["weights"] for training in trainings}
    how = _compare_trainings(mine[STATE], theirs[STATE])
    return standing | dict.fromkeys(differing & on_both if how in (AHEAD, BEHIND) else differing, how)


def _compare_trainings(mine, theirs):
    """How a training stands to another one, by the entries of their states."""
    logs = [entry["training"]["log"] for entry in (mine, theirs)]
    ranks = [len(log) for log in logs]
    if mine["training"]["settings"] != theirs["training"]["settings"] or ranks[0] == ranks[1]:
        ranks, is_one = [mine["modified"], theirs["modified"]], False
    else:
        is_one = all(ours == others for ours, others in zip(*logs, strict=False))
    later, earlier = (AHEAD, BEHIND) if is_one else (LATER, EARLIER)
    return later if ranks[0] > ranks[1] else earlier


def _merge(mine, theirs, standing):
    """Inventory of MyDrive after publishing; each file's `stored` says what it is called there.

    What is later here takes the name, and MyDrive's gets a dated one; what is earlier here stays away.
    """
    merged = {
        dated(name) if standing[name] == LATER else name: entry
        for name, entry in theirs.items()
        if standing[name] != AHEAD
    }
    for name, entry in mine.items():
        if standing[name] in (AHEAD, LATER):
            stem, dot, suffixes = name.partition(".")
            merged[name] = {**entry, "stored": f"{stem}.{entry['sha256'][:HASH_LETTERS]}{dot}{suffixes}"}
    return merged
