"""Adapters that PEFT made with each option of LoraConfig: their files, logits, counts, and 20 steps of training.

Writes test/golden/peft-options/. How to run: README.md in this folder.
"""

import json
import os
import re
import shutil
import warnings

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM, Trainer, get_scheduler

from peft_loop import LORA_BASE, QLORA_BASE, Recipe, count_tokens, load_base, make_steps, micro_loss
from shared import GOLDEN, fill, settle, tidy_config, versions, write_json

OUT = GOLDEN / "peft-options"
VOCAB, STEPS, LENGTH = 64, 20, 16
BF16_BASE = GOLDEN / "llama" / "tied-mha-bf16"
TARGETS = {"target_modules": ["q_proj", "down_proj"]}
REGEX = r"(?P<root>model)\.layers\.\d{,1}\.(self_attn\.[qv]_proj|mlp\.(?#all three)(gate|up|down)_proj)\Z"

# name: base, trained for STEPS, options beside r=4 and lora_alpha=8
OPTIONS = {
    "default": ("biased", False, {}),
    "regex": ("biased", False, {"target_modules": REGEX}),
    "exclude": ("biased", False, {"target_modules": "all-linear", "exclude_modules": r".*\.1\..*(up|k)_proj"}),
    "patterns": (
        "biased",
        False,
        {
            "target_modules": ["q_proj", "v_proj", "up_proj"],
            "rank_pattern": {r"layers\.1\..*q_proj": 2, "up_proj": 6},
            "alpha_pattern": {"v_proj": 5},
            "use_rslora": True,
        },
    ),
    "layers": (
        "biased",
        False,
        {"target_modules": ["k_proj", "up_proj"], "layers_to_transform": [1], "layers_pattern": "layers"},
    ),
    "dora": ("biased", True, {"target_modules": "all-linear", "use_dora": True}),
    "dora-dropout": ("biased", False, {"target_modules": ["q_proj"], "use_dora": True, "lora_dropout": 0.2}),
    "bias-all": ("biased", True, TARGETS | {"bias": "all"}),
    "bias-lora-only": ("biased", True, TARGETS | {"bias": "lora_only", "use_dora": True}),
    "modules-to-save": ("biased", True, TARGETS | {"modules_to_save": ["lm_head", "embed_tokens", "norm"]}),
    "linear-to-save": ("biased", True, TARGETS | {"modules_to_save": ["k_proj"], "bias": "lora_only"}),
    "head": ("biased", True, {"target_modules": ["q_proj", "lm_head"]}),
    "head-dora": ("biased", True, {"target_modules": ["q_proj", "lm_head"], "use_dora": True}),
    "embedding": ("biased", True, {"target_modules": ["q_proj", "embed_tokens"]}),
    "tied-to-save": ("tied", True, TARGETS | {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}),
    "qlora-dora": ("qlora", True, {"target_modules": "all-linear", "use_dora": True}),
    "lora-bias": ("biased", True, TARGETS | {"lora_bias": True}),
    "lora-bias-rslora": (
        "biased",
        True,
        {"target_modules": ["v_proj", "up_proj", "lm_head"], "lora_bias": True, "use_rslora": True, "bias": "lora_only"},
    ),
    "tokens": ("biased", True, TARGETS | {"trainable_token_indices": [3, 17, 5, 60]}),
    "tokens-of-ends": (
        "biased",
        True,
        TARGETS | {"trainable_token_indices": {"embed_tokens": [3, 9], "lm_head": [5, 17, 60]}},
    ),
    "tokens-tied": ("tied", True, TARGETS | {"trainable_token_indices": [1, 7, 30, 31]}),
    "tokens-and-more": (
        "biased",
        True,
        {
            "target_modules": ["q_proj", "lm_head"],
            "lora_bias": True,
            "modules_to_save": ["norm"],
            "trainable_token_indices": [3, 60],
        },
    ),
    "tokens-qlora": ("qlora", True, {"target_modules": "all-linear", "trainable_token_indices": [2, 40]}),
}

