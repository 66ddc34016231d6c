"""Tiny models of every architecture: their logits, and 50 training steps of PEFT, LoRA and QLoRA.

Writes test/golden/architectures/. `--sensitivity` prints how far planted bugs move the curves and the adapters,
`--check` compares the 4-bit ones with bitsandbytes' own layers. How to run: README.md in this folder.
"""

import argparse
import json
import os
import shutil

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import BitsAndBytesConfig

from architecture_models import BATCH, MODELS, OUT, older_spelling, tokens
from architecture_training import adapter_of, load, load_dense, recipe, train
from shared import fill, settle, tidy_config, versions, write_json

FORMS = ("dense", "bnb-4bit")
ADAPTER = dict(r=4, lora_alpha=8, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")


def make_dense(name, spec):
    """The model as save_pretrained writes it, stored in bfloat16, and its config as transformers 4 spelled it."""
    directory = OUT / name / "dense"
    model = spec.new()
    fill(model, spec.seed, matrix_std=0.1, embedding_std=0.1, norm_center=spec.norm_center)
    if spec.tied:
        model.tie_weights()
    model.to(torch.bfloat16).save_pretrained(directory)
    tidy_config(directory)
    (directory / "generation_config.json").unlink()
    config = json.loads((directory / "config.json").read_text())
    older = json.dumps(older_spelling(config, spec), indent=2, sort_keys=True) + "\n"
    (directory / "config-4.json").write_text(older)


def make_four_bit(name, spec):
    """The same model as transformers and bitsandbytes quantize it: nf4, double quantization."""
    directory = OUT / name / "bnb-4bit"
    four_bit = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    options = dict(dtype=spec.quantized_from, quantization_config=four_bit, device_map="cpu")
    spec.model.from_pretrained(OUT / name / "dense", **options).save_pretrained(directory)
    tidy_config(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)


def make_adapter(name, spec):
    """One initial adapter for both forms. A and B are drawn with std 0.1: with B = 0 the first steps would test half of
    the backward only, and the update would hide among rounding."""
    directory = OUT / name / "adapter-init"
    model = get_peft_model(load_dense(name, spec), LoraConfig(**ADAPTER))
    draw = np.random.default_rng(1000 + spec.seed)
    with torch.no_grad():
        for parameter in adapter_of(model).values():
            values = 0.1 * draw.standard_normal(tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    model.save_pretrained(directory)
    (directory / "README.md").unlink()
    path = directory / "adapter_config.json"
    config = json.loads(path.read_text())
    config["target_modules"] = sorted(config["target_modules"])
    config["base_model_name_or_path"] = os.path.relpath(OUT / name / "dense", directory)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def logits_of(model, ids):
    with torch.no_grad():
        return model.eval()(input_ids=torch.from_numpy(ids)).logits.numpy()


def make_logits(name, spec, ids):
    """logits-FORM.bin, little-endian float32 [B, T, V]; returns what expected.json says of them."""
    facts = {}
    for form in FORMS:
        logits = logits_of(load(name, spec, form), ids)
        if form == "dense":
            check_older_spelling(name, spec, ids, logits)
        logits.astype("<f4").tofile(OUT / name / f"logits-{form}.bin")
        facts[form] = {"shape": list(logits.shape), "max_abs_logit": float(np.abs(logits).max())}
    return facts


def check_older_spelling(name, spec, ids, logits):
    check = OUT / "check-4"
    shutil.copytree(OUT / name / "dense", check)
    shutil.move(check / "config-4.json", check / "config.json")
    model = spec.model.from_pretrained(check, dtype=torch.float32, attn_implementation="eager")
    same = np.array_equal(logits_of(model, ids), logits)
    shutil.rmtree(check)
    assert same, f"{name}: the transformers 4 spelling of config.json changes the logits"


def make_training(name, spec, steps):
    """Trains both forms from the one adapter; writes what it becomes, returns the curves."""
    curves = {}
    for form, method in zip(FORMS, ("lora", "qlora"), strict=True):
        history, final = train(name, spec, form, steps)
        norms = [row["grad_norm"] for row in history]
        assert min(norms) > recipe().max_grad_norm, f"{name} {method}: clipping must be active at every step"
        save_file(final, OUT / name / f"adapter-{method}.safetensors", metadata={"format": "pt"})
        curves[method] = {key: [row[key] for row in history] for key in ("loss", "grad_norm")}
        losses = curves[method]["loss"]
        print(f"{name} {method}: loss {losses[0]:.4f} -> {losses[-1]:.4f}, grad norm {min(norms):.2f} to {max(norms):.2f}")
    return curves


def make_tokens():
    """tokens.json, which all architectures share: ids for the logits, batches and settings for the steps."""
    ids, steps = tokens()
    settings = recipe()
    rates = [settings.learning_rate * (1 - step / settings.total_steps) for step in range(settings.total_steps)]
    batches = [
        {"input_ids": micro["input_ids"].tolist(), "labels": micro["labels"].tolist(), "learning_rate": rate}
        for [micro], rate in zip(steps, rates, strict=True)
    ]
    config = {
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0,
        "max_steps": settings.total_steps,
        "adam_beta1": settings.beta1,
        "adam_beta2": settings.beta2,
        "adam_epsilon": settings.epsilon,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "per_device_train_batch_size": BATCH,
        "gradient_accumulation_steps": 1,
    }
    write_json(OUT / "tokens.json", {"input_ids": ids.tolist(), "config": config, "steps": batches})
    return ids, steps


def write_all():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    ids, steps = make_tokens()
    for name, spec in MODELS.items():
        make_dense(name, spec)
        make_four_bit(name, spec)
        make_adapter(name, spec)
        facts = make_logits(name, spec, ids)
        curves = make_training(name, spec, steps)
        write_json(OUT / name / "expected.json", {"shows": spec.shows, "logits": facts, **curves})
    versions(OUT / "versions.json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensitivity", action="store_true", help="print the table of planted bugs, write nothing")
    parser.add_argument("--check", action="store_true", help="compare with bitsandbytes' layers, write nothing")
    parser.add_argument("--only", nargs="*", help="with the two above: some architectures instead of all")
    arguments = parser.parse_args()
    settle()
    if arguments.sensitivity or arguments.check:
        import architecture_compare

        chosen = {name: spec for name, spec in MODELS.items() if arguments.only is None or name in arguments.only}
        if arguments.check:
            architecture_compare.check(chosen)
        if arguments.sensitivity:
            architecture_compare.logits_sensitivity(chosen)
            architecture_compare.sensitivity(chosen)
    else:
        write_all()
