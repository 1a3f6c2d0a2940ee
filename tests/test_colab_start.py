"""A notebook's first cell: on this machine, on Colab from MyDrive, and on Colab by git clone."""

import errno
import os
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from helpers import colab
from helpers.drive import mount
from helpers.files import InputError, project_root, sha256_of
from tools import badges, build_notebooks, colab_zip, generated_cells

STAND_IN = project_root() / "tools" / "colab_stand_in"
RUN_CELL = """if True:
    import sys
    from IPython.core.interactiveshell import InteractiveShell
    done = InteractiveShell.instance(colors="NoColor").run_cell(sys.argv[1])
    print("raised", done.error_in_exec)
    import helpers
    print("from", helpers.__path__[0])
"""


def run_bootstrap(cell, folder, **environment):
    """What a notebook in `folder` prints when its first cell is `cell`."""
    done = subprocess.run(
        [sys.executable, "-c", RUN_CELL, cell],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", "IPYTHONDIR": str(folder / ".ipython"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The project's archive for MyDrive."""
    target = tmp_path_factory.mktemp("archive") / colab.ARCHIVE
    colab_zip.pack_project(target)
    return target


@pytest.fixture
def machine(tmp_path):
    """A fresh Colab machine: its /content, MyDrive with the folder latent_faces, and the environment."""
    content, store = tmp_path / "content", tmp_path / "store"
    content.mkdir()
    (store / "MyDrive" / "latent_faces").mkdir(parents=True)
    environment = {"COLAB_CONTENT": str(content), "COLAB_STORE": str(store), "PYTHONPATH": str(STAND_IN)}
    return content, store / "MyDrive" / "latent_faces", environment


@pytest.mark.parametrize("repository", ["", "some-owner/latent-faces"])
def test_bootstrap_is_short(repository):
    lines = generated_cells.bootstrap(repository).splitlines()
    assert len(lines) <= 8
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize("folder", [".", "notebooks", "notebooks/figures"])
def test_bootstrap_finds_the_project_around_it(folder, tmp_path):
    told = run_bootstrap(build_notebooks.BOOTSTRAP, project_root() / folder, IPYTHONDIR=str(tmp_path))
    assert f"from {project_root() / 'helpers'}" in told


def test_outside_the_project_one_sentence_says_where_to_look(tmp_path):
    told = run_bootstrap(build_notebooks.BOOTSTRAP, tmp_path)
    assert "SystemExit: No project: see README.md" in told
    assert "No module named 'helpers'" in told


def test_from_mydrive_into_an_empty_folder(machine, archive):
    content, mydrive, environment = machine
    shutil.copy(archive, mydrive)
    told = run_bootstrap(generated_cells.bootstrap(""), content, **environment)
    assert "Mounted at /content/drive" in told and "raised None" in told
    assert f"from {content / 'latent_faces' / 'helpers'}" in told
    assert {path.name for path in content.iterdir()} >= {"drive", "latent_faces"}
    (content / "latent_faces" / "helpers" / "workspace.py").unlink()
    (content / "latent_faces" / "results").mkdir()
    (content / "latent_faces" / colab.UNPACKED).unlink()  # as after a kill while it was unpacked
    again = run_bootstrap(generated_cells.bootstrap(""), content, **environment)
    assert "already mounted" in again and "raised None" in again
    assert (content / "latent_faces" / "helpers" / "workspace.py").exists()
    assert (content / "latent_faces" / "results").exists()
    assert "was unpacked" not in run_bootstrap(generated_cells.bootstrap(""), content, **environment)


def test_without_the_archive_in_mydrive_one_sentence_says_where_to_look(machine):
    content, _, environment = machine
    told = run_bootstrap(generated_cells.bootstrap(""), content, **environment)
    assert "SystemExit: No project: see README.md" in told


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_by_git_clone_into_an_empty_folder(machine, archive, tmp_path):
    content, _, environment = machine
    source, bare = tmp_path / "source", tmp_path / "bare.git"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(source)
    identity = ["-c", "user.name=n", "-c", "user.email=e@e"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "."]):
        subprocess.run(["git", *command], cwd=source, check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(source), str(bare)], check=True)
    environment |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.file://{bare}.insteadOf"}
    environment |= {"GIT_CONFIG_VALUE_0": "https://github.com/some-owner/latent-faces", "COLAB_STORE": ""}
    cell = generated_cells.bootstrap("some-owner/latent-faces")
    for _ in range(2):  # the second time the project is there
        told = run_bootstrap(cell, content, **environment)
        assert "raised None" in told and "fatal" not in told
        assert f"from {content / 'latent_faces' / 'helpers'}" in told


