"""What the benchmarks print: the machine, then rows of what was measured and its bar."""

import os

import psutil


def print_machine():
    """Processors and load: figures of a busy machine tell little."""
    print(f"{os.cpu_count()} processors, load before the start: {psutil.getloadavg()[0]:.1f}", flush=True)


def print_rows(rows):
    """Rows of (what, value, unit, bar)."""
    for what, value, unit, bar in rows:
        print(f"{what:32}{value:10,.3f} {unit:10}{bar}", flush=True)


def run(measures, prepare):
    """Print the rows of all `measures`; return whether a bar was missed.

    `measures`: pairs of a function and n. The function is given prepare(n), and returns its rows and whether
    it missed a bar.
    """
    print_machine()
    missed = False
    for measure, n in measures:
        rows, below = measure(prepare(n))
        print_rows(rows)
        missed |= below
    return missed
