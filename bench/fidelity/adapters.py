"""The PEFT side of adapters.mjs: bases, adapters that PEFT trains on them, and what PEFT makes of nibble's.

    adapters.py make DIR     writes bases, and for each option an adapter trained here with its logits, into DIR
    adapters.py load DIR     loads every adapter of DIR that nibble trained; prints JSON
"""

import importlib.metadata
import json
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict, load_peft_weights, set_peft_model_state_dict
from safetensors import safe_open
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as hf_logging

from heard import complaints

PACKAGES = ("torch", "transformers", "peft", "safetensors", "numpy")
VOCAB, ROWS, LENGTH, STEPS = 128, 2, 16, 5
SHAPE = dict(vocab_size=VOCAB, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, attention_bias=True, mlp_bias=True)
TARGETS = {"target_modules": ["q_proj", "down_proj"]}
# name: base and options beside r=4, lora_alpha=8; adapters.mjs gives nibble the same
OPTIONS = {
    "list of targets": ("untied", TARGETS),
    "regular expression": ("untied", {"target_modules": r"(?P<root>model)\.layers\.\d{,1}\..*[qv]_proj\Z"}),
    "all-linear": ("untied", {"target_modules": "all-linear"}),
    "default targets": ("untied", {}),
    "exclude_modules": ("untied", {"target_modules": ["q_proj", "up_proj"], "exclude_modules": ["layers.0.mlp.up_proj"]}),
    "rank_pattern, alpha_pattern": ("untied", TARGETS | {"rank_pattern": {r"layers\.1\..*q_proj": 2},
                                                         "alpha_pattern": {"down_proj": 3}}),
    "layers_to_transform, layers_pattern": ("untied", TARGETS | {"layers_to_transform": [1], "layers_pattern": "layers"}),
    "use_rslora": ("untied", TARGETS | {"use_rslora": True}),
    "use_dora": ("untied", {"target_modules": "all-linear", "use_dora": True}),
    "use_dora with dropout": ("untied", TARGETS | {"use_dora": True, "lora_dropout": 0.1}),
    "bias: all": ("untied", TARGETS | {"bias": "all"}),
    "bias: lora_only": ("untied", TARGETS | {"bias": "lora_only"}),
    "modules_to_save: lm_head, embed_tokens, norms": ("untied", TARGETS | {"modules_to_save": ["lm_head", "embed_tokens", "norm"]}),
    "modules_to_save: k_proj": ("untied", TARGETS | {"modules_to_save": ["k_proj"]}),
    "init_lora_weights: false": ("untied", TARGETS | {"init_lora_weights": False}),
    "init_lora_weights: gaussian": ("untied", TARGETS | {"init_lora_weights": "gaussian"}),
    "LoRA on lm_head": ("untied", {"target_modules": ["q_proj", "lm_head"]}),
    "DoRA on lm_head": ("untied", {"target_modules": ["q_proj", "lm_head"], "use_dora": True}),
    "LoRA on embed_tokens": ("untied", {"target_modules": ["q_proj", "embed_tokens"]}),
    "ensure_weight_tying": ("tied", TARGETS | {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}),
    "all-linear, DoRA, bias and modules on a bf16 base": ("bf16", {
        "target_modules": "all-linear", "use_dora": True, "bias": "all", "modules_to_save": ["norm"]}),
}
# raised by peft 0.21 through transformers 5.23 for every adapter, its own too
OF_PEFT_ITSELF = "`is_gradient_checkpointing` is deprecated"
# what PEFT says when it saves an adapter on lm_head or embed_tokens, which is what was asked for
ON_SAVING = "Setting `save_embedding_layers` to `True`"


def token_ids(seed):
    draw = np.random.default_rng(seed)
    return torch.from_numpy(draw.integers(0, VOCAB, (ROWS, LENGTH)))


def fill(model):
    draw = np.random.default_rng(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.from_numpy(draw.standard_normal(tuple(parameter.shape)).astype(np.float32))
            parameter.copy_(1 + 0.1 * noise if "norm" in name else 0.12 * noise)
    return model


def open_base(out, name):
    """Both sides compute in float32."""
    return LlamaForCausalLM.from_pretrained(out / name, dtype=torch.float32, attn_implementation="eager")


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=token_ids(0)).logits.numpy().astype("<f4")


def make(out):
    for name, tied, dtype in (("untied", False, torch.float32), ("tied", True, torch.float32), ("bf16", False, torch.bfloat16)):
        fill(LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=tied))).to(dtype).save_pretrained(out / name)
    cases = {}
    for index, (option, (base, settings)) in enumerate(OPTIONS.items()):
        torch.manual_seed(index)
        config = LoraConfig(**{"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"} | settings)
        model = get_peft_model(open_base(out, base), config)
        learn(model)
        folder = out / f"peft-{index}"
        model.save_pretrained(folder)
        reopened = PeftModel.from_pretrained(open_base(out, base), folder)
        logits(reopened).tofile(out / f"peft-{index}.bin")
        trainable, total = model.get_nb_trainable_parameters()
        cases[option] = {"index": index, "base": base, "settings": settings, "trainable": trainable, "all": total}
    return {"versions": {name: importlib.metadata.version(name) for name in PACKAGES}, "cases": cases,
            "rows": token_ids(99).tolist(), "ids": token_ids(0).tolist(), "steps": STEPS}


def learn(model):
    """Far enough that every tensor has moved."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for step in range(STEPS):
        ids = token_ids(1 + step)
        model.train()(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def load(out):
    return {option: check(out, index, base) for index, (option, (base, _)) in enumerate(OPTIONS.items())}


def check(out, index, base):
    folder = out / f"nibble-{index}"
    plain = open_base(out, base)
    with complaints() as heard:
        model = PeftModel.from_pretrained(plain, folder)
        result = set_peft_model_state_dict(model, load_peft_weights(folder, device="cpu"))
    missing = [key for key in result.missing_keys if ".base_layer." not in key and any(
        part in key for part in ("lora_", "modules_to_save"))]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=re.escape(ON_SAVING))
        theirs = {key: (tuple(tensor.shape), str(tensor.dtype)) for key, tensor in get_peft_model_state_dict(model).items()}
    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        ours = {key: (tuple(file.get_tensor(key).shape), str(file.get_tensor(key).dtype)) for key in file.keys()}
    got, want = np.fromfile(out / f"nibble-{index}.bin", "<f4"), logits(model).reshape(-1)
    with model.disable_adapter():
        if np.abs(logits(model).reshape(-1) - want).max() < 0.01 * np.abs(want).max():
            sys.exit(f"{folder}: the adapter does so little that its logits say nothing")
    error = float(np.abs(got - want).max() / np.abs(want).max()) if got.shape == want.shape else float("nan")
    warned = [text for text in heard if OF_PEFT_ITSELF not in text]
    return {"warned": warned, "missing": missing, "unexpected": result.unexpected_keys, "logits": error,
            "differing": sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))}


def main():
    verb, out = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    hf_logging.disable_progress_bar()
    if verb == "make":
        hf_logging.set_verbosity_error()
        warnings.simplefilter("ignore")
    print(json.dumps(make(out) if verb == "make" else load(out)))


main()
