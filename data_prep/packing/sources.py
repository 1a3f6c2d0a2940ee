"""Images as people have them, a zip archive or a folder: found and read in place, never unpacked."""

import hashlib
import os
import re
import struct
import zipfile
import zlib
from collections import Counter
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import features

from helpers.files import InputError

OFFICIAL_ARCHIVE = "img_align_celeba.zip"
FORMATS = {"JPEG": (".jpg", ".jpeg", ".jfif"), "PNG": (".png",)}  # as Pillow calls them
if features.check("webp"):
    FORMATS["WEBP"] = (".webp",)
if find_spec("pillow_heif"):  # not among the requirements
    FORMATS["HEIF"] = (".heic", ".heif")
IMAGE_SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
FACE_FOLDERS = ("img_align_celeba", "img_align_celeba_png", "CelebA-HQ-img")  # where there are others too
MASK_FOLDER = "mask-anno"  # CelebAMask-HQ-mask-anno: regions of faces in black and white
LIST_NAME = re.compile(
    r"(list_attr_celeba|list_eval_partition)(?:\.txt|\.csv)?(?: ?\(\d+\))?\.(?:txt|csv)", re.IGNORECASE
)  # also as browsers and editors name it: "list_attr_celeba (1).txt", "list_attr_celeba.txt.txt"
JUNK = {"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini"}  # of macOS, Synology, Windows; hidden names too
DRAWN_TIME = (2015, 9, 28, 0, 0, 0)  # of all entries in an archive of synthetic faces
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
    lists: dict  # stem of a CelebA list's name → its path, or in a zip archive (name, ZIP_ENTRY)
    identity: dict  # JSON: tells this source from others, the same wherever it lies
    stamp: str | None  # of a folder: changes where photos may have been edited; a zip has checksums
    passed: Counter  # ending of file names → how many files are no images of faces
    synthetic: bool  # the faces that data_prep.synthetic_faces has drawn


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
    """The zip archive in `folder`, at any depth, that is meant by it; None: the images lie there unpacked."""
    archives = [name for name in files if name.lower().endswith(".zip")]
    official = [name for name in archives if PurePosixPath(name).name.lower() == OFFICIAL_ARCHIVE]
    if official:
        return folder / min(official, key=lambda name: (name.count("/"), name))
    if not archives or any(map(is_image, files)):
        return None
    if len(archives) > 1:
        raise InputError(f"{folder} holds {len(archives)} zip archives; give --images the one that is meant.")
    return folder / archives[0]


@contextmanager
def open_reader(source):
    """Yield a function: index of an image → the bytes of its file; the function raises BadImage.

    InputError where the disk is at fault: with a lost drive, photos must not look damaged one by one.
    """
    zipped = source.identity["kind"] == "zip"

    def read(index):
        try:
            return read_entry(file, source.entries[index].item()) if zipped else read_photo(source, index)
        except PermissionError as error:
            raise BadImage(f"cannot be read ({error.strerror})") from error
        except OSError as error:
            raise InputError(
                f"{source.names[index]} in {source.path} cannot be read ({error.strerror or error}); see "
                "that its disk or drive is there, then start again."
            ) from error

    with source.path.open("rb") if zipped else nullcontext() as file:
        yield read


def read_listed(source, place):
    """Bytes of the list at this place of `source.lists`; raises OSError or BadImage."""
    if isinstance(place, Path):
        return place.read_bytes()
    with source.path.open("rb") as file:
        return read_entry(file, place[1])


def image_names(path, files):
    """Path of the folder that all images of faces share, their sorted names relative to it; the other files.

    The other files are counted by their ending (a Counter); CelebA's lists are not among them.
    """
    paths = faces_among(path, files)
    others = set(files).difference(paths)
    passed = Counter(PurePosixPath(name).suffix.lower() or name for name in others if not list_stem(name))
    if not paths:
        others = describe_passed(passed) or "no other files"
        raise InputError(f"{path} holds no {' or '.join(FORMATS)} images of faces ({others}).")
    for name in paths:
        if UNUSABLE_CHARACTERS.search(name):
            raise InputError(f"The file name {name!a} in {path} holds control characters; rename it.")
    shared = paths[0].rfind("/") + 1
    while not paths[-1].startswith(paths[0][:shared]):  # what the first and last share, all between them do
        shared = paths[0].rfind("/", 0, shared - 1) + 1
    return paths[0][:shared], [name[shared:] for name in paths], passed


def faces_among(path, files):
    """Sorted paths of the images of faces; where CelebA's aligned ones lie beside others, of those alone."""
    images = sorted(name for name in files if is_image(name) and MASK_FOLDER not in f"{path.name}/{name}")
    for folder in FACE_FOLDERS:
        if aligned := [name for name in images if f"/{folder}/" in f"/{name}"]:
            return aligned
    return images


