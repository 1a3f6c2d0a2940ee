import json
import math
import subprocess
import sys

import numpy as np
import pytest

from helpers import posts
from helpers.files import project_root
from helpers.posts import Row
from helpers.sampling import samplers


def row(low=2.0, high=3.0, needs_images=None, kind="claim"):
    return Row("X-001", kind, "statement", "stated", low, high, "units", needs_images, "01")


@pytest.mark.parametrize(
    ("value", "surrogate", "images", "verdict"),
    [
        (2.5, None, 10, "holds"),
        (2.5, 9.0, 10, "holds"),
        (2.5, 2.4, 10, "holds, but for Gaussian noise as well"),
        (4.0, 2.4, 10, "differs"),
        (None, None, 10, "see notebook 01"),
        (math.nan, None, 10, "could not be measured"),
        (math.inf, None, 10, "could not be measured"),
        (2.5, math.nan, 10, "could not be measured"),
    ],
)
def test_verdict_follows_from_the_numbers(value, surrogate, images, verdict):
    assert posts.judge_statement(row(), value, surrogate, images) == verdict


@pytest.mark.parametrize(
    ("kind", "inside", "outside", "noise"),
    [
        ("description", "alike", "another scale", "alike"),
        ("setting", "as in the post", "another setting", "as in the post"),
        ("question", "yes", "no", "yes, but for Gaussian noise as well"),
    ],
)
def test_what_is_no_claim_is_compared_or_answered(kind, inside, outside, noise):
    assert posts.judge_statement(row(kind=kind), 2.5, 9.0, 10) == inside
    assert posts.judge_statement(row(kind=kind), 4.0, None, 10) == outside
    assert posts.judge_statement(row(kind=kind), 2.5, 2.4, 10) == noise


def test_no_row_asks_for_more_images_than_celeba_has_for_training():
    needed = [row.needs_images for row in posts.load_checklist().values() if row.needs_images]
    assert needed and max(needed) <= 162_770


def test_numbers_of_a_larger_data_set_are_not_judged_on_a_smaller_one():
    assert posts.judge_statement(row(needs_images=170_000), 2.5, None, 12_840) == "needs 170,000 images"
    assert posts.judge_statement(row(needs_images=170_000), 2.5, None, 170_000) == "holds"


def test_definitions_are_shown_not_judged():
    assert posts.judge_statement(row(low=None, high=None), 0.4, None, 10) == "shown"


def test_goals_and_links_are_told_not_measured():
    told = Row("X-002", "setting", "a further post", "link", None, None, "", None, "02")
    assert posts.judge_statement(told, None, None, 10) == "told in the text"


def test_what_only_colab_has_is_not_judged_elsewhere():
    there = Row(
        "X-003", "claim", "RAM of its machine", "12.7", 12.4, 13.0, "GiB on Colab", None, "colab_setup"
    )
    assert posts.judge_statement(there, None, None, 10) == "needs Colab"
    assert posts.judge_statement(there, 12.7, None, 10) == "holds"
    assert posts.judge_statement(there, 25.0, None, 10) == "differs"


def test_the_checklist_is_sound():
    checklist = posts.load_checklist()
    assert len(checklist) >= 40
    for entry in checklist.values():
        assert entry.statement
        assert entry.stated
        assert (entry.low is None) == (entry.high is None)
        assert entry.low is None or entry.low <= entry.high
        assert entry.notebook in {"colab_setup", *(f"{number:02d}" for number in range(1, 9))}


def test_measurements_replace_those_of_the_same_notebook_only(tmp_path):
    posts.save_measurements(tmp_path, "01_a", {"CII-010": 128, "ae/loss": 1.5}, {"ae/loss": "nats"})
    posts.save_measurements(tmp_path, "02_b", {"CII-016": 3}, {})
    posts.save_measurements(tmp_path, "01_a", {"CII-010": np.int64(256)}, {})
    assert json.loads((tmp_path / "measurements.json").read_text()) == [
        {"id": "CII-016", "value": 3, "unit": "layers", "notebook": "02_b"},
        {"id": "CII-010", "value": 256, "unit": "dimensions", "notebook": "01_a"},
    ]


