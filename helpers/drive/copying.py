"""Large files between this machine and MyDrive, which is too slow to work on. Source: COL-025 to COL-027."""

import json
import os
import stat
from itertools import zip_longest
from pathlib import Path

from helpers.drive.mount import check_space, find_mount, look_up, make_folder, persist, status_of
from helpers.drive.transfer import describe, drop_partial, hash_of, read_blocks, show_progress, transfer
from helpers.files import InputError, dated, parse_json, shown_path
from helpers.reporting import note


def copy_verified(source, target):
    """Copy one large file, or a folder packed as one zip archive, to the file `target`; return its path.

    A `target` that is a folder takes the copy under the source's name. The copy grows under a temporary name
    and gets its own when its sha256, read back from the disk, is right; `<target>.manifest.json` then says
    so, and where the source has such a manifest, it must agree. What is there already is not copied again; a
    target that is newer than the source is set aside under a dated name. Errors that a network drive gets
    over are tried again; InputError for all others, DamagedSource among them. Source: COL-025 to COL-027.
    """
    source = Path(os.path.abspath(Path(source).expanduser()))
    target = _find_place(source, Path(target).expanduser())
    origin, mount = describe(source), find_mount(target.parent)
    make_folder(target.parent, mount)
    sha256 = persist(lambda: _make_way(source, origin, target), target, mount)
    if sha256:
        drop_partial(target)
        note(f"{shown_path(target)} is there already and whole.")
    else:
        expected = persist(lambda: _read_manifest(source), source).get("sha256")
        persist(lambda: _manifest_path(target).unlink(missing_ok=True), target, mount)
        check_space(origin["bytes"], mount)
        with show_progress(target.name, origin["bytes"]) as count:
            sha256 = transfer(source, target, mount, count, expected)
    manifest = {**persist(lambda: _stamp(target), target, mount), "sha256": sha256, "source": origin}
    if persist(lambda: _read_manifest(target), target, mount) != manifest:
        transfer(json.dumps(manifest, indent=1).encode(), _manifest_path(target), mount)
    return target


def _find_place(source, target):
    """Path of the file that a source becomes; InputError where it cannot become that."""
    status = look_up(source, find_mount(source))
    if status is None:
        raise InputError(f"There is no file or folder {source}; check its path.")
    is_folder = stat.S_ISDIR(status.st_mode)
    if persist(target.is_dir, target):
        target = target / (f"{source.name}.zip" if is_folder else source.name)
    if is_folder and target.suffix.lower() not in (".zip", ""):
        raise InputError(f"{source} is packed as a zip archive; give {target.name} the suffix .zip.")
    if target.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{target} lies in what is to be copied; choose a place outside it.")
    return target


def _make_way(source, origin, target):
    """sha256 of a target with the source's content; None for others, of which a newer one is set aside.

    Unless it is the beginning of a copy. Its content is told by its manifest, or block by block.
    """
    if (status := status_of(target)) is None:
        return None
    manifest, is_equal, is_beginning = _read_manifest(target), True, True
    if {**_stamp(target), "source": origin}.items() <= manifest.items():
        return manifest["sha256"]
    for ours, theirs in zip_longest(read_blocks(source), read_blocks(target), fillvalue=b""):
        is_equal, is_beginning = is_equal and ours == theirs, ours.startswith(theirs)
        if not is_beginning:
            break
    if is_equal:
        return hash_of(target)
    if not is_beginning and status.st_mtime_ns > origin["modified"]:
        aside = target.with_name(dated(target.name))
        os.replace(target, aside)
        note(f"{shown_path(target)} was newer than what is copied there; kept as {aside.name}.")
    return None


def _stamp(path):
    """What changes when a file does, even where its size and time are kept."""
    status = os.stat(path)
    times = {"modified": status.st_mtime_ns, "changed": status.st_ctime_ns}
    return {"bytes": status.st_size, **times, "inode": status.st_ino}


def _manifest_path(path):
    return path.with_name(f"{path.name}.manifest.json")


def _read_manifest(path):
    """Manifest of a copied file; empty where there is none or it is none of ours."""
    path = _manifest_path(path)
    manifest = parse_json(path.read_bytes()) if status_of(path) else None
    return manifest if isinstance(manifest, dict) and isinstance(manifest.get("sha256"), str) else {}
