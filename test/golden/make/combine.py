"""Adapters that PEFT added up: add_weighted_adapter, linear, cat and svd.

Reads peft-options/, writes test/golden/combine/: an adapter for each row of CASES, its embeddings left out. How to run: README.md
in this folder.
"""

import json
import shutil
import warnings

from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from peft_options import OUT as OPTIONS, base_directory
from shared import GOLDEN, settle, versions, write_json

OUT = GOLDEN / "combine"
# adapters with their weights, and the way to add them
CASES = {
    "linear": ({"default": 0.5, "embedding": -0.3}, "linear", None),
    "linear-three": ({"head": 0.2, "default": 1.5, "embedding": 0.7}, "linear", None),
    "one": ({"default": 0.25}, "cat", None),
    "cat": ({"default": 0.7, "patterns": 0.6}, "cat", None),
    "cat-embedding": ({"embedding": 0.7, "head": -0.6}, "cat", None),
    "svd": ({"default": 0.7, "patterns": 0.6}, "svd", None),
    "svd-3": ({"embedding": 0.7, "head": -0.6}, "svd", 3),
}


def combined(name, weights, kind, rank):
    model = LlamaForCausalLM.from_pretrained(base_directory("biased"))
    first, *others = weights
    peft = PeftModel.from_pretrained(model, OPTIONS / first, adapter_name=first)
    for other in others:
        peft.load_adapter(OPTIONS / other, adapter_name=other)
    peft.add_weighted_adapter(list(weights), list(weights.values()), "sum", combination_type=kind, svd_rank=rank)
    peft.save_pretrained(OUT / name, selected_adapters=["sum"], save_embedding_layers=False)
    folder = OUT / name / "sum"
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file(dict(sorted(tensors.items())), OUT / f"{name}.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "adapter_config.json").read_text())
    shutil.rmtree(OUT / name)
    return {
        "weights": weights,
        "combination_type": kind,
        "svd_rank": rank,
        "r": config["r"],
        "lora_alpha": config["lora_alpha"],
        "target_modules": sorted(config["target_modules"]),
    }


def main():
    warnings.filterwarnings("ignore")
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    write_json(OUT / "combined.json", {name: combined(name, *case) for name, case in CASES.items()})
    versions(OUT / "versions.json")


if __name__ == "__main__":
    settle()
    main()
