"""What the posts state, as data in our own words, and the table that sets it beside what was measured.

checklist.csv has one row per statement. `low` and `high` bound the values that agree with it; a row
without them is a definition or a method. `needs_images` is the size of training data the number
belongs to. `notebook` measures the row.
"""

import csv
import html
import math
import os
from pathlib import Path
from typing import NamedTuple

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
# What a value within the bounds is called, and one outside. A claim is about the world and can fail; a
# description is of one network, with which ours is compared; a setting, or a rule, is repeated.
VERDICTS = {
    "claim": ("holds", "differs"),
    "question": ("yes", "no"),
    "description": ("alike", "another scale"),
    "setting": ("as in the post", "another setting"),
}
TESTED = ("claim", "question")  # against the null hypothesis


class Row(NamedTuple):
    """One statement of the posts: a line of checklist.csv."""

    id: str
    kind: str  # of VERDICTS
    statement: str
    stated: str
    low: float | None
    high: float | None
    unit: str
    needs_images: int | None
    notebook: str


def load_checklist():
    """All statements as a dict id -> Row."""
    numbers = {"low": float, "high": float, "needs_images": int}
    with CHECKLIST_FILE.open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    for record in records:
        record |= {name: kind(record[name]) if record[name] else None for name, kind in numbers.items()}
    return {record["id"]: Row(**record) for record in records}


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
    inside, outside = VERDICTS[row.kind]
    if not row.low <= value <= row.high:
        return outside
    if row.kind in TESTED and surrogate is not None and row.low <= surrogate <= row.high:
        return f"{inside}, but for Gaussian noise as well"
    return inside


def save_measurements(workspace, notebook, values, units):
    """Put a notebook's values into the workspace's measurements.json, in place of its earlier ones.

    `values`: id -> number; `units`: id -> unit for ids that are not in the checklist. What is NaN or infinite
    is left out, which is said; a damaged file is set aside. Notebooks that save at once wait for each other.
    """
    entries, checklist = [], load_checklist()
    for name, value in values.items():
        row = checklist.get(name.removesuffix(SURROGATE_SUFFIX))
        entry = {"id": name, "value": _plain(value), "unit": row.unit if row else units[name]}
        entries.append(entry | {"notebook": notebook})
    if missing := [entry["id"] for entry in entries if not math.isfinite(entry["value"])]:
        note(f"Could not be measured with these images, and is left out: {', '.join(missing)}.")
    entries = [entry for entry in entries if entry["id"] not in missing]
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
    known = {} if on_celeba else celeba_values()
    images = 0 if on_celeba else load_celeba_measurements().get("training_images")
    celeba_header = f"on CelebA ({images:,} images)" if images else "on CelebA"
    lines = [["id", "the post says", "measured here", celeba_header, "verdict"]]
    for row in load_checklist().values():
        if row.notebook == notebook or row.id in also:
            found, size = (known, images) if row.id in known else (values, training_images)
            verdict = judge_statement(row, found.get(row.id), found.get(row.id + SURROGATE_SUFFIX), size)
            said = f"{row.statement}: {row.stated}"
            lines.append([row.id, said, _describe(row, values), _describe(row, known), verdict])
    return HTML(_html_table(*lines))


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


def _html_table(header, *lines):
    head, *body = (
        "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in line)
        for tag, line in (("th", header), *(("td", line) for line in lines))
    )
    style = "<style>.latent-faces :is(th, td) { text-align: left; }</style>"  # Jupyter's own is right
    rows = "".join(f"<tr>{line}</tr>\n" for line in body)
    table = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>"
    return f'{style}<table class="latent-faces">\n{table}\n</table>'
