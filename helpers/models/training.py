"""Training that can be killed at any moment, and loading what was trained."""

import glob
import json
import math
import os
import time
import warnings
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path

import keras
import numpy as np

from helpers.files import (
    InputError,
    dated,
    locked,
    read_json,
    sha256_of,
    shown_path,
    write_json,
    written_whole,
)
from helpers.models.images import ATTRIBUTES, SPLIT_CODES, images_identity
from helpers.models.networks import AttributeClassifier, Autoencoder, VariationalAutoencoder
from helpers.monitor import backend, readings
from helpers.monitor.backend import dtype_policy
from helpers.reporting import LiveReport

STATE_FILE = "state.json"
TRAINED = Path(__file__).parents[1] / "trained"  # networks of synthetic faces that come with the project
DATED = ".[12]???????-??????*"  # behind the name of a folder that was set aside
H5_BYTES = 1 << 20  # of the weights' file beside the numbers
SCALED = "mixed_float16"  # the precision whose optimizer has a loss scale
LIVE_LINE_SECONDS = 2.0  # pause between two readings of the loss within an epoch
MODELS = {model.__name__: model for model in (Autoencoder, VariationalAutoencoder, AttributeClassifier)}


class TrainingDiverged(RuntimeError):
    """The loss is no longer a number; the message says where, what is kept and what to try."""


def choose_precision(precision="auto"):
    """Set the Keras dtype policy and return its name.

    "auto" takes mixed_float16 on GPUs that have float16 tensor cores, mixed_bfloat16 on a CPU with
    bfloat16 instructions, else float32. Any other name is taken as it is.
    """
    if precision == "auto":
        gpus, precision = backend.gpus_of_backend(), "float32"
        if gpus and min(gpus) >= backend.FLOAT16_COMPUTE_CAPABILITY:
            precision = "mixed_float16"
        elif not gpus and backend.cpu_multiplies_bfloat16():
            precision = "mixed_bfloat16"
    keras.config.set_dtype_policy(precision)
    return precision


def fit(model, train, valid, epochs, folder, learning_rate, publish=None):
    """Train `model` on `train` (ImageBatches) up to `epochs` epochs; return the log, a list of rows.

    After each epoch the state goes into `folder`: weights with optimizer first, then state.json that names
    them. After a kill the next call goes on after the last whole epoch, at the precision of its machine; a
    finished training is loaded. A folder that holds another training (other data, options, seed, ...) is set
    aside under a dated name, and taken back when its settings come back. While another process trains in
    `folder`, this one waits. Rows: epoch, total_loss and val_total_loss (nats per image), seconds,
    images_per_second, peak_rss_gigabytes. Raises TrainingDiverged when the loss is no longer a number,
    InputError where the folder is damaged or the disk full. `publish()` is called after each epoch,
    `publish(wait=True)` when training ends or is interrupted.

    Keras' BackupAndRestore is not used: it writes weights and epoch number one after the other, and a kill in
    between repeats an epoch on weights that have seen it.
    """
    folder, report, publish = Path(folder), LiveReport(), publish or (lambda wait=False: None)
    waiting = f"Another process trains in {shown_path(folder)}; this one waits for its end."
    with locked(folder.with_name(f".{folder.name}.lock"), partial(report.line, waiting)):
        state = _restore(model, folder, _settings(model, train, learning_rate), epochs, report)
        rows = state["log"]
        if len(rows) >= epochs:
            return rows
        train.set_epoch(len(rows))
        try:
            model.fit(
                train,
                validation_data=valid,
                initial_epoch=len(rows),
                epochs=epochs,
                shuffle=False,  # ImageBatches shuffles; Keras would shuffle the batches once more, unseeded
                verbose=0,
                callbacks=[EpochKeeper(folder, state, len(train.rows), report, publish)],
            )
        finally:
            publish(wait=True)
    return rows


def _settings(model, train, learning_rate):
    """What makes two trainings the same, as JSON gives it back: neither epochs nor a machine's precision."""
    settings = {
        "model": type(model).__name__,
        "options": model.get_config(),
        "learning_rate": learning_rate,
        "batch_size": train.batch_size,
        "split": train.split,
        "seed": train.seed,
        "images": images_identity(train.folder),
        "splits": images_identity(train.folder, SPLIT_CODES),
    }
    if train.limit:
        settings["limit"] = train.limit
    if train.attributes is not None:
        settings["labels"] = images_identity(train.folder, ATTRIBUTES)
    return json.loads(json.dumps(settings))


