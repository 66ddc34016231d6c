"""A double-quantized checkpoint as bitsandbytes writes it where torch has no fused multiply-add: the map of its absmax
codes differs from the common one in the last place here and there. Writes test/golden/nested-map/."""

import os

# read when torch is loaded: its kernels without AVX2, hence without FMA
os.environ["ATEN_CPU_CAPABILITY"] = "default"

import hashlib
import shutil

import numpy as np
import torch
from transformers import BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

from nf4_reference import DYNAMIC_SHA256, read_base
from shared import GOLDEN, fill, settle, tidy_config, versions, write_json

OUT = GOLDEN / "nested-map"
# numerics.md 2.2
NO_FMA_SHA256 = "dad4c269"
# 20480 weights in the MLP's matrices: 320 blocks, two nested ones
SHAPE = dict(
    vocab_size=64, hidden_size=64, intermediate_size=320, num_hidden_layers=1, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0,
)


def digest(values):
    return hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()


def make_checkpoint():
    model = LlamaForCausalLM(LlamaConfig(**SHAPE))
    fill(model, seed=11, matrix_std=0.1, embedding_std=0.1)
    dense = OUT / "dense"
    model.to(torch.bfloat16).save_pretrained(dense)
    four_bit = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    options = dict(dtype=torch.bfloat16, quantization_config=four_bit, device_map="cpu")
    LlamaForCausalLM.from_pretrained(dense, **options).save_pretrained(OUT / "base")
    shutil.rmtree(dense)
    tidy_config(OUT / "base")
    (OUT / "base" / "generation_config.json").unlink(missing_ok=True)


def facts():
    """The hashes of the map and of every weight as the format's definition dequantizes it, in float32."""
    tensors, weights, quantized = read_base(OUT / "base")
    maps = [tensors[f"{name}.nested_quant_map"] for name in quantized]
    assert len(maps) == 7 and all(np.array_equal(one, maps[0]) for one in maps)
    found = digest(maps[0])
    assert found.startswith(NO_FMA_SHA256) and found != DYNAMIC_SHA256, found
    hashes = {name: {"shape": list(weights[name].shape), "sha256": digest(weights[name])} for name in sorted(quantized)}
    return {"nested_quant_map_sha256": found, "dequantized_f32": hashes}


if __name__ == "__main__":
    settle()
    assert torch.backends.cpu.get_cpu_capability() == "DEFAULT"
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    make_checkpoint()
    write_json(OUT / "expected.json", facts())
    versions(OUT / "versions.json")
