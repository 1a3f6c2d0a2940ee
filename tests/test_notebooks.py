"""The committed notebooks: sound as files, and executed whole at profile smoke by the run tool."""

import ast
import json
import os
import re
import subprocess
import sys

import nbformat
import pytest

from helpers import posts
from helpers.files import project_root
from helpers.sampling.samplers import SAMPLERS
from tools import build_notebooks
from tools.execution import execute_notebook

NOTEBOOKS = build_notebooks.list_notebooks()
LONGEST_CELL_LINES = 20
LARGEST_FILE_BYTES = 1_000_000  # GitHub shows larger notebooks badly
ROWS_OF_NOTEBOOK_01 = [
    *(f"CII-{n:03d}" for n in (1, 2, 3, 4, 5, 6, 9, 10, 16, 17, 18, 19, 20)),
    *(f"XIII-{n:03d}" for n in (9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20)),
    *(f"COL-{n:03d}" for n in (13, 19, 20, 21, 22, 23, 24)),
    *("VIII-054", "VIII-060"),
]
ROWS_OF_NOTEBOOK_02 = [f"XII-{n:03d}" for n in (*range(2, 15), *range(17, 27))]
ROWS_OF_NOTEBOOK_03 = [
    f"XIII-{n:03d}"
    for n in (1, 3, 4, 5, 6, 8, 17, 21, *range(46, 51), 55, 56, *range(57, 72), *range(76, 102), 106)
]
ROWS_OF_NOTEBOOK_04 = [
    *(f"CII-{n:03d}" for n in (11, *range(21, 48), 73, 74)),
    *(f"XIII-{n:03d}" for n in (22, 23, 24, 25, 27, 43, 44, 45)),
    "VIII-010",
]
ROWS_OF_NOTEBOOK_05 = [
    *(f"CII-{n:03d}" for n in (12, 13, *range(48, 54), *range(57, 62))),
    *(f"XIII-{n:03d}" for n in (7, *range(28, 43), *range(72, 76), 107)),
]
ROWS_OF_NOTEBOOK_06 = [
    *(f"CII-{n:03d}" for n in (7, 8, 14, 15, 54, 55, 56, *range(62, 73), 75, 78, 79)),
    *(f"IX-{n:03d}" for n in range(27, 34)),
    *("VIII-005", "VIII-016"),
]
ROWS_OF_NOTEBOOK_07 = [
    *(f"VIII-{n:03d}" for n in (*range(11, 16), *range(17, 54), *range(55, 60), 61, *range(63, 68))),
    *(f"IX-{n:03d}" for n in (*range(4, 27), *range(34, 82))),
    *(f"D-{n:03d}" for n in range(1, 14)),
]
ROWS_OF_NOTEBOOK_08 = [
    *(f"VIII-{n:03d}" for n in (4, 6, 7, 8, 9)),
    *("IX-001", "IX-002", "IX-003", "IX-082"),
    *(f"XIII-{n}" for n in (102, 103, 104, 105)),
]
FIGURES_OF_MERIT = (
    "limit",
    "ratio",
    "other ratio",
    "density",
    "coverage",
    "share that is idempotent",
    "nearest z",
    "nearest image",
)
FIGURES = {
    "00_a_latent_space_one_can_see": 10,
    "01_train_autoencoder": 6,
    "02_vae_extra_dense_layer": 4,
    "03_tiny_kl_vae": 7,
    "04_densities_and_radius": 10,
    "05_clusters_and_tsne": 9,
    "06_pca_and_planes": 14,
    "07_gaussians_and_ellipses": 21,
    "08_generate_faces": 14,
}


