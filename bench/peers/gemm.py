"""Matrix products by torch (cuBLAS) at the shapes of bench/micro/matmul.mjs: TFLOP/s, one JSON object a line."""

import argparse
import json
import sys
import time

import torch

SAMPLES = 7
LEAST_SECONDS = 0.3


def seconds(device, work):
    def run(times):
        started = time.perf_counter()
        for _ in range(times):
            work()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    run(3)
    times = max(1, int(LEAST_SECONDS / SAMPLES / run(1)))
    return sorted(run(times) / times for _ in range(SAMPLES))[SAMPLES // 2]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="+", help="MxNxK")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("gemm.py: torch sees no CUDA device: install a CUDA build, or say --device cpu")
    # float32 means float32: TF32 rounds the operands to 11 bits
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    for shape in options.shapes:
        m, n, k = (int(part) for part in shape.split("x"))
        for dtype in (torch.float16, torch.float32):
            x = torch.randn(m, k, device=options.device, dtype=torch.float32).to(dtype)
            w = torch.randn(n, k, device=options.device, dtype=torch.float32).to(dtype)
            taken = seconds(options.device, lambda x=x, w=w: x @ w.T)
            row = {"by": f"torch {torch.__version__}", "device": name, "shape": shape, "dtype": str(dtype).split(".")[1]}
            print(json.dumps(row | {"tflops": 2 * m * n * k / taken / 1e12}), flush=True)


if __name__ == "__main__":
    main()
