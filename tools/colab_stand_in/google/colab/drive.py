"""MyDrive for tests: a folder that is at its place in the machine only while it is mounted.

COLAB_CONTENT: what stands for /content. COLAB_STORE: the folder, holding MyDrive, that is moved there;
without it the user has refused.
"""

import os
from pathlib import Path


def mount(mountpoint, force_remount=False, timeout_ms=120000, readonly=False):
    """Mount MyDrive, as Colab's function of this name does, here by renaming a folder."""
    place = Path(os.environ["COLAB_CONTENT"]) / Path(mountpoint).relative_to("/content")
    if place.exists() and "MyDrive" in os.listdir(place):
        print(
            f"Drive already mounted at {mountpoint}; to attempt to forcibly remount, call "
            f'drive.mount("{mountpoint}", force_remount=True).'
        )
        return
    if not os.environ.get("COLAB_STORE"):
        raise ValueError("mount failed")
    os.rename(os.environ["COLAB_STORE"], place)
    print(f"Mounted at {mountpoint}")
