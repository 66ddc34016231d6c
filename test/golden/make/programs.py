"""The Python programs of docs/from-python.md, run as they stand there but for paths, dropout and precision; and every
keyword of the classes they use, with its default.

Writes test/golden/programs/. Needs trl and datasets. How to run: README.md in this folder.
"""

import dataclasses
import importlib.metadata
import inspect
import json
import os
import platform
import shutil
import tempfile
from pathlib import Path

import datasets
import numpy as np

from shared import GOLDEN, PACKAGES, settle, write_json
from trl_tools import quiet_fingerprints

OUT = GOLDEN / "programs"
PROGRAMS = Path(__file__).resolve().parent / "programs"
MODELS = GOLDEN / "architectures" / "llama"

# On a CPU bitsandbytes is exact in float32 alone, and has no paged optimizer; torch's dropout masks are its own.
COMMON = {"meta-llama/Llama-3.2-1B": "model", "torch.bfloat16": "torch.float32", "bf16=True": "bf16=False",
          "lora_dropout=0.05": "lora_dropout=0.0"}
QUANTIZED = COMMON | {"paged_adamw_8bit": "adamw_torch", "quantization_config=": "dtype=torch.float32, quantization_config="}
RUNS = {"lora": ("dense", COMMON), "qlora": ("bnb-4bit", QUANTIZED), "sft": ("bnb-4bit", QUANTIZED)}
LOGGED = ("step", "epoch", "loss", "grad_norm", "learning_rate", "eval_loss")

WORDS = ["the", "sea", "was", "calm", "and", "a", "ship", "came", "home", "at", "night", "with", "no", "light", "on", "her"]


def write_tokenizer(directory):
    """Bytes of printable ASCII, a space, and some merges: ids below the 128 of the model."""
    special = ["<pad>", "<s>", "</s>"]
    characters = [chr(code) for code in range(33, 127)] + ["\u0120"]
    merges = [("t", "h"), ("th", "e"), ("\u0120", "the"), ("s", "e"), ("a", "n"), ("\u0120", "an"), ("\u0120", "s"),
              ("l", "i"), ("h", "t"), ("o", "m"), ("\u0120", "w"), ("\u0120w", "a")]
    vocab = {text: i for i, text in enumerate(special + characters + [a + b for a, b in merges])}
    assert len(vocab) <= 128, len(vocab)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [
            {"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": True} for i, text in enumerate(special)
        ],
        "normalizer": None, "pre_tokenizer": byte_level,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": vocab, "merges": [list(pair) for pair in merges],
        },
    }
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "tokenizer.json", tokenizer)
    write_json(directory / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>",
        "model_max_length": 512,
    })


def write_rows(path, seed, count):
    draw = np.random.default_rng(seed)
    texts = [" ".join(WORDS[i] for i in draw.integers(0, len(WORDS), draw.integers(3, 9))) for _ in range(count)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


def run(name):
    """log_history of the program, in a folder with the model and the rows it names."""
    model, replaced = RUNS[name]
    text = (PROGRAMS / f"{name}.py").read_text()
    for theirs, ours in replaced.items():
        assert theirs in text, (name, theirs)
        text = text.replace(theirs, ours)
    with tempfile.TemporaryDirectory() as folder:
        datasets.config.HF_DATASETS_CACHE = Path(folder) / "cache"
        shutil.copytree(MODELS / model, Path(folder) / "model")
        for source in [*(OUT / "tokenizer").iterdir()]:
            shutil.copy(source, Path(folder) / "model")
        for source in OUT.glob("*.jsonl"):
            shutil.copy(source, folder)
        before = os.getcwd()
        os.chdir(folder)
        try:
            scope = {"__name__": "program"}
            exec(compile(text, f"{name}.py", "exec"), scope)
        finally:
            os.chdir(before)
    history = scope["trainer"].state.log_history
    return [{key: row[key] for key in LOGGED if key in row} for row in history if "loss" in row or "eval_loss" in row]


def plain(value):
    if dataclasses.is_dataclass(value):
        return dataclasses.asdict(value)
    return value if isinstance(value, (str, int, float, bool, list, dict, type(None))) else str(value)


def keywords():
    """Every keyword of the classes, with its default; null where there is none."""
    from peft import LoraConfig
    from transformers import BitsAndBytesConfig, TrainingArguments
    from trl import ModelConfig, ScriptArguments, SFTConfig

    def default(field):
        if field.default is not dataclasses.MISSING:
            return plain(field.default)
        return None if field.default_factory is dataclasses.MISSING else plain(field.default_factory())

    found = {
        kind.__name__: {field.name: default(field) for field in dataclasses.fields(kind)}
        for kind in (TrainingArguments, SFTConfig, LoraConfig, ModelConfig, ScriptArguments)
    }
    parameters = inspect.signature(BitsAndBytesConfig.__init__).parameters.values()
    found["BitsAndBytesConfig"] = {
        p.name: None if p.default is p.empty else plain(p.default) for p in parameters if p.name not in ("self", "kwargs")
    }
    return found


if __name__ == "__main__":
    settle()
    quiet_fingerprints()
    datasets.disable_caching()  # what is cached goes by fingerprints
    OUT.mkdir(exist_ok=True)
    write_tokenizer(OUT / "tokenizer")
    write_rows(OUT / "train.jsonl", 71, 60)
    write_rows(OUT / "eval.jsonl", 72, 9)
    for name in RUNS:
        write_json(OUT / f"{name}.json", run(name))
    write_json(OUT / "keywords.json", keywords())
    write_json(OUT / "versions.json", {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in (*PACKAGES, "trl", "datasets")
    })
