"""The transformers side of checkpoints.mjs: models to quantize, and what from_pretrained makes of the results.

    checkpoints.py make DIR     writes models to quantize into DIR, and those that transformers itself quantizes of them
    checkpoints.py load DIR     loads every 4-bit checkpoint of DIR that nibble wrote; prints JSON
"""

import importlib.metadata
import json
import sys
from pathlib import Path

import bitsandbytes as bnb
import numpy as np
import torch
from bitsandbytes.functional import dequantize_4bit
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM
from transformers.utils import logging as hf_logging

from heard import complaints

PACKAGES = ("torch", "transformers", "bitsandbytes", "accelerate", "safetensors", "numpy")
# in_features are multiples of the block, where bitsandbytes' CPU code follows the format
SHAPE = dict(vocab_size=512, hidden_size=128, intermediate_size=384, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64)
IDS = torch.arange(64).reshape(2, 32) * 7 % 512


def fill(model):
    """Weights from numpy, large enough for logits that tell models apart; biases that are not zero."""
    draw = np.random.default_rng(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.from_numpy(draw.standard_normal(tuple(parameter.shape)).astype(np.float32))
            parameter.copy_(1 + 0.1 * noise if "norm" in name else 0.08 * noise)
    return model


def models():
    yield "llama-bf16", fill(LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=False))).to(torch.bfloat16)
    yield "llama-f32-tied", fill(LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=True)))
    yield "qwen2-f16", fill(Qwen2ForCausalLM(Qwen2Config(**SHAPE, tie_word_embeddings=False))).to(torch.float16)


def make(out):
    for name, model in models():
        model.save_pretrained(out / name)
        options = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
        theirs = AutoModelForCausalLM.from_pretrained(out / name, dtype="auto", quantization_config=options)
        theirs.save_pretrained(out / f"{name}-transformers")


def load(out):
    return {case.name: check(out, case) for case in sorted(out.glob("*+*")) if case.is_dir()}


def check(out, case):
    with complaints() as heard:
        model = AutoModelForCausalLM.from_pretrained(case)
    ours = load_file(out / f"{case.name}.safetensors")
    weights = differing = 0
    for name, module in model.named_modules():
        if not isinstance(module, bnb.nn.Linear4bit):
            continue
        weights += 1
        state = module.weight.quant_state
        for kind, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
            state.dtype = dtype
            got, want = dequantize_4bit(module.weight.data, state), ours[f"{name}.{kind}"]
            differing += int((got.view(torch.uint8) != want.view(torch.uint8)).sum())
    # the same model with plain linear layers, whose weights are ours
    plain = type(model)(model.config.__class__.from_pretrained(out / case.name.split("+")[0])).float()
    # dtype=torch.float32 leaves most of a pre-quantized model in its own type (transformers 5.23), and .float() refuses
    model = AutoModelForCausalLM.from_pretrained(case)
    for name, parameter in model.named_parameters():
        if not isinstance(parameter, bnb.nn.Params4bit):
            parameter.data = parameter.data.float()
    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            # else bitsandbytes 0.50 rounds absmax and x to bfloat16 where the CPU has avx512_bf16, whatever is asked for:
            # 1.6e-2 of the largest logit
            module.support_avx512bf16_for_cpu = False
    with torch.no_grad():
        kept = {k: v.float() for k, v in model.state_dict().items() if k in plain.state_dict() and v.is_floating_point()}
        kept |= {k.removesuffix(".f32") + ".weight": v for k, v in ours.items() if k.endswith(".f32")}
        plain.load_state_dict(kept)
        want = plain.eval()(IDS).logits
        got = model.eval()(IDS).logits
    return {"complaints": heard, "weights": weights, "expected_weights": sum(k.endswith(".f32") for k in ours),
            "differing_bytes": differing, "logits": float((got - want).abs().max() / want.abs().max())}


def main():
    verb, out = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    hf_logging.disable_progress_bar()
    if verb == "make":
        hf_logging.set_verbosity_error()
        make(out)
        print(json.dumps({name: importlib.metadata.version(name) for name in PACKAGES}))
    else:
        print(json.dumps(load(out)))


main()