def _is_same(kept, settings):
    """Whether the settings of a kept training are these; options that it does not name had their defaults.

    Former versions kept the precision, and no sha256 of splits and labels. Unknown splits are taken for the
    same, as hours of training hang on it; unknown labels are not: a classifier is trained anew in minutes.
    """
    options = {**MODELS[settings["model"]].DEFAULTS, **kept["options"]}
    kept = {"splits": settings["splits"], "flip": False, **kept, "options": options}
    kept.pop("precision", None)
    return {**settings, "flip": False} == json.loads(json.dumps(kept))  # former versions could mirror images


def _restore(model, folder, settings, epochs, report):
    """State of the training with these settings that has most epochs, in `folder` or set aside; it is loaded.

    Where there is none, `model` is compiled for one that has not begun.
    """
    found = {folder: read_state(folder)}
    for aside in sorted(folder.parent.glob(glob.escape(folder.name) + DATED)):
        with suppress(InputError):  # what is damaged stays aside
            found[aside] = read_state(aside)
    same = {at: state for at, state in found.items() if state and _is_same(state["settings"], settings)}
    place = max(same, key=lambda at: len(same[at]["log"]), default=None)
    if place != folder and (found[folder] or (place and folder.exists())):
        other = folder.with_name(dated(folder.name))
        os.replace(folder, other)
        report.line(f"{shown_path(folder)} held another training; kept as {other.name}.")
    if place is None:
        model.compile(optimizer=keras.optimizers.Adam(settings["learning_rate"]))
        return {"settings": settings, "log": [], "precision": []}
    if place != folder:
        os.replace(place, folder)
        os.utime(folder / STATE_FILE)  # for MyDrive it is the latest again
        report.line(
            f"{shown_path(folder)}: the training with these settings was taken back from {place.name}."
        )
    state = same[place]
    _load_state(model, folder, state)
    done, last, precision = len(state["log"]), state["precision"][-1], model.dtype_policy.name
    change = f" It goes on in {precision} after {last}." if last != precision and done < epochs else ""
    report.line(f"{shown_path(folder)}: {done} epochs are done already and were loaded.{change}")
    return state


def _load_state(model, folder, state):
    """Load weights and optimizer; at another precision a loss scale begins anew."""
    adam = keras.optimizers.Adam(state["settings"]["learning_rate"])
    scaled = state["precision"][-1] == SCALED  # so the file is, whatever is computed in now
    optimizer = keras.optimizers.LossScaleOptimizer(adam, name="loss_scale_optimizer") if scaled else adam
    model.compile(optimizer=optimizer, auto_scale_loss=False)
    _load_weights(model, folder, state)
    if scaled != (model.dtype_policy.name == SCALED):
        model.compile(optimizer=adam)


def _load_weights(model, folder, state):
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Skipping variable loading")  # the optimizer would begin anew
            model.load_weights(folder / state["weights"])
    except (ValueError, KeyError, OSError, UserWarning) as error:
        raise InputError(
            f"{shown_path(folder / state['weights'])} holds weights of another network; delete the folder "
            f"{folder.name} and train again."
        ) from error


def read_state(folder):
    """State (a dict) of the training in a folder, None where there is none.

    Raises InputError where it, or the file with the weights that it names, is damaged.
    """
    path, remedy = Path(folder) / STATE_FILE, f"delete the folder {Path(folder).name} and train again"
    if path.is_relative_to(TRAINED):
        remedy = "it comes with the project: get the project's files anew"
    state = read_json(path, dict, remedy=remedy)
    if state is None:
        return None
    with suppress(TypeError, KeyError, AttributeError):
        settings, log = state["settings"], state["log"]
        known = settings["options"].keys() <= MODELS[settings["model"]].DEFAULTS.keys()
        in_order = log and [row["epoch"] for row in log] == list(range(1, len(log) + 1))
        sealed = state.get("seal") in (None, seal_of(state))  # former versions had none
        if known and in_order and sealed and state["weights"] == _weights_name(log):
            weights = path.with_name(state["weights"])
            if not weights.is_file() or sha256_of(weights) != state["weights_sha256"]:
                raise InputError(f"The weights {shown_path(weights)} are missing or damaged; {remedy}.")
            return {"precision": [settings.get("precision", "float32")] * len(log), **state}
    raise InputError(f"{shown_path(path)} is damaged; {remedy}.")


