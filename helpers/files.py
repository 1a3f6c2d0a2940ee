"""Files are written whole or not at all, and are known by their sha256."""

import errno
import hashlib
import json
import os
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from io import BytesIO
from pathlib import Path

import numpy as np

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
LOCK_PAUSE = 0.5  # seconds between two looks at a lock that another process holds
READ_CHUNK_BYTES = 1 << 20


class InputError(ValueError):
    """What the user gave cannot be used; the message is one sentence for them: what, where, what to do."""


@contextmanager
def written_whole(target):
    """Yield a temporary path beside `target`; on success it is flushed to disk and renamed to `target`.

    When the block raises, the temporary file is removed and `target` stays as it was. After a
    crash a `.partial` file may be left behind; the next writer of the same target replaces it.
    Raises InputError where the disk is full, or a folder has the target's name.
    """
    target = Path(target)
    if target.is_dir():
        raise InputError(f"{shown_path(target)} is a folder where a file is to be; rename or delete it.")
    target.parent.mkdir(parents=True, exist_ok=True)
    name, *suffixes = target.name.split(".")
    temporary = target.with_name(".".join(["", name, "partial", *suffixes]))
    try:
        yield temporary
        flush_to_disk(temporary)
        os.replace(temporary, target)
        flush_to_disk(target.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if getattr(error, "errno", None) not in FULL:
            raise
        raise InputError(
            f"No space left for {shown_path(target)}; make room on its disk and run the same again, what was "
            "whole before is kept."
        ) from error


def flush_to_disk(path):
    """Ask the operating system to put a file, or the names in a folder, on disk (fsync)."""
    if not (is_folder := os.path.isdir(path)) or os.name != "nt":  # Windows cannot open a folder
        descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path, content):
    """Write `content` as indented JSON, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_json(path, kind=object, keys=(), remedy="delete it and run the same again"):
    """Content of a JSON file, or None where there is no such file.

    Raises InputError, with the `remedy`, where the content is no JSON, no `kind`, or lacks one of `keys`.
    """
    path = Path(path)
    if not path.exists():
        return None
    content = parse_json(path.read_bytes()) if path.is_file() else None
    if content is None or not isinstance(content, kind) or any(key not in content for key in keys):
        raise InputError(f"{shown_path(path)} is damaged; {remedy}.")
    return content


def parse_json(content):
    """What bytes say as JSON; None where they are none, as a file that is cut off."""
    with suppress(ValueError, RecursionError):
        return json.loads(content)
    return None


def save_array(path, array):
    """Write an array as .npy, whole or not at all; it is in memory twice."""
    content = BytesIO()  # into a file numpy would write by itself, and tell of a full disk in words only
    np.save(content, array, allow_pickle=False)
    with written_whole(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def keep_arrays(targets, identity, make):
    """See to it that the .npy files `targets` are there whole; load them by `load_array`.

    Unless they are, `make()` yields their content piece by piece: lists of one array per target, whose rows
    go beneath those of the piece before; one piece is in memory at a time. `identity`, what decides the
    content, is a dict for JSON. It is kept beside each file (.json); files of another one are made anew.
    """
    labels = {target: target.with_suffix(".json") for target in map(Path, targets)}
    with suppress(InputError, OSError):
        if all(read_json(label) == _label(target, identity) for target, label in labels.items()):
            return
    with ExitStack() as stack:
        partial_files = [stack.enter_context(written_whole(target)) for target in labels]
        _write_pieces([stack.enter_context(open(path, "wb")) for path in partial_files], make())
    for target, label in labels.items():
        write_json(label, _label(target, identity))


def _label(target, identity):
    """What is kept beside a file of this identity."""
    return {**identity, "sha256": sha256_of(target)}


def _write_pieces(files, pieces):
    """Write a .npy file per array of each piece; a header has as many bytes for every number of rows."""
    n = 0
    for piece in pieces:
        n += len(piece[0])
        for file, array in zip(files, map(np.ascontiguousarray, piece), strict=True):
            header = np.lib.format.header_data_from_array_1_0(array)
            file.seek(0)
            np.lib.format.write_array_header_1_0(file, {**header, "shape": (n, *array.shape[1:])})
            file.seek(0, os.SEEK_END)
            file.write(array.data)


def load_array(path, rows=None):
    """Array of a .npy file, or only its `rows` (numbers, in this order); InputError where it is damaged."""
    try:
        array = np.load(path, mmap_mode=None if rows is None else "r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"{shown_path(path)} is damaged; delete it and run the same again.") from error
    return array if rows is None else array[rows]


def sha256_of_arrays(arrays):
    """Hexadecimal sha256 of the content of several arrays in memory, without their shapes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).view(np.uint8))
    return digest.hexdigest()


def sha256_of(path):
    """Hexadecimal sha256 of a file, read in chunks of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(READ_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_once(path):
    """`sha256_of` a large file, kept beside it while the file's size, times and inode stay what they are."""
    path = Path(path)
    kept, status = path.with_name(f".{path.name}.sha256.json"), path.stat()
    stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    with suppress(InputError, OSError):
        known = read_json(kept, dict, ("stamp", "sha256"))
        if known and known["stamp"] == stamp:
            return known["sha256"]
    digest = sha256_of(path)
    with suppress(InputError, OSError):  # a folder that can only be read: the next look hashes again
        write_json(kept, {"stamp": stamp, "sha256": digest})
    return digest


def dated(name):
    """Name for what is set aside now, to the microsecond so that no other has it."""
    return f"{name}.{datetime.now():%Y%m%d-%H%M%S-%f}"


@contextmanager
def locked(path, wait):
    """Hold the lock of the file `path`; it ends with the block or, however it ends, with the process.

    Where another process holds it, `wait()` is called once, which may raise, and the lock waited for.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        while not _lock(file):
            wait()
            wait = bool
            time.sleep(LOCK_PAUSE)
        yield


def _lock(file):
    """Lock an open and empty file until it is closed; False where another holds it."""
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # some network drives know no locks
        pass
    return True


def project_root():
    """Folder that holds helpers/, notebooks/ and results/."""
    return Path(__file__).resolve().parents[1]


def shown_path(path):
    """Path as shown to people: relative to the project where it lies inside, never absolute."""
    path = Path(path).resolve()
    for base in (project_root(), Path.cwd()):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    return path.name
