"""Training that can be killed at any moment, and loading what was trained."""

import csv
import json
import math
import os
import time
from datetime import datetime
from pathlib import Path

import keras

from helpers.files import InputError, read_json, sha256_of, shown_path, write_json, written_whole
from helpers.models.images import images_identity
from helpers.models.networks import AttributeClassifier, Autoencoder, VariationalAutoencoder
from helpers.monitor import backend, readings
from helpers.monitor.backend import dtype_policy
from helpers.reporting import LiveReport

STATE_FILE = "state.json"
LOG_FILE = "log.csv"
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
        gpus = backend.gpus_of_backend()
        if backend.gpu_multiplies_float16(gpus):
            precision = "mixed_float16"
        else:
            precision = "float32" if gpus or not backend.cpu_multiplies_bfloat16() else "mixed_bfloat16"
    keras.config.set_dtype_policy(precision)
    return precision


def fit(model, train, valid, epochs, folder, learning_rate, publish=None):
    """Train `model` on `train` (ImageBatches) up to `epochs` epochs; return the log, a list of rows.

    After each epoch the state goes into `folder`: weights with optimizer first, then state.json that
    names them. Whatever moment the process is killed at, the next call goes on after the last whole
    epoch, and every epoch is logged once. A finished training is loaded instead of repeated; asking
    for more epochs later continues it. A folder that holds another training (other data, options,
    seed, ...) is set aside under a dated name.
    Rows: epoch, total_loss and val_total_loss (nats per image), seconds, images_per_second,
    peak_rss_gigabytes. Raises TrainingDiverged when the loss is no longer a number. `publish()` is called
    after each epoch that is kept, `publish(wait=True)` when training ends or is interrupted.

    Keras' BackupAndRestore is not used: it writes weights and epoch number one after the other, so
    that a kill in between repeats an epoch on weights that have seen it already.
    """
    folder, report = Path(folder), LiveReport()
    model.compile(optimizer=keras.optimizers.Adam(learning_rate))
    settings, rows = _restore(model, folder, _settings(model, train, learning_rate), report)
    if len(rows) >= epochs:
        return rows
    train.set_epoch(len(rows))
    publish = publish or (lambda wait=False: None)
    try:
        model.fit(
            train,
            validation_data=valid,
            initial_epoch=len(rows),
            epochs=epochs,
            shuffle=False,  # ImageBatches shuffles; Keras would shuffle the batches once more, unseeded
            verbose=0,
            callbacks=[EpochKeeper(folder, settings, rows, len(train.rows), report, publish)],
        )
    finally:
        publish(wait=True)
    return rows


def _settings(model, train, learning_rate):
    """What makes two trainings the same, as JSON gives it back; the number of epochs is not part of it."""
    settings = {
        "model": type(model).__name__,
        "options": model.get_config(),
        "precision": model.dtype_policy.name,
        "learning_rate": learning_rate,
        "batch_size": train.batch_size,
        "split": train.split,
        "flip": train.flip,
        "seed": train.seed,
        "images": images_identity(train.folder),
    }
    return json.loads(json.dumps(settings))


def _restore(model, folder, settings, report):
    """Load the last whole epoch in `folder` into `model`; its settings and the rows logged so far.

    Without one, or where it belongs to another training, the `settings` given and no rows. Options that are
    not among the kept ones were left out when it began: they had their defaults.
    """
    state = read_json(folder / STATE_FILE)
    if state is None:
        return settings, []
    kept = state["settings"]
    if settings != {**kept, "options": json.loads(json.dumps(model.DEFAULTS)) | kept["options"]}:
        aside = folder.with_name(f"{folder.name}.{datetime.now():%Y%m%d-%H%M%S}")
        os.replace(folder, aside)
        report.line(f"{shown_path(folder)} held a training with other settings; kept as {aside.name}.")
        return settings, []
    _load_checked_weights(model, folder, state)
    _write_log(folder, state["log"])
    report.line(f"{shown_path(folder)}: {len(state['log'])} epochs are done already and were loaded.")
    return kept, state["log"]


def _load_checked_weights(model, folder, state):
    path = folder / state["weights"]
    if not path.exists() or sha256_of(path) != state["weights_sha256"]:
        raise InputError(
            f"The weights {shown_path(path)} are missing or damaged; delete the folder {path.parent.name} "
            "and train again."
        )
    model.load_weights(path)


def load_model(folder):
    """Rebuild a trained model from its folder in float32, for encoding and decoding."""
    state = read_json(Path(folder) / STATE_FILE)
    if state is None:
        raise InputError(f"There is no trained model in {shown_path(folder)}; run notebook 01 first.")
    with dtype_policy("float32"):
        model = MODELS[state["settings"]["model"]](**state["settings"]["options"])
    _load_checked_weights(model, Path(folder), state)
    return model


class EpochKeeper(keras.callbacks.Callback):
    """Reports each epoch, stops on NaN, and keeps the state so that a kill costs one epoch at most."""

    def __init__(self, folder, settings, rows, images_per_epoch, report, publish):
        super().__init__()
        self.folder, self.settings, self.rows = folder, settings, rows
        self.images_per_epoch, self.report, self.publish = images_per_epoch, report, publish

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock, and the random draws, of the epoch."""
        self.model.set_epoch(epoch)
        self.started = self.last_reading = time.monotonic()
        self.seconds = None

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
        seconds = self.seconds or time.monotonic() - self.started
        wanted = self.model.LOGGED[1:]  # beside the total loss
        parts = {name: float(value) for name, value in logs.items() if name.removeprefix("val_") in wanted}
        row = {
            "epoch": epoch + 1,
            "total_loss": self._check(logs["loss"]),
            "val_total_loss": float(logs["val_loss"]),
            **parts,
            "seconds": round(seconds, 2),
            "images_per_second": round(self.images_per_epoch / seconds, 1),
            "peak_rss_gigabytes": round(readings.memory().process_peak / readings.GIGABYTE, 3),
        }
        losses = "".join(f"{name} {row[name]:.4f}  " for name in ("reco_loss", "kl_loss") if name in row)
        self.report.line(
            f"{self._epoch()}  total_loss {row['total_loss']:8.2f}  {losses}"
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
        weights = self.folder / f"epoch-{len(self.rows):04d}.weights.h5"
        with written_whole(weights) as temporary:
            self.model.save_weights(temporary)
        state = {
            "settings": self.settings,
            "weights": weights.name,
            "weights_sha256": sha256_of(weights),
            "log": self.rows,
            "versions": {"keras": keras.__version__, "backend": keras.backend.backend()},
        }
        write_json(self.folder / STATE_FILE, state)
        _write_log(self.folder, self.rows)
        for older in self.folder.glob("epoch-*.weights.h5"):
            if older.name != weights.name:
                older.unlink()


def _write_log(folder, rows):
    with written_whole(folder / LOG_FILE) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=rows[0])
        writer.writeheader()
        writer.writerows(rows)