def seal_of(state):
    """sha256 of what a state says, so that a changed log is noticed."""
    said = {name: value for name, value in state.items() if name != "seal"}
    return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _weights_name(log):
    return f"epoch-{len(log):04d}.weights.h5"


def load_model(folder):
    """Rebuild a trained model from its folder in float32, for encoding and decoding."""
    if (state := read_state(folder)) is None:
        raise InputError(f"There is no trained model in {shown_path(folder)}; run notebook 01 first.")
    with dtype_policy("float32"):
        model = MODELS[state["settings"]["model"]](**state["settings"]["options"])
    _load_weights(model, Path(folder), state)
    return model


class EpochKeeper(keras.callbacks.Callback):
    """Reports each epoch, stops on NaN, and keeps the state so that a kill costs one epoch at most."""

    def __init__(self, folder, state, images_per_epoch, report, publish):
        super().__init__()
        self.folder, self.state, self.rows = folder, state, state["log"]
        self.images_per_epoch, self.report, self.publish = images_per_epoch, report, publish

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock, and the random draws, of the epoch."""
        self.model.set_epoch(epoch)
        self.started = self.last_reading = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        """Show a live line every few seconds; reading the loss at every batch would stall a GPU."""
        if time.monotonic() - self.last_reading < LIVE_LINE_SECONDS:
            return
        self.last_reading = time.monotonic()
        loss = self._check(logs["loss"])
        share = (batch + 1) / self.params["steps"]
        memory = readings.format_memory(readings.memory())
        self.report.live(f"{self._epoch()}  {share:4.0%}  total_loss {loss:8.2f}  {memory}")

    def on_test_begin(self, logs=None):
        """Stop the clock: what follows is the held-out loss."""
        self.seconds = time.monotonic() - self.started

    def on_epoch_end(self, epoch, logs=None):
        """Log the epoch, then make weights and log durable in one step, and have them published."""
        wanted = self.model.LOGGED[1:]  # beside the total loss
        parts = {name: float(value) for name, value in logs.items() if name.removeprefix("val_") in wanted}
        row = {
            "epoch": epoch + 1,
            "total_loss": self._check(logs["loss"]),
            "val_total_loss": float(logs["val_loss"]),
            **parts,
            "seconds": round(self.seconds, 2),
            "images_per_second": round(self.images_per_epoch / self.seconds, 1),
            "peak_rss_gigabytes": round(readings.memory().process_peak / readings.GIGABYTE, 3),
        }
        kl_loss = f"kl_loss {row['kl_loss']:.4f}  " if "kl_loss" in row else ""
        self.report.line(
            f"{self._epoch()}  total_loss {row['total_loss']:8.2f}  {kl_loss}"
            f"held out {row['val_total_loss']:8.2f}  "
            f"{row['images_per_second']:6.0f} images/s  peak RAM {row['peak_rss_gigabytes']:.2f} GB"
        )
        self.rows.append(row)
        self._keep_state()
        self.publish()

    def _epoch(self):
        return f"epoch {len(self.rows) + 1:3d}/{self.params['epochs']}"

    def _check(self, loss):
        if math.isfinite(loss):
            return float(loss)
        raise TrainingDiverged(
            f"The loss became {float(loss)} in epoch {len(self.rows) + 1}; {shown_path(self.folder)} keeps "
            f"the {len(self.rows)} whole epochs before it. Try a lower learning rate or precision float32."
        )

    def _keep_state(self):
        """Write weights and optimizer under the epoch's name; state.json then makes them the valid ones."""
        weights = self.folder / _weights_name(self.rows)
        variables = [*self.model.variables, *2 * self.model.optimizer.variables]  # twice with a loss scale
        with written_whole(weights) as temporary:
            needed = H5_BYTES + sum(4 * math.prod(variable.shape) for variable in variables)
            temporary.write_bytes(np.zeros(needed, np.uint8).data)  # a disk that is full ends h5py's process
            self.model.save_weights(temporary)
        self.state["precision"].append(self.model.dtype_policy.name)
        self.state |= {
            "weights": weights.name,
            "weights_sha256": sha256_of(weights),
            "versions": {"keras": keras.__version__, "backend": keras.backend.backend()},
        }
        self.state["seal"] = seal_of(self.state)
        write_json(self.folder / STATE_FILE, self.state)
        for older in {*self.folder.glob("epoch-*.weights.h5")} - {weights}:
            older.unlink()
