"""Measure how the notebooks teach, against the bars that each of them has to meet.

`python -m tools.lesson_bars` prints a line per notebook, of those given or of all, with "!" at each bar that
is missed, and the places below the table. Nothing is executed: what needs outputs is measured on those that
the file holds, and in a notebook without any neither measured nor judged.

Code is what the reader has to read: not the cells tagged bootstrap (set-up) and parameters, and not the last
one where it is collapsed and keeps the books; no blank lines and no lines of comment. Chores are statements
that keep books or print (CHORE). To show a figure, a table or a sentence of what was seen is the lesson.
A figure has its prose where text, of a Markdown cell or a Markdown output, stands directly before its cell,
or before it in its cell, and directly behind it. A heading is no prose, be it the end of what stands before
or the beginning of what comes behind. A term is explained where it stands in bold, or in parentheses behind
bold, in an earlier notebook or in this one, no later than in the cell of its first use. Title cells may
announce terms; the glossary at the end of the first notebook explains none. The set-up notebook is read by
itself.
"""

import argparse
import ast
import re
from base64 import b64decode
from functools import cache
from io import BytesIO
from math import inf
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image

from helpers.files import project_root
from helpers.reporting import table
from tools.build_notebooks import list_notebooks
from tools.generated_cells import SETUP_NOTEBOOK

BARS = {  # least and most
    "cells": (1, 50),
    "median": (0, 5),  # lines of a code cell
    "p90": (0, 12),
    "chores %": (0, 5),  # of the lines of code
    "unexplained": (0, 0),  # terms
    "unsolved": (0, 0),  # exercises less solutions that the reader can unfold
    "figures": (0, 10),  # and what follows: in outputs
    "bare figures": (0, 0),  # without prose before or behind
    "narrowest figure": (600, inf),  # pixels
    "widest line": (0, 105),  # characters, of plain text in outputs that have no richer form
}
CHORE = re.compile(r"^del |^print\(|\brun\.(record|curve|close|values|units)\b|\bwatch\.|\bpeak_table\b")
FURTHER_TERMS = {  # that the glossary lacks, or has under a longer name
    *("variance", "standard deviation", "least squares", "ReLU", "LeakyReLU", "SELU", "held-out", "chi²"),
    *("tr C", "spectrum", "Henze"),
}
NOT_LOOKED_FOR = {
    "step",
    "fact",
    "scale",
    "held-out images",
    "chi² distribution",
}  # everyday words, long names
GLOSSARY = re.compile(r"(?ms)^## Glossary\n(.*?)(?=^## |\Z)")
# Code, formulas, addresses and tags are not read as prose.
NO_PROSE = re.compile(r"(?s)```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)|<[^>]*>")
PICTURES = {"image/png", "image/jpeg"}
FIGURE = "# a figure"  # no prose, as a heading is none


def lesson_cells(notebook):
    """The code cells that are the lesson."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if cells and cells[-1].metadata.get("jupyter", {}).get("source_hidden"):
        cells.pop()
    return [cell for cell in cells if not {"bootstrap", "parameters"} & set(cell.metadata.get("tags", []))]


def parse(source):
    """Syntax tree of a code cell, in which lines for the shell are statements that do nothing."""
    return ast.parse(re.sub(r"(?m)^(\s*)[!%]+\S.*", r"\1pass", source))


def count_lines(source):
    """Number of lines of a code cell that are code, and of those of them that keep books or print."""
    code = {n for n, line in enumerate(source.splitlines(), 1) if not re.match(r"\s*(#|$)", line)}
    simple = [n for n in ast.walk(parse(source)) if isinstance(n, ast.stmt) and not hasattr(n, "body")]
    chores = [node for node in simple if CHORE.search(ast.unparse(node))]
    return len(code), len(code & {n for node in chores for n in range(node.lineno, node.end_lineno + 1)})


def prose(cell):
    """What a cell tells: a Markdown cell's text, or what a code cell hands to `Markdown(`."""
    if cell.cell_type == "markdown":
        return "" if "navigation" in cell.metadata.get("tags", []) else cell.source.strip()
    calls = [node for node in ast.walk(parse(cell.source)) if isinstance(node, ast.Call)]
    shown = [node for call in calls if ast.unparse(call.func) == "Markdown" for node in ast.walk(call)]
    return " ".join(str(node.value) for node in shown if isinstance(node, ast.Constant))


def find_figures(notebook):
    """(number of the cell, picture as base64, whether text is missing before or behind it) of each figure."""
    stream, pictures = ["", ""], {}  # what the reader meets: texts, figures, and "" where code begins
    for number, cell in enumerate(notebook.cells):
        stream.append(prose(cell) if cell.cell_type == "markdown" else "")
        for data in (output.get("data", {}) for output in cell.get("outputs", [])):
            for kind in PICTURES & data.keys():
                pictures[len(stream)] = number, data[kind]
            if {*PICTURES, "text/markdown"} & data.keys():
                stream.append(data.get("text/markdown", FIGURE).strip())
    stream.append("")
    for place, (number, picture) in pictures.items():
        before = (stream[place - 1] or stream[place - 2]).rpartition("\n")[2]
        behind = stream[place + 1].partition("\n")[0]
        yield number, picture, any(not text or text.startswith("#") for text in (before, behind))


