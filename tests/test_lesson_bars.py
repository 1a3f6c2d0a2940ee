"""The notebooks meet the bars of tools/lesson_bars.py, and the measuring sees every fault that is put in."""

from base64 import b64encode
from io import BytesIO

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from helpers.files import project_root
from tools import build_notebooks, lesson_bars
from tools.generated_cells import SETUP_NOTEBOOK

NOTEBOOKS = [*build_notebooks.list_notebooks(), project_root() / SETUP_NOTEBOOK]
# Names, without .ipynb, of the notebooks that meet all bars.
REWRITTEN = {"01_train_autoencoder", "04_densities_and_radius", "05_clusters_and_tsne", "colab_setup"}
TERMS = ["explained variance", "Gaussian", "whitening", "density", "PCA"]


def mark(path):
    """A notebook as a parameter; outside REWRITTEN it has to miss a bar, so that it is named there soon."""
    missing = pytest.mark.xfail(
        strict=True, raises=AssertionError, reason="if it meets all bars, name it in REWRITTEN"
    )
    return pytest.param(path, id=path.stem, marks=[] if path.stem in REWRITTEN else [missing])


@pytest.mark.parametrize("path", [mark(path) for path in NOTEBOOKS])
def test_a_notebook_meets_all_bars(path):
    measures = lesson_bars.measure_file(path)
    assert {name: measures[name] for name in lesson_bars.missed_bars(measures)} == {}


def test_rewritten_notebooks_exist_and_terms_are_read():
    assert {path.stem for path in NOTEBOOKS} >= REWRITTEN
    terms = lesson_bars.read_terms()
    assert {"covariance", "correlation", "kernel", "Mahalanobis distance", "variance", "tr C"} <= set(terms)
    assert not {"", "term", "kernel (of a density)", "fact"} & set(terms)


def picture(width, kind="png"):
    """An output with a picture."""
    file = BytesIO()
    Image.new("RGB", (width, 20)).save(file, kind)
    data = {f"image/{kind}": b64encode(file.getvalue()).decode(), "text/plain": "x" * 200}
    return new_output("display_data", data=data)


def sentence(text="**What we see.** Three."):
    return new_output("execute_result", data={"text/markdown": text, "text/plain": "x" * 200})


def plain(width, **richer):
    return new_output("display_data", data={"text/plain": "short\n" + "x" * width, **richer})


def code(lines=4, *outputs, source="", **metadata):
    source = "\n".join([*[f"a = {n}" for n in range(lines)], *source.splitlines()])
    return new_code_cell(source, outputs=list(outputs), metadata=metadata)


def lesson(*cells):
    """A notebook that meets all bars, with `cells` in its midst."""
    return nbformat.from_dict(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {},
            "cells": [
                new_markdown_cell("[Contents](../README.md)", metadata={"tags": ["navigation"]}),
                new_markdown_cell("# 00 Title\n\nWhat you will see: the density, and PCA."),
                code(19, tags=["bootstrap"]),
                code(18, tags=["parameters"]),
                new_markdown_cell("## A question\n\nWhat is the **density**?"),
                code(5, picture(600), source="\n# a comment\n\n   # another"),
                new_markdown_cell("The density of $Gaussian$ is `Gaussian`."),
                *cells,
                new_markdown_cell(
                    "## Exercises\n\n1. Try it.\n\n" + SOLUTION + "\n\n2. Once more.\n\n" + SOLUTION
                ),
                code(16, source="run.record(a)\nrun.close()", jupyter={"source_hidden": True}),
            ],
        }
    )


SOLUTION = "<details><summary>Solution</summary>\n\n```python\n1. + 1\n```\n\n1. So it is.\n</details>"
TEXT, HEADING = new_markdown_cell("Some text."), new_markdown_cell("## A heading\n")
NEXT_SECTION = new_markdown_cell("## The next section\n\nSome text.")
FIGURE = code(1, picture(700))


@pytest.mark.parametrize(
    "cells",
    [
        [],
        [TEXT] * 41,
        [TEXT, FIGURE] * 9 + [TEXT],
        [TEXT, code(1, picture(600, "jpeg"), plain(105), sentence(), picture(700)), TEXT],
        [NEXT_SECTION, code(1, picture(700), sentence()), FIGURE, TEXT],
        [code(5, plain(105), plain(300, **{"text/html": "<table>"}))],
        [code(12), code(), code(5)],
        [
            new_markdown_cell("A **Gaussian** density; **principal components** (PCA)."),
            new_markdown_cell("PCA"),
        ],
        [new_code_cell('Markdown(f"By **whitening** {x}")'), new_markdown_cell("It is whitened.")],
        [code(1, source="!ls\n%time\nfor b in range(3):\n    !ls")],
        [code(38, source="print(a)\nprint(a)", tags=["bootstrap"])],
    ],
)
def test_a_good_lesson_misses_no_bar(cells):
    assert lesson_bars.missed_bars(lesson_bars.measure(lesson(*cells), TERMS)) == []


