"""Run the notebooks on a twin of Colab's machine (`make colab-test`).

The twin is a Python with Colab's exact package versions, a stand-in for google.colab, and a folder for
MyDrive whose calls are slow and fail now and then. Each notebook is executed at profile smoke from an empty
folder that holds nothing but it, as a badge opens it: (a) with the project in MyDrive, (b) by git clone.
Between two notebooks the machine is lost; MyDrive stays. So (b), when it follows (a), finds all networks
trained, and MyDrive without the project.

COLAB_CONSTRAINTS: file of Colab's versions, as in `googlecolab/backend-info`; default ../shared/colab.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbclient.exceptions import CellExecutionError

from helpers.colab import ARCHIVE
from helpers.drive.results import PROJECT
from helpers.files import InputError, project_root
from tools.build_notebooks import SETUP_NAME, list_notebooks
from tools.colab_packages import (
    compare_packages,
    find_constraints,
    list_packages,
    make_twin,
    renew,
    site_packages,
)
from tools.colab_zip import pack_project
from tools.execution import execute_notebook
from tools.generated_cells import GITHUB, SETUP_NOTEBOOK, bootstrap, replace_tagged

VENV = ".venv-colab"
REPOSITORY = "latent-faces/twin"  # stands for the public repository in way (b)
WAYS = ("mydrive", "clone")
PARAMETERS = {"PROFILE": "smoke"}
SETUP_PARAMETERS = {"PROFILE": "smoke", "TRIAL_IMAGES": 200, "TRIAL_CALLS": 20, "SMALL_FILES": 100}


@contextmanager
def jupyter_kernel(python, folder, environment):
    """In this context 'python3' is a kernel of `python` with these variables beside those that are set."""
    place = folder / "jupyter" / "kernels" / "python3"
    place.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "Python 3", "language": "python", "env": environment}
    (place / "kernel.json").write_text(json.dumps(spec))
    kept = {name: os.environ.pop(name, None) for name in ("JUPYTER_PATH", "LATENT_FACES_RESULTS")}
    os.environ["JUPYTER_PATH"] = str(folder / "jupyter")
    try:
        yield
    finally:
        del os.environ["JUPYTER_PATH"]
        os.environ.update({name: value for name, value in kept.items() if value is not None})


def prepare_way(way, folder):
    """What the user has done before: the archive in MyDrive, or a public repository; variables for git."""
    mydrive = folder / "store" / "MyDrive" / PROJECT
    mydrive.mkdir(parents=True, exist_ok=True)
    if way == "mydrive":
        pack_project(mydrive / ARCHIVE)
        return {}
    (mydrive / ARCHIVE).unlink(missing_ok=True)
    source, bare = folder / "source", folder / "bare.git"
    pack_project(folder / ARCHIVE)
    with zipfile.ZipFile(folder / ARCHIVE) as packed:
        packed.extractall(source)
    author = ["-c", "user.name=n", "-c", "user.email=e@e", "-c", "init.defaultBranch=main"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "twin"]):
        subprocess.run(["git", *author, *command], cwd=source, check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(source), str(bare)], check=True)
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{bare}.insteadOf",
        "GIT_CONFIG_VALUE_0": GITHUB + REPOSITORY,
    }


def place_notebook(path, way, content):
    """Put a notebook, and nothing else, into the empty folder `content`, with the way's first cell."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    replace_tagged(notebook, {"bootstrap": bootstrap(REPOSITORY if way == "clone" else "")})
    nbformat.write(notebook, content / path.name)
    return content / path.name


def run_way(way, paths, python, faults, folder):
    """Execute notebooks in one of WAYS, each on a new machine with the same MyDrive; seconds by name."""
    store, content, seconds = folder / "store", folder / "content", {}
    environment = {"COLAB_CONTENT": str(content), "COLAB_STORE": str(store), "COLAB_FAULTS": faults}
    environment |= prepare_way(way, folder)
    stand_in = project_root() / "tools" / "colab_stand_in"
    (site_packages(python) / "colab_stand_in.pth").write_text(f"{stand_in}\n")
    for path in paths:
        content.mkdir()
        notebook = place_notebook(path, way, content)
        parameters = SETUP_PARAMETERS if path.name == SETUP_NOTEBOOK else PARAMETERS
        print(f"({way}) {path.name}", flush=True)
        with jupyter_kernel(python, folder, environment):
            seconds[path.name] = execute_notebook(notebook, parameters, folder / path.name)
        if not (content / "drive" / "MyDrive" / PROJECT / "results").is_dir():
            raise InputError(f"{path.name} has left no results in MyDrive.")
        (content / "drive").rename(store)
        shutil.rmtree(content)  # the machine is lost
        print(f"    done in {seconds[path.name]:.0f} s", flush=True)
    return seconds


def check_twin(ways, paths, constraints, faults):
    """Run the notebooks in these ways; True when all ran and no package of the twin was touched."""
    python, before = make_twin(project_root() / VENV, constraints)
    with tempfile.TemporaryDirectory(prefix="colab_twin_") as folder:
        return all(check_way(way, paths, python, before, faults, Path(folder)) for way in ways)


def check_way(way, paths, python, before, faults, folder):
    """Run the notebooks in a way on a machine with the packages `before`; True if none was touched."""
    renew(python, before)
    started = time.monotonic()
    run_way(way, paths, python, faults, folder)
    added, changed = compare_packages(before, list_packages(python))
    print(f"({way}) {len(paths)} notebooks in {time.monotonic() - started:.0f} s")
    added_names, changed_names = (", ".join(names) or "nothing" for names in (added, changed))
    print(f"    installed: {added_names}; changed: {changed_names}", flush=True)
    return not changed and "nvidia-ml-py3" not in added


def choose_notebooks(numbers):
    """Paths of colab_setup.ipynb and all notebooks, or of those with these numbers (setup: colab_setup)."""
    paths = {SETUP_NAME: project_root() / SETUP_NOTEBOOK}
    paths |= {path.name[:2]: path for path in list_notebooks()}
    unknown = [number for number in numbers if number not in paths]
    if unknown:
        raise InputError(f"There is no notebook {unknown[0]}; choose among {', '.join(paths)}.")
    return [path for number, path in paths.items() if not numbers or number in numbers]


def main(arguments=None):
    """Command line; exit code 1 when a notebook fails or a package was changed, 2 on bad input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("numbers", nargs="*", help="notebooks, such as 04; setup: colab_setup; default: all")
    parser.add_argument("--way", choices=WAYS, action="append", help="default: both")
    parser.add_argument("--prepare", action="store_true", help="install the twin's packages, run nothing")
    parser.add_argument("--faults", default="0.01 0.001", help="share of calls that fail, seconds of each")
    options = parser.parse_args(arguments)
    try:
        paths = choose_notebooks(options.numbers)
        if options.prepare:
            make_twin(project_root() / VENV, find_constraints())
            return 0
        sound = check_twin(options.way or WAYS, paths, find_constraints(), options.faults)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except CellExecutionError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
