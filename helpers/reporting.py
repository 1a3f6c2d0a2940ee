"""What people see while something runs: lines that stay and one line that changes."""

import sys
import time

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
        if not self._show_in_notebook(self.lines):
            print(_in_place(text) if sys.stderr.isatty() else text, file=sys.stderr, flush=True)

    def live(self, text):
        """Replace the line that changes, not too often; in a log file it becomes a line now and then."""
        watched = _notebook_shell() is not None or sys.stderr.isatty()
        if time.monotonic() - self.shown < (LIVE_SECONDS if watched else LOG_SECONDS):
            return
        self.shown = time.monotonic()
        if not self._show_in_notebook([*self.lines, text]):
            start, end = (_in_place(text), "") if watched else (text, "\n")
            print(start, end=end, file=sys.stderr, flush=True)

    def _show_in_notebook(self, lines):
        if _notebook_shell() is None:
            return False
        from IPython.display import display

        content = {"text/plain": "\n".join(lines)}
        if self.handle is None:
            self.handle = display(content, raw=True, display_id=True)
        else:
            self.handle.update(content, raw=True)
        return True


def _notebook_shell():
    """Jupyter's shell, or None outside a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell if hasattr(shell, "kernel") else None


def _in_place(text):
    return f"\r\x1b[K{text}"


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
