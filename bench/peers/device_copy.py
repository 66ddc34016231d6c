"""A copy on the device by torch, beside bench/performance/dequant.mjs: GB/s, counting what is read and what is written."""

import argparse
import json

import torch

from timing import check, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", help="OUTxIN")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args()
    name = check(options.device)
    rows, columns = (int(part) for part in options.shape.split("x"))
    source = torch.randn(rows, columns, device=options.device).to(torch.float16)
    target = torch.empty_like(source)
    taken = seconds(options.device, lambda: target.copy_(source))
    moved = 2 * source.numel() * source.element_size()
    row = {"by": f"torch {torch.__version__}", "device": name, "shape": options.shape, "bytes": moved}
    print(json.dumps(row | {"gb_per_s": moved / taken / 1e9}))


if __name__ == "__main__":
    main()
