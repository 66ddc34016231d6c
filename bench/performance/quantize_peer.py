"""bitsandbytes' quantize_4bit (NF4, double quantization) on one thread of a CPU: a line of standard input, a run, its CPU seconds."""

import json
import sys
import time

import bitsandbytes
import torch
from bitsandbytes.functional import quantize_4bit

torch.set_num_threads(1)
elements = int(sys.argv[1])
weight = (torch.randn(elements // 4096, 4096, generator=torch.Generator().manual_seed(0)) * 0.02).to(torch.bfloat16)


def seconds() -> float:
    started = time.process_time()
    quantize_4bit(weight, blocksize=64, compress_statistics=True, quant_type="nf4")
    return time.process_time() - started


seconds()
print(json.dumps({"torch": torch.__version__, "bitsandbytes": bitsandbytes.__version__}), flush=True)
for _ in sys.stdin:
    print(json.dumps(seconds()), flush=True)
