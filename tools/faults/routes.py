"""What is attacked: commands, what each is given, what it leaves, and what the user gets of it.

All work in a folder `place`, whose MyDrive is a plain folder. What is slow and decides nothing here, flushing
to the disk and long pauses, is left out; blocks are small, so that there are moments between them.
"""

import json
import os
import random
import re
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_prep import prepare_celeba, synthetic_faces
from data_prep.packing import store
from helpers import colab, posts, study
from helpers.drive import copying, mount, results, transfer
from helpers.files import InputError, save_array, sha256_of, sha256_of_arrays, write_json
from helpers.latent import maps
from helpers.models.encoding import encode_variational, predict
from helpers.models.images import load_attributes, load_images
from helpers.models.networks import Autoencoder, VariationalAutoencoder

BLOCK_BYTES = 1 << 14
PHOTOS, FACES, STUDIED = 30, 320, 160
TINY = {"z_dim": 8, "filters": (2, 4, 4, 4)}
MAPPED = 100  # points of the t-SNE map
HOME = "results/synthetic-smoke"
RESULT = "result.json"  # what a study hands out, as sha256 sums
PROJECT_ZIP = "drive/MyDrive/latent_faces/latent_faces.zip"


class Route(NamedTuple):
    """A command to attack.

    make(place) puts what it is given there; run(place) is the command and returns its exit code;
    result(place): name → what the user gets, to be compared. kept: patterns of files whose content must be
    somewhere in `place` whatever happens. drive: the folder that stands for MyDrive, if any.
    """

    make: Callable
    run: Callable
    result: Callable
    kept: tuple = ()
    drive: str | None = None


def said_plainly(work):
    """Exit code of `work()`: 2 and the sentence for an InputError, as the project's commands do."""
    try:
        work()
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def digests(place, *patterns):
    """Path → sha256 of the files that the patterns find, but hidden ones."""
    files = [path for pattern in patterns for path in place.glob(pattern) if path.is_file()]
    return {str(path.relative_to(place)): sha256_of(path) for path in files if path.name[0] != "."}


def hurry():
    """Settings of this process, which is about to be the command."""
    os.fsync = lambda descriptor: None
    os.cpu_count = lambda: 1
    transfer.BLOCK_BYTES, mount.PAUSES = BLOCK_BYTES, (0.001,) * 24
    store.FLUSH_SECONDS = 0


def draw(place, count):
    """Draw synthetic faces by the command."""
    return synthetic_faces.main(["--out", str(place), "--count", str(count), "--seed", "3", "--workers", "1"])


def pack(source, out, *options):
    """Pack images by the command."""
    return prepare_celeba.main(["--images", str(source), "--out", str(out), "--workers", "1", *options])


def packed_result(place):
    """Files of a packed folder, and what its manifest says of them."""
    manifest = place / "packed" / "manifest.json"
    found = digests(place, "packed/*.npy", "packed/names.txt")
    if manifest.is_file():
        content = json.loads(manifest.read_text())
        found["manifest"] = [
            content["images"],
            content["splits"],
            content["files"],
            content["attribute_names"],
        ]
    return found


def take_photos(place):
    """A folder of photos."""
    draw(place / "drawn", PHOTOS)
    with zipfile.ZipFile(place / "drawn" / synthetic_faces.ARCHIVE) as archive:
        for name in archive.namelist():
            (place / "photos").mkdir(exist_ok=True)
            (place / "photos" / Path(name).name).write_bytes(archive.read(name))


def begin_study(place):
    """A workspace with faces, and with what another notebook has measured."""
    draw_studied = ["--out", str(place / HOME / "archive"), "--count", str(STUDIED), "--workers", "1"]
    synthetic_faces.main(draw_studied)
    posts.save_measurements(place / HOME, "01_other", {"other": 1.5}, {"other": "1"})


