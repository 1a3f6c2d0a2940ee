"""The cells that all notebooks share: navigation with the Colab badge, and how the set-up cell begins.

What they say depends on the project's public repository, which pyproject.toml names once there is one.
"""

import os
import re

import nbformat

from helpers.files import InputError, project_root, written_whole

SETUP_NOTEBOOK = "colab_setup.ipynb"
REPOSITORY_LINE = re.compile(r'^Repository = "(.*)"', re.MULTILINE)  # in pyproject.toml
GITHUB = "https://github.com/"
COLAB = "https://colab.research.google.com/"
BADGE = "[![Open in Colab]({colab}assets/colab-badge.svg)]({colab}github/{repository}/blob/main/{path})"

# On Colab the current folder is /content. There the project comes to lie in /content/latent_faces.
BOOTSTRAP = """\
import sys
from pathlib import Path

places = [*(Path.cwd() / "notebook").parents, Path.cwd() / "latent_faces"]
if "google.colab" in sys.modules:
{fetch}
sys.path[:0] = [str(p) for p in places if (p / "helpers").is_dir()] or sys.exit("No project: see README.md")\
"""
FROM_MYDRIVE = """\
    sys.modules["google.colab"].drive.mount("/content/drive")
    !PYTHONPATH=drive/MyDrive/latent_faces/latent_faces.zip {sys.executable} -m helpers.colab"""
FROM_REPOSITORY = """\
    ![ -d latent_faces ] || git clone --depth 1 {address} latent_faces -q
    !cd latent_faces && {{sys.executable}} -m helpers.colab"""


def read_repository():
    """The public repository as owner/name, from pyproject.toml; empty before there is one."""
    return REPOSITORY_LINE.search(_pyproject().read_text(encoding="utf-8")).group(1).removeprefix(GITHUB)


def write_repository(repository):
    """Name the public repository, given as owner/name, in pyproject.toml; InputError for anything else."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9_.-]+", repository):
        raise InputError(
            f"'{repository}' is no repository; give its owner and name, as in: make badges REPO=owner/name"
        )
    text = _pyproject().read_text(encoding="utf-8")
    named = REPOSITORY_LINE.sub(f'Repository = "{GITHUB}{repository}"', text)
    with written_whole(_pyproject()) as temporary:
        temporary.write_text(named, encoding="utf-8")


def _pyproject():
    return project_root() / "pyproject.toml"


def bootstrap(repository):
    """Source of the bootstrap cell: on Colab by git clone, or out of MyDrive where `repository` is empty."""
    fetch = FROM_REPOSITORY.format(address=GITHUB + repository) if repository else FROM_MYDRIVE
    return BOOTSTRAP.format(fetch=fetch)


def navigation(path, paths, repository):
    """Line with links to the notebooks before and after `path` in `paths`, the contents, and the badge."""
    place = paths.index(path)
    contents = "README.md" if path.parent == project_root() else "../README.md"
    links = [f"[Contents]({contents})"]
    if place > 0:
        links.insert(0, f"[← {paths[place - 1].stem}]({_link(path, paths[place - 1])})")
    if place + 1 < len(paths):
        links.append(f"[{paths[place + 1].stem} →]({_link(path, paths[place + 1])})")
    if repository:
        links.append(badge(path, repository))
    return " | ".join(links)


def _link(path, target):
    """Address of `target` as seen from the notebook at `path`."""
    return os.path.relpath(target, path.parent).replace(os.sep, "/")


def badge(path, repository):
    """Badge that opens this very notebook of the public repository in Colab."""
    place = path.relative_to(project_root()).as_posix()
    return BADGE.format(colab=COLAB, repository=repository, path=place)


def write_generated_cells(path, paths, repository):
    """Replace the cells tagged 'navigation' and 'bootstrap'; write the notebook only if that changed it."""
    notebook = nbformat.read(path, as_version=4)
    generated = {"navigation": navigation(path, paths, repository), "bootstrap": bootstrap(repository)}
    if replace_tagged(notebook, generated):
        with written_whole(path) as temporary:
            nbformat.write(notebook, temporary)


def replace_tagged(notebook, generated):
    """Give the cells of a notebook that carry a tag of `generated` (tag → source) its source; True if new.

    What follows the generated lines in a set-up cell, a notebook's own imports, stays.
    """
    changed = False
    for cell in notebook.cells:
        for tag in set(cell.metadata.get("tags", [])) & set(generated):
            source = generated[tag] + (own_lines(cell.source) if tag == "bootstrap" else "")
            changed |= cell.source != source
            cell.source = source
    return changed


def own_lines(source):
    """What of a set-up cell is a notebook's own: all behind the generated lines, whichever these are."""
    return source.partition(BOOTSTRAP.splitlines()[-1])[2]
