"""What a folder of a workspace holds whole at one moment, while others may be writing there.

An inventory is a dict, as JSON: `files`, name → bytes, modified (ns since 1970) and sha256, and `training`,
None or settings, log and the name of the weights of the training that the folder holds.
"""

import json
import os
import time
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatch
from pathlib import Path

from helpers.sources import hash_source, open_source
from helpers.workspace import InputError, shown_path

STATE, WEIGHTS = "state.json", "epoch-*.weights.h5"  # of a training; the state names the weights that count
TRAINING = ("settings", "log", "weights")  # what a state says of it
MANIFEST_SUFFIX = ".manifest.json"  # of the file beside one that was copied
NOTHING = {"files": {}, "training": None}
ATTEMPTS, PAUSE = 20, 0.05  # to find the folder unchanged; pause in seconds


@contextmanager
def open_files(folder):
    """Yield name → open file of all finished files of a folder, as they were at one moment.

    Finished files are replaced by renaming and never changed, so an open one keeps its content while a
    training goes on.
    """
    for _ in range(ATTEMPTS):
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