@pytest.mark.parametrize("value", [float("nan"), np.float32("inf"), -math.inf])
def test_what_is_no_finite_number_does_not_lose_the_others(tmp_path, value, capsys):
    posts.save_measurements(tmp_path, "01_a", {"CII-010": 256, "CII-016": value, "CII-017": 4}, {})
    saved = json.loads((tmp_path / "measurements.json").read_text())
    assert {entry["id"]: entry["value"] for entry in saved} == {"CII-010": 256, "CII-017": 4}
    assert "Could not be measured with these images, and is left out: CII-016." in capsys.readouterr().err


@pytest.mark.parametrize("value", ["many", np.arange(3), None])
def test_only_numbers_are_measurements(tmp_path, value):
    with pytest.raises(ValueError):
        posts.save_measurements(tmp_path, "01_a", {"CII-010": value}, {})
    assert not (tmp_path / "measurements.json").exists()


ENTRY = {"id": "x", "value": 1, "unit": "u", "notebook": "02_b"}
SPOILT = ["", "{}", "[{", "7", '{"a": 1}', "[1]", "[{}]", json.dumps([{**ENTRY, "value": "x"}]), "[" * 9999]


@pytest.mark.parametrize("content", SPOILT, ids=lambda content: content[:9])
def test_damaged_measurements_are_set_aside_and_begun_anew(tmp_path, content, capsys):
    (tmp_path / "measurements.json").write_text(content)
    posts.save_measurements(tmp_path, "01_a", {"CII-010": 256}, {})
    saved = json.loads((tmp_path / "measurements.json").read_text())
    assert [entry["id"] for entry in saved] == ["CII-010"]
    assert (tmp_path / "measurements.damaged.json").read_text() == content
    assert "measurements.json was damaged" in capsys.readouterr().err


SAVE = """
import sys
from helpers import posts
for value in range(20):
    posts.save_measurements(sys.argv[1], sys.argv[2], {"CII-010": value}, {})
"""


def test_notebooks_that_save_at_once_lose_nothing(tmp_path):
    names = ["01_a", "02_b", "03_c"]
    running = [
        subprocess.Popen([sys.executable, "-c", SAVE, str(tmp_path), name], cwd=project_root())
        for name in names
    ]
    assert [process.wait() for process in running] == [0, 0, 0]
    saved = json.loads((tmp_path / "measurements.json").read_text())
    assert {entry["notebook"]: entry["value"] for entry in saved} == dict.fromkeys(names, 19)


def test_an_unknown_id_without_a_unit_is_an_error(tmp_path):
    with pytest.raises(KeyError):
        posts.save_measurements(tmp_path, "01_a", {"ae/unknown": 1}, {})


def write_celeba(monkeypatch, tmp_path, measurements, training_images=12_840):
    content = {"training_images": training_images, "measurements": measurements}
    (tmp_path / "celeba.json").write_text(json.dumps(content))
    monkeypatch.setattr(posts, "CELEBA_FILE", tmp_path / "celeba.json")


def cells_of(table, row_id):
    line = next(line for line in table.data.splitlines() if f"<td>{row_id}</td>" in line)
    return [
        cell.removesuffix("</td>")
        for cell in line.removeprefix("<tr>").removesuffix("</tr>").split("<td>")[1:]
    ]


def test_table_takes_the_verdict_from_celeba_where_it_has_a_value(monkeypatch, tmp_path):
    write_celeba(monkeypatch, tmp_path, [{"id": "CII-002", "value": 0.95}])
    table = posts.comparison_table({"CII-002": 0.5, "CII-010": 256}, "01", 4800, on_celeba=False)
    assert cells_of(table, "CII-002")[2:] == ["0.5 share", "0.95 share", "holds"]
    assert cells_of(table, "CII-010")[2:] == ["256 dimensions", "", "as in the post"]
    assert "on CelebA (12,840 images)" in table.data