# first values from a seed: base, seed, options
INITIAL = {
    "true": ("biased", 3, {"target_modules": ["q_proj", "embed_tokens", "lm_head"]}),
    "false": ("biased", 4, {"target_modules": ["q_proj", "embed_tokens"], "init_lora_weights": False}),
    "gaussian": ("biased", 5, {"target_modules": ["q_proj", "down_proj"], "init_lora_weights": "gaussian"}),
    "dora": ("biased", 6, {"target_modules": ["q_proj", "lm_head"], "use_dora": True}),
    "dora-false": ("biased", 7, {"target_modules": ["up_proj"], "use_dora": True, "init_lora_weights": False}),
    "dora-bf16": ("bf16", 8, {"target_modules": ["k_proj"], "use_dora": True}),
    # of a float32 model quantized as it is loaded: A is rounded to the compute dtype, DoRA's norms are not
    "4bit-bfloat16": ("4bit-bfloat16", 9, {"target_modules": ["k_proj"], "use_dora": True}),
    "4bit-float16": ("4bit-float16", 10, {"target_modules": ["k_proj"], "use_dora": True}),
    "lora-bias": ("biased", 11, {"target_modules": ["q_proj", "up_proj"], "lora_bias": True}),
    "lora-bias-false": (
        "biased",
        12,
        {"target_modules": ["q_proj", "up_proj"], "lora_bias": True, "init_lora_weights": False},
    ),
    "tokens-bf16": ("bf16", 13, {"target_modules": ["k_proj"], "trainable_token_indices": [2, 9]}),
}

PATTERNS = [
    r".*\.q_proj",
    r"(?P<a>model)\.layers\.\d{1,2}\.(?P<b>mlp).*",
    r"model\.layers\.(\d)\1\..*",
    r".*layers\.(?P<n>\d)(?P=n)\..*",
    r"(?i)MODEL\.NORM",
    r"\Amodel\..*\Z",
    r"model\.layers\.\d{,1}\.mlp\.up_proj",
    r".*(?#a comment)norm",
    r"[]a-z_]+\.norm",
    r"[^].]+",
    r"(?:lm|xx)_head",
    r"model\.(?!layers).*",
    r".*(?<=q_)proj",
    r"model.layers.(0|11).*proj$",
    r"(?u).*\x6d.*\Z",
    r"model\.layers\.1+?\..*",
    r"lm_head{0}lm_head|.*k_proj",
    r"a{b|lm_hea{1}d",
    r"(?s).*",
    r"[\w.]*\bnorm\b",
]


def matches():
    """What Python's re takes in of some names, for patterns that JavaScript spells otherwise."""
    parts = ("self_attn.q_proj", "self_attn.k_proj", "mlp.up_proj", "input_layernorm")
    names = ["lm_head", "model.embed_tokens", "model.norm"]
    names += [f"model.layers.{i}.{part}" for i in (0, 1, 10, 11) for part in parts]
    rows = [
        {
            "pattern": pattern,
            "fullmatch": [name for name in names if re.fullmatch(pattern, name)],
            "match": [name for name in names if re.match(pattern, name)],
        }
        for pattern in PATTERNS
    ]
    write_json(OUT / "regex.json", {"names": names, "patterns": rows})


def make_base(name, tied):
    """A Llama with biases everywhere, small, untied or tied."""
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=tied,
        attention_bias=True,
        mlp_bias=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(config)
    fill(model, seed=31, matrix_std=0.15, embedding_std=0.3)
    shutil.rmtree(OUT / name, ignore_errors=True)
    model.save_pretrained(OUT / name)
    (OUT / name / "generation_config.json").unlink()
    tidy_config(OUT / name)


def base_directory(name):
    if name.startswith("4bit-"):
        return LORA_BASE
    return {"qlora": QLORA_BASE, "bf16": BF16_BASE}.get(name, OUT / name)


def open_base(name):
    if name == "qlora":
        return load_base("qlora", Recipe())
    if name.startswith("4bit-"):
        nf4 = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=name.removeprefix("4bit-")
        )
        return LlamaForCausalLM.from_pretrained(LORA_BASE, quantization_config=nf4, dtype=torch.float32)
    dtype = torch.bfloat16 if name == "bf16" else torch.float32
    return LlamaForCausalLM.from_pretrained(base_directory(name), dtype=dtype, attn_implementation="eager")


