"""Golden files for `nibble quantize`: what transformers and bitsandbytes make of the models in test/golden/llama.

Writes test/golden/quantize/. How to run: README.md in this folder.
"""

import argparse
import hashlib
import tempfile
from pathlib import Path

import numpy as np
import torch
from shared import GOLDEN, settle, versions, write_json
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from transformers.quantizers.quantizers_utils import should_convert_module

OUT = GOLDEN / "quantize"

# Every block is full in these models, and scales are plain: where bitsandbytes' CPU code is as good as its CUDA code.
CASES = [
    ("untied-gqa-f32", {}, None),
    ("tied-mha-bf16", {}, None),
    ("llama3-rope-f16", {}, None),
    ("tied-mha-bf16", {"bnb_4bit_quant_storage": "bfloat16", "bnb_4bit_compute_dtype": "bfloat16"}, None),
    ("llama3-rope-f16", {"bnb_4bit_quant_storage": "float32"}, None),
    ("llama3-rope-f16", {"bnb_4bit_quant_storage": "float16"}, None),
    ("untied-gqa-f32", {}, "bfloat16"),
    ("llama3-rope-f16", {}, "float32"),
    ("untied-gqa-f32", {"llm_int8_skip_modules": ["lm_head", "down_proj", "layers.1.self_attn.q_proj"]}, None),
    ("untied-gqa-f32", {"llm_int8_skip_modules": ["v_proj"]}, None),
]

NAMES = ["lm_head", "model.embed_tokens"] + [
    f"model.layers.{i}.{m}" for i in (1, 11) for m in ("self_attn.q_proj", "self_attn.qkv_proj", "mlp.gate_proj", "mlp.gate")
]
PATTERNS = ["lm_head", "q_proj", "_proj", "proj", "self_attn", "mlp.gate", "model", "mod", "model.layers.1", "layers.1",
            "model.layers.1.mlp", "model.layers.1.", r"model\.layers\.\d+\.mlp", ".*mlp", ".*gate", "model.layers.*.mlp",
            "model.layers.1|lm_head", "[", "k_proj", "LM_HEAD", "model.layers.(1|2).mlp.gate",
            # what Python alone writes so
            r"\Amodel\.layers\.1\.mlp", r"model\.layers\.1\.mlp\.gate\Z", r"model\.layers\.(?P<n>1)(?P=n)\.mlp",
            "model(?#all of it).layers.1{,1}.mlp", "model.layers.1.[]m]lp", "(?i)LM_HEAD", r"lm\whead\z"]

DOUBLES = [0.0, -0.0, 1.0, -1.0, 0.1, 1e-4, 1e-5, 1.5e-5, 9.999999e-5, 123456.0, 1e15, 1e16, 1.2345678901234568e17, 1e22,
           5e-324, 1.7976931348623157e308, 0.05188417434692383, float(np.float32(0.04235672950744629)),
           float(np.float32(3e-5)), float(np.float32(1e-6)), float(np.float32(1e-38)), float(np.float32(7.25))]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def checkpoint(model, options, dtype):
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", **options)
    loaded = AutoModelForCausalLM.from_pretrained(GOLDEN / "llama" / model, quantization_config=config,
                                                  dtype=getattr(torch, dtype) if dtype else "auto")
    with tempfile.TemporaryDirectory() as scratch:
        loaded.save_pretrained(scratch)
        return {"model": model, "options": options, "dtype": dtype,
                "sha256": digest(Path(scratch) / "model.safetensors"),
                "config": (Path(scratch) / "config.json").read_text()}


def converts(pattern):
    """The names that stay, or None where Python refuses the pattern."""
    try:
        return [name for name in NAMES if not should_convert_module(name, [pattern])]
    except Exception:
        return None


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    settle()
    OUT.mkdir(exist_ok=True)
    write_json(OUT / "checkpoints.json", [checkpoint(*case) for case in CASES])
    write_json(OUT / "skips.json", {"names": NAMES, "kept": {pattern: converts(pattern) for pattern in PATTERNS}})
    # as bits too: a reader that rounds would not be seen otherwise
    write_json(OUT / "floats.json", [[np.float64(x).tobytes().hex(), repr(x)] for x in DOUBLES])
    versions(OUT / "versions.json")
