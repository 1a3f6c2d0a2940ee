import re
import sys
import types

import pytest

from helpers import reporting


class Terminal:
    """A stderr that someone watches."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until `clock.now` is changed."""
    clock = types.SimpleNamespace(now=100.0)
    monkeypatch.setattr(reporting.time, "monotonic", lambda: clock.now)
    return clock


def test_in_a_log_file_live_lines_come_now_and_then(clock, capsys):
    report = reporting.LiveReport()
    for _ in range(30):
        clock.now += 1
        report.live(f"at {clock.now:.0f}")
    report.line("staying")
    assert capsys.readouterr().err.splitlines() == ["at 110", "at 120", "at 130", "staying"]


def test_on_a_terminal_a_live_line_is_replaced(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    report = reporting.LiveReport()
    clock.now += 1
    report.live("changing")
    report.line("staying")
    assert re.sub(r"[^\n]*\r\x1b\[K", "", terminal.text) == "staying\n"


def test_in_a_notebook_one_output_is_updated(clock, monkeypatch):
    shown = []
    handle = types.SimpleNamespace(update=lambda content, raw: shown.append(content["text/plain"]))

    def display(content, raw, display_id):
        shown.append(content["text/plain"])
        return handle

    monkeypatch.setattr(reporting, "_notebook_display", lambda: display)
    report = reporting.LiveReport()
    report.line("first")
    clock.now += 1
    report.live("half")
    report.line("second")
    assert shown == ["first", "first\nhalf", "first\nsecond"]


def test_meter_counts_only_what_this_run_did(clock, capsys):
    show = reporting.progress_meter("images", 1000, before=500)
    clock.now += 10
    show(750)
    clock.now += 10
    show(1000)
    assert capsys.readouterr().err.splitlines() == [
        "750 of 1,000 images, 25/s, 0:10 left",
        "1,000 images in 20 s, 25/s",
    ]


ROWS = [
    {"network": "AE <1>", "radius": 16.279, "points": 170_000},
    {"network": "VAE", "radius": None},
]


def test_a_table_is_text_outside_a_notebook(capsys):
    reporting.table(ROWS, "Radii & points", {"radius": "{:.2f}", "points": "{:,.0f}"})
    caption, header, *rows = capsys.readouterr().out.splitlines()
    assert caption == "Radii & points"
    assert header.split() == ["network", "radius", "points"]
    assert [row.split() for row in rows] == [["AE", "<1>", "16.28", "170,000"], ["VAE"]]


def test_a_table_is_html_in_a_notebook(monkeypatch):
    shown = []
    monkeypatch.setattr(reporting, "_notebook_display", lambda: lambda content, raw: shown.append(content))
    long = "a sentence of more than fifty characters, which pandas would cut off"
    reporting.table({"network": ["VAE"], "verdict": [long]}, "Radii & points", index=True)
    (content,) = shown
    assert content["text/html"].startswith("<p><b>Radii &amp; points</b></p>\n<table")
    assert long in content["text/html"] and long in content["text/plain"]
    assert "<th>0</th>" in content["text/html"]
    assert "<style" not in content["text/html"]  # GitHub drops style sheets and scripts


def test_a_notebook_is_known_by_its_kernel(monkeypatch):
    import IPython.display

    assert reporting._notebook_display() is None
    monkeypatch.setattr(IPython, "get_ipython", lambda: types.SimpleNamespace(kernel=None))
    assert reporting._notebook_display() is IPython.display.display
