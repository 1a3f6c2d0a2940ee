"""Images as people have them, a zip archive or a folder: found and read in place, never unpacked."""

import hashlib
import os
import re
import struct
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from helpers.files import InputError

OFFICIAL_ARCHIVE = "img_align_celeba.zip"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
LIST_NAMES = tuple(
    f"{stem}{suffix}" for stem in ("list_attr_celeba", "list_eval_partition") for suffix in (".txt", ".csv")
)
JUNK_FOLDERS = {"__MACOSX", "@eaDir"}  # written by macOS and by Synology; hidden names are junk too
MAX_FILE_BYTES = 256 << 20  # no photo is larger; an entry that declares more is a bomb or damaged
UNUSABLE_CHARACTERS = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")  # break names.txt
ZIP_ENTRY = np.dtype(
    [("offset", "i8"), ("packed", "i8"), ("size", "i8"), ("crc", "u4"), ("method", "u2"), ("flags", "u2")]
)


class ImageSource(NamedTuple):
    """Where images lie, as plain data that other processes can be given."""

    path: Path  # zip archive or folder
    shared: str  # path in it of the folder that all images share, with a closing '/', or ''
    names: list  # of the images, sorted, relative to that folder
    entries: np.ndarray  # for each image: ZIP_ENTRY, or in a folder its size in bytes
    lists: dict  # file name of a CelebA list → its path, or in a zip archive its entry (a tuple)
    identity: dict  # JSON: tells this source from others, the same wherever it lies


class BadImage(ValueError):
    """One image cannot be used; the message says why, as the end of a sentence that begins with its name."""


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
            f"{path} cannot be read ({error.strerror}); give --images a zip archive or a folder."
        ) from error


def archive_in(folder, files):
    """The zip archive at the top of `folder` that is meant by it, or None: the images lie there unpacked."""
    if OFFICIAL_ARCHIVE in files:
        return folder / OFFICIAL_ARCHIVE
    archives = [name for name in files if name.lower().endswith(".zip") and "/" not in name]
    if not archives or any(map(is_image, files)):
        return None
    if len(archives) > 1:
        raise InputError(f"{folder} holds {len(archives)} zip archives; give --images the one that is meant.")
    return folder / archives[0]


@contextmanager
def open_reader(source):
    """Yield a function: index of an image → the bytes of its file; the function raises BadImage."""
    if source.identity["kind"] == "zip":
        with source.path.open("rb") as file:
            yield lambda index: read_entry(file, source.entries[index].item())
    else:
        yield lambda index: read_photo(source, index)


def read_listed(source, name):
    """Bytes of one of the source's lists; raises OSError or BadImage."""
    place = source.lists[name]
    if isinstance(place, Path):
        return place.read_bytes()
    with source.path.open("rb") as file:
        return read_entry(file, place)


def image_names(path, files):
    """Path of the folder that all images among `files` share, and their sorted names relative to it."""
    paths = sorted(filter(is_image, files))
    if not paths:
        raise InputError(f"{path} holds no JPEG or PNG images ({len(files)} other files).")
    for name in paths:
        if UNUSABLE_CHARACTERS.search(name):
            raise InputError(f"The file name {name!a} in {path} holds control characters; rename it.")
    shared = paths[0].rfind("/") + 1
    while not paths[-1].startswith(paths[0][:shared]):  # what the first and last share, all between them do
        shared = paths[0].rfind("/", 0, shared - 1) + 1
    return paths[0][:shared], [name[shared:] for name in paths]


def is_image(path):
    """Whether a path ends as an image that is read here."""
    return path.lower().endswith(IMAGE_SUFFIXES)


def is_junk(path):
    """Whether a relative path belongs to the operating system and not to the user's images."""
    return any(part.startswith(".") or part in JUNK_FOLDERS for part in path.split("/"))


def is_list(path):
    """Whether a path is named as one of CelebA's lists."""
    return PurePosixPath(path).name in LIST_NAMES


