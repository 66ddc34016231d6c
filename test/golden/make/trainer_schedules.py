"""Learning rates of every step by transformers' own schedulers, and the names its Trainer decays."""

import tempfile

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Trainer,
    TrainingArguments,
    get_scheduler,
)

from shared import write_json

RATE = 3e-4
# The totals are no multiples of one another; warm-up is a count, a fraction, none, all and more than all of the steps.
LENGTHS = [(10, 0), (10, 3), (23, 0.1), (23, 0.033), (13, 1), (7, 7), (7, 9), (1, 0)]
SCHEDULES = [
    ("linear", {}),
    ("cosine", {}),
    ("cosine", {"num_cycles": 0.75}),
    ("cosine_with_restarts", {}),
    ("cosine_with_restarts", {"num_cycles": 3}),
    ("polynomial", {}),
    ("polynomial", {"lr_end": 1e-5, "power": 2.5}),
    ("constant", {}),
    ("constant_with_warmup", {}),
    ("inverse_sqrt", {}),
    ("inverse_sqrt", {"timescale": 25}),
    ("cosine_with_min_lr", {"min_lr": 2e-5}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.1, "num_cycles": 1.5}),
    ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.05}),
    ("cosine_warmup_with_min_lr", {"min_lr": 1e-5, "warmup_lr_rate": 0.2}),
    ("warmup_stable_decay", {"num_decay_steps": 3}),
    ("warmup_stable_decay", {"num_decay_steps": 4, "warmup_type": "cosine", "decay_type": "linear", "min_lr_ratio": 0.1}),
    ("warmup_stable_decay", {"num_decay_steps": 2, "warmup_type": "1-sqrt", "decay_type": "1-sqrt"}),
    ("warmup_stable_decay", {"num_decay_steps": 5, "num_stable_steps": 2, "num_cycles": 1.0}),
]


def arguments(**changes):
    return TrainingArguments(
        output_dir=tempfile.mkdtemp(), use_cpu=True, report_to="none", disable_tqdm=True, save_strategy="no", **changes
    )


def rates(name, kwargs, total, warmup):
    """The rate each of `total` optimizer steps uses, as Trainer reads it, and its count of warm-up steps."""
    count = arguments(warmup_steps=warmup).get_warmup_steps(total)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler = get_scheduler(name, optimizer, count, total, scheduler_specific_kwargs=kwargs)
    used = []
    for step in range(total):
        used.append(float(scheduler.get_last_lr()[0]))
        if step + 1 < total:  # past the end polynomial divides by zero where all steps are warm-up
            optimizer.step()
            scheduler.step()
    return count, used


def write_schedules(path):
    found = []
    for name, kwargs in SCHEDULES:
        for total, warmup in LENGTHS:
            count, used = rates(name, kwargs, total, warmup)
            head = {"type": name, "kwargs": kwargs, "total": total, "warmup_steps": warmup, "warmup_count": count}
            found.append(head | {"rates": used})
    write_json(path, {"learning_rate": RATE, "schedules": found})


SHAPE = dict(
    vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=4, max_position_embeddings=64,
)


def split_names(model):
    decayed = set(Trainer(model, arguments()).get_decay_parameter_names(model))
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    return {
        "decayed": [name for name in trained if name in decayed],
        "not_decayed": [name for name in trained if name not in decayed],
    }


def write_decay(path):
    biased = LlamaConfig(**SHAPE, attention_bias=True, mlp_bias=True)
    adapter = LoraConfig(
        r=2, target_modules="all-linear", bias="all", modules_to_save=["lm_head"], task_type="CAUSAL_LM"
    )
    dora = LoraConfig(r=2, target_modules=["q_proj", "k_proj"], use_dora=True, task_type="CAUSAL_LM")
    write_json(path, {
        "llama": split_names(LlamaForCausalLM(LlamaConfig(**SHAPE))),
        "llama_tied": split_names(LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=True))),
        "llama_biases": split_names(LlamaForCausalLM(biased)),
        "qwen2": split_names(Qwen2ForCausalLM(Qwen2Config(**SHAPE))),
        "qwen3": split_names(Qwen3ForCausalLM(Qwen3Config(**SHAPE))),
        "lora_biases_saved": split_names(get_peft_model(LlamaForCausalLM(biased), adapter)),
        "dora": split_names(get_peft_model(LlamaForCausalLM(LlamaConfig(**SHAPE)), dora)),
    })
