"""Rows of nibble's datasets as token ids and labels, cut and padded as nibble does it."""

import json
from pathlib import Path

import torch


def load(config, beside):
    """(train rows, eval rows): lists of {input_ids, labels}. Paths are relative to the working directory, else to the config."""
    if config.get("packing"):
        raise SystemExit("the configuration has packing: true, which the run in PEFT does not do yet: compare without it")
    tokenizer = None

    def tokenize(text, **options):
        nonlocal tokenizer
        if tokenizer is None:
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(config["model_name_or_path"])
        return tokenizer(text, **options)["input_ids"]

    def ids_of(text):
        ids = tokenize(text)
        end = tokenizer.eos_token_id
        return ids if end is None or (ids and ids[-1] == end) else [*ids, end]

    def rows_of(path):
        longest = config["max_length"]
        if path.suffix == ".txt":  # one long text, cut into whole rows
            ids = tokenize(path.read_text(), add_special_tokens=False)
            cuts = range(0, len(ids) - longest + 1, longest)
            return [{"input_ids": ids[at : at + longest], "labels": ids[at : at + longest]} for at in cuts]
        lines = [line for line in path.read_text().splitlines() if line.strip()]
        return [row_of(json.loads(line), ids_of, path, longest) for line in lines]

    def read(entries):
        paths = [Path(entry["path"]) for entry in entries or []]
        return [row for path in paths for row in rows_of(path if path.exists() else beside / path)]

    return read(config["datasets"]), read(config.get("eval_datasets"))


def row_of(line, ids_of, where, longest):
    if "input_ids" in line:
        ids = line["input_ids"]
        labels = line.get("labels") or ids
    elif "text" in line:
        ids = labels = ids_of(line["text"])
    else:
        raise SystemExit(f"{where}: has the keys {list(line)}, needs input_ids or text")
    return {"input_ids": ids[:longest], "labels": labels[:longest]}


class Collator:
    """Pads on the right to the longest row; what is padded is masked by length."""

    def __init__(self, pad_id):
        self.pad_id = pad_id

    def __call__(self, batch):
        width = max(len(row["input_ids"]) for row in batch)

        def padded(key, fill):
            return torch.tensor([list(row[key]) + [fill] * (width - len(row[key])) for row in batch])

        mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in batch])
        return {"input_ids": padded("input_ids", self.pad_id), "labels": padded("labels", -100), "attention_mask": mask}
