"""Large files and whole workspaces between this machine and MyDrive: what arrives is whole, nothing is lost.

MyDrive is a network drive: work on it is slow and may fail at any moment, so data are copied to the machine's
own disk and results are published (COL-025, COL-026, COL-027). How a workspace lies in MyDrive is told in
`helpers.drive_folder`, what counts as newer in `helpers.exchange`.
"""

import json
import os
import stat
from pathlib import Path

from helpers import sources
from helpers.drive_folder import PUBLISHED, publish_folder, restore_folder
from helpers.exchange import OlderThanDrive, dated
from helpers.folder_archive import archive_source
from helpers.inventory import MANIFEST_SUFFIX
from helpers.mounts import check_space, find_mount, look_up, make_folder, persist, status_of
from helpers.reporting import note
from helpers.sources import bytes_source, file_source, hash_source, read_blocks
from helpers.transfer import DamagedSource, begin_copy, finish_copy, show_progress, transfer
from helpers.unfinished import drop_unfinished
from helpers.workspace import InputError, shown_path

OTHER_ARCHIVES = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z")


def publish(workspace, drive_folder):
    """Send what is whole and new in a workspace to `drive_folder`; return how many files were sent.

    Finished files only, in all subfolders. MyDrive's files are replaced by later versions of the same, never
    by older ones, and none is dropped but the weights of earlier epochs; what it holds newer is named and
    stays. Stopped at any moment, the next call goes on. InputError when MyDrive cannot be written to.
    """
    workspace, drive_folder = Path(workspace), Path(drive_folder)
    if not workspace.is_dir():
        raise InputError(f"There is no workspace {shown_path(workspace)}; run a notebook first.")
    find_mount(drive_folder)
    sent = 0
    for folder in _folders(workspace):
        try:
            sent += publish_folder(folder, drive_folder / folder.relative_to(workspace))
        except OlderThanDrive as error:
            note(f"{shown_path(folder)}: {error}")
    note(f"{sent} new files in MyDrive from {shown_path(workspace)}.")
    return sent


def restore(drive_folder, workspace, below=True):
    """Bring a workspace up to what was published in `drive_folder`; return how many files were taken.

    Without `below` its subfolders are left out. What is newer here stays; what has changed on both sides is
    kept, the older one under a dated name. Stopped at any moment, the next call goes on. Raises InputError
    when MyDrive is not there or does not answer and, after all that is whole was taken, DamagedSource for
    what is not.
    """
    workspace, drive_folder = Path(workspace), Path(drive_folder)
    mount = find_mount(drive_folder)
    there = look_up(drive_folder, mount)
    folders = (_folders(drive_folder) if below else [drive_folder]) if there else []
    taken, damaged = 0, []
    for folder in folders:
        if look_up(folder / PUBLISHED, mount):
            try:
                taken += restore_folder(folder, workspace / folder.relative_to(drive_folder))
            except DamagedSource as error:
                damaged.append(error)
    if taken or below:
        note(f"{taken} files taken from MyDrive into {shown_path(workspace)}.")
    if damaged:
        raise damaged[0]
    return taken


def _folders(root):
    """A folder and all folders below it, without those whose names begin with a dot."""

    def look():
        with os.scandir(root) as entries:
            below = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
        return sorted(entry.path for entry in below if not entry.name.startswith("."))

    return [root, *(folder for path in persist(look, root) for folder in _folders(Path(path)))]


def copy_verified(source, target):
    """Copy one large file, or a folder packed as one zip archive, to the file `target`; return its path.

    A `target` that is a folder takes the copy under the source's name. The copy grows in blocks under a
    temporary name, goes on after a kill, and gets its name when its size and its sha256, read back from the
    disk, are right; `<target>.manifest.json` then says so, and where the source has such a manifest, it must
    agree. What is there already is not copied again; a target that is newer than the source is set aside
    under a dated name. Errors that a network drive gets over are tried again; InputError in one sentence for
    all others, DamagedSource among them. Source: COL-025, COL-026, COL-027.
    """
    source, target = Path(source).expanduser(), Path(target).expanduser()
    origin, target = _open_origin(source, target)
    mount = find_mount(target.parent)
    make_folder(target.parent, mount)
    sha256 = persist(lambda: _present_sha256(origin, target), target, mount)
    if sha256:
        drop_unfinished(target)
        note(f"{shown_path(target)} is there already and whole.")
    else:
        sha256 = _copy(origin, target, mount, _claimed_sha256(source, origin))
    _write_manifest(origin, target, mount, sha256)
    return target