def test_the_archive_is_read_with_patience(archive, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mount.time, "sleep", lambda seconds: None)
    failing, read = iter([OSError(5, "Input/output error")] * 3), Path.read_bytes

    def falter(path):
        for error in failing:
            raise error
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", falter)
    colab.unpack_project(archive, tmp_path / "project")
    assert (tmp_path / "project" / "helpers" / "colab.py").exists()
    assert colab.unpack_project(tmp_path, tmp_path / "elsewhere") == tmp_path


HARMS = {
    "cut off": lambda data: data[:-30],
    "half": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "a page": lambda data: b"<!doctype html><title>Google Drive - Quota exceeded</title>",
    "a byte": lambda data: data[:2000] + bytes([data[2000] ^ 255]) + data[2001:],
    "zeros": lambda data: data[:2000] + bytes(100_000) + data[102_000:],
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_archive_is_one_sentence_and_a_whole_one_mends_it(
    harm, archive, tmp_path, monkeypatch, capsys
):
    harmed, project = tmp_path / "MyDrive" / colab.ARCHIVE, tmp_path / "latent_faces"
    harmed.parent.mkdir()
    harmed.write_bytes(HARMS[harm](archive.read_bytes()))
    monkeypatch.setattr(colab, "project_root", lambda: harmed)
    monkeypatch.chdir(tmp_path)
    assert colab.main() == 2
    told = capsys.readouterr().err
    assert (
        told.count("\n") == 1 and "latent_faces.zip is no whole archive" in told and "make colab-zip" in told
    )
    assert not (project / colab.UNPACKED).exists()
    shutil.copy(archive, harmed)
    colab.unpack_project(harmed, project)
    with zipfile.ZipFile(archive) as packed:
        assert all((project / name).read_bytes() == packed.read(name) for name in packed.namelist())


def test_damage_anywhere_in_the_archive_is_one_sentence_or_harmless(tmp_path, monkeypatch):
    origin = tmp_path / colab.ARCHIVE
    with zipfile.ZipFile(origin, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("helpers/a.py", "x = 1\n" * 20)
        packed.writestr("ü.txt", "text " * 20)
    data, rng, refused = origin.read_bytes(), random.Random(1), 0
    for number in range(400):
        harmed = bytearray(data)
        harmed[number % len(data)] ^= rng.randrange(1, 256)
        origin.write_bytes(harmed)
        try:
            colab.unpack_project(origin, tmp_path / str(number))
        except InputError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 150


def test_a_full_disk_while_unpacking_is_one_sentence_and_begun_anew(archive, tmp_path, monkeypatch):
    project, extract = tmp_path / "latent_faces", zipfile.ZipFile.extractall

    def fill_up(packed, target):
        packed.extract(packed.namelist()[0], target)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    project.mkdir()
    (project / colab.UNPACKED).write_bytes(b"\xff another archive")
    monkeypatch.setattr(zipfile.ZipFile, "extractall", fill_up)
    with pytest.raises(InputError, match="the disk is full; make room"):
        colab.unpack_project(archive, project)
    assert not (project / colab.UNPACKED).exists()
    monkeypatch.setattr(zipfile.ZipFile, "extractall", extract)
    colab.unpack_project(archive, project)
    assert (project / colab.UNPACKED).read_text() == sha256_of(archive)


def test_an_earlier_archive_put_back_after_a_kill_is_unpacked_again(archive, tmp_path, monkeypatch):
    """The marker of the earlier one must not outlive the first file of the later one."""
    project, extract = tmp_path / "latent_faces", zipfile.ZipFile.extractall
    colab.unpack_project(archive, project)
    later = tmp_path / "later.zip"
    with zipfile.ZipFile(later, "w") as packed:
        packed.writestr("helpers/colab.py", "later")

    def kill(packed, target):
        extract(packed, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(zipfile.ZipFile, "extractall", kill)
        colab.unpack_project(later, project)
    colab.unpack_project(archive, project)
    assert (project / "helpers" / "colab.py").read_text() == Path(colab.__file__).read_text()


def test_the_archive_holds_the_project_and_nothing_else(archive, tmp_path):
    again = tmp_path / "again.zip"
    colab_zip.pack_project(again)
    assert sha256_of(again) == sha256_of(archive)
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
        assert packed.testzip() is None
    assert names == sorted(names)
    assert {"README.md", "requirements.txt", "helpers/drive/mount.py", "data_prep/packing/store.py"} <= {
        *names
    }
    assert {name.split("/")[0] for name in names} <= {*colab_zip.FOLDERS, *colab_zip.FILES}
    assert not [name for name in names if "__pycache__" in name or "/." in name]
    assert archive.stat().st_size < 20e6


def test_notebooks_in_the_archive_come_from_mydrive_even_where_a_repository_is_named(tmp_path, monkeypatch):
    cell = nbformat.v4.new_code_cell(generated_cells.bootstrap("a/b"), metadata={"tags": ["bootstrap"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "colab_setup.ipynb")
    monkeypatch.setattr(colab_zip, "project_root", lambda: tmp_path)
    assert colab_zip.pack_project(tmp_path / "packed.zip") == 1
    with zipfile.ZipFile(tmp_path / "packed.zip") as packed:
        notebook = nbformat.reads(packed.read("colab_setup.ipynb").decode(), as_version=4)
    assert notebook.cells[0].source == generated_cells.bootstrap("")


@pytest.fixture
def copied_project(tmp_path, monkeypatch):
    """pyproject.toml and the notebooks in a folder of their own, without outputs; the tools work on it."""
    root = project_root()
    shutil.copy(root / "pyproject.toml", tmp_path)
    (tmp_path / "notebooks").mkdir()
    for path in (*build_notebooks.list_notebooks(), root / generated_cells.SETUP_NOTEBOOK):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = []
        nbformat.write(notebook, tmp_path / path.relative_to(root))
    for module in (build_notebooks, generated_cells):
        monkeypatch.setattr(module, "project_root", lambda: tmp_path)
    return tmp_path


def test_each_badge_is_its_own_files_address(copied_project, capsys):
    before = (copied_project / "pyproject.toml").read_text()
    assert badges.main(["some-owner/latent.faces"]) == 0
    after = (copied_project / "pyproject.toml").read_text()
    assert after == before.replace(
        'Repository = ""', 'Repository = "https://github.com/some-owner/latent.faces"'
    )
    paths = [copied_project / "colab_setup.ipynb", *(copied_project / "notebooks").glob("*.ipynb")]
    assert len(paths) >= 8
    for path in paths:
        cells = nbformat.read(path, as_version=4).cells
        navigation = next(cell.source for cell in cells if "navigation" in cell.metadata.get("tags", []))
        place = path.relative_to(copied_project).as_posix()
        address = f"https://colab.research.google.com/github/some-owner/latent.faces/blob/main/{place}"
        assert navigation.endswith(f"colab-badge.svg)]({address})")
        first = next(cell.source for cell in cells if "bootstrap" in cell.metadata.get("tags", []))
        assert "git clone --depth 1 https://github.com/some-owner/latent.faces latent_faces" in first


@pytest.mark.parametrize("name", ["", "owner", "owner/", "https://github.com/owner/name", "a b/c", '"/x'])
def test_a_wrong_repository_gets_one_sentence_and_changes_nothing(copied_project, capsys, name):
    before = {path: path.read_bytes() for path in copied_project.rglob("*.*") if path.is_file()}
    assert badges.main([name]) == 2
    assert "make badges REPO=owner/name" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before
    with pytest.raises(InputError):
        generated_cells.write_repository(name)


def test_committed_badges_are_those_of_the_named_repository():
    """Empty until there is a repository; then each committed notebook carries its own address."""
    repository = generated_cells.read_repository()
    for path in (project_root() / generated_cells.SETUP_NOTEBOOK, *build_notebooks.list_notebooks()):
        text = path.read_text(encoding="utf-8")
        own = f"blob/main/{path.relative_to(project_root()).as_posix()})"
        assert text.count("colab-badge.svg") == text.count(own) == (2 if repository else 0)
