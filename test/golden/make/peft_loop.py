"""The training loop of the PEFT golden files: recipe, models, token data, and the plain loop itself."""

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import torch
from peft import PeftModel
from transformers import LlamaConfig, LlamaForCausalLM, get_scheduler

from nf4_reference import read_base
from shared import GOLDEN, mask_labels, token_batch

OUT = GOLDEN / "peft-steps"
LORA_BASE = GOLDEN / "llama" / "untied-gqa-f32"
QLORA_BASE = OUT / "qlora" / "base"
VOCAB, ROWS, LENGTH, STEPS = 160, 2, 24, 20
ACCUMULATED_STEPS = 5


@dataclass(frozen=True)
class Recipe:
    """The hyper-parameters, and switches through which peft_compare.py plants bugs."""

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    max_grad_norm: float = 0.3
    total_steps: int = STEPS
    r: int = 4
    lora_alpha: float = 8
    norm_epsilon_factor: float = 1
    denominator: str = "shifted"
    dtype: torch.dtype = torch.float32
    attention: str = "eager"
    dequantize_bug: str | None = None


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def load_base(method, recipe):
    """The frozen base as an ordinary float32 model; for QLoRA its weights are the dequantized ones."""
    options = dict(dtype=torch.float32, attn_implementation=recipe.attention)
    if method == "lora":
        return LlamaForCausalLM.from_pretrained(LORA_BASE, **options)
    _, weights, _ = read_base(QLORA_BASE, recipe.dequantize_bug)
    settings = json.loads((QLORA_BASE / "config.json").read_text())
    del settings["quantization_config"]
    model = LlamaForCausalLM._from_config(LlamaConfig(**settings), **options)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()}, strict=True)
    return model


def load_trainable(method, recipe, base=None):
    """The base (or the one given) with the initial adapter, its constants changed as the recipe says."""
    base = load_base(method, recipe) if base is None else base
    return with_adapter(base, OUT / method / "adapter-init", recipe)


def with_adapter(base, adapter, recipe):
    """The base under the adapter of a directory, ready to train, its constants changed as the recipe says."""
    model = PeftModel.from_pretrained(base, adapter, is_trainable=True).to(recipe.dtype).train()
    for module in model.modules():
        for epsilon in ("variance_epsilon", "eps"):  # Llama's name and Gemma's
            if hasattr(module, epsilon):
                setattr(module, epsilon, getattr(module, epsilon) * recipe.norm_epsilon_factor)
        if hasattr(module, "scaling") and isinstance(module.scaling, dict):
            module.scaling = {name: recipe.lora_alpha / recipe.r for name in module.scaling}
    return model


def make_steps(seed, steps, longest_prompts, vocab=VOCAB, length=LENGTH):
    """A list of optimizer steps, each a list of micro-batches; one micro-batch per entry of longest_prompts."""
    draw = np.random.default_rng(seed)
    batches = []
    for _ in range(steps):
        micro_batches = []
        for longest in longest_prompts:
            ids = token_batch(draw, vocab, ROWS, length)
            micro_batches.append({"input_ids": ids, "labels": mask_labels(draw, ids, longest)})
        batches.append(micro_batches)
    return batches


def main_steps(method):
    return make_steps(seed=21 if method == "lora" else 22, steps=STEPS, longest_prompts=[8])


def accumulated_steps():
    # the first micro-batch is almost all prompt: a mean of means would weigh its few tokens far too much
    return make_steps(seed=23, steps=ACCUMULATED_STEPS, longest_prompts=[23, 2])


def count_tokens(labels, recipe):
    """N of the loss: labels that are a target of some position, so column 0 never counts."""
    counted = labels if recipe.denominator == "unshifted" else labels[:, 1:]
    return int((counted != -100).sum())


def micro_loss(model, micro, recipe, step_tokens, micro_count):
    logits = model(input_ids=torch.from_numpy(micro["input_ids"])).logits
    targets = torch.from_numpy(micro["labels"])[:, 1:].reshape(-1)
    shifted = logits[:, :-1].reshape(-1, logits.shape[-1])
    total = torch.nn.functional.cross_entropy(shifted, targets, ignore_index=-100, reduction="sum")
    if recipe.denominator == "mean-of-means":
        return total / count_tokens(micro["labels"], recipe) / micro_count
    return total / step_tokens


def train(method, steps, recipe=Recipe(), base=None):
    """Loads and trains. Returns per step loss, grad_norm before clipping and learning_rate, and the trained model."""
    model = load_trainable(method, recipe, base)
    return train_model(model, steps, recipe), model


def train_model(model, steps, recipe):
    """The plain loop over a list of steps; changes the model's trainable parameters, returns the history."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        trainable,
        lr=recipe.learning_rate,
        betas=(recipe.beta1, recipe.beta2),
        eps=recipe.epsilon,
        weight_decay=recipe.weight_decay,
        foreach=False,
    )
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=recipe.total_steps)
    history = []
    for micro_batches in steps:
        tokens = sum(count_tokens(micro["labels"], recipe) for micro in micro_batches)
        loss = 0.0
        for micro in micro_batches:
            part = micro_loss(model, micro, recipe, tokens, len(micro_batches))
            part.backward()
            loss += part.item()
        norm = torch.nn.utils.clip_grad_norm_(trainable, recipe.max_grad_norm).item()
        rate = scheduler.get_last_lr()[0]
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        history.append({"loss": loss, "grad_norm": norm, "learning_rate": rate, "num_items": tokens})
    return history
