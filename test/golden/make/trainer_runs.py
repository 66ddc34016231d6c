"""Whole runs of transformers' Trainer over JSONL rows: what it logs, and the parameters it ends with."""

import json
import shutil

import numpy as np
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaForCausalLM, Trainer

from shared import GOLDEN, fill, token_batch, write_json
from trainer_schedules import arguments

LORA_BASE = GOLDEN / "llama" / "untied-gqa-f32"
FULL_BASE = GOLDEN / "formats" / "llama-untied-f32"
VOCAB = {LORA_BASE: 160, FULL_BASE: 32}
IGNORED = -100

# 9 rows in twos are 5 micro-batches, the last of one row; in steps of two micro-batches that makes 2, 2 and 1.
COMMON = dict(
    per_device_train_batch_size=2, gradient_accumulation_steps=2, per_device_eval_batch_size=2, learning_rate=1e-3,
    weight_decay=0.1, max_grad_norm=0.3, adam_beta1=0.85, adam_beta2=0.99, adam_epsilon=1e-6,
)
RUNS = {
    # a fraction of an epoch, warm-up as a fraction, shuffling from the seed
    "cosine": COMMON | dict(
        seed=11, num_train_epochs=2.5, lr_scheduler_type="cosine", warmup_steps=0.2, logging_steps=1,
        eval_strategy="epoch",
    ),
    # a data seed, no clipping, rows of log_history that average, training and evaluation grouped by length
    "grouped": COMMON | dict(
        seed=3, data_seed=5, max_steps=8, lr_scheduler_type="polynomial",
        lr_scheduler_kwargs={"lr_end": 1e-4, "power": 2.0}, max_grad_norm=0.0, logging_steps=3,
        logging_first_step=True, eval_strategy="steps", eval_steps=4, eval_on_start=True,
        train_sampling_strategy="group_by_length",
    ),
    # N as transformers before 5.10 counted it: the labels of all positions
    "all-labels": COMMON | dict(
        seed=11, num_train_epochs=1.5, lr_scheduler_type="constant_with_warmup", warmup_steps=2, logging_steps=1,
        eval_strategy="epoch",
    ),
    # every parameter trained: norms are not decayed
    "full": COMMON | dict(
        seed=0, num_train_epochs=2, learning_rate=1e-2, weight_decay=0.5, lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={"num_decay_steps": 3, "min_lr_ratio": 0.1}, warmup_steps=1, logging_steps=1,
        eval_strategy="no",
    ),
}
# A row of log_history and the end of a run also say how long things took, which no two runs agree on.
MEASURED = ("_runtime", "_per_second")


def make_rows(seed, count, vocab):
    """Rows of 6 to 20 tokens: all labels, a masked prompt, holes; the first label counts in two rows of three."""
    draw = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        ids = token_batch(draw, vocab, 1, int(draw.integers(6, 21)))[0].tolist()
        if i % 3 == 0:
            rows.append({"input_ids": ids})
            continue
        labels = list(ids)
        if i % 3 == 1:
            labels[: len(ids) // 3] = [IGNORED] * (len(ids) // 3)
        for t in range(1, len(ids)):
            if draw.random() < 0.1:
                labels[t] = IGNORED
        rows.append({"input_ids": ids, "labels": labels})
    return rows


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def collate(features):
    longest = max(len(feature["input_ids"]) for feature in features)

    def padded(key, value):
        found = [feature.get(key, feature["input_ids"]) for feature in features]
        return torch.tensor([row + [value] * (longest - len(row)) for row in found])

    mask = [[1] * len(f["input_ids"]) + [0] * (longest - len(f["input_ids"])) for f in features]
    return {
        "input_ids": padded("input_ids", 0),
        "labels": padded("labels", IGNORED),
        "attention_mask": torch.tensor(mask),
    }


def save_adapter(model, directory):
    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(directory)
    (directory / "README.md").unlink()
    path = directory / "adapter_config.json"
    config = json.loads(path.read_text())
    config["target_modules"] = sorted(config["target_modules"])
    config["base_model_name_or_path"] = "../../llama/untied-gqa-f32"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def write_adapter(directory):
    """A and B of std 0.1, as in peft-steps; every kind of linear layer has one."""
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "o_proj", "down_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(LlamaForCausalLM.from_pretrained(LORA_BASE, dtype=torch.float32), config)
    draw = np.random.default_rng(21)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                values = 0.1 * draw.standard_normal(tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    save_adapter(model, directory)


def load(base, adapter):
    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
    return model if adapter is None else PeftModel.from_pretrained(model, adapter, is_trainable=True)


def spread_norms(path):
    """The base of full training with norms that decay would visibly move."""
    model = load(FULL_BASE, None)
    fill(model, seed=31, matrix_std=0.2, embedding_std=0.2)
    shutil.rmtree(path, ignore_errors=True)
    model.save_pretrained(path)
    return path


def train(name, base, adapter, rows, eval_rows, **changes):
    """The trainer after its run. `changes` are for the sensitivity table."""
    settings = RUNS[name] | changes
    trainer = Trainer(
        load(base, adapter),
        arguments(remove_unused_columns=False, **settings),
        data_collator=collate,
        train_dataset=rows,
        eval_dataset=eval_rows if settings["eval_strategy"] != "no" else None,
    )
    if name == "all-labels" and hasattr(trainer, "_loss_shifts_labels"):
        trainer._loss_shifts_labels = False
    trainer.train()
    trainer.save_state()
    return trainer


def state_of(trainer):
    """trainer_state.json less what a clock measured."""
    with open(f"{trainer.args.output_dir}/trainer_state.json") as file:
        state = json.load(file)
    for row in state["log_history"]:
        for key in row:
            if key.endswith(MEASURED):
                row[key] = 0.0
    return state


def check_all_labels(out):
    """The run that counts the labels of all positions, by the Trainer of the installed transformers: one below 5.10."""
    rows, eval_rows = make_rows(51, 9, VOCAB[LORA_BASE]), make_rows(52, 5, VOCAB[LORA_BASE])
    made = state_of(train("all-labels", LORA_BASE, out / "adapter-init", rows, eval_rows))
    wanted = json.loads((out / "all-labels" / "trainer_state.json").read_text())
    differing = [
        (row["step"], key, row[key], want[key])
        for row, want in zip(made["log_history"], wanted["log_history"], strict=True)
        for key in want
        if row[key] != want[key]
    ]
    print(f"transformers {transformers.__version__}: {len(differing)} values of log_history differ")
    for step, key, value, want in differing:
        print(f"  step {step}: {key} {value}, here {want}")


def write_runs(out):
    adapter = out / "adapter-init"
    write_adapter(adapter)
    full_base = spread_norms(out / "full-base")
    for name in RUNS:
        directory = out / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        full = name == "full"
        base = full_base if full else LORA_BASE
        vocab = VOCAB[FULL_BASE] if full else VOCAB[LORA_BASE]
        rows, eval_rows = make_rows(51, 9, vocab), make_rows(52, 5, vocab)
        write_jsonl(directory / "train.jsonl", rows)
        write_jsonl(directory / "eval.jsonl", eval_rows)
        write_json(directory / "settings.json", RUNS[name])
        trainer = train(name, base, None if full else adapter, rows, eval_rows)
        write_json(directory / "trainer_state.json", state_of(trainer))
        if full:
            trainer.model.save_pretrained(directory / "model-final")
        else:
            save_adapter(trainer.model, directory / "adapter-final")
