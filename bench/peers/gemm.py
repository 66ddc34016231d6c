"""Matrix products by torch (cuBLAS) at the shapes of bench/performance/matmul.mjs: TFLOP/s, one JSON object a line."""

import argparse
import json

import torch

from timing import check, seconds

# name, dtype of the operands, whether float32 products may round them to TF32's 11 bits
KINDS = (
    ("float16", torch.float16, False),
    ("bfloat16", torch.bfloat16, False),
    ("float32", torch.float32, False),
    ("tf32", torch.float32, True),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="+", help="MxNxK")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args()
    name = check(options.device)
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    for shape in options.shapes:
        m, n, k = (int(part) for part in shape.split("x"))
        for kind, dtype, tf32 in KINDS:
            if tf32 and options.device == "cpu":
                continue
            torch.backends.cuda.matmul.allow_tf32 = tf32
            x = torch.randn(m, k, device=options.device, dtype=torch.float32).to(dtype)
            w = torch.randn(n, k, device=options.device, dtype=torch.float32).to(dtype)
            taken = seconds(options.device, lambda x=x, w=w: x @ w.T)
            row = {"by": f"torch {torch.__version__}", "device": name, "shape": shape, "dtype": kind}
            print(json.dumps(row | {"tflops": 2 * m * n * k / taken / 1e12}), flush=True)


if __name__ == "__main__":
    main()
