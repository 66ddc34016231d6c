"""The PEFT golden files against bitsandbytes, against transformers' Trainer, and against planted bugs."""

import tempfile
from dataclasses import replace

import numpy as np
import torch
from bitsandbytes.functional import QuantState, dequantize_4bit
from torch.utils.data import Dataset
from transformers import LlamaForCausalLM, Trainer, TrainingArguments

from nf4_reference import DYNAMIC_SHA256, NF4_SHA256, read_base
from peft_loop import (
    ACCUMULATED_STEPS,
    QLORA_BASE,
    ROWS,
    STEPS,
    Recipe,
    accumulated_steps,
    load_trainable,
    main_steps,
    sha256,
    train,
)


def check():
    check_dequantization()
    check_linear4bit()
    for method in ("lora", "qlora"):
        check_trainer(method, main_steps(method), Recipe())
    check_trainer("lora", accumulated_steps(), Recipe(total_steps=ACCUMULATED_STEPS))


def check_dequantization():
    """Our dequantization against bitsandbytes, tensor by tensor, bit by bit; the code tables against their hashes."""
    tensors, weights, quantized = read_base(QLORA_BASE)
    for name in quantized:
        parts = {key: torch.from_numpy(value) for key, value in tensors.items() if key.startswith(name + ".")}
        state = QuantState.from_dict(parts, device=torch.device("cpu"))
        theirs = dequantize_4bit(torch.from_numpy(tensors[name]), state).numpy()
        assert theirs.dtype == np.float32 and state.dtype == torch.float32
        assert sha256(tensors[name + ".quant_map"]) == NF4_SHA256
        assert sha256(tensors[name + ".nested_quant_map"]) == DYNAMIC_SHA256
        different = int((theirs.view(np.uint32) != weights[name].view(np.uint32)).sum())
        print(f"{name} {theirs.shape}: {different} of {theirs.size} elements differ from bitsandbytes")
        assert different == 0, f"{name}: dequantization differs"


def check_linear4bit():
    """PEFT on bitsandbytes' own Linear4bit layers, forward and backward, against the dequantized float32 base."""
    base = LlamaForCausalLM.from_pretrained(
        QLORA_BASE, dtype=torch.float32, attn_implementation="eager", device_map="cpu"
    )
    steps = main_steps("qlora")
    theirs, _ = train("qlora", steps, base=base)
    ours, _ = train("qlora", steps)
    worst = {key: worst_relative(theirs, ours, key) for key in ("loss", "grad_norm")}
    print(f"PEFT on Linear4bit: {worst}")


def check_trainer(method, steps, recipe):
    """The same run through transformers' Trainer; prints the largest relative differences."""
    rows = [
        {"input_ids": ids.tolist(), "labels": labels.tolist()}
        for micro_batches in steps
        for micro in micro_batches
        for ids, labels in zip(micro["input_ids"], micro["labels"], strict=True)
    ]

    class Rows(Dataset):
        def __len__(self):
            return len(rows)

        def __getitem__(self, index):
            return rows[index]

    with tempfile.TemporaryDirectory() as scratch:
        settings = TrainingArguments(
            output_dir=scratch,
            per_device_train_batch_size=ROWS,
            gradient_accumulation_steps=len(steps[0]),
            max_steps=recipe.total_steps,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            max_grad_norm=recipe.max_grad_norm,
            optim="adamw_torch",
            train_sampling_strategy="sequential",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = Trainer(model=load_trainable(method, recipe), args=settings, train_dataset=Rows())
        trainer.train()
    logged = [row for row in trainer.state.log_history if "loss" in row]
    history, _ = train(method, steps, recipe)
    worst = {key: worst_relative(logged, history, key) for key in ("loss", "grad_norm", "learning_rate")}
    print(f"Trainer, {method} x{len(steps[0])}: {worst}")


def worst_relative(other, reference, key):
    assert len(other) == len(reference)
    return max(abs(float(a[key]) - b[key]) / abs(b[key]) for a, b in zip(other, reference))


BUGS = {
    "none, computed in float64": dict(dtype=torch.float64),
    "none, sdpa instead of eager attention": dict(attention="sdpa"),
    "Adam epsilon 1e-6": dict(epsilon=1e-6),
    "beta2 0.99": dict(beta2=0.99),
    "weight decay left out": dict(weight_decay=0.0),
    "learning rate +1 %": dict(learning_rate=1.01e-3),
    "clipping left out": dict(max_grad_norm=float("inf")),
    "RMSNorm epsilon x10": dict(norm_epsilon_factor=10),
    "alpha -1 %": dict(lora_alpha=7.92),
    "schedule one step longer": dict(total_steps=STEPS + 1),
    "N counts labels[:, 0] too": dict(denominator="unshifted"),
}
QLORA_BUGS = {
    "nested offset rounded to bf16": dict(dequantize_bug="bf16 offset"),
    "first nested scale for all": dict(dequantize_bug="one nested block"),
    "nibbles swapped": dict(dequantize_bug="nibbles swapped"),
}


def sensitivity():
    print("| golden | planted | loss | grad norm |\n| --- | --- | --- | --- |")
    runs = [("lora", main_steps("lora"), Recipe()), ("qlora", main_steps("qlora"), Recipe())]
    for method, steps, recipe in runs:
        reference, _ = train(method, steps, recipe)
        for title, change in (BUGS | (QLORA_BUGS if method == "qlora" else {})).items():
            print_row(method, title, train(method, steps, replace(recipe, **change))[0], reference)
    steps, recipe = accumulated_steps(), Recipe(total_steps=ACCUMULATED_STEPS)
    reference, _ = train("lora", steps, recipe)
    for title, denominator in (("N counts labels[:, 0] too", "unshifted"), ("mean of means", "mean-of-means")):
        bugged, _ = train("lora", steps, replace(recipe, denominator=denominator))
        print_row("accumulation", title, bugged, reference)


def print_row(golden, title, bugged, reference):
    loss, norm = (worst_relative(bugged, reference, key) for key in ("loss", "grad_norm"))
    print(f"| {golden} | {title} | {loss:.1e} | {norm:.1e} |")
