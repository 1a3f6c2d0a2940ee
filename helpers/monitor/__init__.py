"""RAM and VRAM: readings through NVML, the backend, a watch over all cells."""

from helpers.monitor import watch
from helpers.monitor.backend import describe_device, describe_versions, gpus_of_backend, start_backend
from helpers.monitor.readings import (
    GIGABYTE,
    describe_gpus,
    format_disk,
    format_freed,
    format_memory,
    free,
    memory,
    read_gpus,
)


def start(limit=None):
    """Start Keras' backend and a watch with a `limit` in bytes (`watch.start`), and return the watch.

    Call it before keras is imported. Prints versions, device and memory, a line each, and before them what of
    the user's keras.json does not hold here.
    """
    passed_over = start_backend()
    started = watch.start(limit)
    if passed_over:
        print(passed_over)
    print(describe_versions())
    print(describe_device(read_gpus(), gpus_of_backend()))
    print(format_memory(memory()))
    return started
