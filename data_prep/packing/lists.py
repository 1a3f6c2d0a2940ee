"""CelebA's attribute and partition lists, official (.txt) or Kaggle's (.csv), matched to the images."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_prep.packing.sources import BadImage, is_image, read_listed
from helpers.files import InputError

ATTRIBUTE_COUNT = 40
ATTRIBUTE_CODES = {"1": 1, "-1": 0, "0": 0}
PARTITION_CODES = {"0": 0, "1": 1, "2": 2}  # train, valid, test
SPLIT_SEED = 0
VALID_SHARE = TEST_SHARE = 0.1


class ListFile(NamedTuple):
    """The text of a list, split in lines, and where it came from."""

    where: str
    lines: list
    separator: str | None  # as str.split takes it: None for white space
    sha256: str
    sure: bool  # given by the user or among the images; one that lies near may belong to others


class ForeignList(InputError):
    """A list names none of the images."""


def load_list(stem, given, source):
    """The `ListFile` at `given`, else the one found with the source or near it, or None for none."""
    if given is not None:
        return read_list(str(given), Path(given).expanduser().read_bytes, True)
    place = source.lists.get(stem)
    if place is None:
        return None
    zipped = isinstance(place, tuple)
    where, sure = (place[0], True) if zipped else (str(place), place.is_relative_to(source.path))
    return read_list(where, lambda: read_listed(source, place), sure)


def read_list(where, read, sure):
    """Read and split a list; InputError when it cannot be read or is no text."""
    try:
        data = read()
        lines = data.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"The list {where} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise InputError(f"The list {where} is not a text file.") from error
    except BadImage as error:
        raise InputError(f"The list {where} {error}.") from error
    if not lines:
        raise InputError(f"The list {where} is empty.")
    return ListFile(where, lines, "," if "," in lines[0] else None, hashlib.sha256(data).hexdigest(), sure)


def parse_attributes(table, names):
    """Attribute names, and int8 values 0/1 (n, 40) in the order of the image names; InputError if wrong."""
    header_lines = 1 if table.separator else 2
    header = table.lines[header_lines - 1] if len(table.lines) >= header_lines else ""
    columns = [name.strip() for name in header.split(table.separator)]
    columns = columns[1:] if table.separator else columns
    if len(set(columns)) != ATTRIBUTE_COUNT or any(is_image(name) or is_number(name) for name in columns):
        raise InputError(
            f"The attribute list {table.where} has a wrong header: line {header_lines} should name "
            f"{ATTRIBUTE_COUNT} attributes, it has {len(columns)} columns."
        )
    listed, values = parse_rows(table, header_lines, ATTRIBUTE_COUNT, ATTRIBUTE_CODES)
    if not table.separator:
        check_count(table, len(listed))
    return columns, align(table, names, listed, values).astype(np.int8)


def parse_partition(table, names):
    """Splits, uint8 (n,), in the order of the image names; InputError if the list is wrong."""
    header_lines = 1 if table.separator else 0
    if table.separator and is_image(table.lines[0].split(",")[0]):
        raise InputError(f"The partition list {table.where} lacks its header line image_id,partition.")
    listed, values = parse_rows(table, header_lines, 1, PARTITION_CODES)
    return align(table, names, listed, values)[:, 0]


def is_number(text):
    """Whether a word is a whole number, with or without a sign."""
    return text.lstrip("+-").isdigit()


def check_count(table, rows):
    """Raise InputError unless the list's first line says how many rows it has."""
    if table.lines[0].strip() != str(rows):
        raise InputError(
            f"The attribute list {table.where} says {table.lines[0].strip()[:40]!r} images in its first line "
            f"but has {rows:,} rows; download it again."
        )


def parse_rows(table, header_lines, columns, codes):
    """Names, and uint8 values (rows, columns), of the lines after the header; `codes`: text → value."""
    names, values = [], bytearray()
    for number, line in enumerate(table.lines[header_lines:], header_lines + 1):
        if not line.strip():
            continue
        name, *fields = line.rstrip().rsplit(table.separator, columns)
        if len(fields) != columns or not is_image(name):
            raise InputError(
                f"Line {number} of the list {table.where} is not an image name with {columns} value(s): "
                f"{line[:60]!r}."
            )
        try:
            values.extend([codes[field] for field in fields])
        except KeyError as error:
            raise InputError(
                f"Line {number} of the list {table.where} has the value {error.args[0]!r}; "
                f"possible are {', '.join(codes)}."
            ) from error
        names.append(name.strip())
    return names, np.frombuffer(values, np.uint8).reshape(-1, columns)


def align(table, names, listed, values):
    """Rows of `values` in the order of the image names; InputError for missing or doubled names.

    Where names differ in case or ending alone they are the same: the lists of CelebA's PNG version say .jpg.
    """
    rows = {name: row for row, name in enumerate(listed)}
    if len(rows) < len(listed):
        double = next(name for row, name in enumerate(listed) if rows[name] != row)
        raise InputError(f"The list {table.where} names {double} twice.")
    keys = names
    if any(name not in rows for name in names):
        plain_rows, plain_names = {plain(name): row for name, row in rows.items()}, [*map(plain, names)]
        if len(plain_rows) == len(rows) and len(set(plain_names)) == len(names):
            rows, keys = plain_rows, plain_names
    missing = [name for name, key in zip(names, keys, strict=True) if key not in rows]
    if missing:
        kind = ForeignList if len(missing) == len(names) else InputError
        raise kind(
            f"The list {table.where} misses {len(missing):,} of {len(names):,} images (first: {missing[0]}); "
            "give the list that belongs to these images."
        )
    return values[[rows[key] for key in keys]]


def plain(name):
    """An image's name without its ending, in small letters."""
    return name.rpartition(".")[0].lower()


def draw_splits(n):
    """Seeded split of n images: uint8 (n,), 80 % train (0), 10 % valid (1), 10 % test (2)."""
    splits = np.zeros(n, np.uint8)
    order = np.random.default_rng(SPLIT_SEED).permutation(n)
    valid, test = round(n * VALID_SHARE), round(n * TEST_SHARE)
    splits[order[:valid]] = 1
    splits[order[valid : valid + test]] = 2
    return splits