def work_on_study(place):
    """What notebooks do: images, two networks, z-points, features, a map, measurements."""
    os.environ["LATENT_FACES_RESULTS"] = str(place / "results")
    (place / RESULT).unlink(missing_ok=True)

    def work():
        run = study.open("04_faults", "smoke")
        autoencoder, log = run.train(Autoencoder, "autoencoder", **TINY)
        vae, vae_log = run.train(VariationalAutoencoder, "vae", noise_seed=1, **TINY)
        z = run.encode(autoencoder, "autoencoder", None)
        names = ("mu", "logvar", "z_vae")
        found = dict(zip(names, encode_variational(vae, run.batches(), run.home / "vae"), strict=True))
        found |= {"z": z, "images": load_images(run.images, np.arange(STUDIED))}
        found |= {f"rows {split}": run.rows(split) for split in ("train", "valid", "test")}
        found |= {"attributes": load_attributes(run.images)}
        found["map"] = maps.embed_all({"train": z[:MAPPED]}, run.home / "maps")["train"]
        found["features"] = predict(run.features(), found["images"][:8])
        run.record("radius", float(np.linalg.norm(z, axis=1).mean()), unit="1")
        run.close()
        told = {name: sha256_of_arrays([array]) for name, array in found.items()}
        told["losses"] = [[row["total_loss"], row["val_total_loss"]] for row in [*log, *vae_log]]
        told["measured"] = posts.read_json(run.home / posts.MEASUREMENTS_FILE)
        (place / RESULT).write_text(json.dumps(told))

    return said_plainly(work)


def study_result(place):
    """What the last study handed out."""
    path = place / RESULT
    return json.loads(path.read_text()) if path.exists() else {}


def epochs_done(place, but):
    """Whole epochs of the trainings below `place`, without the one in the folder of the path `but`."""
    done = 0
    for path in place.rglob("state.json"):
        if path.parent != but.parent and path.is_file() and path.stat().st_size:
            state = json.loads(path.read_text())
            done += len(state["log"]) if (path.parent / state["weights"]).exists() else 0
    return done


def epochs_trained(said):
    """Epochs that a command says it has trained."""
    return len(re.findall(r"^epoch +\d+/\d+ .*held out", said, re.MULTILINE))


def write_epoch(folder, epoch):
    """Weights, state and log of a training after an epoch, written as training does."""
    folder.mkdir(parents=True, exist_ok=True)
    for older in folder.glob("epoch-*.weights.h5"):
        older.unlink()
    weights = folder / f"epoch-{epoch:04d}.weights.h5"
    weights.write_bytes(random.Random(epoch).randbytes(3 * BLOCK_BYTES))
    log = [{"epoch": number + 1, "total_loss": 1.0} for number in range(epoch)]
    state = {
        "settings": {"seed": 1},
        "weights": weights.name,
        "weights_sha256": sha256_of(weights),
        "log": log,
    }
    write_json(folder / "state.json", state)


def fill(workspace, epoch):
    """A workspace after an epoch of its training."""
    write_epoch(workspace / "autoencoder", epoch)
    save_array(workspace / "maps" / "z.npy", np.arange(2000.0) + epoch)
    write_json(workspace / "maps" / "z.json", {"sha256": sha256_of(workspace / "maps" / "z.npy")})
    (workspace / "index.html").write_text(f"page {epoch}\n" * 50)


def drive_folder(place):
    """Where MyDrive keeps the workspace."""
    return place / "MyDrive" / "latent_faces" / "results" / "celeba-full"


def begin_publishing(place):
    """A workspace one epoch ahead of MyDrive."""
    fill(place / "vm", 3)
    drive_folder(place).mkdir(parents=True)
    results.publish(place / "vm", drive_folder(place))
    fill(place / "vm", 4)


def begin_restoring(place):
    """MyDrive one epoch ahead of a workspace."""
    begin_publishing(place)
    shutil.copytree(place / "vm", place / "ahead")
    fill(place / "vm", 3)
    results.publish(place / "ahead", drive_folder(place))
    shutil.rmtree(place / "ahead")


def published(place):
    """Name → sha256 of what MyDrive holds by its own account; it must be so."""
    found = {}
    for manifest in drive_folder(place).rglob("published.json"):
        for name, entry in json.loads(manifest.read_text())["files"].items():
            stored = manifest.parent / entry["stored"]
            whole = stored.is_file() and sha256_of(stored) == entry["sha256"]
            found[str(manifest.parent.relative_to(place) / name)] = entry["sha256"] if whole else "damaged"
    return found


