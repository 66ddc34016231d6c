"""Adapters that PEFT merged into their bases: the tensors that merging changed, byte by byte.

Reads peft-options/, writes test/golden/merge/. One file for each adapter and dtype of the base; `safe` was merged with
safe_merge=True, which rounds the update to the base's dtype before it adds it. How to run: README.md in this folder.
"""

import json
import shutil
import warnings

import torch
from peft import PeftModel
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

from peft_options import OPTIONS, OUT as ADAPTERS, base_directory
from shared import GOLDEN, settle, tidy_config, versions, write_json

OUT = GOLDEN / "merge"
# one of each kind of adapter in 16 bits; all of them in 32
HALVES = ("default", "patterns", "dora", "embedding", "modules-to-save", "bias-all", "lora-bias", "tokens-of-ends")
# a bias of lora_B on a layer without one of its own
REFUSED = ("lora-bias-rslora", "tokens-and-more")
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def make_base(dtype):
    """The biased base in 16 bits."""
    directory = OUT / f"biased-{dtype}"
    model = LlamaForCausalLM.from_pretrained(base_directory("biased"), dtype=DTYPES[dtype])
    model.save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)
    tidy_config(directory)


def merged(name, directory, dtype, safe):
    base = LlamaForCausalLM.from_pretrained(directory, dtype=DTYPES[dtype])
    before = {key: value.clone() for key, value in base.state_dict().items()}
    model = PeftModel.from_pretrained(base, ADAPTERS / name).merge_and_unload(safe_merge=safe)
    tied = model.config.tie_word_embeddings
    state = {key: value for key, value in model.state_dict().items() if not (tied and key == "lm_head.weight")}
    changed = {key: value.contiguous() for key, value in state.items() if not torch.equal(value, before[key])}
    suffix = "-safe" if safe else ""
    save_file(changed, OUT / f"{name}-{dtype}{suffix}.safetensors", metadata={"format": "pt"})
    dtypes = sorted({str(value.dtype).removeprefix("torch.") for value in changed.values()})
    return {"tensors": len(changed), "dtypes": dtypes}


def refused(name, directory):
    """PEFT does not merge it, so that there is no file."""
    base = LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32)
    try:
        PeftModel.from_pretrained(base, ADAPTERS / name).merge_and_unload()
    except RuntimeError as error:
        assert "the base layer has no bias" in str(error), error
        return
    raise AssertionError(f"PEFT merged {name}")


def main():
    warnings.filterwarnings("ignore")
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    rows = {}
    for name, (base, _, _) in OPTIONS.items():
        if base == "qlora":
            continue
        if name in REFUSED:
            refused(name, base_directory(base))
            continue
        rows[f"{name}-f32"] = merged(name, base_directory(base), "f32", False)
    for dtype in ("bf16", "f16"):
        make_base(dtype)
        for name in HALVES:
            rows[f"{name}-{dtype}"] = merged(name, OUT / f"biased-{dtype}", dtype, False)
            rows[f"{name}-{dtype}-safe"] = merged(name, OUT / f"biased-{dtype}", dtype, True)
    write_json(OUT / "merged.json", rows)
    print(json.dumps(rows, indent=1))
    versions(OUT / "versions.json")


if __name__ == "__main__":
    settle()
    main()
