"""Run the whole series at one profile and leave the results in one folder (`make run`)."""

import argparse
import html
import os
import platform
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

import nbformat
import numpy as np
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter

from data_prep.packing.sources import find_source
from helpers.files import InputError, project_root, read_json, shown_path, write_json, written_whole
from helpers.posts import CELEBA_FILE, MEASUREMENTS_FILE, format_number
from helpers.workspace import (
    TooFewImages,
    data_name,
    get_profile,
    is_celeba,
    is_synthetic,
    resolve_data,
    workspace_folder,
)
from tools.execution import execute_notebook

STRICT_VARIABLE = "LATENT_FACES_STRICT"  # read by helpers.study
PASSING_ERRORS = {"OSError", "PermissionError", "MemoryError", "KeyboardInterrupt", "MemoryLimitReached"}
NOTEBOOK_DEFAULTS = {"PROFILE": "quick", "DATA": None}  # what the notebooks' own parameter cells say

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font-family: system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; }}
td, th {{ padding: .25rem .8rem; border-bottom: 1px solid #ddd; text-align: left; }}
</style></head>
<body><h1>{title}</h1>
<h2>Notebooks</h2><table><tr><th>notebook</th><th>page</th><th>file</th><th>time</th></tr>
{notebooks}</table>
<h2>Measurements</h2><table><tr><th>id</th><th>value</th><th>unit</th><th>notebook</th></tr>
{measurements}</table></body></html>
"""


def run_series(profile_name, data):
    """Execute all notebooks at a profile on `data` (None: synthetic faces); return the results folder.

    A notebook that needs more images is left out, after saying so; the first error of another kind ends it.
    """
    profile = get_profile(profile_name)
    data = None if is_synthetic(data) else str(resolve_data(data))
    results = workspace_folder(data, profile.name, lambda: find_source(data).identity)
    results.mkdir(parents=True, exist_ok=True)
    notebooks = sorted((project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    wanted = {"PROFILE": profile.name, "DATA": data}
    parameters = {name: value for name, value in wanted.items() if value != NOTEBOOK_DEFAULTS[name]}
    seconds = {}
    for path in notebooks:
        print(f"{path.name}: profile {profile.name}, data {data_name(data)}", flush=True)
        try:
            seconds[path.name] = execute_notebook(path, parameters, results / path.name)
        except TooFewImages as error:
            print(f"  left out. {error}", flush=True)
            continue
        _write_page(results / path.name)
        write_index(results, seconds, f"Latent Faces: {data_name(data)}, profile {profile.name}")
        page = shown_path((results / path.name).with_suffix(".html"))
        print(f"  done in {seconds[path.name]:.0f} s; read it in {page}", flush=True)
    if profile.name == "full" and is_celeba(data, results / "images"):
        write_celeba_measurements(results, profile)
    return results


def _write_page(notebook_path):
    """A notebook as a web page beside it, since browsers do not show .ipynb files."""
    page, _ = HTMLExporter(embed_images=True).from_filename(str(notebook_path))
    with written_whole(notebook_path.with_suffix(".html")) as temporary:
        temporary.write_text(page, encoding="utf-8")


def write_index(results, seconds, title):
    """Write index.html: links to the executed notebooks and all measurements."""
    notebooks = [
        f"<tr><td>{html.escape(_title(results / name))}</td>"
        f'<td><a href="{Path(name).stem}.html">read</a></td>'
        f'<td><a href="{name}">{name}</a></td><td>{taken:.0f} s</td></tr>\n'
        for name, taken in seconds.items()
    ]
    measurements = [
        f"<tr><td>{html.escape(entry['id'])}</td><td>{format_number(entry['value'])}</td>"
        f"<td>{html.escape(entry['unit'])}</td><td>{entry['notebook']}</td></tr>\n"
        for entry in read_json(results / MEASUREMENTS_FILE)
    ]
    page = PAGE.format(
        title=html.escape(title), notebooks="".join(notebooks), measurements="".join(measurements)
    )
    with written_whole(results / "index.html") as temporary:
        temporary.write_text(page, encoding="utf-8")


def _title(notebook_path):
    """First heading of a notebook."""
    cells = nbformat.read(notebook_path, as_version=4).cells
    lines = [line for cell in cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    return next(line.lstrip("# ") for line in lines if line.startswith("# "))


def write_celeba_measurements(results, profile):
    """Keep the numbers (no image data) of a full CelebA run for the tables of all later runs."""
    manifest = read_json(results / "images" / "manifest.json")
    splits = np.load(results / "images" / "splits.npy", allow_pickle=False)
    content = {
        "date": date.today().isoformat(),
        "seeds": list(profile.seeds),
        "epochs": profile.epochs,
        "images": len(splits),
        "training_images": int(np.sum(splits == 0)),
        "images_sha256": manifest["files"]["images.npy"]["sha256"],
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("tensorflow", "keras", "numpy", "scipy", "scikit-learn")},
        },
        "measurements": read_json(results / MEASUREMENTS_FILE),
    }
    write_json(CELEBA_FILE, content)
    print(f"refreshed {shown_path(CELEBA_FILE)}")


def main(arguments=None):
    """Command line: --profile, --data, --strict; exit code 1 when a notebook fails, 2 for bad input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="quick", help="smoke, quick, posts or full")
    parser.add_argument("--data", default=None, help="CelebA folder or archive; without it synthetic faces")
    parser.add_argument(
        "--strict", action="store_true", help="refuse damaged photos instead of leaving them out"
    )
    options = parser.parse_args(arguments)
    if options.strict:
        os.environ[STRICT_VARIABLE] = "1"  # for the notebooks' kernels
    try:
        results = run_series(options.profile, options.data or None)
    except InputError as error:
        print(f"{str(error).rstrip('.')}.", file=sys.stderr)
        return 2
    except CellExecutionError as error:
        print(f"{error}\n{_advise(error)}", file=sys.stderr)
        return 1
    print(
        f"\nOpen {shown_path(results / 'index.html')} in a browser; "
        "the notebooks and measurements.json lie beside it."
    )
    return 0


def _advise(error):
    """What to do after an error of a notebook: only some go away by themselves."""
    kept = "What is whole is kept; the .failed.ipynb in the results folder shows how far the notebook came."
    if error.ename in PASSING_ERRORS:
        return f"{kept} The same command goes on from there, once that is put right."
    return f"{kept} The same command will fail again at the same place, unless something is changed."


if __name__ == "__main__":
    sys.exit(main())
