"""Seconds of work on a device, as the micro-benchmarks of bench/performance take them: median of samples, after a warm-up."""

import sys
import time

import torch

SAMPLES = 7
LEAST_SECONDS = 0.35
# a GPU that was idle raises its clock in this time
WARM_SECONDS = 0.3


def check(device):
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("torch sees no CUDA device: install a CUDA build, or say --device cpu")
    return torch.cuda.get_device_name() if device == "cuda" else "CPU"


def seconds(device, work):
    def run(times):
        started = time.perf_counter()
        for _ in range(times):
            work()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    started = time.perf_counter()
    run(3)
    while device == "cuda" and time.perf_counter() - started < WARM_SECONDS:
        run(3)
    times = max(1, int(LEAST_SECONDS / SAMPLES / run(1)))
    return sorted(run(times) / times for _ in range(SAMPLES))[SAMPLES // 2]