def describe_passed(passed):
    """How many files of which kind are passed over, and what some of them need."""
    ordered = sorted(passed.items(), key=lambda item: (-item[1], item))
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in ordered)
    heic = passed[".heic"] + passed[".heif"]
    return kinds + " (pip install pillow-heif, and .heic is read)" * bool(heic)


def is_image(path):
    """Whether a path ends as an image that is read here."""
    return path.lower().endswith(IMAGE_SUFFIXES)


def is_junk(path):
    """Whether a relative path belongs to the operating system and not to the user's images."""
    return any(part.startswith(".") or part in JUNK for part in path.split("/"))


def list_stem(path):
    """'list_attr_celeba' or 'list_eval_partition' where a path is named as such a list, else None."""
    found = LIST_NAME.fullmatch(PurePosixPath(path).name)
    return found and found[1].lower()


def pick_lists(places):
    """Stem → place of CelebA's lists among `places` (path → place): text before CSV, a right name first."""
    ranked = sorted(
        filter(list_stem, places), key=lambda path: (path[-4:].lower() == ".txt", "(" not in path)
    )
    return {list_stem(path): places[path] for path in ranked}  # the last one of a stem stays


def lists_in(folder):
    """CelebA's lists in a folder, or where the official download has them, in Anno and Eval within it."""
    found = [path for place in ("Anno", "Eval", ".") for path in (folder / place).glob("[lL][iI][sS][tT]_*")]
    return pick_lists({str(path): path for path in found if path.is_file()})


def lists_above(folder):
    """CelebA's lists one or two folders above `folder`; the nearer goes first."""
    return {stem: place for level in folder.parents[1::-1] for stem, place in lists_in(level).items()}


def fingerprint(names, *columns):
    """Sha256 of all names and of arrays that describe the files (sizes, checksums)."""
    digest = hashlib.sha256("\n".join(names).encode())
    for column in columns:
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def folder_source(root, files):
    """Source of images that lie unpacked in a folder, at any depth."""
    shared, names, passed = image_names(root, files)
    sizes, times = np.array([files[shared + name] for name in names], np.int64).T
    identity = {
        "kind": "folder",
        "name": root.name,
        "bytes": int(sizes.sum()),
        "entries": len(names),
        "fingerprint": fingerprint(names, sizes),
    }
    lists = lists_above(root) | pick_lists({path: root / path for path in files})
    drawn, stamp = was_drawn(root), fingerprint([], times)
    return ImageSource(root, shared, names, sizes, lists, identity, stamp, passed, drawn)


def was_drawn(folder):
    """Whether a folder, or the one above it, holds the factors that synthetic faces were drawn from."""
    return any((place / "factors.npy").exists() for place in (folder, folder.parent))


def list_folder(root):
    """Relative POSIX path → size in bytes and time of change in ns of each file under a folder, without junk.

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
                    status = entry.stat()
                    files[name] = status.st_size, status.st_mtime_ns
    return files


def check_link(root, name):
    """Raise InputError when a symbolic link leads out of the folder `root`."""
    if not (root / name).resolve().is_relative_to(root):
        raise InputError(f"{name} in {root} is a link that leads out of the folder; copy the file into it.")


def read_photo(source, index):
    """Bytes of an image file in a folder; BadImage when it is huge."""
    if source.entries[index] > MAX_FILE_BYTES:
        raise BadImage(f"has {source.entries[index]:,} bytes, too many for an image")
    return (source.path / (source.shared + source.names[index])).read_bytes()


def zip_source(path):
    """Source of the images in a zip archive.

    Only six numbers an entry are kept: 200,000 `ZipInfo` objects would take 150 MB.
    """
    with path.open("rb") as file:
        files = list_archive(path, file)
    shared, names, passed = image_names(path, files)
    entries = np.array([zip_entry(files[shared + name]) for name in names], ZIP_ENTRY)
    identity = {
        "kind": "zip",
        "name": path.name,
        "bytes": path.stat().st_size,
        "entries": len(names),
        "fingerprint": fingerprint(names, entries["size"], entries["crc"]),
    }
    folder = path.resolve().parent
    inside = pick_lists({name: (name, zip_entry(info)) for name, info in files.items() if list_stem(name)})
    lists = lists_above(folder) | inside | lists_in(folder)
    ends = files[shared + names[0]], files[shared + names[-1]]
    synthetic = was_drawn(folder) or all(info.date_time == DRAWN_TIME for info in ends)
    return ImageSource(path, shared, names, entries, lists, identity, None, passed, synthetic)


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
    file.seek(offset)
    header = file.read(30)
    if len(header) == 30:
        file.seek(sum(struct.unpack("<HH", header[26:])), os.SEEK_CUR)  # name and extra field
    return file.read(count)


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
