import base64
import json
import os
import re
import subprocess

import nbformat
import numpy as np
import pytest
from nbclient.exceptions import CellExecutionError

from helpers import posts
from helpers.files import InputError, project_root, sha256_of
from helpers.workspace import FULL, PROFILES, get_profile
from tools import build_notebooks, execution, run_series


def write_notebook(path, *sources):
    """Notebook with a parameters cell `x = 1` and one code cell per source."""
    cells = [nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)


def test_parameters_are_injected_after_the_defaults(tmp_path):
    write_notebook(tmp_path / "a.ipynb", "print(x)")
    for also, printed in (("", "it's 2\n"), ("x = 3", "3\n")):
        execution.execute_notebook(tmp_path / "a.ipynb", {"x": "it's 2"}, tmp_path / "done.ipynb", also)
        done = nbformat.read(tmp_path / "done.ipynb", as_version=4)
        injected = f'x = "it\'s 2"\n{also}'.strip()
        assert [cell.source for cell in done.cells] == ["x = 1", injected, "print(x)"]
        assert done.cells[2].outputs[0].text == printed
        assert [cell.execution_count for cell in done.cells] == [1, 2, 3]


def test_a_failed_notebook_is_kept_under_another_name(tmp_path, capsys):
    write_notebook(tmp_path / "a.ipynb", "print('reached')", "1 / 0", "print('not reached')")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execution.execute_notebook(tmp_path / "a.ipynb", {}, tmp_path / "done.ipynb")
    assert not (tmp_path / "done.ipynb").exists()
    failed = nbformat.read(tmp_path / "done.failed.ipynb", as_version=4)
    assert failed.cells[1].outputs[0].text == "reached\n"
    assert failed.cells[3].outputs == []
    assert "reached" in capsys.readouterr().out


def test_a_killed_kernel_is_told_in_one_sentence(tmp_path):
    write_notebook(
        tmp_path / "a.ipynb", "print('reached')", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    with pytest.raises(InputError, match=r"a\.ipynb was killed, perhaps for lack of memory"):
        execution.execute_notebook(tmp_path / "a.ipynb", {}, tmp_path / "done.ipynb")
    assert not (tmp_path / "done.ipynb").exists()
    assert nbformat.read(tmp_path / "done.failed.ipynb", as_version=4).cells[1].outputs[0].text == "reached\n"


INPUT_ERRORS = {"InputError": "files", "TooFewImages": "workspace", "DamagedSource": "drive.transfer"}
HERE = f"import sys\nsys.path.append({str(project_root())!r})\n"


@pytest.mark.parametrize(("kind", "module"), INPUT_ERRORS.items())
def test_an_input_error_in_a_notebook_is_its_sentence_and_nothing_else(tmp_path, kind, module):
    source = f"{HERE}from helpers.{module} import {kind}\nraise {kind}('Give more.')"
    write_notebook(tmp_path / "a.ipynb", source)
    with pytest.raises(InputError, match=r"^Give more\.$") as raised:
        execution.execute_notebook(tmp_path / "a.ipynb", {}, tmp_path / "done.ipynb")
    assert raised.type.__name__ == kind
    assert (tmp_path / "done.failed.ipynb").exists()


RC_FILE = "font.family: No Such Font\nfigure.dpi: 9\n"


def test_a_kernel_shows_figures_whatever_the_users_settings(tmp_path, monkeypatch, capfd):
    (tmp_path / "rc").write_text(RC_FILE)
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path / "rc"))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    draw = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    write_notebook(tmp_path / "a.ipynb", draw, "print(plt.rcParams['figure.dpi'])")
    execution.execute_notebook(tmp_path / "a.ipynb", {}, tmp_path / "done.ipynb")
    _, picture, printed = nbformat.read(tmp_path / "done.ipynb", as_version=4).cells
    assert ["image/png", "text/plain"] in [sorted(out.get("data", {})) for out in picture.outputs]
    assert [out for out in picture.outputs if out.output_type == "stream"] == []  # no chatter about fonts
    assert float(printed.outputs[0].text) > 9
    assert "eavesdropping" not in "".join(capfd.readouterr())


@pytest.fixture
def short_series(tmp_path, monkeypatch):
    """A project whose notebooks are written by the test, and its folder of notebooks."""
    monkeypatch.setenv("LATENT_FACES_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(run_series, "project_root", lambda: tmp_path)
    (tmp_path / "notebooks").mkdir()
    return tmp_path / "notebooks"


SAVED = (
    HERE + "from helpers import posts\nposts.save_measurements({!r}, '01_a', {{'CII-010': 1}}, {{}})\nPROFILE"
)
TOO_FEW = HERE + "from helpers.workspace import TooFewImages\nraise TooFewImages('It needs 114.')"
WRONG = HERE + "from helpers.files import InputError\nraise InputError('The list is damaged.')"


def write_series(folder, results, *sources):
    for number, source in enumerate(sources, 1):
        path = folder / f"0{number}_a.ipynb"
        write_notebook(path, source.format(str(results)) if "posts" in source else source)
        notebook = nbformat.read(path, as_version=4)
        notebook.cells.insert(0, nbformat.v4.new_markdown_cell(f"# 0{number} Title"))
        nbformat.write(notebook, path)


def test_a_notebook_that_needs_more_images_is_left_out(short_series, tmp_path, capsys):
    results = tmp_path / "results" / "synthetic-smoke"
    write_series(short_series, results, SAVED, TOO_FEW, SAVED)
    assert run_series.main(["--profile", "smoke"]) == 0
    assert "  left out. It needs 114.\n" in capsys.readouterr().out
    assert sorted(path.stem for path in results.glob("*.html")) == ["01_a", "03_a", "index"]


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        (WRONG, 2, r"The list is damaged\."),
        ("1 / 0", 1, r"(?s).*ZeroDivisionError.*will fail again at the same place, unless .*"),
        ("open('/nowhere/x', 'w')", 1, r"(?s).*FileNotFoundError.*will fail again .*"),
        ("raise MemoryError", 1, r"(?s).*The same command goes on from there, once that is put right\."),
    ],
)
def test_errors_of_a_run_say_what_helps(short_series, tmp_path, capsys, source, code, said):
    write_series(short_series, tmp_path / "results" / "synthetic-smoke", SAVED, source, SAVED)
    assert run_series.main(["--profile", "smoke"]) == code
    assert re.fullmatch(said, capsys.readouterr().err.strip())


