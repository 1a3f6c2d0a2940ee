"""What the posts state, as data in our own words, and the table that sets it beside what was measured.

checklist.csv has one row per statement. `low` and `high` bound the values that agree with it; a row
without them is a definition or a method. `needs_images` is the size of training data the number
belongs to. `notebook` measures the row.
"""

import csv
import html
import math
import os
from dataclasses import dataclass
from pathlib import Path

from IPython.display import HTML

from helpers.files import locked, read_json, shown_path, write_json
from helpers.reporting import note

CHECKLIST_FILE = Path(__file__).with_name("checklist.csv")
CELEBA_FILE = Path(__file__).with_name("measured_celeba.json")
MEASUREMENTS_FILE = "measurements.json"
TOLD = {"goal", "idea", "link", "reference"}  # statements that the text takes up and nothing can measure
LOCK = ".measurements.lock"  # held while measurements are saved
COLAB_UNIT = " on Colab"  # ends the unit of what can be measured there only
SURROGATE_SUFFIX = "/surrogate"  # id of the same quantity measured on the null hypothesis


@dataclass(frozen=True)
class Row:
    """One statement of the posts."""

    id: str
    statement: str
    stated: str
    low: float | None
    high: float | None
    unit: str
    needs_images: int | None
    notebook: str


def load_checklist():
    """All statements as a dict id -> Row."""
    with CHECKLIST_FILE.open(encoding="utf-8", newline="") as file:
        return {record["id"]: _parse_row(record) for record in csv.DictReader(file)}


def _parse_row(record):
    return Row(
        id=record["id"],
        statement=record["statement"],
        stated=record["stated"],
        low=float(record["low"]) if record["low"] else None,
        high=float(record["high"]) if record["high"] else None,
        unit=record["unit"],
        needs_images=int(record["needs_images"]) if record["needs_images"] else None,
        notebook=record["notebook"],
    )


def judge_statement(row, value, surrogate, training_images):
    """Verdict on a statement from the measured value and, where there is one, the null hypothesis' value."""
    if row.stated in TOLD:
        return "told in the text"
    if value is None and row.unit.endswith(COLAB_UNIT):
        return "needs Colab"
    if value is None:
        return f"see notebook {row.notebook}"
    if not math.isfinite(value) or not math.isfinite(surrogate or 0):
        return "could not be measured"
    if row.low is None:
        return "shown"
    if row.needs_images and training_images < row.needs_images:
        return f"needs {row.needs_images:,} images"
    if not row.low <= value <= row.high:
        return "differs"
    if surrogate is not None and row.low <= surrogate <= row.high:
        return "holds, but for Gaussian noise as well"
    return "holds"


def save_measurements(workspace, notebook, values, units):
    """Put a notebook's values into the workspace's measurements.json, in place of its earlier ones.

    `values`: id -> number; `units`: id -> unit for ids that are not in the checklist. What is NaN or infinite
    is left out, which is said; a damaged file is set aside. Notebooks that save at once wait for each other.
    """
    checklist = load_checklist()
    numbers = {name: _plain(value) for name, value in values.items()}
    entries = [
        {"id": name, "value": value, "unit": _unit(name, checklist, units), "notebook": notebook}
        for name, value in numbers.items()
        if math.isfinite(value)
    ]
    if missing := [name for name, value in numbers.items() if not math.isfinite(value)]:
        note(f"Could not be measured with these images, and is left out: {', '.join(missing)}.")
    path = Path(workspace) / MEASUREMENTS_FILE
    with locked(path.with_name(LOCK), bool):
        write_json(path, [entry for entry in _read_saved(path) if entry["notebook"] != notebook] + entries)


def _read_saved(path):
    """Measurements that were saved; what is no list of such is set aside under another name."""
    try:
        saved = read_json(path, list) or []
        for entry in saved:
            _plain(entry["value"]), html.escape(entry["id"] + entry["unit"] + entry["notebook"])
        return saved
    except (ValueError, TypeError, KeyError):
        aside = path.with_suffix(".damaged.json")
        os.replace(path, aside)
        note(f"{shown_path(path)} was damaged: it is begun anew, and lies beside as {aside.name}.")
        return []


def _unit(name, checklist, units):
    statement = name.removesuffix(SURROGATE_SUFFIX)
    return checklist[statement].unit if statement in checklist else units[name]


def _plain(value):
    """Python's own int or float for a numpy scalar; anything else is a mistake worth an error."""
    value = value.item() if getattr(value, "ndim", None) == 0 else value
    if not isinstance(value, (int, float)):
        raise ValueError(f"A measurement must be one number, not {value!r}.")
    return value


def load_celeba_measurements():
    """Content of the committed measurements on CelebA; without any measurement before there are some."""
    return read_json(CELEBA_FILE) or {"measurements": []}


def celeba_values():
    """The committed measurements on CelebA: id → number."""
    return {entry["id"]: entry["value"] for entry in load_celeba_measurements()["measurements"]}


def comparison_table(values, notebook, training_images, on_celeba, also=()):
    """Table 'the post says / measured here / on CelebA / verdict' of one notebook, as HTML.

    `values`: id -> number measured in this run on `training_images` images; `on_celeba`: whether those
    are CelebA's; `also`: ids of rows that a later notebook measures and this one mentions. On other
    data the verdict comes from the CelebA column where that has a value.
    """
    known, images = (
        ({}, 0) if on_celeba else (celeba_values(), load_celeba_measurements().get("training_images"))
    )
    header = ["id", "the post says", "measured here", _celeba_header(images), "verdict"]
    rows = [row for row in load_checklist().values() if row.notebook == notebook or row.id in also]
    lines = [_table_line(row, values, training_images, known, images) for row in rows]
    return HTML(_html_table(header, lines))


def _celeba_header(images):
    return f"on CelebA ({images:,} images)" if images else "on CelebA"


def _table_line(row, values, training_images, known, celeba_images):
    source, images = (known, celeba_images) if row.id in known else (values, training_images)
    verdict = judge_statement(row, source.get(row.id), source.get(row.id + SURROGATE_SUFFIX), images)
    said = f"{row.statement}: {row.stated}"
    return [row.id, said, _describe(row, values), _describe(row, known), verdict]


def _describe(row, values):
    """A row's value with its unit, and the null hypothesis' value behind it; empty where there is none."""
    if row.id not in values:
        return ""
    text = f"{format_number(values[row.id])} {row.unit}".strip()
    surrogate = values.get(row.id + SURROGATE_SUFFIX)
    return text if surrogate is None else f"{text} (Gaussian noise: {format_number(surrogate)})"


def format_number(value):
    """Integers whole and with thousands separators, other numbers with four significant digits."""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def _html_table(header, lines):
    head = "".join(f"<th>{html.escape(text)}</th>" for text in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in line) + "</tr>\n" for line in lines
    )
    style = "<style>.latent-faces :is(th, td) { text-align: left; }</style>"  # Jupyter's own is right
    table = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>"
    return f'{style}<table class="latent-faces">\n{table}\n</table>'
