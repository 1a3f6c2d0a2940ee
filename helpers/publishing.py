"""A training's epochs go to MyDrive one by one, while the training goes on."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import keras

from helpers.drive_folder import publish_folder
from helpers.reporting import note
from helpers.workspace import InputError, shown_path


class EpochPublisher(keras.callbacks.Callback):
    """Publishes the folder of a training after each epoch, in a thread of its own.

    `drive_folder` is the counterpart of `folder` in MyDrive, as `drive.restore` reads it. Give it to fit
    after the `EpochKeeper` that writes the folder. Where MyDrive is slower than the epochs, it gets
    the latest of them. What goes wrong is said once and tried again after the next epoch; training waits for
    it at its end only. Source: COL-019, COL-027.
    """

    def __init__(self, folder, drive_folder):
        super().__init__()
        self.folder, self.drive_folder = Path(folder), Path(drive_folder)
        self.pool, self.job = ThreadPoolExecutor(1, "publish"), None
        self.problem = None  # the one that was told last, as long as it lasts

    def on_epoch_end(self, epoch, logs=None):
        """Have the epoch published, unless a job that has not begun yet will take it along."""
        if self.job is None or self.job.running() or self.job.done():
            self.job = self.pool.submit(self._publish)

    def on_train_end(self, logs=None):
        """Wait until MyDrive has the last epoch; training that was interrupted is published all the same."""
        self.flush()

    def flush(self):
        """Wait for what is under way, then make up for what failed; True when MyDrive has all."""
        if self.job is not None:
            self.job.result()
        if self.problem:
            self._publish()
        if self.problem:
            place = shown_path(self.folder)
            note(f"The last epochs are in {place} only; publish them as soon as MyDrive answers.")
        return self.problem is None

    def _publish(self):
        try:
            publish_folder(self.folder, self.drive_folder, lambda what, size: nullcontext(lambda n: None))
        except (InputError, OSError) as error:
            if self.problem is None:
                note(f"Not published: {error} Training goes on; the next epoch is tried again.")
            self.problem = str(error)
        else:
            if self.problem:
                note(f"MyDrive has all epochs of {shown_path(self.folder)} again.")
            self.problem = None
