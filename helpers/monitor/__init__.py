"""RAM and VRAM: readings through NVML, the backend, a watch over all cells."""

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
from helpers.monitor.watch import MemoryWatch


def start(limit=None):
    """Start Keras' backend and a watch with a `limit` in bytes (`MemoryWatch`), and return the watch.

    Call it before keras is imported. Prints versions, device and memory, a line each.
    """
    start_backend()
    started = MemoryWatch(limit)
    print(describe_versions())
    print(describe_device(read_gpus(), gpus_of_backend()))
    print(format_memory(memory()))
    return started
