"""Images as people have them, a zip archive or a folder: found and read in place, never unpacked."""

import hashlib
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from data_prep.image_files import (
    LIST_NAMES,
    MAX_FILE_BYTES,
    BadImage,
    image_names,
    is_image,
    is_junk,
    is_list,
)
from data_prep.zip_archives import ZIP_ENTRY, list_archive, read_entry, zip_entry
from helpers.workspace import InputError

OFFICIAL_ARCHIVE = "img_align_celeba.zip"


class ImageSource(NamedTuple):
    """A zip archive or folder of images, open for reading."""

    path: Path
    names: list  # sorted; relative to the folder that all images share
    read: Callable  # index into names → bytes of that image file; raises BadImage
    lists: dict  # file name of a CelebA list → function that returns its bytes
    identity: dict  # JSON: tells this source from others, the same wherever it lies


@contextmanager
def open_source(images):
    """Yield the `ImageSource` of a zip archive, of a folder of images, or of a folder that holds such a zip.

    Raises InputError when there is nothing usable.
    """
    path = Path(images).expanduser()
    with ExitStack() as stack:
        try:
            source = find_source(path, stack)
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror}); give --images a zip archive or a folder"
            ) from error
        yield source


def find_source(path, stack):
    """The `ImageSource` at a path; a file that it keeps open is closed with the ExitStack `stack`."""
    archive = path
    if path.is_dir():
        files = list_folder(path)
        archive = archive_in(path, files)
        if archive is None:
            return folder_source(path.resolve(), files)
    return zip_source(archive, stack.enter_context(archive.open("rb")))


def archive_in(folder, files):
    """The zip archive at the top of `folder` that is meant by it, or None: the images lie there unpacked."""
    if OFFICIAL_ARCHIVE in files:
        return folder / OFFICIAL_ARCHIVE
    archives = [name for name in files if name.lower().endswith(".zip") and "/" not in name]
    if not archives or any(map(is_image, files)):
        return None
    if len(archives) > 1:
        raise InputError(f"{folder} holds {len(archives)} zip archives; give --images the one that is meant")
    return folder / archives[0]


def fingerprint(names, *columns):
    """Sha256 of all names and of arrays that describe the files (sizes, checksums)."""
    digest = hashlib.sha256("\n".join(names).encode())
    for column in columns:
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def lists_beside(folder):
    """CelebA's lists in a folder, or where the official download has them: in Anno and Eval beside it."""
    places = (folder, folder.parent / "Anno", folder.parent / "Eval")
    found = (place / name for place in places for name in LIST_NAMES if (place / name).is_file())
    return {path.name: path.read_bytes for path in found}


def list_folder(root):
    """Relative POSIX path → size in bytes of each file under a folder, junk left out.

    Raises InputError for a symbolic link that leads out of the folder.
    """
    root = root.resolve()
    files, folders = {}, [""]
    while folders:
        folder = folders.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                name = folder + entry.name
                if is_junk(entry.name):
                    continue
                if entry.is_symlink():
                    check_link(root, name)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name + "/")
                elif entry.is_file():
                    files[name] = entry.stat().st_size
    return files


def check_link(root, name):
    """Raise InputError when a symbolic link leads out of the folder `root`."""
    if not (root / name).resolve().is_relative_to(root):
        raise InputError(f"{name} in {root} is a link that leads out of the folder; copy the file into it")


def folder_source(root, files):
    """Source of images that lie unpacked in a folder, at any depth."""
    paths, names = image_names(root, files)
    sizes = np.array([files[path] for path in paths])
    lists = {PurePosixPath(path).name: (root / path).read_bytes for path in files if is_list(path)}
    identity = {
        "kind": "folder",
        "name": root.name,
        "bytes": int(sizes.sum()),
        "entries": len(names),
        "fingerprint": fingerprint(names, sizes),
    }

    def read(index):
        if sizes[index] > MAX_FILE_BYTES:
            raise BadImage(f"has {sizes[index]:,} bytes, too many for an image")
        try:
            return (root / paths[index]).read_bytes()
        except OSError as error:
            raise BadImage(f"cannot be read ({error.strerror})") from error

    return ImageSource(root, names, read, lists_beside(root.parent) | lists, identity)


def zip_source(path, file):
    """Source of the images in a zip archive that is open for reading.

    Only five numbers an entry are kept: 200,000 `ZipInfo` objects would take 150 MB.
    """
    files = list_archive(path, file)
    paths, names = image_names(path, files)
    table = np.array([zip_entry(files[name]) for name in paths], ZIP_ENTRY)
    lock = threading.Lock()
    identity = {
        "kind": "zip",
        "name": path.name,
        "bytes": path.stat().st_size,
        "entries": len(names),
        "fingerprint": fingerprint(names, table["size"], table["crc"]),
    }

    def read(index):
        return read_entry(file, lock, table[index].item())

    def list_reader(info):
        return lambda: read_entry(file, lock, zip_entry(info))

    lists = {PurePosixPath(name).name: list_reader(files[name]) for name in files if is_list(name)}
    return ImageSource(path, names, read, lists | lists_beside(path.resolve().parent), identity)
