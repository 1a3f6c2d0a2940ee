"""Small real archives for the tests of preparation, and the command line run as its users run it."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
FINAL_NAMES = ("images.npy", "attributes.npy", "splits.npy", "names.txt", "manifest.json")
ATTRIBUTES = [f"Attribute_{number}" for number in range(40)]


def encode(image, kind="JPEG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture(seed, width=178, height=218):
    """A smooth random colour image."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def jpegs(count, **size):
    """File name → JPEG bytes."""
    return {f"{number + 1:06d}.jpg": encode(picture(number, **size)) for number in range(count)}


def attribute_values(count):
    return np.random.default_rng(7).choice([-1, 1], (count, 40))


def lists_txt(names):
    """CelebA's two lists for these names in their official form; the last tenths are valid and test."""
    names = sorted(names)
    rows = [
        f"{name} {' '.join(f'{value:2d}' for value in row)}"
        for name, row in zip(names, attribute_values(len(names)), strict=True)
    ]
    return {
        "list_attr_celeba.txt": "\n".join([str(len(names)), " ".join(ATTRIBUTES) + " ", *rows]) + "\n",
        "list_eval_partition.txt": "".join(
            f"{name} {split}\n" for name, split in zip(names, partition(len(names)), strict=True)
        ),
    }


def lists_csv(names):
    """The same lists in Kaggle's form."""
    names = sorted(names)
    rows = [
        ",".join([name, *map(str, row)])
        for name, row in zip(names, attribute_values(len(names)), strict=True)
    ]
    splits = [f"{name},{split}" for name, split in zip(names, partition(len(names)), strict=True)]
    return {
        "list_attr_celeba.csv": "\n".join([",".join(["image_id", *ATTRIBUTES]), *rows]) + "\n",
        "list_eval_partition.csv": "\n".join(["image_id,partition", *splits]) + "\n",
    }


def partition(count):
    return [0 if row < 0.8 * count else 1 if row < 0.9 * count else 2 for row in range(count)]


def write_zip(path, files, folder="img_align_celeba/", method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(folder + name, data)
    return path


def write_folder(path, files):
    for name, data in files.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def official(folder, files):
    """The official download: archive with one folder, lists beside it; returns the archive's path."""
    write_folder(folder, lists_txt(files))
    return write_zip(folder / "img_align_celeba.zip", files)


def command(images, out, *options):
    return [
        sys.executable,
        "-m",
        "data_prep.prepare_celeba",
        "--images",
        str(images),
        "--out",
        str(out),
        *map(str, options),
    ]


def run(images, out, *options):
    return subprocess.run(
        command(images, out, *options), cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def result(folder):
    """File name → bytes of everything under a final name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}
