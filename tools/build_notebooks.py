"""Bring the committed notebooks up to date: navigation and bootstrap cell, then fresh outputs.

`python -m tools.build_notebooks` writes the generated cells, executes every notebook at its own
parameters (quick, synthetic faces) and saves the figure of the cell tagged 'readme' as the README's
picture; with --cells-only it writes the generated cells and no outputs. Numbers, such as 01 04, limit
it to these notebooks.
"""

import argparse
import base64

import nbformat

from helpers.files import project_root, written_whole
from tools import generated_cells
from tools.execution import execute_notebook

README_PICTURE = "notebooks/figures/reconstructions.jpg"
SETUP_NAME = "setup"  # stands for colab_setup.ipynb among the numbers
BOOTSTRAP = generated_cells.bootstrap(generated_cells.read_repository())


def build_all(numbers=(), cells_only=False):
    """Write generated cells into all notebooks, or those of these numbers, and execute them in place.

    With `cells_only` nothing is executed. Without `numbers`, or with SETUP_NAME, the set-up notebook is
    built as well.
    """
    paths = list_notebooks()
    if not numbers or SETUP_NAME in numbers:
        write_setup_cells()
        if not cells_only:
            setup = project_root() / generated_cells.SETUP_NOTEBOOK
            execute_notebook(setup, {}, setup)
    for path in paths:
        if not numbers or path.name[:2] in numbers:
            write_generated_cells(path, paths)
            if not cells_only:
                execute_notebook(path, {}, path)
                save_readme_picture(path)


def list_notebooks():
    """Paths of the numbered notebooks in the order of the series."""
    return sorted((project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def write_generated_cells(path, paths):
    """Bring a notebook's generated cells up to date with the repository that pyproject.toml names."""
    generated_cells.write_generated_cells(path, paths, generated_cells.read_repository())


def write_setup_cells():
    """Bring the generated cells of colab_setup.ipynb up to date; it leads to the first notebook."""
    setup = project_root() / generated_cells.SETUP_NOTEBOOK
    write_generated_cells(setup, [setup, *list_notebooks()[:1]])


def navigation(path, paths):
    """Line with links to the previous notebook, the contents and the next notebook, and the badge."""
    return generated_cells.navigation(path, paths, generated_cells.read_repository())


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
        "numbers", nargs="*", help="numbers of notebooks, such as 01 04; setup: colab_setup; default: all"
    )
    parser.add_argument(
        "--cells-only", action="store_true", help="write the generated cells, execute nothing"
    )
    options = parser.parse_args()
    build_all(options.numbers, options.cells_only)
