"""Training steps of PEFT that nibble must repeat: LoRA, QLoRA, and LoRA with gradient accumulation.

Writes test/golden/peft-steps/. `--check` compares with bitsandbytes and with transformers' Trainer, `--sensitivity`
prints how far planted bugs move the curves. How to run: README.md in this folder.
"""

import argparse
import json
import os
import shutil

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

from nf4_reference import read_base
from peft_loop import (
    ACCUMULATED_STEPS,
    LORA_BASE,
    OUT,
    QLORA_BASE,
    ROWS,
    VOCAB,
    Recipe,
    accumulated_steps,
    load_base,
    main_steps,
    sha256,
    train,
)
from shared import fill, settle, tidy_config, versions, write_json


def make_qlora_base():
    """A 4-bit checkpoint by transformers and bitsandbytes. The ffn width gives more than 256 blocks in a tensor (two
    nested blocks), and every in_features is a multiple of 64."""
    source = OUT / "qlora" / "source"
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=64,
        intermediate_size=320,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(config)
    fill(model, seed=4, matrix_std=0.1, embedding_std=0.1)
    model.save_pretrained(source)
    four_bit = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    quantized = LlamaForCausalLM.from_pretrained(
        source, dtype=torch.float32, quantization_config=four_bit, device_map="cpu"
    )
    shutil.rmtree(QLORA_BASE, ignore_errors=True)
    quantized.save_pretrained(QLORA_BASE)
    shutil.rmtree(source)
    tidy_config(QLORA_BASE)


def save_adapter(model, directory):
    """As PEFT writes it, without the model card; set-valued entries are sorted, the base is named relatively."""
    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(directory)
    (directory / "README.md").unlink()
    path = directory / "adapter_config.json"
    config = json.loads(path.read_text())
    config["target_modules"] = sorted(config["target_modules"])
    base = QLORA_BASE if directory.parent.name == "qlora" else LORA_BASE
    config["base_model_name_or_path"] = os.path.relpath(base, directory)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def make_adapter(method):
    """Both A and B are drawn with std 0.1: with B = 0 the first steps would test half of the backward only."""
    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(load_base(method, Recipe()), config)
    draw = np.random.default_rng(7 if method == "lora" else 8)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                values = 0.1 * draw.standard_normal(tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    save_adapter(model, OUT / method / "adapter-init")


def describe(recipe):
    return {
        "lora_r": recipe.r,
        "lora_alpha": recipe.lora_alpha,
        "lora_dropout": 0.0,
        "lora_target_modules": "all-linear",
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0,
        "max_steps": recipe.total_steps,
        "adam_beta1": recipe.beta1,
        "adam_beta2": recipe.beta2,
        "adam_epsilon": recipe.epsilon,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "per_device_train_batch_size": ROWS,
    }


def write_steps(path, base, adapter, steps, history, recipe, **more):
    assert all(row["grad_norm"] > recipe.max_grad_norm for row in history), "clipping must be active at every step"
    rows = []
    for micro_batches, row in zip(steps, history, strict=True):
        data = [{key: value.tolist() for key, value in micro.items()} for micro in micro_batches]
        rows.append(row | {"micro_batches": data})
    accumulation = {"gradient_accumulation_steps": len(steps[0])}
    head = {"base": base, "adapter_init": adapter, "config": describe(recipe) | accumulation}
    write_json(path, head | more | {"steps": rows})


def report(title, history):
    first, last = history[0], history[-1]
    norms = [row["grad_norm"] for row in history]
    print(f"{title}: loss {first['loss']:.6f} -> {last['loss']:.6f}, grad norm {min(norms):.3f} to {max(norms):.3f}")


def write_all():
    make_qlora_base()
    for method in ("lora", "qlora"):
        make_adapter(method)
        steps = main_steps(method)
        history, model = train(method, steps)
        save_adapter(model, OUT / method / "adapter-final")
        more = {}
        base = "../../llama/untied-gqa-f32"
        if method == "qlora":
            base = "base"
            _, weights, quantized = read_base(QLORA_BASE)
            more = {"dequantized_f32_sha256": {name: sha256(weights[name]) for name in sorted(quantized)}}
        write_steps(OUT / method / "steps.json", base, "adapter-init", steps, history, Recipe(), **more)
        report(method, history)
    steps, recipe = accumulated_steps(), Recipe(total_steps=ACCUMULATED_STEPS)
    (OUT / "accumulation").mkdir(exist_ok=True)
    history, _ = train("lora", steps, recipe)
    target = OUT / "accumulation" / "steps.json"
    write_steps(target, "../../llama/untied-gqa-f32", "../lora/adapter-init", steps, history, recipe)
    report("accumulation", history)
    versions(OUT / "versions.json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with bitsandbytes and the Trainer, write nothing")
    parser.add_argument("--sensitivity", action="store_true", help="print the table of planted bugs, write nothing")
    arguments = parser.parse_args()
    settle()
    if arguments.check or arguments.sensitivity:
        import peft_compare

        if arguments.check:
            peft_compare.check()
        if arguments.sensitivity:
            peft_compare.sensitivity()
    else:
        write_all()
