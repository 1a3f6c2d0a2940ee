"""From slider to picture in the explorer: `python -m benchmarks.bench_explorer`.

Measured inside a Jupyter kernel that takes the same z-points as bench_latent and the posts' decoder,
untrained: from a new value of a control until the new picture has left for the browser. The bar is for two
cores that nothing else uses.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from jupyter_client.manager import start_new_kernel

from benchmarks import tables
from benchmarks.bench_latent import z_points

ROOT = Path(__file__).resolve().parents[1]
POINTS = 170_000
MOVES = {  # values that each control takes in turn
    "fact": [1.25, 1.35, 1.45, 1.55, 1.7, 1.8, np.inf],
    "first": [2, 3, 5, 8, 13, 21, 34],
    "coordinates": ["original", "PCA"],
    "n_std": [1.0, 1.5, 2.0, 2.5, 3.0],
    "pick_first": [-2.0, -1.0, 0.0, 1.0, 2.0],
}
ROUNDS = 14  # moves of each control that are timed
BAR = 0.15  # s, of the median of each control


def build(n):
    """Explorer of n z-points and the posts' decoder."""
    from helpers.explorer import space as space_module
    from helpers.explorer import widgets
    from helpers.models import networks
    from helpers.monitor import backend

    backend.start_backend()

    space = space_module.prepare_space(z_points(n))
    return widgets.build_explorer(
        space, networks.build_decoder(), "autoencoder", space_module.Settings(fact=1.7)
    )


def measure_moves(n):
    """Print, as JSON, the seconds that each move of each control takes; to be called in a kernel."""
    live = build(n)
    seconds = {}
    for name, values in MOVES.items():
        control, taken = live.controls[name], []
        for number in range(ROUNDS + 1):
            before, started = live.picture.value, time.perf_counter()
            control.value = values[number % len(values)]
            taken.append(time.perf_counter() - started)
            assert number == 0 or live.picture.value != before, f"{name} changes nothing"
        seconds[name] = taken[1:]  # the first may find the control where it is already
    print(json.dumps(seconds))


def run_in_kernel(code):
    """What `code` prints in a kernel of its own."""
    printed = []

    def listen(message):
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            printed.append(message["content"]["text"])

    manager, client = start_new_kernel(cwd=ROOT)
    try:
        reply = client.execute_interactive(code, output_hook=listen)["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    if reply["status"] != "ok":
        raise RuntimeError("\n".join(reply["traceback"]))
    return "".join(printed)


def main(n=POINTS):
    """Measure and print the table; return whether the bar was missed."""
    tables.print_machine()
    code = f"from benchmarks import bench_explorer; bench_explorer.measure_moves({n})"
    seconds = json.loads(run_in_kernel(code).splitlines()[-1])
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    for name, taken in seconds.items():
        print(
            f"{name:12} {n:,} points: median {1000 * medians[name]:4.0f} ms, longest "
            f"{1000 * max(taken):4.0f} ms   (bar: median at most {1000 * BAR:.0f} ms)"
        )
    return max(medians.values()) > BAR


if __name__ == "__main__":
    sys.exit(int(main()))
