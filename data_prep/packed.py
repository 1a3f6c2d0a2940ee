"""The packed images on disk: which files they are, and whether they are whole."""

from pathlib import Path

from helpers.workspace import InputError, read_json, sha256_of

IMAGES, ATTRIBUTES, SPLITS, NAMES = "images.npy", "attributes.npy", "splits.npy", "names.txt"
MANIFEST = "manifest.json"
SETTINGS = ("crop", "size", "limit", "source", "lists")  # the parts of a manifest that tell results apart


def load_manifest(folder):
    """Manifest (a dict) of packed images; InputError when there is none, or it is damaged."""
    path = Path(folder) / MANIFEST
    try:
        manifest = read_json(path)
    except ValueError as error:
        raise InputError(f"{path} is damaged; delete it and prepare the images again") from error
    if manifest is None:
        raise InputError(
            f"{folder} holds no packed images; make them with python -m data_prep.prepare_celeba --images "
            f"ARCHIVE --out {folder}"
        )
    return manifest


def check_packed(folder, hashes=False):
    """Manifest of packed images whose files all have the right size, with `hashes` also the right sha256.

    Raises InputError that names the first file that is missing or differs.
    """
    manifest = load_manifest(folder)
    for name, expected in manifest["files"].items():
        path = Path(folder) / name
        size = path.stat().st_size if path.is_file() else None
        if size != expected["bytes"] or (hashes and sha256_of(path) != expected["sha256"]):
            raise InputError(f"{path} is missing or not as {MANIFEST} says; prepare the images again")
    return manifest


def find_whole(folder, settings, skip_bad):
    """Manifest of a whole result that was made with these settings, or None."""
    try:
        manifest = check_packed(folder)
    except InputError:
        return None
    same = all(manifest.get(key) == settings[key] for key in SETTINGS)
    return manifest if same and (skip_bad or not manifest["skipped"]) else None
