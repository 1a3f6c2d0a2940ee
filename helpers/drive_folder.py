"""One folder of a workspace: published to its counterpart in MyDrive, or restored from there.

In MyDrive every file has the start of its sha256 in its name, and published.json names those that count. It
is replaced last and in one step, so that a stop at any moment leaves the state before or the one after.
"""

import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from helpers.exchange import choose, dated, merge
from helpers.inventory import NOTHING, differs, open_files, take_inventory
from helpers.mounts import check_space, find_mount, look_up, make_folder, persist
from helpers.reporting import note
from helpers.sources import bytes_source, file_source, open_source
from helpers.transfer import DamagedSource, show_progress, transfer
from helpers.unfinished import drop_unfinished
from helpers.workspace import InputError, read_json, shown_path, write_json

PUBLISHED = "published.json"  # in MyDrive
SEEN = ".mydrive.json"  # here: what the files were when they were last the same in MyDrive
ATTEMPTS = 5  # to publish while another machine does
one_at_a_time = threading.Lock()  # a training publishes in the background


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
