"""Pack the project as one archive for MyDrive (`make colab-zip`): the same files, the same bytes.

Results, environments, caches and data stay out. The notebooks in it fetch the project from MyDrive, even
where the repository's own notebooks fetch it from GitHub.
"""

import sys
import zipfile

import nbformat

from helpers.colab import ARCHIVE
from helpers.files import project_root, shown_path, written_whole
from tools.generated_cells import bootstrap, replace_tagged

FOLDERS = ("helpers", "data_prep", "notebooks", "tools", "tests", "benchmarks")
FILES = ("README.md", "LICENSE", "Makefile", "pyproject.toml", "requirements.txt", "colab_setup.ipynb")
EARLIEST = (1980, 1, 1, 0, 0, 0)  # of the times that a zip archive can state


def pack_project(target):
    """Write the archive of the project to `target`, whole or not at all; return the number of its files."""
    root = project_root()
    paths = list_files(root)
    with written_whole(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for path in paths:
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), EARLIEST)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, _content(path))
    return len(paths)


def list_files(root):
    """The project's own files in the order of their names: no caches, no hidden files, no results."""
    below = [path for folder in FOLDERS for path in (root / folder).rglob("*") if path.is_file()]
    top = [root / name for name in FILES if (root / name).exists()]
    return sorted(path for path in top + below if not _is_left_out(path.relative_to(root)))


def _is_left_out(path):
    return any(part.startswith(".") or part.endswith(("__pycache__", ".partial")) for part in path.parts)


def _content(path):
    """Bytes of a file; of a notebook with the bootstrap cell that fetches the project from MyDrive."""
    if path.suffix == ".ipynb":
        notebook = nbformat.read(path, as_version=4)
        if replace_tagged(notebook, {"bootstrap": bootstrap("")}):
            return (nbformat.writes(notebook) + "\n").encode()
    return path.read_bytes()


def main():
    """Pack the project and say what to do with the archive."""
    target = project_root() / ARCHIVE
    count = pack_project(target)
    print(f"{shown_path(target)}: {count} files, {target.stat().st_size / 1e6:.1f} MB.")
    print("Put it and colab_setup.ipynb into the folder latent_faces of your Google Drive; open the latter.")


if __name__ == "__main__":
    sys.exit(main())
