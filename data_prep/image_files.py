"""Which files are images or CelebA's lists, under which names, and when one image is bad."""

import re
from pathlib import PurePosixPath

from helpers.workspace import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
LIST_NAMES = tuple(
    f"{stem}{suffix}" for stem in ("list_attr_celeba", "list_eval_partition") for suffix in (".txt", ".csv")
)
JUNK_FOLDERS = {"__MACOSX", "@eaDir"}  # written by macOS and by Synology; hidden names are junk too
MAX_FILE_BYTES = 256 << 20  # no photo is larger; an entry that declares more is a bomb or damaged
UNUSABLE_CHARACTERS = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")  # break names.txt


class BadImage(ValueError):
    """One image cannot be used; the message says why, as the end of a sentence that begins with its name."""


def is_image(path):
    """Whether a path ends as an image that is read here."""
    return path.lower().endswith(IMAGE_SUFFIXES)


def is_junk(path):
    """Whether a relative path belongs to the operating system and not to the user's images."""
    return any(part.startswith(".") or part in JUNK_FOLDERS for part in path.split("/"))


def is_list(path):
    """Whether a path is named as one of CelebA's lists."""
    return PurePosixPath(path).name in LIST_NAMES


def image_names(path, files):
    """Path of the folder that all images among `files` share, and their sorted names relative to it."""
    paths = sorted(filter(is_image, files))
    if not paths:
        raise InputError(f"{path} holds no JPEG or PNG images ({len(files)} other files)")
    for name in paths:
        if UNUSABLE_CHARACTERS.search(name):
            raise InputError(f"The file name {name!a} in {path} holds control characters; rename it")
    shared = paths[0].rfind("/") + 1
    while not paths[-1].startswith(paths[0][:shared]):  # what the first and last share, all between them do
        shared = paths[0].rfind("/", 0, shared - 1) + 1
    return paths[0][:shared], [name[shared:] for name in paths]
