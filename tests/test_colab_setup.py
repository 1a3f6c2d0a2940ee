"""colab_setup.ipynb: sound as a file, within the bars of a lesson, and executed whole at a small size."""

import json
import os
import re

import nbformat
import pytest

from helpers import posts
from helpers.files import project_root
from tools import build_notebooks, generated_cells, lesson_bars
from tools.colab_twin import SETUP_PARAMETERS
from tools.execution import execute_notebook

SETUP = project_root() / generated_cells.SETUP_NOTEBOOK
LONGEST_CELL_LINES = 20
FIGURES = 8
MEASURED_ANYWHERE = (
    *("COL-005", "COL-010", "COL-011", "COL-026", "COL-027", "COL-028", "COL-029", "COL-031", "COL-032"),
    *("USB-004", "USB-005", "USB-006", "USB-007", "USB-009"),
)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def outputs_of(notebook):
    return [out for cell in code_cells(notebook) for out in cell.outputs]


def pictures(notebook):
    kinds = [{"image/png", "image/jpeg"} & out.get("data", {}).keys() for out in outputs_of(notebook)]
    return sum(map(len, kinds))


def table_lines(notebook):
    """Lines of the one table of all statements, each as a list of cells."""
    tables = [out.data["text/html"] for out in outputs_of(notebook) if "text/html" in out.get("data", {})]
    (table,) = [text for text in tables if "measured here" in text]
    return [line.split("</td><td>") for line in re.findall(r"<tr><td>(.*)</td></tr>", table)]


@pytest.fixture(scope="module")
def saved():
    return nbformat.read(SETUP, as_version=4)


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """The notebook executed with small trials, then its exercises' solutions; and its measurements by id."""
    folder = tmp_path_factory.mktemp("setup")
    notebook = nbformat.read(SETUP, as_version=4)
    (exercises,) = [cell.source for cell in notebook.cells if cell.source.startswith("## Exercises")]
    solutions = re.findall(r"```python\n(.*?)```", exercises, re.DOTALL)
    assert len(solutions) == len(re.findall(r"^\d+\. ", exercises, re.MULTILINE)) == 4
    notebook.cells += [nbformat.v4.new_code_cell(solution) for solution in solutions]
    copy = folder / "notebooks" / SETUP.name  # a copy that finds the project beside itself
    copy.parent.mkdir()
    nbformat.write(notebook, copy)
    for room in ("helpers", "data_prep"):
        (folder / room).symlink_to(project_root() / room)
    kept = os.environ.get("LATENT_FACES_RESULTS")
    os.environ["LATENT_FACES_RESULTS"] = str(folder / "results")
    try:
        execute_notebook(copy, SETUP_PARAMETERS, folder / SETUP.name)
    finally:
        os.environ.pop("LATENT_FACES_RESULTS")
        if kept is not None:
            os.environ["LATENT_FACES_RESULTS"] = kept
    entries = json.loads((folder / "results" / "synthetic-smoke" / posts.MEASUREMENTS_FILE).read_text())
    assert {entry["notebook"] for entry in entries} == {"colab_setup"}
    notebook = nbformat.read(folder / SETUP.name, as_version=4)
    return notebook, {entry["id"]: entry["value"] for entry in entries}


def test_it_has_the_anatomy_of_the_series(saved):
    text = "\n".join(cell.source for cell in saved.cells if cell.cell_type == "markdown")
    assert re.findall(r"^# .*", text, re.MULTILINE) == ["# Setting up Colab"]
    assert {"## Exercises", "## Summary"} <= set(re.findall(r"^## .*", text, re.MULTILINE))
    assert [len(tagged(saved, tag)) for tag in ("navigation", "bootstrap", "parameters")] == [2, 1, 1]
    for words in ("make colab-zip", "git clone", "MyDrive/latent_faces", "notebooks/01_", "No GPU?"):
        assert words in text
    *lesson, books = code_cells(saved)
    assert books.metadata["jupyter"]["source_hidden"]
    assert not re.search(r"\brun\.record|\bdel \w+$", "\n".join(cell.source for cell in lesson))
    assert max(len(cell.source.splitlines()) for cell in lesson[1:]) <= LONGEST_CELL_LINES


