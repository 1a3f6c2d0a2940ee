"""Files are written whole or not at all, and are known by their sha256."""

import hashlib
import json
import os
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

READ_CHUNK_BYTES = 1 << 20
READ_ROWS = 8192  # of an array that are read at once


class InputError(ValueError):
    """What the user gave cannot be used; the message is one sentence for them: what, where, what to do."""


@contextmanager
def written_whole(target):
    """Yield a temporary path beside `target`; on success it is flushed to disk and renamed to `target`.

    When the block raises, the temporary file is removed and `target` stays as it was. After a
    crash a `.partial` file may be left behind; the next writer of the same target replaces it.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    name, *suffixes = target.name.split(".")
    temporary = target.with_name(".".join(["", name, "partial", *suffixes]))
    try:
        yield temporary
        flush_to_disk(temporary)
        os.replace(temporary, target)
        flush_to_disk(target.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def flush_to_disk(path):
    """Ask the operating system to put a file, or the names in a folder, on disk (fsync)."""
    path = Path(path)
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder; its rename is already durable enough
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path, content):
    """Write `content` as indented JSON, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_json(path):
    """Content of a JSON file, or None where there is no such file."""
    path = Path(path)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def save_array(path, array):
    """Write an array as .npy, whole or not at all."""
    with written_whole(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array, allow_pickle=False)


def keep_arrays(targets, identity, make):
    """See to it that the .npy files `targets` are there whole; load them by `load_array`.

    Unless they are, `make()` yields their content piece by piece: lists of one array per target, whose rows
    go beneath those of the piece before. Only one piece is in memory at a time. `identity`: what decides the
    content, a dict for JSON. It is kept beside each file (.json) with the file's sha256; files of another
    identity are made anew.
    """
    labels = {target: target.with_suffix(".json") for target in map(Path, targets)}
    if all(target.exists() and read_json(labels[target]) == _label(target, identity) for target in labels):
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
    """Write a .npy file per array of each piece; the header with the number of rows comes last."""
    n, piece = 0, None
    for piece in pieces:
        for file, array in zip(files, piece, strict=True):
            if not n:
                _write_header(file, array, n)
            file.write(np.ascontiguousarray(array).data)
        n += len(piece[0])
    for file, array in zip(files, piece, strict=True):
        _write_header(file, array, n)


def _write_header(file, array, n):
    """Write the header of a .npy file of n rows like those of `array`: as many bytes for every n."""
    file.seek(0)
    header = np.lib.format.header_data_from_array_1_0(np.ascontiguousarray(array))
    np.lib.format.write_array_header_1_0(file, {**header, "shape": (n, *array.shape[1:])})


def load_array(path, rows=None):
    """Array of a .npy file, or only its `rows` (row numbers, in this order).

    The file is mapped anew for each few rows: pages of a mapping count as memory of the process.
    """
    if rows is None:
        return np.load(path, allow_pickle=False)
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    chosen = np.empty((len(rows), *array.shape[1:]), array.dtype)
    for start in range(0, len(rows), READ_ROWS):
        piece = slice(start, start + READ_ROWS)
        chosen[piece] = np.load(path, mmap_mode="r", allow_pickle=False)[rows[piece]]
    return chosen


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
