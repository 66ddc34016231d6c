"""Causal attention by torch's scaled_dot_product_attention, forward and backward, at BxSxHxD: one JSON object a line."""

import argparse
import json

import torch
from torch.nn.functional import scaled_dot_product_attention

from timing import check, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="+", help="BxSxHxD: rows, tokens, heads, width of a head")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args()
    name = check(options.device)
    dtypes = (torch.float16, torch.bfloat16) if options.device == "cuda" else (torch.float32,)
    for shape in options.shapes:
        b, s, h, d = (int(part) for part in shape.split("x"))
        for dtype in dtypes:
            q, k, v = (
                torch.randn(b, h, s, d, device=options.device).to(dtype).requires_grad_() for _ in range(3)
            )
            forward = seconds(options.device, lambda q=q, k=k, v=v: scaled_dot_product_attention(q, k, v, is_causal=True))
            y = scaled_dot_product_attention(q, k, v, is_causal=True)
            dy = torch.randn_like(y)
            backward = seconds(
                options.device,
                lambda y=y, q=q, k=k, v=v, dy=dy: torch.autograd.grad(y, (q, k, v), dy, retain_graph=True),
            )
            # two products of s x s x d forward, five backward; causal needs half of them
            flop = 2 * b * h * s * s * d
            for what, taken, products in (("forward", forward, 1), ("backward", backward, 2.5)):
                row = {"by": f"torch {torch.__version__}", "device": name, "shape": shape, "dtype": str(dtype).split(".")[1]}
                row |= {"what": f"{shape} {row['dtype']} {what}", "ms": 1000 * taken}
                print(json.dumps(row | {"tflops": products * flop / taken / 1e12}), flush=True)


if __name__ == "__main__":
    main()