def test_table_of_a_celeba_run_does_not_judge_itself_by_an_older_one(monkeypatch, tmp_path):
    write_celeba(monkeypatch, tmp_path, [{"id": "CII-002", "value": 0.95}])
    table = posts.comparison_table({"CII-002": 0.5}, "01", 12_840, on_celeba=True)
    assert cells_of(table, "CII-002")[2:] == ["0.5 share", "", "differs"]


def test_table_mentions_rows_of_later_notebooks_when_asked():
    table = posts.comparison_table({}, "01", 10, on_celeba=True, also=("CII-007",))
    assert cells_of(table, "CII-007")[-1] == "see notebook 06"


@pytest.mark.parametrize(
    ("value", "text"), [(170000, "170,000"), (256.0, "256"), (0.123456, "0.1235"), (4680.67, "4,680.7")]
)
def test_numbers_are_readable(value, text):
    assert posts.format_number(value) == text


def test_on_celeba_the_samplers_stand_as_notebook_08_tells():
    known = {row["id"]: row["value"] for row in posts.load_celeba_measurements()["measurements"]}
    ratio = {name: known[f"sampler/{name}/ratio"] for name in samplers.SAMPLERS}
    for name, value in ratio.items():
        assert value == pytest.approx(known[f"sampler/{name}/limit"] / known["reconstructions/limit"])
    assert [name for name, value in ratio.items() if value <= 1.1] == ["bootstrap"]
    assert known["sampler/bootstrap/nearest z"] > 0.95
    assert ratio["ellipses"] > ratio["gaussian"] == known["VIII-004"]
    ignorant = {"normal", "uniform", "intervals", "independent", "zero_mean"}
    assert min(ratio[name] for name in ignorant) > max(ratio[name] for name in ratio.keys() - ignorant)


TOLD_OF_CELEBA = {  # what notebook 07 tells in its text, with the number that it has to be: scale and id
    "ln s has a spread of {:.2f}": (1, "scale/log_spread"),
    "predicts {:.0%} of the excess kurtosis": (1, "scale/kurtosis_predicted_over_measured"),
    "takes {:.0%} of it away": (1, "scale/kurtosis_explained"),
    "even and odd components are correlated to {:.2f}": (1, "autoencoder/scales of even and odd"),
    "wide and narrow ones to {:.2f}": (1, "autoencoder/scales of widest sixth and narrower half"),
    "mean image (rank correlation {:.2f})": (1, "scale/distance to the mean image"),
    "contrast ({:.2f}), less": (1, "scale/contrast"),
    "contrast of the border ({:.2f})": (1, "scale/border contrast"),
    "not with brightness ({:.2f})": (1, "scale/brightness"),
    "excess kurtosis is {:.2f}, against": (1, "bimodal factors/excess kurtosis"),
    "{:.2f} with uniform": (1, "uniform factors/excess kurtosis"),
    "{:.2f} with normal factors": (1, "normal factors/excess kurtosis"),
    "{:.0%} of the components of two-peaked factors": (1, "variants/lowest share of fit ≥ 0.95"),
    "classifier's accuracy of {:.2f}": (1, "reference/classifier"),
    "with 64 dimensions it is {:.2f}": (1, "64 dimensions/classifier"),
    "with CelebA it is {:.0f}": (math.sqrt(2 * 256), "autoencoder/mahalanobis_spread"),
}


def test_numbers_in_the_text_of_notebook_07_are_those_measured_on_celeba():
    known = {row["id"]: row["value"] for row in posts.load_celeba_measurements()["measurements"]}
    path = project_root() / "notebooks" / "07_gaussians_and_ellipses.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    told = [words.format(scale * known[name]) for words, (scale, name) in TOLD_OF_CELEBA.items()]
    assert [words for words in told if words.replace("%", " %") not in text] == []
    moved = [abs(known[f"{name}/classifier"] - known["reference/classifier"]) for name in ("ReLU", "SELU")]
    assert max(*moved, abs(known["batch normalisation/classifier"])) < 0.015  # "by 0.01 at most"
