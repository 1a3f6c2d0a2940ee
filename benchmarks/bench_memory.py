"""Peak memory of the whole series on as many training images as the posts have.

Draws 212,500 synthetic faces, of which 170,000 are for training, and runs every notebook on them at profile
full, each in a process of its own. All z-points are encoded, analysed and drawn from; t-SNE maps show a part
of them. Only what repeats the same work is cut: steps of trainings and fits, surrogates, seeds. Bar: no
notebook takes 4 GB of resident memory, mapped files included; the notebook's own table and the system's
record of the ended process, which /usr/bin/time prints, have to agree.

One notebook, on a folder in CelebA's form, with what earlier ones have left in LATENT_FACES_RESULTS:
/usr/bin/time -v python -m benchmarks.bench_memory 08 FOLDER
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partialmethod
from pathlib import Path

import nbformat

from benchmarks import tables
from data_prep.synthetic_faces import make_synthetic_faces
from helpers import workspace
from helpers.files import project_root
from helpers.sampling import mixtures
from helpers.workspace import workspace_folder
from tools.build_notebooks import list_notebooks
from tools.execution import execute_notebook

IMAGES = 212_500  # four fifths of them, 170,000, are the train split
STEPS = 40  # of each epoch, and of its look at held-out images
CUT = {"epochs": 2, "variant_epochs": 2, "probe_epochs": 1, "classifier_epochs": 1, "timed_steps": 3}
CUT |= {"seeds": (1, 2), "cluster_seeds": 2, "surrogates": 3}  # one after the other: only time counts them
CUT |= {"map_sizes": (1_500, 6_000, 20_000), "compared_points": 6_000}  # `bench_latent` maps 165,000
MIXTURE_STEPS = 3  # of expectation and maximisation, of 40; 170,000 points take some minutes with all
CUT_TRAININGS = "from benchmarks.bench_memory import cut_trainings\ncut_trainings()"
WHOLE = re.compile(r"^everything +[\d.]+ +[\d.]+ +([\d.]+)", re.MULTILINE)  # in a table of peaks
BAR_GIGABYTES, BAR_DIFFERENCE = 4.0, 0.02


def cut_trainings():
    """From now on, profile full repeats the same work less often in this process."""
    import keras

    workspace.PROFILES["full"] = replace(workspace.FULL, **CUT)
    mixtures.MOST_STEPS = MIXTURE_STEPS
    keras.Model.fit = partialmethod(keras.Model.fit, steps_per_epoch=STEPS, validation_steps=STEPS)


def run_notebook(number, data):
    """Execute the notebook with this number; print its table of peaks."""
    path = next(path for path in list_notebooks() if path.name.startswith(number))
    target = workspace_folder(data, "full") / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    execute_notebook(path, {"PROFILE": "full", "DATA": str(data)}, target, CUT_TRAININGS)
    outputs = [
        output for cell in nbformat.read(target, as_version=4).cells for output in cell.get("outputs", [])
    ]
    print(next(output.text for output in outputs if WHOLE.search(output.get("text", ""))))


def measure(number, data, results):
    """Peak of a notebook in GB, by its own table and by the system."""
    command = [sys.executable, "-m", "benchmarks.bench_memory", number, str(data)]
    environment = {**os.environ, "LATENT_FACES_RESULTS": str(results)}
    process = subprocess.Popen(
        command, cwd=project_root(), env=environment, stdout=subprocess.PIPE, text=True
    )
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)  # what /usr/bin/time reads
    if status:
        raise RuntimeError(f"Notebook {number} ended with status {status}:\n{printed[-2000:]}")
    return float(WHOLE.search(printed)[1]), usage.ru_maxrss * 1024 / 1e9


def main():
    """Print the table; return whether a bar was missed."""
    tables.print_machine()
    missed = False
    scratch = Path(tempfile.mkdtemp(prefix="latent-faces-bench-", dir=os.environ.get("BENCH_DIR")))
    try:
        make_synthetic_faces(scratch / "faces", IMAGES)
        for path in list_notebooks():
            peak, systems = measure(path.name[:2], scratch / "faces", scratch / "results")
            bar = f"< {BAR_GIGABYTES}; the system says {systems:.2f}"
            tables.print_rows([(f"{path.name[:2]}, peak by its table", peak, "GB", bar)])
            missed |= max(peak, systems) >= BAR_GIGABYTES or abs(peak / systems - 1) > BAR_DIFFERENCE
    finally:
        shutil.rmtree(scratch)
    return missed


if __name__ == "__main__":
    sys.exit(run_notebook(*sys.argv[1:]) if sys.argv[1:] else int(main()))
