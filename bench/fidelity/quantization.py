"""The bitsandbytes side of quantization.mjs: 4-bit codes, scales and dequantized weights to hold ours against.

    quantization.py DIR     writes raw arrays, checkpoints saved by transformers, and meta.json into DIR
"""

import importlib.metadata
import json
import math
import sys
import warnings
from pathlib import Path

import bitsandbytes as bnb
import numpy as np
import torch
from bitsandbytes.functional import create_dynamic_map, dequantize_4bit, quantize_4bit, quantize_blockwise
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

ROWS, COLUMNS = 4096, 4096
SMALL_ROWS = 256
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
BLOCK_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
PACKAGES = ("torch", "transformers", "bitsandbytes", "safetensors", "numpy")

# FP4 magnitudes in ascending order are the codes 0 1 6 7 4 5 2 3. The CUDA kernel compares |x| with literals, the CPU
# code with midpoints: up to 14 ulp apart.
FP4_ORDER = np.array([0, 1, 6, 7, 4, 5, 2, 3], np.uint8)
FP4_CUDA = np.array([0.00260417, 0.0859375, 0.20833333, 0.29166667, 0.4166667, 0.583333, 0.8333333], np.float32)


def weights(seed, rows, columns):
    """Normal weights whose rows differ in scale, one in a thousand ten times as large: maxima of every kind."""
    draw = np.random.default_rng(seed)
    values = draw.standard_normal((rows, columns), np.float32)
    values *= 0.02 * np.exp(0.5 * draw.standard_normal((rows, 1), np.float32))
    values[draw.random((rows, columns), np.float32) < 1e-3] *= 10
    return torch.from_numpy(values)


def raw(tensor):
    return tensor.contiguous().view(torch.uint8).numpy().reshape(-1)


def fp4_cuda(source, absmax):
    """Packed codes by the rule of the CUDA kernel: |x / max| above a literal, the sign bit for what is below zero."""
    scaled = (source.float().reshape(-1, 64).numpy() * (np.float32(1) / absmax)[:, None]).reshape(-1)
    codes = FP4_ORDER[np.searchsorted(FP4_CUDA, np.abs(scaled), side="left")] | (scaled < 0).astype(np.uint8) << 3
    return codes[::2] << 4 | codes[1::2]


def nested(absmax):
    """Double quantization by its rule: exact mean, blocks of 256, nearest entry, a tie to the even index."""
    table = create_dynamic_map().numpy()
    offset = np.float32(math.fsum(absmax.astype(np.float64)) / absmax.size)
    d = absmax - offset
    scale = np.abs(d.reshape(-1, 256)).max(1)
    scaled = (d.reshape(-1, 256) * (np.float32(1) / scale)[:, None]).reshape(-1)
    middle = ((table[:-1] + table[1:]) / np.float32(2)).astype(np.float32)
    codes = np.searchsorted(middle, scaled, side="left")
    tied = (codes < 255) & (scaled == middle[np.minimum(codes, 254)]) & (codes % 2 == 1)
    theirs, _ = quantize_blockwise(torch.from_numpy(d), blocksize=256, code=create_dynamic_map())
    return (codes + tied).astype(np.uint8), scale, offset, theirs.numpy()


def quantized(out):
    meta = []
    for seed, (name, dtype) in enumerate(DTYPES.items()):
        source = weights(seed, ROWS, COLUMNS).to(dtype)
        raw(source).tofile(out / f"{name}.source")
        for quant_type in ("nf4", "fp4"):
            packed, state = quantize_4bit(source, blocksize=64, quant_type=quant_type, compress_statistics=False)
            raw(packed).tofile(out / f"{name}.{quant_type}.packed")
            absmax = state.absmax.numpy()
            absmax.tofile(out / f"{name}.{quant_type}.absmax")
        fp4_cuda(source, absmax).tofile(out / f"{name}.fp4.cuda")
        codes, scale, offset, theirs = nested(absmax)
        codes.tofile(out / f"{name}.codes")
        scale.tofile(out / f"{name}.nested_absmax")
        theirs.tofile(out / f"{name}.bnb_codes")
        meta.append({"dtype": name, "elements": ROWS * COLUMNS, "offset": float(offset)})
    return meta


