"""What lm-eval itself makes of the tasks of eval/tasks with the tiny model, per item; and perplexity by transformers' stride.

Copies tasks and rows from eval_tasks. Writes test/golden/eval/adapter, a PEFT adapter of seeded values; lm-eval.json: results and samples of lm-eval (--model hf on a CPU, float32) of the base
and of the adapter; strides.json: the loop of transformers' guide on perplexity of fixed-length models. Needs: lm_eval, torch, transformers, peft.
How to run: README.md in this folder.
"""

import importlib.metadata
import json
import os
import shutil
from pathlib import Path

import numpy as np
import torch
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from shared import GOLDEN, settle, versions, write_json

OUT = GOLDEN / "eval"
TINY = Path(os.environ.get("NIBBLE_ROOT", GOLDEN.parent.parent)) / "bench" / "models" / "tiny"
SOURCES = GOLDEN / "make" / "eval_tasks"
TASKS = ["whale_choice", "whale_letters", "sea_passages", "last_word", "next_word"]
# of lm-eval's default 100,000, so that last_word's standard error takes a second
BOOTSTRAP_ITERS = 2000
STRIDES = ((512, 512), (512, 128), (200, 60))
KEPT = ("doc_id", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash", "prompt_hash", "target_hash")


def make_adapter():
    model = AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    draw = np.random.default_rng(412)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                values = 0.04 * draw.standard_normal(tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(values.astype(np.float32)))
    model.peft_config["default"].base_model_name_or_path = "tiny"
    model.save_pretrained(OUT / "adapter")
    (OUT / "adapter" / "README.md").unlink(missing_ok=True)
    path = OUT / "adapter" / "adapter_config.json"
    config = json.loads(path.read_text())
    # a set, in the order of hashes
    config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True))


def judged(**arguments):
    """@returns results and samples as lm-eval has them; arguments of requests by their names in its JSONL."""
    lm = HFLM(pretrained=str(TINY), device="cpu", dtype="float32", batch_size=4, **arguments)
    manager = TaskManager(include_path="tasks", include_defaults=False)
    made = simple_evaluate(model=lm, tasks=TASKS, task_manager=manager, bootstrap_iters=BOOTSTRAP_ITERS)
    samples = {}
    for task, rows in made["samples"].items():
        metrics = [name for name in rows[0]["metrics"]]
        samples[task] = [{key: row[key] for key in (*KEPT, *metrics)} for row in rows]
        for row in samples[task]:
            # the hashes of the others tell as much
            if row["doc_id"] > 0:
                del row["arguments"]
    keys = ("results", "n-samples", "n-shot", "higher_is_better", "versions")
    return {**{key: made[key] for key in keys}, "configs": made["configs"], "samples": samples}


def plain(value):
    """JSON has neither numpy's numbers nor tuples."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value


def perplexity(model, ids, length, stride):
    """The loop of https://huggingface.co/docs/transformers/perplexity: a window's own tokens count, those before it are context."""
    total, count, previous, windows = 0.0, 0, 0, []
    for begin in range(0, ids.size(1), stride):
        end = min(begin + length, ids.size(1))
        own = end - previous
        window = ids[:, begin:end]
        labels = window.clone()
        labels[:, :-own] = -100
        with torch.no_grad():
            loss = model(window, labels=labels).loss
        valid = (labels != -100).sum().item()
        # the labels are shifted to the left inside of the model
        tokens = valid - labels.size(0)
        total += loss.item() * tokens
        count += tokens
        windows.append({"begin": begin, "end": end, "tokens": tokens, "loss": loss.item()})
        previous = end
        if end == ids.size(1):
            break
    return {"max_length": length, "stride": stride, "tokens": count, "nll": total, "perplexity": float(np.exp(total / count)), "windows": windows}


def strides():
    text = (OUT / "data" / "sea.txt").read_text()
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    ids = tokenizer(text, return_tensors="pt").input_ids
    found = {}
    for name in ("base", "adapter"):
        model = AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32).eval()
        if name == "adapter":
            model = PeftModel.from_pretrained(model, OUT / "adapter").eval()
        found[name] = [perplexity(model, ids, length, stride) for length, stride in STRIDES]
    write_json(OUT / "strides.json", {"text": "data/sea.txt", "tokens": ids.size(1), **found})


def main():
    for name in ("tasks", "data"):
        shutil.copytree(SOURCES / name, OUT / name, dirs_exist_ok=True)
    # the tasks name their data from here
    os.chdir(OUT)
    make_adapter()
    strides()
    found = {"bootstrap_iters": BOOTSTRAP_ITERS, "base": judged(), "adapter": judged(peft=str(OUT / "adapter"))}
    write_json(OUT / "lm-eval.json", plain(found))
    versions(OUT / "versions.json")
    made = importlib.metadata.version("lm_eval")
    path = OUT / "versions.json"
    path.write_text(path.read_text().replace("\n}", f',\n  "lm_eval": "{made}"\n}}'))


if __name__ == "__main__":
    settle()
    main()