def _open_origin(source, target):
    """`Source` of what is to be copied, and the path of the file that it becomes."""
    status = look_up(source, find_mount(source))
    if status is None:
        raise InputError(f"There is no file or folder {source}; check its path.")
    is_folder = stat.S_ISDIR(status.st_mode)
    origin = archive_source(source) if is_folder else file_source(source)
    if persist(target.is_dir, target):
        target = target / origin.name
    if is_folder and target.suffix.lower() in OTHER_ARCHIVES:
        raise InputError(f"{source} is packed as a zip archive; give {target.name} the suffix .zip.")
    if target.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{target} lies in what is to be copied; choose a place outside it.")
    return origin, target


def _copy(origin, target, mount, expected):
    """Copy to a target that is not there yet or has another content; return the sha256."""
    persist(lambda: _make_way(origin, target), target, mount)
    copy = begin_copy(origin, target, mount)
    kept = min(len(copy.written) * sources.BLOCK_BYTES, origin.size)
    check_space(origin.size - kept, mount)
    with show_progress(target.name, origin.size, kept) as count:
        return finish_copy(copy, count, expected)


def _present_sha256(origin, target):
    """sha256 of a target that has the content of the source, by its manifest or byte by byte, else None."""
    status = status_of(target)
    if status is None or status.st_size != origin.size:
        return None
    manifest = _read_manifest(target) or {}
    known = {"bytes": status.st_size, "modified": status.st_mtime_ns, "source": origin.key}
    if known.items() <= manifest.items():
        return manifest["sha256"]
    return hash_source(file_source(target)) if _begin_alike(file_source(target), origin) else None


def _begin_alike(one, other):
    """Whether two sources are equal as far as both go."""
    pairs = zip(read_blocks(one), read_blocks(other), strict=False)
    return all(a[: len(b)] == b[: len(a)] for a, b in pairs)


def _make_way(origin, target):
    """Set the target aside unless it is older than the source, or the beginning of a copy of it."""
    _manifest_path(target).unlink(missing_ok=True)
    status = status_of(target)
    if status is None or status.st_mtime_ns <= origin.modified:
        return
    if status.st_size < origin.size and _begin_alike(file_source(target), origin):
        return
    aside = target.with_name(dated(target.name))
    os.replace(target, aside)
    note(f"{shown_path(target)} was newer than what is copied there; kept as {aside.name}.")


def _claimed_sha256(source, origin):
    """sha256 that the source's own manifest states, None without one; DamagedSource if the sizes differ."""
    manifest = persist(lambda: _read_manifest(source), source)
    if manifest and manifest["bytes"] != origin.size:
        raise DamagedSource(
            f"{source} has {origin.size:,} bytes instead of {manifest['bytes']:,}; copy it there anew, or "
            f"delete {_manifest_path(source).name} if you changed it yourself."
        )
    return manifest and manifest["sha256"]


def _manifest_path(path):
    """Path of the manifest of a file that was copied."""
    return path.with_name(f"{path.name}{MANIFEST_SUFFIX}")


def _read_manifest(path):
    """Manifest of a copied file, or None where there is none or it is none of ours."""
    try:
        manifest = json.loads(_manifest_path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and {"bytes", "sha256"} <= manifest.keys() else None


def _write_manifest(origin, target, mount, sha256):
    """Say that a copy is whole, unless that has been said."""
    status = persist(lambda: os.stat(target), target, mount)
    manifest = {
        "bytes": status.st_size,
        "sha256": sha256,
        "modified": status.st_mtime_ns,
        "source": origin.key,
    }
    if persist(lambda: _read_manifest(target), target, mount) != manifest:
        content = json.dumps(manifest, indent=1).encode()
        transfer(bytes_source("its manifest", content, status.st_mtime_ns), _manifest_path(target), mount)