@pytest.mark.parametrize(
    ("bar", "cells", "value"),
    [
        ("cells", [TEXT] * 42, 51),
        ("figures", [TEXT, FIGURE] * 10 + [TEXT], 11),
        ("median", [code(6), code(7)], 6),
        ("p90", [code(2), code(16)], 13.8),
        ("chores %", [code(source="del a")], 10),
        ("chores %", [code(1, source="\nif a:\n    print(\n        a\n    )")], 30),
        ("chores %", [code(4, source="b = run.close()")], 10),
        ("bare figures", [FIGURE, FIGURE, TEXT], ["[7]", "[8]"]),
        ("bare figures", [FIGURE, code(), TEXT], ["[7]"]),
        ("bare figures", [code(), FIGURE, TEXT], ["[8]"]),
        ("bare figures", [HEADING, FIGURE, TEXT], ["[8]"]),
        ("bare figures", [FIGURE, NEXT_SECTION], ["[7]"]),
        ("bare figures", [code(1, picture(700), picture(700)), TEXT], ["[7]", "[7]"]),
        ("bare figures", [code(1, sentence(), picture(700), picture(700)), TEXT], ["[7]", "[7]"]),
        ("narrowest figure", [TEXT, code(1, picture(599)), TEXT], 599),
        ("narrowest figure", [TEXT, code(1, picture(320, "jpeg")), TEXT], 320),
        ("widest line", [code(1, plain(106))], 106),
        ("widest line", [code(1, new_output("stream", text="a\n" + "x" * 107 + "\n"))], 107),
        ("unexplained", [new_markdown_cell("Both Gaussians, and densities.")], ["Gaussian [7]"]),
        ("unexplained", [new_markdown_cell("PCA"), new_markdown_cell("**PCA**")], ["PCA [7]"]),
        ("unexplained", [new_code_cell('Markdown(f"By whitening {x}")')], ["whitening [7]"]),
        (
            "unexplained",
            [new_markdown_cell("The **explained** explained variance")],
            ["explained variance [7]"],
        ),
        (
            "unexplained",
            [new_markdown_cell("## Glossary\n\n| **PCA** |"), new_markdown_cell("PCA")],
            ["PCA [8]"],
        ),
    ],
)
def test_every_fault_is_seen(bar, cells, value):
    measures = lesson_bars.measure(lesson(*cells), TERMS)
    assert lesson_bars.missed_bars(measures) == [bar]
    assert measures[bar] == (value if isinstance(value, list) else pytest.approx(value))


@pytest.mark.parametrize(("change", "unsolved"), [(SOLUTION, 1), ("2. Once more.", -1)])
def test_exercises_and_solutions_are_counted(change, unsolved):
    notebook = lesson()
    notebook.cells[-2].source = notebook.cells[-2].source.replace(change, "", 1)
    measures = lesson_bars.measure(notebook)
    assert lesson_bars.missed_bars(measures) == ["unsolved"]
    assert (measures["exercises"], measures["unsolved"]) == (2 - (unsolved < 0), unsolved)


def test_without_outputs_the_rest_is_judged():
    notebook = lesson(FIGURE, code(12), code(12))
    for cell in notebook.cells:
        cell.pop("outputs", None)
    measures = lesson_bars.measure(notebook)
    assert (measures["figures"], measures["bare figures"], measures["widest line"]) == (None, None, None)
    assert lesson_bars.missed_bars(measures) == ["median"]


def test_terms_of_earlier_notebooks_are_explained(monkeypatch, tmp_path):
    texts = {"00_a": "**PCA**\n\n## Glossary\n\n| term | meaning |\n|---|---|\n| PCA, Adam (rule) | . |\n"}
    texts |= {"01_a": "PCA, Adam", "02_a": "**Adam**", "03_a": "PCA, Adam", "set_up": "PCA"}
    for name, text in texts.items():
        nbformat.write(new_notebook(cells=[new_markdown_cell(text)]), tmp_path / f"{name}.ipynb")
    monkeypatch.setattr(lesson_bars, "list_notebooks", lambda: sorted(tmp_path.glob("0*")))
    lesson_bars.read_terms.cache_clear()
    found = {name: lesson_bars.measure_file(tmp_path / f"{name}.ipynb")["unexplained"] for name in texts}
    lesson_bars.read_terms.cache_clear()
    assert found == {"00_a": [], "01_a": ["Adam [0]"], "02_a": [], "03_a": [], "set_up": ["PCA [0]"]}


def test_the_table_marks_what_is_missed(monkeypatch, tmp_path, capsys):
    path = tmp_path / "bad.ipynb"
    nbformat.write(lesson(code(1, plain(106)), FIGURE, TEXT), path)
    lesson_bars.main([str(path)])
    caption, _, row, *places = capsys.readouterr().out.splitlines()
    assert "!" in caption
    assert row.split()[:2] == ["bad", "12"]
    assert row.count("!") == 2
    assert places == ["bad: bare figures [8]"]
