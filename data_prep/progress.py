"""What the terminal shows while images are packed."""

import sys
import time

TERMINAL_SECONDS, LOG_SECONDS = 0.2, 5.0  # between two lines on a terminal, and elsewhere


def note(text):
    """Print one line to stderr, on a terminal in place of the progress."""
    print("\r\x1b[K" + text if sys.stderr.isatty() else text, file=sys.stderr, flush=True)


def progress_meter(total, before):
    """Function `show(done)` that prints progress, rate and remaining time of `total` images now and then.

    `before` images were done by an earlier run; they do not count for the rate.
    """
    terminal = sys.stderr.isatty()
    started = time.monotonic()
    shown = started

    def show(done):
        nonlocal shown
        now = time.monotonic()
        last = terminal and done == total
        if not last and now - shown < (TERMINAL_SECONDS if terminal else LOG_SECONDS):
            return
        shown = now
        line = progress_line(done, total, (done - before) / max(now - started, 1e-9))
        start, end = ("\r", "\x1b[K" if not last else "\x1b[K\n") if terminal else ("", "\n")
        print(start + line, end=end, file=sys.stderr, flush=True)

    return show


def progress_line(done, total, rate):
    """'120,000 of 202,599 images, 4,100/s, 0:20 left'; `rate` in images/s."""
    minutes, seconds = divmod(round((total - done) / max(rate, 1e-9)), 60)
    return f"{done:,} of {total:,} images, {rate:,.0f}/s, {minutes}:{seconds:02d} left"
