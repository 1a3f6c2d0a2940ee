"""Damage to one file between two runs. Those that a copy or a restore can do keep size and time."""

import json
import os
import shutil
from contextlib import contextmanager

import numpy as np


@contextmanager
def time_kept(path):
    """Give a file its old time back."""
    status = path.stat()
    yield
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def flip(path, rng):
    """One bit is another; size and time stay."""
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    with time_kept(path):
        path.write_bytes(data)


def digit(path, rng):
    """One digit is another; size and time stay."""
    data = bytearray(path.read_bytes())
    place = rng.choice([number for number, byte in enumerate(data) if chr(byte).isdigit()])
    data[place] = rng.choice([other for other in b"0123456789" if other != data[place]])
    with time_kept(path):
        path.write_bytes(data)


def cut(path, rng):
    """The end is missing."""
    os.truncate(path, rng.randrange(1, path.stat().st_size))


def empty(path, rng):
    """Nothing is left in it."""
    os.truncate(path, 0)


def delete(path, rng):
    """It is gone."""
    path.unlink()


def folder(path, rng):
    """A folder has its name."""
    path.unlink()
    path.mkdir()


def other(path, rng):
    """It is another data set's, of the same size and time: rows or lines in another order."""
    with time_kept(path):
        if path.suffix == ".npy":
            array = np.load(path)
            with path.open("r+b") as file:
                np.save(file, np.roll(array[::-1], rng.randrange(1, len(array)), axis=0))
        else:
            lines = path.read_bytes().splitlines(keepends=True)
            path.write_bytes(b"".join(rng.sample(lines, len(lines))))


def brackets(path, rng):
    """It holds the JSON of an empty list."""
    path.write_text("[]\n")


def braces(path, rng):
    """It holds the JSON of an empty object."""
    path.write_text("{}\n")


def key(path, rng):
    """One key, or entry, of the JSON is missing."""
    content = json.loads(path.read_text())
    content.pop(rng.choice(sorted(content)) if isinstance(content, dict) else 0)
    path.write_text(json.dumps(content, indent=1))


def page(path, rng):
    """A web page was saved under its name."""
    path.write_text("<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>\n")


def stranger(path, rng):
    """A training's state names the whole weights of another folder."""
    state = json.loads(path.read_text())
    found = next(iter(path.parent.with_name("vae").glob("epoch-*.weights.h5")))
    theirs = json.loads(found.with_name("state.json").read_text())
    state |= {"weights": f"../vae/{found.name}", "weights_sha256": theirs["weights_sha256"]}
    path.write_text(json.dumps(state, indent=1))


def climb(path, rng):
    """A name in what MyDrive holds leads out of the workspace."""
    content = json.loads(path.read_text())
    name = rng.choice(sorted(content["files"]))
    content["files"][f"../../outside-{name}"] = content["files"].pop(name)
    path.write_text(json.dumps(content, indent=1))


def edit(path, rng):
    """The user gives another one: another photo of as many bytes, a list with one value changed."""
    if path.suffix == ".txt":
        lines = path.read_text().splitlines()
        lines[-1] = lines[-1][:-1] + {"1": "0", "0": "1", "2": "1"}[lines[-1][-1]]
        path.write_text("\n".join(lines) + "\n")
        return
    size = path.stat().st_size
    shutil.copyfile(max(path.parent.glob("*.jpg"), key=lambda p: (p != path, -p.stat().st_size)), path)
    with path.open("ab") as file:  # what follows the end of a JPEG is no part of the picture
        file.write(bytes(max(size - path.stat().st_size, 0)))