def fresh(base, options):
    return get_peft_model(open_base(base), LoraConfig(**{"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"} | options))


def stir(model, seed):
    """Every trainable number away from where it starts, B and biases included."""
    draw = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            noise = torch.from_numpy(draw.standard_normal(tuple(parameter.shape)).astype(np.float32))
            if "lora_magnitude" in name:
                parameter.mul_(1 + 0.1 * noise)
            elif "lora_" in name:
                parameter.copy_(0.1 * noise)
            else:
                parameter.add_(0.05 * noise)


def save(model, directory, base):
    """As PEFT writes it, without the model card; sets are sorted, the base is named relatively."""
    shutil.rmtree(directory, ignore_errors=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting `save_embedding_layers`")
        model.save_pretrained(directory)
    (directory / "README.md").unlink()
    path = directory / "adapter_config.json"
    config = json.loads(path.read_text())
    for key in ("target_modules", "exclude_modules"):
        if isinstance(config[key], list):
            config[key] = sorted(config[key])
    config["base_model_name_or_path"] = os.path.relpath(base_directory(base), directory)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def train(model, steps, recipe):
    """The loop of Trainer over one micro-batch a step: who is decayed is Trainer's own answer."""
    decayed = set(Trainer.get_decay_parameter_names(None, model))
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for n, p in named if n in decayed], "weight_decay": recipe.weight_decay},
        {"params": [p for n, p in named if n not in decayed], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=recipe.learning_rate, betas=(recipe.beta1, recipe.beta2), eps=recipe.epsilon, foreach=False
    )
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=len(steps))
    history = []
    for (micro,) in steps:
        tokens = count_tokens(micro["labels"], recipe)
        loss = micro_loss(model, micro, recipe, tokens, 1)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([p for _, p in named], recipe.max_grad_norm).item()
        history.append({"loss": loss.item(), "grad_norm": norm, "num_items": tokens})
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    return history


def option(index, name, base, trains, options, batches):
    model = fresh(base, options)
    stir(model, seed=100 + index)
    directory = OUT / name
    save(model, directory, base)
    model = PeftModel.from_pretrained(open_base(base), directory, is_trainable=True)
    ids = torch.from_numpy(batches[0][0]["input_ids"])
    with torch.no_grad():
        logits = model.eval()(input_ids=ids).logits.float().numpy()
    logits.astype("<f4").tofile(directory / "logits.bin")
    trainable, total = model.get_nb_trainable_parameters()
    row = {"base": os.path.relpath(base_directory(base), OUT), "trainable": trainable, "all": total}
    row["options"] = options
    if trains:
        row["steps"] = train(model.train(), batches, Recipe())
        print(name, row["steps"][0], row["steps"][-1])
    return row


def initial(base, seed, options, directory):
    """Small enough to keep: one rank, one module or a few."""
    model = open_base(base)
    torch.manual_seed(seed)
    config = LoraConfig(**{"r": 2, "lora_alpha": 2, "task_type": "CAUSAL_LM"} | options)
    save(get_peft_model(model, config), directory, base)


if __name__ == "__main__":
    settle()
    make_base("biased", tied=False)
    make_base("tied", tied=True)
    batches = make_steps(seed=41, steps=STEPS, longest_prompts=[4], vocab=VOCAB, length=LENGTH)
    rows = {
        name: option(index, name, base, trains, options, batches)
        for index, (name, (base, trains, options)) in enumerate(OPTIONS.items())
    }
    data = [{key: value.tolist() for key, value in micro.items()} for (micro,) in batches]
    recipe = Recipe()
    settings = {
        "learning_rate": recipe.learning_rate,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
    }
    write_json(OUT / "options.json", {"settings": settings, "batches": data, "options": rows})
    starts = {}
    for name, (base, seed, options) in INITIAL.items():
        initial(base, seed, options, OUT / f"initial-{name}")
        starts[name] = {"base": os.path.relpath(base_directory(base), OUT), "seed": seed, "options": options}
        if base.startswith("4bit-"):
            starts[name]["bnb_4bit_compute_dtype"] = base.removeprefix("4bit-")
    write_json(OUT / "initial.json", starts)
    matches()
    versions(OUT / "versions.json")
