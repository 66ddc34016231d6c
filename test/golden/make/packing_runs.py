"""Whole runs of TRL's SFTTrainer with packing: what it logs, and the adapters it ends with."""

import json
import shutil
import tempfile

import numpy as np
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from shared import GOLDEN, token_batch, write_json
from trainer_runs import IGNORED, MEASURED, write_jsonl
from trainer_text import load_tokenizer

LLAMA = GOLDEN / "llama" / "untied-gqa-f32"
MISTRAL = GOLDEN / "architectures" / "mistral" / "dense"
# What SFTTrainer adds to the log, and nibble does not compute.
ONLY_TRL = ("entropy", "num_tokens", "mean_token_accuracy")

COMMON = dict(
    packing=True, max_length=24, per_device_train_batch_size=2, per_device_eval_batch_size=2, learning_rate=1e-3,
    weight_decay=0.1, max_grad_norm=0.3, logging_steps=1, lr_scheduler_type="cosine", warmup_steps=2,
)
RUNS = {
    # grouped keys and values, documents cut, evaluation packed as well, two micro-batches a step
    "bfd": (LLAMA, COMMON | dict(
        seed=11, max_steps=24, gradient_accumulation_steps=2, packing_strategy="bfd", eval_strategy="steps", eval_steps=12,
    )),
    # a sliding window of 8 in documents of up to 24, documents split, packed rows grouped by length, evaluation not packed
    "bfd_split": (MISTRAL, COMMON | dict(
        seed=3, num_train_epochs=4, packing_strategy="bfd_split", train_sampling_strategy="group_by_length",
        eval_packing=False, eval_strategy="epoch", lr_scheduler_type="linear",
    )),
    # one stream: documents see those before them
    "wrapped": (LLAMA, COMMON | dict(
        seed=5, num_train_epochs=1.5, gradient_accumulation_steps=2, packing_strategy="wrapped", eval_strategy="epoch",
    )),
}
VOCAB = {LLAMA: 160, MISTRAL: 128}
ADAPTER = {LLAMA: GOLDEN / "trainer" / "adapter-init", MISTRAL: GOLDEN / "architectures" / "mistral" / "adapter-init"}


def make_rows(seed, count, vocab):
    """Documents of 1 to 30 tokens: all labels, a masked prompt, holes."""
    draw = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        ids = token_batch(draw, vocab, 1, int(draw.integers(1, 31)))[0].tolist()
        labels = list(ids)
        if i % 3 == 1:
            labels[: len(ids) // 3] = [IGNORED] * (len(ids) // 3)
        if i % 3 == 2:
            labels = [IGNORED if draw.random() < 0.2 else label for label in labels]
        rows.append({"input_ids": ids} if i % 3 == 0 else {"input_ids": ids, "labels": labels})
    return rows


def load(base):
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
    return PeftModel.from_pretrained(model, ADAPTER[base], is_trainable=True)


def train(name, rows, eval_rows):
    import datasets
    import trl

    base, settings = RUNS[name]
    config = trl.SFTConfig(
        tempfile.mkdtemp(), use_cpu=True, bf16=False, report_to="none", disable_tqdm=True, save_strategy="no",
        gradient_checkpointing=False, loss_type="nll", **settings,
    )

    def dataset(found):
        return datasets.Dataset.from_list([row | {"labels": row.get("labels", row["input_ids"])} for row in found])

    trainer = trl.SFTTrainer(
        load(base), args=config, train_dataset=dataset(rows), eval_dataset=dataset(eval_rows),
        processing_class=load_tokenizer(),
    )
    trainer.train()
    trainer.save_state()
    return trainer


def state_of(trainer):
    """trainer_state.json less what a clock measured and what only TRL logs."""
    with open(f"{trainer.args.output_dir}/trainer_state.json") as file:
        state = json.load(file)
    for row in state["log_history"]:
        for key in list(row):
            if key.removeprefix("eval_") in ONLY_TRL:
                del row[key]
            elif key.endswith(MEASURED):
                row[key] = 0.0
    return state


def save_adapter(model, directory):
    model.save_pretrained(directory)
    for file in ("README.md", "adapter_config.json"):
        (directory / file).unlink(missing_ok=True)


def write_runs(out):
    for name, (base, settings) in RUNS.items():
        directory = out / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        rows, eval_rows = make_rows(61, 40, VOCAB[base]), make_rows(62, 9, VOCAB[base])
        write_jsonl(directory / "train.jsonl", rows)
        write_jsonl(directory / "eval.jsonl", eval_rows)
        write_json(directory / "settings.json", settings)
        trainer = train(name, rows, eval_rows)
        write_json(directory / "trainer_state.json", state_of(trainer))
        save_adapter(trainer.model, directory)


def check_isolation(out):
    """Of every packed batch, the sum of the losses is that of its documents each by itself."""
    import trl

    for name, (base, settings) in RUNS.items():
        rows = [json.loads(line) for line in (out / name / "train.jsonl").read_text().splitlines()]
        worst = isolation_error(trl, rows, load(base).eval(), settings)
        print(f"{name}: packed rows and documents one by one differ by at most {worst:.1e} (relative, sum of the losses)")


def isolation_error(trl, rows, model, settings):
    import datasets

    full = [row | {"labels": row.get("labels", row["input_ids"])} for row in rows]
    strategy, length = settings["packing_strategy"], settings["max_length"]
    dataset = trl.pack_dataset(datasets.Dataset.from_list(full), length, strategy)
    collate = trl.trainer.sft_trainer.DataCollatorForLanguageModeling(0, padding_free=strategy != "wrapped")
    worst = 0.0
    with torch.no_grad():
        for row in dataset:
            batch = collate([row])
            together = sum_of_losses(model, **{key: batch[key] for key in ("input_ids", "labels", "position_ids") if key in batch})
            alone, at = 0.0, 0
            for n in row.get("seq_lengths", [len(row["input_ids"])]):
                ids, labels = (torch.tensor([row[key][at : at + n]]) for key in ("input_ids", "labels"))
                alone += sum_of_losses(model, input_ids=ids, labels=labels)
                at += n
            worst = max(worst, abs(together - alone) / max(alone, 1e-9))
    return worst


def sum_of_losses(model, labels, **inputs):
    logits = model(**inputs, use_cache=False).logits[0, :-1]
    return torch.nn.functional.cross_entropy(logits, labels[0, 1:], reduction="sum", ignore_index=IGNORED).item()