def run_make(*arguments, **environment):
    """Output of `make run` that would only show its command."""
    command = ["make", "RUN=printf '<%s>'", "-o", "setup", "--silent", "run", *arguments]
    done = subprocess.run(
        command,
        cwd=project_root(),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


NAMES = ["", "a b", "$x", "$(y", "$(shell exit 1)", 'a"b', "it's", "a#b%c\\d", "`ls`", "-x", "ü"]


@pytest.mark.parametrize("data", NAMES)
def test_make_hands_on_names_as_they_are(data):
    wanted = f"<-m><tools.run_series><--profile=smoke><--data={data}>"
    assert run_make(f"DATA={data}", "PROFILE=smoke") == (0, wanted, "")
    assert run_make("PROFILE=smoke", DATA=data) == (0, wanted, "")


def test_make_refuses_names_in_small_letters_and_knows_strict():
    for name in ("data", "profile", "strict"):
        code, _, said = run_make(f"{name}=x")
        assert (code, f"You gave {name}=." in said) == (2, True)
    assert run_make("STRICT=1")[1].endswith("<--strict>")


def test_generated_cells_are_written_once(tmp_path):
    paths = [tmp_path / f"{number:02d}_name.ipynb" for number in (1, 2, 3)]
    tags = ["navigation", "bootstrap"]
    cells = [nbformat.v4.new_markdown_cell("old", metadata={"tags": [tag]}) for tag in tags]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), paths[1])
    build_notebooks.write_generated_cells(paths[1], paths)
    first = paths[1].read_bytes()
    navigation, bootstrap = (cell.source for cell in nbformat.read(paths[1], as_version=4).cells)
    assert navigation == "[← 01_name](01_name.ipynb) | [Contents](../README.md) | [03_name →](03_name.ipynb)"
    assert bootstrap == build_notebooks.BOOTSTRAP
    assert len(bootstrap.splitlines()) <= 8
    written = paths[1].stat().st_mtime_ns
    build_notebooks.write_generated_cells(paths[1], paths)
    assert (paths[1].stat().st_mtime_ns, paths[1].read_bytes()) == (written, first)


def test_the_readme_picture_is_the_figure_of_its_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(build_notebooks, "README_PICTURE", str(tmp_path / "picture.jpg"))
    jpeg = {"image/jpeg": base64.b64encode(b"picture").decode()}
    cell = nbformat.v4.new_code_cell(metadata={"tags": ["readme"]})
    cell.outputs = [nbformat.v4.new_output("display_data", data=jpeg)]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "a.ipynb")
    build_notebooks.save_readme_picture(tmp_path / "a.ipynb")
    assert (tmp_path / "picture.jpg").read_bytes() == b"picture"


def test_celeba_measurements_hold_numbers_and_their_origin(packed, tmp_path, monkeypatch):
    (tmp_path / "images").symlink_to(packed)
    posts.save_measurements(tmp_path, "01_a", {"CII-010": 256}, {})
    monkeypatch.setattr(run_series, "CELEBA_FILE", tmp_path / "measured.json")
    run_series.write_celeba_measurements(tmp_path, FULL)
    content = json.loads((tmp_path / "measured.json").read_text())
    assert content["measurements"][0]["value"] == 256
    assert (content["images"], content["training_images"]) == (60, 48)
    assert content["images_sha256"] == sha256_of(packed / "images.npy")
    assert content["seeds"] == [1, 2, 3]
    assert {"python", "tensorflow", "keras", "numpy"} <= content["versions"].keys()


def test_committed_celeba_measurements_belong_to_known_rows():
    content = posts.load_celeba_measurements()
    checklist = posts.load_checklist()
    names = [entry["id"] for entry in content["measurements"]]
    assert content["training_images"] == 12_840
    assert len(names) == len(set(names))
    unknown = [n for n in names if n.removesuffix(posts.SURROGATE_SUFFIX) not in checklist and "/" not in n]
    assert unknown == []
    assert all(np.isfinite(entry["value"]) for entry in content["measurements"])
    radii = [e["value"] for e in content["measurements"] if re.fullmatch("ae/(.*/)?radius_mean", e["id"])]
    assert len(radii) == 1 + 3  # the main run once more among the three seeds


def test_profiles_have_the_posts_settings_at_full():
    assert (FULL.epochs, FULL.batch_size, FULL.learning_rate, FULL.z_dim) == (24, 128, 0.0005, 256)
    assert FULL.image_limit is None
    assert list(PROFILES) == ["smoke", "quick", "posts", "full"]
    assert [get_profile(name).name for name in PROFILES] == list(PROFILES)
    assert PROFILES["posts"].map_sizes == (20_000, 80_000, 140_000, 0.8 * PROFILES["posts"].synthetic_images)
    with pytest.raises(InputError, match="choose one of smoke, quick, posts, full"):
        get_profile("slow")
