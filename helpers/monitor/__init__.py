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
from helpers.monitor.watch import start
