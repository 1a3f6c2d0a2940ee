"""Images as people have them, a zip archive or a folder: found, checked and read in place, never unpacked."""

import hashlib
import os
import re
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from helpers.workspace import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
LIST_NAMES = tuple(
    f"{stem}{suffix}" for stem in ("list_attr_celeba", "list_eval_partition") for suffix in (".txt", ".csv")
)
OFFICIAL_ARCHIVE = "img_align_celeba.zip"
JUNK_FOLDERS = {"__MACOSX", "@eaDir"}  # written by macOS and by Synology; hidden names are junk too
MAX_FILE_BYTES = 256 << 20  # no photo is larger; an entry that declares more is a bomb or damaged
UNUSABLE_CHARACTERS = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")  # break names.txt
ZIP_ENTRY = np.dtype(
    [("offset", "i8"), ("packed", "i8"), ("size", "i8"), ("crc", "u4"), ("method", "u2"), ("flags", "u2")]
)


class BadImage(ValueError):
    """One image cannot be used; the message says why, as the end of a sentence that begins with its name."""


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
    try:
        files = list_folder(path) if path.is_dir() else None
        archive = archive_in(path, files) if files is not None else path
        if archive is None:
            yield folder_source(path.resolve(), files)
        else:
            with archive.open("rb") as file:
                yield zip_source(archive, file)
    except FileNotFoundError as error:
        raise InputError(
            f"{error.filename} does not exist; give --images a zip archive or a folder"
        ) from error
    except PermissionError as error:
        raise InputError(f"{error.filename} may not be read; check its permissions") from error


def is_image(path):
    """Whether a path ends as an image that is read here."""
    return path.lower().endswith(IMAGE_SUFFIXES)


def is_junk(path):
    """Whether a relative path belongs to the operating system and not to the user's images."""
    return any(part.startswith(".") or part in JUNK_FOLDERS for part in path.split("/"))


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


def image_names(path, files):
    """Sorted paths of the images among `files`, and the same without the folder that they share."""
    paths = sorted(filter(is_image, files))
    if not paths:
        raise InputError(f"{path} holds no JPEG or PNG images ({len(files)} other files)")
    for name in paths:
        if UNUSABLE_CHARACTERS.search(name):
            raise InputError(f"The file name {name!a} in {path} holds control characters; rename it")
    shared = paths[0].rfind("/") + 1
    while not paths[-1].startswith(paths[0][:shared]):  # what the first and last share, all between them do
        shared = paths[0].rfind("/", 0, shared - 1) + 1
    return paths, [name[shared:] for name in paths]


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


def is_list(path):
    """Whether a path is named as one of CelebA's lists."""
    return PurePosixPath(path).name in LIST_NAMES


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
        return read_entry(file, lock, table[index])

    def list_reader(info):
        entry = np.array(zip_entry(info), ZIP_ENTRY)
        return lambda: read_entry(file, lock, entry)

    lists = {PurePosixPath(name).name: list_reader(files[name]) for name in files if is_list(name)}
    return ImageSource(path, names, read, lists | lists_beside(path.resolve().parent), identity)


def zip_entry(info):
    """What reading an entry needs, in the order of ZIP_ENTRY."""
    return (
        info.header_offset,
        info.compress_size,
        info.file_size,
        info.CRC,
        info.compress_type,
        info.flag_bits,
    )


def list_archive(path, file):
    """Path inside a zip archive → its `ZipInfo`, junk and folders left out; InputError for a bad archive."""
    try:
        infos = zipfile.ZipFile(file).infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError) as error:
        raise InputError(describe_no_zip(path, file)) from error
    files = {}
    for info in infos:
        name = info.filename.replace("\\", "/")
        check_entry_path(path, name)
        if info.is_dir() or is_junk(name):
            continue
        if name in files:
            raise InputError(f"{path} holds {name} twice; make the archive anew")
        files[name] = info
    return files


def check_entry_path(archive, name):
    """Raise InputError when the path of a zip entry is absolute or climbs out of the archive's folder."""
    if name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in name.split("/"):
        raise InputError(f"{archive} holds the path {name!a}, which leads out of its folder; do not trust it")


def read_entry(file, lock, entry):
    """Bytes of one zip entry; BadImage when it is encrypted, absurdly large, cut off or damaged."""
    packed, size = int(entry["packed"]), int(entry["size"])
    if entry["flags"] & 1:
        raise BadImage("is encrypted; make an archive without a password")
    if max(packed, size) > MAX_FILE_BYTES:
        raise BadImage(f"declares {max(packed, size):,} bytes, too many for an image")
    with lock:
        file.seek(int(entry["offset"]))
        header = file.read(30)
        if len(header) == 30:
            file.seek(sum(struct.unpack("<HH", header[26:])), os.SEEK_CUR)  # name and extra field
        data = file.read(packed)
    if entry["method"] == zipfile.ZIP_DEFLATED:
        data = inflate(data, size)
    elif entry["method"] != zipfile.ZIP_STORED:
        raise BadImage("is packed by a rare zip method; make the archive with deflate or store")
    if len(data) != size or zlib.crc32(data) != entry["crc"]:
        raise BadImage("is damaged in the archive (its checksum differs); download the archive again")
    return data


def inflate(data, size):
    """At most `size` + 1 bytes of raw deflate data."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
    except zlib.error as error:
        raise BadImage("is damaged in the archive; download the archive again") from error


def describe_no_zip(path, file):
    """Say what a file is that cannot be opened as a zip archive, and what to do."""
    file.seek(0)
    start = file.read(1 << 16)
    text = start.decode("utf-8", "ignore").lower()
    if "<html" in text or "<!doctype html" in text:
        return describe_page(path, text)
    if start.startswith(b"PK\x03\x04"):
        return (
            f"{path} is cut off: its {path.stat().st_size:,} bytes begin as a zip archive, but the directory "
            "at its end is missing or damaged; download it again (CelebA's own has 1,443,490,838 bytes)"
        )
    return f"{path} is not a zip archive; give --images a zip archive or the unpacked folder"


def describe_page(path, text):
    """Say which web page was saved under the name of an archive."""
    if "google drive" not in text and "drive.google" not in text:
        return f"{path} is a web page (HTML), not a zip archive; download the archive itself"
    page = "quota" if "quota" in text or "too many users" in text else "virus scan"
    return (
        f"{path} is Google Drive's {page} page (HTML), not a zip archive; open the Drive link in a browser "
        "where you are signed in, or copy the file to your own Drive, or use Kaggle's mirror"
    )
