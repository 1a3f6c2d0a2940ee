"""Zip archives of images: checked, and their entries read in place."""

import os
import re
import struct
import zipfile
import zlib

import numpy as np

from data_prep.image_files import MAX_FILE_BYTES, BadImage, is_junk
from helpers.workspace import InputError

ZIP_ENTRY = np.dtype(
    [("offset", "i8"), ("packed", "i8"), ("size", "i8"), ("crc", "u4"), ("method", "u2"), ("flags", "u2")]
)


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
            raise InputError(f"{path} holds {name} twice; make the archive anew")
        files[name] = info
    return files


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


def check_entry_path(archive, name):
    """Raise InputError when the path of a zip entry is absolute or climbs out of the archive's folder."""
    if name.startswith("/") or re.match("[A-Za-z]:", name) or ".." in name.split("/"):
        raise InputError(f"{archive} holds the path {name!a}, which leads out of its folder; do not trust it")


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
