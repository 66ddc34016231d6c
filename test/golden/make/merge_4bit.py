"""Adapters that PEFT merged into a base in 4 bits, which is quantized again: codes, scales and their records.

Reads peft-steps/ and peft-options/, writes test/golden/merge-4bit/. Nothing is computed with the model before it is merged: on a CPU
with AVX512-BF16 bitsandbytes lays weights out anew at their first use, and what PEFT then merges is no longer the weight.
`--sensitivity` prints how far the logits by bitsandbytes' layers on this CPU are from those by the format's definition in float32, of
one merged file, and writes nothing. How to run: README.md in this folder.
"""

import json
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM

from nf4_reference import read_base
from shared import GOLDEN, settle, versions, write_json

OUT = GOLDEN / "merge-4bit"
BASE = GOLDEN / "peft-steps" / "qlora" / "base"
ADAPTERS = {"lora": GOLDEN / "peft-steps" / "qlora" / "adapter-final", "dora": GOLDEN / "peft-options" / "qlora-dora"}
KEPT = (".weight", ".absmax", ".nested_absmax", ".quant_state.bitsandbytes__nf4")
IDS = torch.arange(24)[None] * 5 % 160


def load(directory):
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, device_map="cpu").eval()


def by_definition(directory):
    config = AutoConfig.from_pretrained(directory)
    del config.quantization_config
    model = LlamaForCausalLM(config).eval()
    _, weights, _ = read_base(directory)
    model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()})
    return model


@torch.no_grad()
def distance(directory):
    """Of the logits by bitsandbytes' layers from those by definition, the largest."""
    return (load(directory)(IDS).logits - by_definition(directory)(IDS).logits).abs().max().item()


def merged(adapter):
    state = PeftModel.from_pretrained(load(BASE), adapter).merge_and_unload().state_dict()
    return {key: value.contiguous() for key, value in state.items()}


def sensitivity():
    for name, adapter in ADAPTERS.items():
        with tempfile.TemporaryDirectory() as folder:
            # save_pretrained of transformers 5.24 cannot write a model that was loaded in 4 bits and changed
            save_file(merged(adapter), Path(folder) / "model.safetensors", metadata={"format": "pt"})
            shutil.copy(BASE / "config.json", folder)
            print(name, distance(folder))


def main():
    warnings.filterwarnings("ignore")
    if "--sensitivity" in sys.argv:
        sensitivity()
        return
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    found = {}
    for name, adapter in ADAPTERS.items():
        state = merged(adapter)
        quantized = {key.split(".weight.")[0] for key in state if ".weight." in key}
        kept = {k: v for k, v in state.items() if k.split(".weight")[0] in quantized and k.endswith(KEPT)}
        save_file(kept, OUT / f"{name}.safetensors", metadata={"format": "pt"})
        found[name] = len(quantized)
    write_json(OUT / "merged.json", found)
    versions(OUT / "versions.json")


if __name__ == "__main__":
    settle()
    main()
