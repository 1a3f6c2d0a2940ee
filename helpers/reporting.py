"""What people see of a run: lines that stay, one line that changes, and tables."""

import sys
import time
from html import escape
from importlib import import_module

LIVE_SECONDS, LOG_SECONDS = 0.5, 10.0  # between two changes where someone watches, and in a log file


class LiveReport:
    """Lines that stay and one that changes: in a notebook in the cell's output, else on stderr.

    Plain text in both cases, so that a saved notebook holds no widget and no half-drawn line.
    """

    def __init__(self):
        self.lines, self.handle, self.shown = [], None, time.monotonic()

    def line(self, text):
        """Add a line that stays."""
        self.lines.append(text)
        self._show(self.lines, end="\n")

    def live(self, text):
        """Replace the line that changes, not too often; in a log file it becomes a line now and then."""
        watched = _notebook_display() is not None or sys.stderr.isatty()
        if time.monotonic() - self.shown >= (LIVE_SECONDS if watched else LOG_SECONDS):
            self.shown = time.monotonic()
            self._show([*self.lines, text], end="" if watched else "\n")

    def _show(self, lines, end):
        display, content = _notebook_display(), {"text/plain": "\n".join(lines)}
        if display is None:
            start = "\r\x1b[K" if sys.stderr.isatty() else ""  # a terminal's line is written over
            print(start + lines[-1], end=end, file=sys.stderr, flush=True)
        elif self.handle is None:
            self.handle = display(content, raw=True, display_id=True)
        else:
            self.handle.update(content, raw=True)


def _notebook_display():
    """IPython's function `display` in a notebook, else None."""
    ipython = sys.modules.get("IPython")
    notebook = ipython and hasattr(ipython.get_ipython(), "kernel")
    return import_module("IPython.display").display if notebook else None


def note(text):
    """Show one line that stays."""
    LiveReport().line(text)


def progress_meter(what, total, before=0):
    """Function `show(done)` for a loop over `total` things called `what`: count, rate and time left.

    `before` of them were done by an earlier run; they do not count for the rate.
    """
    report, started = LiveReport(), time.monotonic()

    def show(done):
        seconds = max(time.monotonic() - started, 1e-9)
        rate = max(done - before, 1) / seconds
        if done == total:
            report.line(f"{total:,} {what} in {seconds:.0f} s, {rate:,.0f}/s")
        else:
            minutes, rest = divmod(round((total - done) / rate), 60)
            report.live(f"{done:,} of {total:,} {what}, {rate:,.0f}/s, {minutes}:{rest:02d} left")

    return show


def table(rows, caption, formats=None, index=False):
    """Show a table below its caption: as HTML in a notebook, which GitHub shows as well, else as text.

    rows: whatever pandas makes a DataFrame of, such as a list of dicts. formats: column → how it is written,
    such as "{:.2f}" or "{:,}"; what is missing stays empty. index: whether the row names are shown.
    """
    import pandas as pd  # takes half a second, which only those who show a table should wait

    frame, form = pd.DataFrame(rows), {"index": index, "na_rep": ""}
    form["formatters"] = {column: text.format for column, text in (formats or {}).items()}
    with pd.option_context("display.max_colwidth", None):
        text = f"{caption}\n{frame.to_string(**form)}"
        html = f"<p><b>{escape(caption)}</b></p>\n{frame.to_html(**form, border=0)}"
    if display := _notebook_display():
        display({"text/plain": text, "text/html": html}, raw=True)
    else:
        print(text)
