"""Images as people have them, a zip archive or a folder: found and read in place, never unpacked."""

import hashlib
import os
from contextlib import contextmanager
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
    """Where images lie, as plain data that other processes can be given."""

    path: Path  # zip archive or folder
    shared: str  # path in it of the folder that all images share, with a closing '/', or ''
    names: list  # of the images, sorted, relative to that folder
    entries: np.ndarray  # for each image: ZIP_ENTRY, or in a folder its size in bytes
    lists: dict  # file name of a CelebA list → its path, or in a zip archive its entry (a tuple)
    identity: dict  # JSON: tells this source from others, the same wherever it lies


def find_source(images):
    """The `ImageSource` of a zip archive, of a folder of images, or of a folder that holds such a zip.

    Raises InputError when there is nothing usable.
    """
    path = Path(images).expanduser()
    try:
        if not path.is_dir():
            return zip_source(path)
        files = list_folder(path)
        archive = archive_in(path, files)
        return zip_source(archive) if archive else folder_source(path.resolve(), files)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); give --images a zip archive or a folder"
        ) from error


@contextmanager
def open_reader(source):
    """Yield a function: index of an image → the bytes of its file; the function raises BadImage."""
    if source.identity["kind"] == "zip":
        with source.path.open("rb") as file:
            yield lambda index: read_entry(file, source.entries[index].item())
    else:
        yield lambda index: read_photo(source, index)


def read_photo(source, index):
    """Bytes of an image file in a folder; BadImage when it is huge or cannot be read."""
    if source.entries[index] > MAX_FILE_BYTES:
        raise BadImage(f"has {source.entries[index]:,} bytes, too many for an image")
    try:
        return (source.path / (source.shared + source.names[index])).read_bytes()
    except OSError as error:
        raise BadImage(f"cannot be read ({error.strerror})") from error


def read_listed(source, name):
    """Bytes of one of the source's lists; raises OSError or BadImage."""
    place = source.lists[name]
    if isinstance(place, Path):
        return place.read_bytes()
    with source.path.open("rb") as file:
        return read_entry(file, place)


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
    return {name: place / name for place in places for name in LIST_NAMES if (place / name).is_file()}


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
    shared, names = image_names(root, files)
    sizes = np.array([files[shared + name] for name in names])
    identity = {
        "kind": "folder",
        "name": root.name,
        "bytes": int(sizes.sum()),
        "entries": len(names),
        "fingerprint": fingerprint(names, sizes),
    }
    lists = {PurePosixPath(path).name: root / path for path in files if is_list(path)}
    return ImageSource(root, shared, names, sizes, lists_beside(root.parent) | lists, identity)


def zip_source(path):
    """Source of the images in a zip archive.

    Only six numbers an entry are kept: 200,000 `ZipInfo` objects would take 150 MB.
    """
    with path.open("rb") as file:
        files = list_archive(path, file)
    shared, names = image_names(path, files)
    entries = np.array([zip_entry(files[shared + name]) for name in names], ZIP_ENTRY)
    identity = {
        "kind": "zip",
        "name": path.name,
        "bytes": path.stat().st_size,
        "entries": len(names),
        "fingerprint": fingerprint(names, entries["size"], entries["crc"]),
    }
    lists = {PurePosixPath(name).name: zip_entry(files[name]) for name in files if is_list(name)}
    return ImageSource(path, shared, names, entries, lists | lists_beside(path.resolve().parent), identity)
