"""Which of two inventories of the same folder, here and in MyDrive, is newer file by file.

`mine`, `theirs` and `seen` are inventories (see `helpers.inventory`): of the folder here, of its counterpart
in MyDrive, and of what the files here were when they were last the same in MyDrive. A file replaces the one
that it was made from; where both sides have changed, the newer one keeps the name, and the older one goes on
under a dated name.
"""

from datetime import datetime

from helpers.inventory import STATE, differs
from helpers.workspace import InputError

HASH_LETTERS = 16


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
