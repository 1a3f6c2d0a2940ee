"""Bring the committed notebooks up to date: navigation and bootstrap cell, then fresh outputs.

`python -m tools.build_notebooks` writes the generated cells, executes every notebook at its own
parameters (quick, synthetic faces) and saves the figure of the cell tagged 'readme' as the README's
picture; with --cells-only it writes the generated cells and no outputs.
"""

import argparse
import base64

import nbformat

from helpers.workspace import project_root, written_whole
from tools.execution import execute_notebook

README_PICTURE = "notebooks/figures/reconstructions.jpg"
BOOTSTRAP = """\
import sys
from pathlib import Path

folders = [Path.cwd(), *Path.cwd().parents, Path("/content/drive/MyDrive/latent_faces")]
project = next((folder for folder in folders if (folder / "helpers" / "profiles.py").exists()), None)
if project is None:
    raise SystemExit("Open this notebook from inside the project's folder (see its README.md).")
sys.path.insert(0, str(project))"""


def build_all(cells_only=False):
    """Write generated cells into all notebooks and, unless `cells_only`, execute them in place."""
    paths = list_notebooks()
    for path in paths:
        write_generated_cells(path, paths)
        if not cells_only:
            execute_notebook(path, {}, path)
            save_readme_picture(path)


def list_notebooks():
    """Paths of the numbered notebooks in the order of the series."""
    return sorted((project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def write_generated_cells(path, paths):
    """Replace the cells tagged 'navigation' and 'bootstrap'; write the notebook only if that changed it."""
    notebook = nbformat.read(path, as_version=4)
    generated = {"navigation": navigation(path, paths), "bootstrap": BOOTSTRAP}
    changed = False
    for cell in notebook.cells:
        for tag in set(cell.metadata.get("tags", [])) & set(generated):
            changed |= cell.source != generated[tag]
            cell.source = generated[tag]
    if changed:
        with written_whole(path) as temporary:
            nbformat.write(notebook, temporary)


def navigation(path, paths):
    """Line with links to the previous notebook, the contents and the next notebook."""
    place = paths.index(path)
    links = ["[Contents](../README.md)"]
    if place > 0:
        links.insert(0, f"[← {paths[place - 1].stem}]({paths[place - 1].name})")
    if place + 1 < len(paths):
        links.append(f"[{paths[place + 1].stem} →]({paths[place + 1].name})")
    return " | ".join(links)


def save_readme_picture(path):
    """Write the figure of the cell tagged 'readme', if the notebook has one, to README_PICTURE."""
    for cell in nbformat.read(path, as_version=4).cells:
        if "readme" in cell.metadata.get("tags", []):
            jpeg = next(out.data["image/jpeg"] for out in cell.outputs if "image/jpeg" in out.get("data", {}))
            with written_whole(project_root() / README_PICTURE) as temporary:
                temporary.write_bytes(base64.b64decode(jpeg))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cells-only", action="store_true", help="write the generated cells, execute nothing"
    )
    build_all(parser.parse_args().cells_only)