@cache
def read(path):
    """The notebook in this file."""
    return nbformat.read(path, as_version=4)


@cache
def read_terms():
    """The terms of the series, longest first: those of the first notebook's glossary, and FURTHER_TERMS."""
    glossary = next(filter(None, map(GLOSSARY.search, map(prose, read(list_notebooks()[0]).cells))))[1]
    rows = re.findall(r"(?m)^\| (.+?)(?: \(.*?\))? \| ", glossary)[1:]
    return sorted({*", ".join(rows).split(", "), *FURTHER_TERMS} - NOT_LOOKED_FOR, key=len, reverse=True)


def find_terms(text, terms):
    """Those of `terms`, given longest first, in a text; within a longer term a shorter one is not found."""
    forms = [re.sub("y$", "(?:y|ie)", re.sub("ing$", "(?:ing|ed)", re.escape(term))) for term in terms]
    pattern = rf"(?i)(?<!\w)(?:{'|'.join(f'({form})' for form in forms)})(?:e?s)?(?!\w)"
    return {terms[found.lastindex - 1] for found in re.finditer(pattern, text)} if terms else set()


def find_explained(text, terms):
    """Those of `terms` that a text explains."""
    bold = re.findall(r"\*\*(.+?)\*\*( \(.+?\))?", GLOSSARY.sub("", text))
    return find_terms(" | ".join(map("".join, bold)), terms)


def find_unexplained(notebook, terms, explained=()):
    """A list of "term [number of the cell]", of each term that is used before it is explained."""
    known, found = set(explained), []
    for number, text in enumerate(map(prose, notebook.cells)):
        known |= find_explained(text, terms)
        told = "" if text.startswith("# ") else NO_PROSE.sub(" ", GLOSSARY.sub("", text))
        new = find_terms(told, terms) - known
        known |= new
        found += [f"{term} [{number}]" for term in sorted(new)]
    return found


def measure(notebook, terms=(), explained=()):
    """Measures by name, of a notebook before which `explained` of `terms` were explained.

    A list holds the places of what is counted; None is what needs outputs, or a figure, and has none.
    """
    code, chores = zip((0, 0), *(count_lines(cell.source) for cell in lesson_cells(notebook)), strict=True)
    lengths = [length for length in code if length] or [0]
    text = "\n".join(map(prose, notebook.cells)).partition("## Exercises\n")[2].partition("\n## ")[0]
    rest, solutions = re.subn(r"(?s)<details>\s*<summary>.*?</details>", "", text)
    exercises = len(re.findall(r"(?m)^\d+\. ", rest))
    told = {
        "cells": len(notebook.cells),
        "median": float(np.median(lengths)),
        "p90": float(np.quantile(lengths, 0.9)),
        "chores %": 100 * sum(chores) / max(sum(code), 1),
        "unexplained": find_unexplained(notebook, terms, explained),
        "exercises": exercises,
        "unsolved": exercises - solutions,
    }
    figures = list(find_figures(notebook))
    widths = [Image.open(BytesIO(b64decode(picture))).width for _, picture, _ in figures]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    forms = [output.get("data", {"text/plain": output.get("text", "")}) for output in outputs]
    plain = [line for data in forms if len(data) == 1 for line in data.get("text/plain", "").splitlines()]
    shown = {
        "figures": len(figures),
        "bare figures": [f"[{number}]" for number, _, bare in figures if bare],
        "narrowest figure": min(widths, default=None),
        "widest line": max(map(len, plain), default=0),
    }
    return told | (shown if outputs else dict.fromkeys(shown))


def measure_file(path):
    """Measures of a notebook of the series, read after those of lower numbers."""
    before = [read(each) for each in list_notebooks() if path.name[0].isdigit() and each.name < path.name]
    texts = [prose(cell) for notebook in before for cell in notebook.cells]
    return measure(
        read(path), read_terms(), {t for text in texts for t in find_explained(text, read_terms())}
    )


def count(value):
    """A measure as a number."""
    return len(value) if isinstance(value, list) else value


def missed_bars(measures):
    """Names of the bars that a notebook with these measures misses; what was not measured misses none."""
    numbers = {name: count(value) for name, value in measures.items() if value is not None}
    return [name for name, (least, most) in BARS.items() if not least <= numbers.get(name, least) <= most]


def main(arguments=None):
    """Command line: paths of notebooks; without any, all of the project."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path)
    paths = parser.parse_args(arguments).notebooks or [*list_notebooks(), project_root() / SETUP_NOTEBOOK]
    measured, rows = {path.stem: measure_file(path) for path in paths}, []
    for stem, measures in measured.items():
        shown = {name: "–" if value is None else f"{count(value):.3g}" for name, value in measures.items()}
        missed = {name: f"{shown[name]} !" for name in missed_bars(measures)}
        rows.append({"notebook": stem, **shown, **missed})
    table(rows, "The notebooks against their bars (! missed, – not measured)")
    for stem, measures in measured.items():
        for name, places in measures.items():
            if isinstance(places, list) and places:
                print(f"{stem}: {name} {', '.join(places)}")


if __name__ == "__main__":
    main()
