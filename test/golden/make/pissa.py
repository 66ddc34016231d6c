"""Adapters that PEFT starts by PiSSA's fast SVD: their first values, 20 steps of training, and its conversion to a plain adapter.

Reads peft-options/, writes test/golden/pissa/. How to run: README.md in this folder.
"""

import json
import os
import shutil
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

from peft_loop import Recipe, make_steps
from peft_options import LENGTH, STEPS, VOCAB, base_directory, train
from shared import GOLDEN, settle, versions, write_json

OUT = GOLDEN / "pissa"
BASE = "biased"
# name: seed, dtype of the base, options beside r=4 and lora_alpha=8
OPTIONS = {
    "wide-and-tall": (3, "float32", {"target_modules": ["k_proj", "up_proj", "down_proj"]}),
    "rslora": (4, "float32", {"target_modules": ["q_proj", "lm_head"], "use_rslora": True, "rank_pattern": {"q_proj": 3}}),
    "bf16": (5, "bfloat16", {"target_modules": ["q_proj", "down_proj"]}),
}
NITER = 4


def open_base(dtype):
    return LlamaForCausalLM.from_pretrained(
        base_directory(BASE), dtype=getattr(torch, dtype), attn_implementation="eager"
    )


def started(seed, dtype, options):
    base = open_base(dtype)
    torch.manual_seed(seed)
    init = {"init_lora_weights": f"pissa_niter_{NITER}"}
    config = LoraConfig(**{"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"} | init | options)
    return get_peft_model(base, config)


def tensors(model):
    """A, B and the weight that is left of each adapted layer."""
    found = {}
    for name, module in model.base_model.model.named_modules():
        if hasattr(module, "lora_A") and "default" in module.lora_A:
            found[f"{name}.A"] = module.lora_A["default"].weight.detach().float().clone()
            found[f"{name}.B"] = module.lora_B["default"].weight.detach().float().clone()
            found[f"{name}.residual"] = module.base_layer.weight.detach().clone()
    return found


def main():
    warnings.filterwarnings("ignore")
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    batches = make_steps(seed=43, steps=STEPS, longest_prompts=[4], vocab=VOCAB, length=LENGTH)
    ids = torch.from_numpy(batches[0][0]["input_ids"])
    rows = {}
    for name, (seed, dtype, options) in OPTIONS.items():
        model = started(seed, dtype, options)
        save_file(tensors(model), OUT / f"{name}.safetensors", metadata={"format": "pt"})
        row = {"seed": seed, "dtype": dtype, "options": options}
        if dtype == "float32":
            initial = OUT / "initial"
            # PEFT's own recipe: the first values are kept, so that they can be taken off again
            model.peft_config["default"].init_lora_weights = True
            model.save_pretrained(initial)
            model.peft_config["default"].init_lora_weights = f"pissa_niter_{NITER}"
            row["steps"] = train(model.train(), batches, Recipe())
            print(name, row["steps"][0], row["steps"][-1])
            if "rank_pattern" not in options:
                directory = OUT / name
                with torch.no_grad():
                    logits = model.eval()(input_ids=ids).logits.float().numpy()
                model.save_pretrained(directory, path_initial_model_for_weight_conversion=str(initial))
                (directory / "README.md").unlink()
                path = directory / "adapter_config.json"
                config = json.loads(path.read_text())
                config["target_modules"] = sorted(config["target_modules"])
                config["base_model_name_or_path"] = os.path.relpath(base_directory(BASE), directory)
                path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
                # a plain adapter on the base as it was: the same logits
                with torch.no_grad():
                    plain = PeftModel.from_pretrained(open_base("float32"), directory).eval()(input_ids=ids).logits
                error = (plain.float() - torch.from_numpy(logits)).abs().max().item()
                print("converted, against trained:", error)
                logits.astype("<f4").tofile(directory / "logits.bin")
            shutil.rmtree(initial)
        rows[name] = row
    recipe = Recipe()
    settings = {
        "learning_rate": recipe.learning_rate,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
    }
    data = [{key: value.tolist() for key, value in micro.items()} for (micro,) in batches]
    write_json(OUT / "pissa.json", {"settings": settings, "niter": NITER, "batches": data, "options": rows})
    versions(OUT / "versions.json")


if __name__ == "__main__":
    settle()
    main()