def workspace_result(place):
    """Files of the workspace, and what else lies beside it: names that climb out would."""
    return digests(place, "vm/**/*") | {"beside": sorted(path.name for path in place.iterdir())}


def begin_copying(place):
    """A large file in MyDrive with its manifest, and an older one of that name here."""
    for folder in ("here", "MyDrive", "vm"):
        (place / folder).mkdir()
    (place / "here" / "data.zip").write_bytes(random.Random(1).randbytes(12 * BLOCK_BYTES + 5))
    copying.copy_verified(place / "here" / "data.zip", place / "MyDrive" / "data.zip")
    (place / "vm" / "data.zip").write_bytes(random.Random(2).randbytes(5 * BLOCK_BYTES))
    os.utime(place / "vm" / "data.zip", (1_600_000_000, 1_600_000_000))


def begin_colab(place):
    """MyDrive with the project's archive, an archive of photos, and a folder with lists."""
    mydrive = (place / PROJECT_ZIP).parent
    (mydrive / "celeba").mkdir(parents=True)
    with zipfile.ZipFile(place / PROJECT_ZIP, "w") as archive:
        archive.writestr("requirements.txt", "numpy>=1.0\n")
        for number in range(12):
            content = f"# {random.Random(number).randbytes(2000).hex()}\n"
            archive.writestr(zipfile.ZipInfo(f"helpers/module_{number}.py"), content)
    (mydrive / "photos.zip").write_bytes(random.Random(3).randbytes(5 * BLOCK_BYTES))
    for number in range(3):
        (mydrive / "celeba" / f"list_{number}.txt").write_text(f"{number}\n" * 3000)


def start_colab(place):
    """What the first cell of a notebook runs."""
    os.chdir(place)
    colab.project_root = lambda: place / PROJECT_ZIP
    return colab.main()


def publish(place):
    """Publish the workspace; what is not in MyDrive is said, and no reason to stop a notebook."""
    return said_plainly(lambda: results.publish(place / "vm", drive_folder(place)))


def restore(place):
    """Bring the workspace up to MyDrive, folder by folder, as notebooks do."""
    pairs = [(drive_folder(place) / name, place / "vm" / name) for name in ("", "autoencoder", "maps")]
    return max([said_plainly(lambda pair=pair: results.restore_folder(*pair)) for pair in pairs])


def copy(place):
    """Copy a large file from MyDrive."""
    source, target = place / "MyDrive" / "data.zip", place / "vm" / "data.zip"
    return said_plainly(lambda: copying.copy_verified(source, target))


ROUTES = {
    "faces": Route(
        make=lambda place: None,
        run=lambda place: draw(place / "drawn", 60),
        result=lambda place: digests(place, "drawn/*"),
    ),
    "pack": Route(
        make=lambda place: draw(place / "drawn", FACES),
        run=lambda place: pack(place / "drawn", place / "packed"),
        result=packed_result,
        kept=("drawn/*",),
    ),
    "photos": Route(
        make=take_photos,
        run=lambda place: pack(place / "photos", place / "packed", "--crop", "0"),
        result=packed_result,
        kept=("photos/*",),
    ),
    "study": Route(begin_study, work_on_study, study_result, ("results/**/*.weights.h5",)),
    "publish": Route(begin_publishing, publish, published, ("vm/**/*",), "MyDrive"),
    "restore": Route(begin_restoring, restore, workspace_result, ("MyDrive/**/*",), "MyDrive"),
    "copy": Route(
        begin_copying, copy, lambda place: digests(place, "vm/data.zip"), ("MyDrive/*",), "MyDrive"
    ),
    "colab": Route(
        begin_colab,
        start_colab,
        lambda place: digests(
            place, "latent_faces/**/*.zip", "latent_faces/**/*.txt", "latent_faces/**/*.py"
        ),
        ("drive/**/*",),
        "drive/MyDrive",
    ),
}