def read(path):
    return nbformat.read(path, as_version=4)


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestFile:
    def test_cells_were_run_once_and_in_order(self, path):
        counts = [cell.execution_count for cell in read(path).cells if cell.cell_type == "code"]
        assert counts == list(range(1, len(counts) + 1))

    def test_no_errors_warnings_or_machine_paths_in_outputs(self, path):
        outputs = [out for cell in read(path).cells for out in cell.get("outputs", [])]
        assert [out for out in outputs if out.output_type == "error"] == []
        assert [out.text for out in outputs if out.get("name") == "stderr"] == []
        assert not re.search(r"/(root|home|tmp|work|Users)/", path.read_text(encoding="utf-8"))

    def test_it_can_be_shown_on_github(self, path):
        assert path.stat().st_size < LARGEST_FILE_BYTES
        assert "widgets" not in read(path).metadata

    def test_it_has_the_anatomy_of_the_series(self, path):
        notebook = read(path)
        headings = [cell.source.splitlines()[0] for cell in notebook.cells if cell.source.startswith("#")]
        assert sum(heading.startswith("# ") for heading in headings) == 1
        assert headings[0].startswith(f"# {path.stem[:2]} ")
        assert {"## Exercises", "## Summary"} <= set(headings)
        assert [len(tagged(notebook, tag)) for tag in ("navigation", "bootstrap", "parameters")] == [2, 1, 1]

    def test_networks_are_asked_batch_by_batch(self, path):
        code = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code")
        assert re.findall(r".*(?<!models)\.predict\(.*", code) == []  # what Keras' own leaves behind stays

    def test_cells_are_short(self, path):
        code = [cell for cell in read(path).cells if cell.cell_type == "code"]
        shown = [cell for cell in code if not cell.metadata.get("jupyter", {}).get("source_hidden")]
        assert max(len(cell.source.splitlines()) for cell in shown) <= LONGEST_CELL_LINES

    def test_generated_cells_are_current(self, path):
        notebook = read(path)
        assert tagged(notebook, "bootstrap")[0].source.startswith(build_notebooks.BOOTSTRAP)
        navigation = build_notebooks.navigation(path, NOTEBOOKS)
        assert [cell.source for cell in tagged(notebook, "navigation")] == [navigation, navigation]

    def test_defaults_are_quick_and_synthetic(self, path):
        values = {
            node.targets[0].id: ast.literal_eval(node.value)
            for node in ast.parse(tagged(read(path), "parameters")[0].source).body
        }
        assert values["PROFILE"] == "quick"
        assert values["DATA"] is None


