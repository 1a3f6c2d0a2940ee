"""Python's start on the machine that stands for Colab's: google.colab is loaded, as in Colab's kernels.

COLAB_FAULTS: share of calls on MyDrive that fail, and seconds that each of them takes, such as '0.02 0.002'.
"""

import os
from pathlib import Path

import google.colab  # noqa: F401

if os.environ.get("COLAB_FAULTS"):
    from drive_faults import FaultyDrive, installed

    rate, seconds = map(float, os.environ["COLAB_FAULTS"].split())
    place = Path(os.environ["COLAB_CONTENT"]) / "drive" / "MyDrive"
    mydrive = installed(FaultyDrive(place, rate=rate, seed=os.getpid(), seconds=seconds))
    mydrive.__enter__()  # until the process ends
