"""Train the networks that come with the project: `python -m tools.train_networks [NAME ...]`.

They learn synthetic faces, for hours on two cores; interrupted, a training goes on after its last epoch. What
is whole goes into helpers/trained: a folder for each network, as `training.fit` leaves one, but with
weights in float16 and without the optimizer, and README.md with a card of each.
"""

import sys
from dataclasses import replace
from tempfile import TemporaryDirectory

import h5py
import keras
import numpy as np

from helpers import latent, study
from helpers.files import read_json, sha256_of, write_json, written_whole
from helpers.models import encoding, images, training
from helpers.models.networks import AttributeClassifier, VariationalAutoencoder
from helpers.scores import explained_variance_share

EPOCHS = {"autoencoder": 9, "classifier": 4}
SHARE = 0.95  # of a cloud's variance that the directions counted hold
DRAWN = "synthetic_faces.json"  # what settles the faces, beside their archive
SHOWN = {  # in the table of README.md, from the card of each network
    "epochs": "{}",
    "steps": "{:,}",
    "held-out loss": "{:,.4g}",
    "explained variance": "{:.4f}",
    "directions with 95 %": "{}",
    "mean radius": "{:.2f}",
    "attributes told rightly": "{:.4f}",
    "changed by float16": "{:.0e}",
    "at most": "{:.0e}",
}
TEXT = """# Networks that come with the project

Trained by `python -m tools.train_networks` on synthetic faces, which are drawn by the project itself: its
licence, MIT, holds for them as well. Of {count:,} faces (seed {seed}, version {drawing_version} of the
drawing) {rows:,} were trained on, in batches of 128 with Adam's step size 0.0005.

{table}

Losses are nats per image, the classifier's nats per attribute. Explained variance, directions, radius and
attributes told rightly are those of {fresh:,} faces of seed 1, which no network has seen; of a VAE its mu is
taken. *Changed by float16*: what rounding the weights changes in a pixel (0 to 1) of their reconstructions,
of the classifier in a probability: root of the mean square, and the largest of all. The file state.json of
each folder has the settings, the losses of all epochs, this card and the sha256 of the weights, which is
checked whenever they are loaded.
"""


def main(names):
    """Train, keep and describe the networks of these names, all when none is given."""
    if unknown := [name for name in names if name not in EPOCHS]:
        sys.exit(f"There is no network {', '.join(unknown)}; there are {', '.join(EPOCHS)}.")
    fresh, run = (study.open("train_networks", profile) for profile in ("quick", "posts"))
    run.profile = replace(run.profile, trained=False, lesson_images=None)
    for name in names or EPOCHS:
        run.profile = replace(run.profile, epochs=EPOCHS[name], classifier_epochs=EPOCHS[name])
        run.network(name)
        keep(run, study.NETWORKS[name].folder, fresh)
    describe(run, fresh)


def keep(run, folder, fresh):
    """Put a network whose training is whole into its place, with a card of what it makes of `fresh` faces."""
    state, exact = training.read_state(run.home / folder), training.load_model(run.home / folder)
    place, rounded = training.TRAINED / folder, type(exact)(**state["settings"]["options"])
    with written_whole(place / state["weights"]) as temporary:
        write_float16(exact, temporary)
    rounded.load_weights(place / state["weights"])
    card = {
        "faces": read_json(run.images.parent / "archive" / DRAWN),
        "epochs": len(state["log"]),
        "steps": len(state["log"]) * run.batches("train").num_batches,
        "held-out loss": state["log"][-1]["val_total_loss"],
        **measure(exact, rounded, fresh),
    }
    state |= {"weights_sha256": sha256_of(place / state["weights"]), "card": card}
    write_json(place / training.STATE_FILE, {**state, "seal": training.seal_of(state)})


def write_float16(model, path):
    """Save a model's weights as Keras does, but kernels in float16 and packed; Keras loads them as usual."""
    packed = {"shuffle": True, "compression": "gzip", "compression_opts": 9}
    with TemporaryDirectory() as folder:
        model.save_weights(whole := f"{folder}/whole.weights.h5")
        with h5py.File(whole) as exact, h5py.File(path, "w") as rounded:

            def copy(name, item):
                if isinstance(item, h5py.Group):
                    rounded.require_group(name).attrs.update(item.attrs)
                else:
                    kind = np.float16 if item.ndim > 1 else item.dtype  # biases and variances stay exact
                    rounded.create_dataset(name, data=item[()].astype(kind), **(packed if item.shape else {}))

            rounded.attrs.update(exact.attrs)
            exact.visititems(copy)


def measure(exact, rounded, fresh):
    """What a network makes of the test faces of the run `fresh`, and what its rounding changes."""
    faces = images.load_images(fresh.images, rows := fresh.rows("test"))
    if isinstance(exact, AttributeClassifier):
        told = [keras.ops.sigmoid(encoding.predict(model, faces)) for model in (exact, rounded)]
        right = (np.array(told[1]) > 0.5) == images.load_attributes(fresh.images)[rows]
        return {"attributes told rightly": float(right.mean()), **compare(*told)}
    clouds = [encoding.predict(model.encoder, faces) for model in (exact, rounded)]
    if isinstance(exact, VariationalAutoencoder):
        clouds = [mu for mu, _ in clouds]
    pictures = [encoding.predict(m.decoder, z) for m, z in zip((exact, rounded), clouds, strict=True)]
    return {
        "explained variance": explained_variance_share(faces, pictures[1], faces.mean(axis=0)),
        "directions with 95 %": latent.components_for_variance(latent.fit_pca(clouds[1]), SHARE),
        "mean radius": float(latent.radii(clouds[1]).mean()),
        **compare(*pictures),
    }


def compare(before, after):
    """What rounding changes in an output: root of the mean square, and most."""
    change = np.abs(np.array(after) - np.array(before))
    return {"changed by float16": float(np.sqrt(np.square(change).mean())), "at most": float(change.max())}


def describe(run, fresh):
    """Write README.md beside the networks: a card of each, with the sizes and sha256 of the files."""
    rows = []
    for name in EPOCHS:
        place = training.TRAINED / study.NETWORKS[name].folder
        if state := training.read_state(place):
            card, size = state["card"], (place / state["weights"]).stat().st_size
            told = {head: form.format(card[head]) for head, form in SHOWN.items() if head in card}
            rows.append(
                {
                    "network": name,
                    **told,
                    "MB": f"{size / 1e6:.1f}",
                    "sha256 begins": state["weights_sha256"][:12],
                }
            )
    heads = list(dict.fromkeys(head for row in rows for head in row))
    lines = [heads, ["---"] * len(heads), *([row.get(head, "") for head in heads] for row in rows)]
    text = TEXT.format(
        **read_json(run.images.parent / "archive" / DRAWN),
        rows=len(run.rows("train")),
        fresh=len(fresh.rows("test")),
        table="\n".join(f"| {' | '.join(line)} |" for line in lines),
    )
    with written_whole(training.TRAINED / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