def test_the_first_page_is_five_lines_and_one_cell(saved):
    _, first, cell, second = saved.cells[:4]
    assert len(re.findall(r"^\d\. \*\*", first.source, re.MULTILINE)) == 5
    assert "bootstrap" in cell.metadata["tags"]
    assert "You are ready" in "".join(out.get("data", {}).get("text/markdown", "") for out in cell.outputs)
    assert second.source.startswith("## The laboratory\n\nNothing below is needed")


def test_it_meets_the_bars_of_a_lesson():
    measures = lesson_bars.measure_file(SETUP)
    assert lesson_bars.missed_bars(measures) == [], measures
    assert measures["figures"] == FIGURES
    assert measures["exercises"] == 4


def test_every_figure_is_followed_by_what_was_seen(saved):
    for cell in code_cells(saved):
        kinds = [set(out.get("data", {})) for out in cell.outputs]
        if any({"image/png", "image/jpeg"} & kind for kind in kinds):
            assert "**What we see.**" in cell.outputs[-1].data["text/markdown"]


def test_its_generated_cells_are_current(saved):
    assert tagged(saved, "bootstrap")[0].source.startswith(build_notebooks.BOOTSTRAP)
    navigation = build_notebooks.navigation(SETUP, [SETUP, *build_notebooks.list_notebooks()[:1]])
    assert {cell.source for cell in tagged(saved, "navigation")} == {navigation}


def test_it_is_saved_with_outputs_and_without_errors_or_machine_paths(saved):
    counts = [cell.execution_count for cell in code_cells(saved)]
    assert counts == list(range(1, len(counts) + 1))
    assert not [out for out in outputs_of(saved) if out.output_type == "error" or out.get("name") == "stderr"]
    assert not re.search(r"/(root|home|tmp|work|Users)/", SETUP.read_text(encoding="utf-8"))
    assert SETUP.stat().st_size < 1_000_000
    assert len(table_lines(saved)) == len(rows_of_the_checklist())


def rows_of_the_checklist():
    return [row for row in posts.load_checklist().values() if row.notebook == "colab_setup"]


def test_all_statements_on_colab_and_usb_have_a_place():
    checklist = posts.load_checklist()
    assert {f"COL-{number:03d}" for number in range(1, 34)} <= checklist.keys()
    assert {f"USB-{number:03d}" for number in range(1, 10)} <= checklist.keys()


def test_it_runs_here_with_figures_and_a_verdict_on_every_row(small_run):
    notebook, _ = small_run
    assert pictures(notebook) == FIGURES
    verdicts = {line[0]: line[-1] for line in table_lines(notebook)}
    assert verdicts.keys() == {row.id for row in rows_of_the_checklist()}
    assert not [verdict for verdict in verdicts.values() if not verdict or "see notebook" in verdict]
    assert verdicts["COL-002"] == "needs Colab"
    assert not [out for out in outputs_of(notebook) if out.get("name") == "stderr"]


def test_it_measures_what_can_be_measured_anywhere(small_run):
    notebook, values = small_run
    assert set(MEASURED_ANYWHERE) <= values.keys()
    assert not {"COL-002", "COL-012", "COL-025"} & values.keys()
    assert (values["COL-026"], values["COL-027"]) == (0, 4)
    assert values["COL-005"] < 12.7 * 2**30 / (96 * 96 * 3 * 4)  # the array alone would leave no more room
    assert values["COL-010"] > 170_000 * 96 * 96 * 3 * 4 / 2**30
    assert values["trial/float32 array/peak"] > values["trial/uint8 array/peak"]
    assert values["trial/nothing/peak"] < values["trial/generator/peak"]
    assert values["trial/Keras' predict/peak over the images"] > 1
    assert values["trial/free()/stays"] < values["COL-031"]
    told = "".join(out.get("data", {}).get("text/markdown", "") for out in outputs_of(notebook))
    assert "Stopped at the limit for memory" in told
    assert "VRAM needs a GPU" in told
    assert "Of four files there and back 0 differ" in told


def test_it_installs_nothing_here(saved):
    sources = "\n".join(cell.source for cell in code_cells(saved))
    assert "install_missing" not in sources and not re.search(r"\bpip\b", sources)
    assert sources.count("\n    !") == 1  # on Colab alone, in the first cell