def lists_beside(folder):
    """CelebA's lists in a folder, or where the official download has them: in Anno and Eval beside it."""
    places = (folder, folder.parent / "Anno", folder.parent / "Eval")
    return {name: place / name for place in places for name in LIST_NAMES if (place / name).is_file()}


def fingerprint(names, *columns):
    """Sha256 of all names and of arrays that describe the files (sizes, checksums)."""
    digest = hashlib.sha256("\n".join(names).encode())
    for column in columns:
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


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
        raise InputError(f"{name} in {root} is a link that leads out of the folder; copy the file into it.")


def read_photo(source, index):
    """Bytes of an image file in a folder; BadImage when it is huge or cannot be read."""
    if source.entries[index] > MAX_FILE_BYTES:
        raise BadImage(f"has {source.entries[index]:,} bytes, too many for an image")
    try:
        return (source.path / (source.shared + source.names[index])).read_bytes()
    except OSError as error:
        raise BadImage(f"cannot be read ({error.strerror})") from error


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


def list_archive(path, file):
    """Path inside a zip archive → its `ZipInfo`, junk and folders left out; InputError for a bad archive."""
    try:
        infos = zipfile.ZipFile(file).infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError) as error:
        raise InputError(describe_no_zip(path, file)) from error
    if any(info.header_offset < 0 for info in infos):
        raise InputError(describe_no_zip(path, file))
    files = {}
    for info in infos:
        name = info.filename.replace("\\", "/").removeprefix("./")
        check_entry_path(path, name)
        if info.is_dir() or is_junk(name):
            continue
        if name in files:
            raise InputError(f"{path} holds {name} twice; make the archive anew.")
        files[name] = info
    return files


def check_entry_path(archive, name):
    """Raise InputError when the path of a zip entry is absolute or climbs out of the archive's folder."""
    if name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in name.split("/"):
        raise InputError(
            f"{archive} holds the path {name!a}, which leads out of its folder; do not trust it."
        )


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


def read_entry(file, entry):
    """Bytes of the entry with these ZIP_ENTRY values; BadImage if it is encrypted, huge or damaged."""
    offset, packed, size, checksum, method, flags = entry
    if flags & 1:
        raise BadImage("is encrypted; make an archive without a password")
    if max(packed, size) > MAX_FILE_BYTES:
        raise BadImage(f"declares {max(packed, size):,} bytes, too many for an image")
    data = read_packed(file, offset, packed)
    if method == zipfile.ZIP_DEFLATED:
        data = inflate(data, size)
    elif method != zipfile.ZIP_STORED:
        raise BadImage("is packed by a rare zip method; make the archive with deflate or store")
    if len(data) != size or zlib.crc32(data) != checksum:
        raise BadImage("is damaged in the archive (its checksum differs); download the archive again")
    return data


def read_packed(file, offset, count):
    """At most `count` bytes of the entry whose local header begins at `offset`, still packed."""
    try:
        file.seek(offset)
        header = file.read(30)
        if len(header) == 30:
            file.seek(sum(struct.unpack("<HH", header[26:])), os.SEEK_CUR)  # name and extra field
        return file.read(count)
    except OSError as error:
        raise BadImage(f"cannot be read ({error.strerror})") from error


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
            "at its end is missing or damaged; download it again (CelebA's own has 1,443,490,838 bytes)."
        )
    return f"{path} is not a zip archive; give --images a zip archive or the unpacked folder."


def describe_page(path, text):
    """Say which web page was saved under the name of an archive."""
    if "google drive" not in text and "drive.google" not in text:
        return f"{path} is a web page (HTML), not a zip archive; download the archive itself."
    page = "quota" if "quota" in text or "too many users" in text else "virus scan"
    return (
        f"{path} is Google Drive's {page} page (HTML), not a zip archive; open the Drive link in a browser "
        "where you are signed in, or copy the file to your own Drive, or use Kaggle's mirror."
    )