def block_sizes(out):
    source = weights(9, SMALL_ROWS, COLUMNS).to(torch.bfloat16)
    raw(source).tofile(out / "blocks.source")
    for size in BLOCK_SIZES:
        for quant_type in ("nf4", "fp4"):
            packed, state = quantize_4bit(source, blocksize=size, quant_type=quant_type, compress_statistics=False)
            raw(packed).tofile(out / f"blocks{size}.{quant_type}.packed")
            state.absmax.numpy().tofile(out / f"blocks{size}.{quant_type}.absmax")
    return {"sizes": BLOCK_SIZES, "elements": SMALL_ROWS * COLUMNS}


def definition(tensors, name):
    """A weight by the format's definition, one float32 rounding an operation."""
    record = next(key for key in tensors if key.startswith(f"{name}.quant_state."))
    state = json.loads(tensors[record].tobytes())
    packed = np.frombuffer(tensors[name].tobytes(), np.uint8)
    codes = np.stack([packed >> 4, packed & 15], 1).reshape(-1)
    absmax = tensors[f"{name}.absmax"]
    if f"{name}.nested_absmax" in tensors:
        scale = np.repeat(tensors[f"{name}.nested_absmax"], 256)[: absmax.size]
        absmax = tensors[f"{name}.nested_quant_map"][absmax] * scale + np.float32(state["nested_offset"])
    return (tensors[f"{name}.quant_map"][codes] * np.repeat(absmax, state["blocksize"])).reshape(state["shape"])


def given(out):
    """Checkpoints as transformers saves them, and what their weights are."""
    torch.manual_seed(0)
    # in_features are multiples of 64, where bitsandbytes' CPU code follows the format
    config = LlamaConfig(vocab_size=128, hidden_size=128, intermediate_size=512, num_hidden_layers=1,
                         num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)
    plain = LlamaForCausalLM(config).to(torch.bfloat16)
    plain.save_pretrained(out / "plain")
    cases = [(q, double, storage, 64) for q in ("nf4", "fp4") for double in (False, True)
             for storage in ("uint8", "bfloat16", "float16", "float32")]
    cases += [(q, double, "uint8", size) for size in BLOCK_SIZES if size != 64
              for q, double in (("nf4", True), ("fp4", False))]
    meta = []
    for quant_type, double, storage, size in cases:
        case = f"{quant_type}-{'nested' if double else 'plain'}-{storage}-{size}"
        options = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=quant_type,
                                     bnb_4bit_use_double_quant=double, bnb_4bit_quant_storage=storage)
        model = AutoModelForCausalLM.from_pretrained(out / "plain", dtype=torch.bfloat16, quantization_config=options)
        if size != 64:
            resize(model, plain, size, quant_type, double)
        model.save_pretrained(out / case)
        meta.append({"case": case, "bitsandbytes_differs": reference(out, case, model)})
    return meta


def resize(model, plain, size, quant_type, double):
    """The same with another block size, which transformers cannot be asked for."""
    for name, module in model.named_modules():
        if isinstance(module, bnb.nn.Linear4bit):
            weight = plain.get_parameter(f"{name}.weight").detach().clone()
            module.weight = bnb.nn.Params4bit(weight, requires_grad=False, blocksize=size, quant_type=quant_type,
                                              compress_statistics=double).to("cpu")


def reference(out, case, model):
    """Writes the weights by definition in f32 and, rounded, in bf16. Returns how many elements bitsandbytes' own
    dequantization has otherwise, of those it computes rightly on a CPU (in_features a multiple of the block)."""
    tensors = arrays(out / case / "model.safetensors")
    found, differs = {}, 0
    for name, module in model.named_modules():
        if not isinstance(module, bnb.nn.Linear4bit):
            continue
        want = torch.from_numpy(definition(tensors, f"{name}.weight"))
        found[f"{name}.f32"], found[f"{name}.bf16"] = want, want.to(torch.bfloat16)
        state = module.weight.quant_state
        if module.in_features % state.blocksize != 0:
            continue
        for kind, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
            state.dtype = dtype
            got = dequantize_4bit(module.weight.data, state)
            differs += int((got.view(torch.uint8) != found[f"{name}.{kind}"].view(torch.uint8)).sum())
    save_file(found, out / f"{case}.safetensors")
    return differs


def arrays(file):
    """numpy has no bfloat16: such tensors as their bytes."""
    return {key: raw(value) if value.dtype == torch.bfloat16 else value.numpy() for key, value in load_file(file).items()}


def main():
    out = Path(sys.argv[1])
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    meta = {"quantized": quantized(out), "blocks": block_sizes(out), "given": given(out),
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES}}
    (out / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


main()