@pytest.fixture(scope="module")
def smoke_results(tmp_path_factory):
    """Folder of results of the whole series at profile smoke, run by the command behind `make run`."""
    folder = tmp_path_factory.mktemp("results")
    command = [sys.executable, "-m", "tools.run_series", "--profile", "smoke"]
    environment = {**os.environ, "LATENT_FACES_RESULTS": str(folder)}
    done = subprocess.run(
        command, cwd=project_root(), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "index.html" in done.stdout.splitlines()[-1]
    return folder / "synthetic-smoke"


def test_results_are_complete(smoke_results):
    page = (smoke_results / "index.html").read_text(encoding="utf-8")
    for path in NOTEBOOKS:
        assert f'href="{path.name}"' in page
        assert f'href="{path.stem}.html"' in page
        assert (smoke_results / f"{path.stem}.html").stat().st_size > 100_000  # figures are embedded
        assert (smoke_results / path.name).exists()


def test_every_measurement_names_value_unit_and_notebook(smoke_results):
    entries = json.loads((smoke_results / posts.MEASUREMENTS_FILE).read_text())
    assert all(entry.keys() == {"id", "value", "unit", "notebook"} for entry in entries)
    assert {entry["notebook"] for entry in entries} <= {path.stem for path in NOTEBOOKS}
    assert all(isinstance(entry["value"], (int, float)) for entry in entries)


def test_notebook_01_measures_its_rows(smoke_results):
    values = {
        entry["id"]: entry["value"] for entry in json.loads((smoke_results / "measurements.json").read_text())
    }
    assert set(ROWS_OF_NOTEBOOK_01) <= values.keys()
    assert {"ae/train_loss", "ae/heldout_loss", "ae/radius_mean", "ae/radius_mode"} <= values.keys()
    assert values["CII-016"] == values["CII-017"] == 4
    assert values["XIII-009"] == 2
    assert values["COL-021"] == pytest.approx(170_000 * 96 * 96 * 3 * 4 / 1e9)
    assert values["XIII-020"] == pytest.approx(9216, rel=1e-5)
    assert values["XIII-018"] * 9216 == pytest.approx(values["ae/train_loss"], rel=1e-4)
    assert values["ae/radius_min"] < values["ae/radius_mean"] < values["ae/radius_max"]


def test_notebooks_02_and_03_measure_their_rows(smoke_results):
    values = {
        entry["id"]: entry["value"] for entry in json.loads((smoke_results / "measurements.json").read_text())
    }
    assert set(ROWS_OF_NOTEBOOK_02) | set(ROWS_OF_NOTEBOOK_03) <= values.keys()
    assert (values["XII-009"], values["XII-018"], values["XII-019"]) == (5_109_440, 2_881_472, 4_126_784)
    assert (values["XII-006"], values["XII-007"]) == (9_438_208, 9_828_544)
    assert (values["XII-008"], values["XII-010"]) == (5_115_971, 2_756_675)
    assert (values["XII-012"], values["XII-020"]) == (4, 0)
    assert values["vae/extra_dense_weights_ratio"] == pytest.approx(
        (2.881 + 2.757) / (5.109 + 2.757), abs=1e-3
    )
    for label in ("tiny-KL VAE", "fact-5 VAE"):
        assert abs(values[f"{label}/kl_loss_check"]) < 0.01
    assert values["XIII-067"] == 5
    assert values["XIII-068"] == 0
    assert values["XIII-062"] == pytest.approx(1, abs=0.02)
    assert values["fact-5 VAE/radius_mean"] == pytest.approx(16, abs=1.5)


def test_notebook_04_measures_its_rows(smoke_results):
    values = {
        entry["id"]: entry["value"] for entry in json.loads((smoke_results / "measurements.json").read_text())
    }
    assert set(ROWS_OF_NOTEBOOK_04) <= values.keys()
    compared = [f"CII-{n:03d}" for n in (22, *range(23, 35), 36, 37, 39, 41, 42, 43, 46, 47, 73, 74)]
    assert {row + posts.SURROGATE_SUFFIX for row in compared} <= values.keys()
    assert (values["CII-021"], values["CII-044"], values["XIII-025"]) == (256, 16, 0)
    assert values["CII-038"] == pytest.approx(0.981, abs=0.003)  # a normal variable within ± 2.355 sigma
    assert values["CII-045"] == pytest.approx(15.98, abs=0.3)
    assert values["radius_spread/N(0, 1)"] == pytest.approx(512**-0.5, rel=0.2)  # of 128 points
    assert values["CII-033"] >= values["CII-030"] >= values["CII-023"] >= values["CII-032"] >= 1
    assert values["CII-073"] == pytest.approx(values["CII-022"] / 2)


def test_notebook_05_measures_its_rows_and_keeps_its_maps(smoke_results):
    values = {
        entry["id"]: entry["value"] for entry in json.loads((smoke_results / "measurements.json").read_text())
    }
    assert set(ROWS_OF_NOTEBOOK_05) <= values.keys()
    compared = [
        *("CII-052", "CII-053", "CII-061", "XIII-029", "XIII-031", "XIII-040", "XIII-041", "XIII-042"),
        *("XIII-072", "XIII-073", "XIII-107"),
    ]
    assert {row + posts.SURROGATE_SUFFIX for row in compared} <= values.keys()
    assert (values["XIII-028"], values["XIII-030"], values["XIII-036"]) == (40, 40, 2)
    assert values["CII-050"] == values["XIII-075"] == 128  # all training points there are
    assert values["XIII-032"] < 0.3
    maps = sorted((smoke_results / "tsne").glob("*.npy"))
    assert len(maps) == len(list((smoke_results / "tsne").glob("*.json"))) == 29
    assert not [path for path in maps if path.name.startswith(".")]


def test_notebook_06_measures_its_rows(smoke_results):
    values = {
        entry["id"]: entry["value"] for entry in json.loads((smoke_results / "measurements.json").read_text())
    }
    assert set(ROWS_OF_NOTEBOOK_06) <= values.keys()
    compared = [f"CII-{n:03d}" for n in (8, *range(62, 73), 75)]
    assert {row + posts.SURROGATE_SUFFIX for row in compared} <= values.keys()
    assert (values["CII-014"], values["CII-015"], values["CII-062"]) == (3, 1, 128)
    assert values["CII-062"] >= values["CII-063"] >= values["CII-065"]
    assert values["CII-055"] < 1e-3
    assert values["IX-030"] < 1e-4
    assert 0 < values["IX-032"] <= values["IX-028"] <= values["IX-029"] <= 1 + 1e-9
    assert values["planted/5/dimension"] < 3
    assert values["CII-007"] > 0
    assert values["ae/mean_over_standard_error"] > 3


def test_notebook_07_measures_its_rows(smoke_results):
    values = {
        entry["id"]: entry["value"] for entry in json.loads((smoke_results / "measurements.json").read_text())
    }
    assert set(ROWS_OF_NOTEBOOK_07) <= values.keys()
    compared = [
        *("VIII-020", "VIII-021", "VIII-022", "VIII-036", "VIII-041", "VIII-051", "VIII-063", "VIII-066"),
        *("IX-012", "IX-013", "IX-014", "IX-016", "IX-022", "IX-024", "IX-044", "IX-045", "IX-047"),
        *(f"IX-{n:03d}" for n in (62, 63, 64, 68, 69, 70, 72, 73, 74, 75, 76, 78, 79)),
        "D-008",
    ]
    assert {row + posts.SURROGATE_SUFFIX for row in compared} <= values.keys()
    assert values["VIII-033"] < 0.001  # curve_fit agrees
    assert max(values["VIII-029"], values["IX-051"], values["VIII-024"]) < 1e-5
    assert values["D-005"] == pytest.approx(0.86466, abs=1e-4)
    assert (values["D-001"], values["D-002"]) == (1920, 5_504_643)
    assert values["D-003"] == pytest.approx(0.01756, abs=1e-5)
    assert values["D-006"] == pytest.approx(0.000268, rel=0.01)
    assert values["D-009"] == pytest.approx(219, abs=1)
    assert values["D-013"] == pytest.approx(24.9, abs=0.1)
    assert (
        values["IX-072"] <= values["IX-073"] <= values["IX-074"] <= values["IX-075"] <= values["IX-076"] <= 1
    )
    assert values["IX-075"] == values["IX-024"]
    assert values["IX-009"] == pytest.approx(1, abs=0.001)
    assert values["ladder/all/independent normals"] < 0 < values["all points/joint_p_value"] <= 1
    assert values["VIII-018"] == 256 * 255 / 2


def test_notebook_08_measures_its_rows(smoke_results):
    values = {
        entry["id"]: entry["value"] for entry in json.loads((smoke_results / "measurements.json").read_text())
    }
    assert set(ROWS_OF_NOTEBOOK_08) <= values.keys()
    assert {row + posts.SURROGATE_SUFFIX for row in ("XIII-104", "XIII-105")} <= values.keys()
    assert values["IX-001"] == 1
    assert max(values[row] for row in ("IX-002", "VIII-007", "XIII-102", "XIII-103")) <= values["IX-003"]
    assert values["reconstructions/nearest z"] == 1
    assert values["reconstructions/ratio"] == values["reconstructions/other ratio"] == 1
    assert values["settings/bootstrap, noise 0/nearest z"] < 1e-3  # training z-points
    assert values["sampler/uniform_10/nearest z"] > values["sampler/gaussian/nearest z"]
    for name in SAMPLERS:
        assert {f"sampler/{name}/{figure}" for figure in FIGURES_OF_MERIT} <= values.keys()
    assert values["ellipses/normal share inside 2 sigma"] < values["ellipses/normal share inside 5 sigma"]


@pytest.mark.parametrize("stem", FIGURES)
def test_a_notebook_shows_its_figures_and_a_verdict_on_every_row(smoke_results, stem):
    outputs = [out for cell in read(smoke_results / f"{stem}.ipynb").cells for out in cell.get("outputs", [])]
    pictures = [{"image/png", "image/jpeg"} & out.get("data", {}).keys() for out in outputs]
    assert sum(map(len, pictures)) == FIGURES[stem]
    if stem.startswith("00"):  # it is about no statement of the posts
        return
    tables = [
        out.data["text/html"]
        for out in outputs
        if "the post says" in out.get("data", {}).get("text/html", "")
    ]
    assert len(tables) == 1
    for line in re.findall(r"<tr><td>(.*)</td></tr>", tables[0]):
        verdict = line.split("</td><td>")[-1]
        assert verdict, line
        if int(line[line.index("-") + 1 :][:3]) not in (51, 52, 53, 54):  # need more epochs than smoke has
            assert verdict != f"see notebook {stem[:2]}", line


WITH_SOLUTIONS = [path for path in NOTEBOOKS if "<summary>Solution" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", WITH_SOLUTIONS, ids=lambda path: path.stem)
def test_solutions_of_exercises_run(path, tmp_path, faces_archive):
    """After the whole notebook, on the fewest images: 60 photos."""
    notebook = read(path)
    exercises = next(cell.source for cell in notebook.cells if cell.source.startswith("## Exercises"))
    solutions = re.findall(r"```python\n(.*?)```", exercises, re.DOTALL)
    assert len(solutions) == len(re.findall(r"^\d+\.", exercises, re.MULTILINE))
    notebook.cells += [nbformat.v4.new_code_cell(solution) for solution in solutions]
    copy = tmp_path / "notebooks" / path.name  # a copy that finds the project beside itself
    copy.parent.mkdir()
    nbformat.write(notebook, copy)
    for room in ("helpers", "data_prep"):
        (tmp_path / room).symlink_to(project_root() / room)
    results = f"import os; os.environ['LATENT_FACES_RESULTS'] = {str(tmp_path / 'results')!r}"
    too_few = path.stem.startswith("05")  # needs 91 images to train on
    parameters = {"PROFILE": "smoke", "DATA": None if too_few else str(faces_archive)}
    execute_notebook(copy, parameters, tmp_path / path.name, results)


def test_unknown_profile_and_missing_data_get_one_sentence():
    for arguments, words in (
        (["--profile", "huge"], "choose one of"),
        (["--data", "nowhere"], "no file or folder"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "tools.run_series", *arguments],
            cwd=project_root(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert words in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
