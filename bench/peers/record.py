"""A run file of nibble's schema (schemas/run.schema.json) from what PEFT did."""

import hashlib
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import torch

from measure import autocast, checkpointing

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "safetensors", "tokenizers")
ROOT = Path(__file__).resolve().parent.parent.parent
EXCLUDED_WARMUP_STEPS = 1
QUANTIZATION = (
    *("load_in_4bit", "bnb_4bit_quant_type", "bnb_4bit_use_double_quant", "bnb_4bit_compute_dtype"),
    *("bnb_4bit_quant_storage", "llm_int8_skip_modules"),
)


def categories():
    """The rows of by_category, from the schema that the package ships."""
    schema = json.loads((ROOT / "schemas/run.schema.json").read_text())
    memory = schema["properties"]["train_info"]["properties"]["memory"]["anyOf"][0]
    return tuple(memory["properties"]["by_category"]["properties"])


def build(config, options, arm, result, total_seconds):
    settings = config | {
        **{"compute_dtype": options.precision, "dtype": options.precision, "attn_implementation": options.attention},
        **{"prepare_model_for_kbit_training": options.prepare_kbit, "dequantized_base": options.dequantized},
        "autocast": autocast(options),
    }
    if config.get("gradient_checkpointing") == "selective":
        settings |= {"gradient_checkpointing": checkpointing(config), "gradient_checkpointing_asked_for": "selective"}
    hashes = data_hashes(config)
    model = model_info(Path(config["model_name_or_path"]))
    adapter = result.adapter_dir / "adapter_model.safetensors"
    return {
        "schema": "nibble-tune/schemas/run.schema.json",
        "schema_version": 1,
        "run_info": run_info(config, options, arm, result, total_seconds, settings, hashes, model),
        "train_info": train_info(result, adapter),
        "eval_info": {
            "metrics_before": metrics(result.eval_before),
            "metrics": metrics(result.eval_after),
            "data_hashes": hashes,
            "per_sample_path": None,
            "time_to_target": None,
        },
        "meta_info": meta_info(config, options, model),
        "numerics": {"deterministic": None, "weight_sha256_after": sha256(adapter), "repeat_check": None},
    }


def write(target, run):
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(run, indent=2, allow_nan=False) + "\n")
    partial.replace(target)


def run_info(config, options, arm, result, total_seconds, settings, hashes, model):
    four_bit = config["method"] == "qlora"
    quantization = {key: config.get(key) for key in QUANTIZATION} | {"bnb_4bit_compute_dtype": options.precision}
    identity = {"peer": "peft", "settings": settings, "data": hashes, "model": model, "arm": arm}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return {
        "run_id": digest[:16],
        "suite": options.suite,
        "experiment_name": f"{options.suite}/{arm}",
        "arm": arm,
        "replicate": 0,
        "seed": config["seed"],
        "created_at": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "total_time": total_seconds,
        "status": "success" if all(step["loss"] == step["loss"] for step in result.steps) else "diverged",
        "error": None,
        "command": ["python", *sys.argv],
        "shard": None,
        "code": code_info(),
        "division": "open",
        "train_config": settings,
        "peft_config": result.peft_config,
        "quantization_config": quantization if four_bit else None,
    }


def train_info(result, adapter):
    steps = result.steps
    timed = steps[EXCLUDED_WARMUP_STEPS:]
    seconds = sum(step["step_ms"] for step in timed) / 1000

    def rate(key):
        return sum(step[key] for step in timed) / seconds if seconds else None

    memory = result.memory
    seen = 0
    history = []
    for step in steps:
        seen += step["tokens"]
        row = {"step": step["step"], "epoch": step["epoch"], "loss": step["loss"], "learning_rate": step["learning_rate"]}
        row |= {"grad_norm": step["grad_norm"], "num_input_tokens_seen": seen, "step_time_ms": step["step_ms"]}
        history.append(row | {"memory_allocated": None})
    parts = ("load_s", "quantize_s", "compile_s", "warmup_s", "train_s", "eval_s", "checkpoint_s", "save_s")
    return {
        "num_trainable_params": result.trainable,
        "num_total_params": result.total,
        "file_size": adapter.stat().st_size,
        "tier": None,
        "timing": {part: result.timing.get(part) for part in parts},
        "step_time_ms": distribution([step["step_ms"] for step in timed]) if timed else None,
        "excluded_warmup_steps": EXCLUDED_WARMUP_STEPS,
        "throughput": {
            "tokens_per_second": rate("tokens"),
            "loss_tokens_per_second": rate("loss_tokens"),
            "padded_tokens_per_second": rate("padded_tokens"),
            "samples_per_second": rate("samples"),
            "steps_per_second": len(timed) / seconds if seconds else None,
        },
        "memory": memory_info(memory) if memory else None,
        "accelerator_memory_max": memory["peak"] if memory else None,
        "accelerator_memory_reserved_avg": None,
        "accelerator_memory_reserved_99th": None,
        "history": history,
    }


def memory_info(memory):
    device = memory["device"]
    return {
        "source": ["torch.cuda.max_memory_allocated; activations are what parameters, gradients and moments leave of it"],
        "unit": "bytes",
        "allocated": {"peak": memory["peak"], "avg": None, "p99": None},
        "reserved": {"peak": memory["reserved"], "avg": None, "p99": None},
        "process_vram": None,
        "device_vram": {"peak": device, "method": "nvidia-smi memory.used", "baseline": memory["baseline"]} if device else None,
        "host_rss": {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024},
        "by_category": {category: memory["parts"].get(category, 0) for category in categories()},
        "by_phase": [{"phase": "train", "peak": memory["peak"]}],
        "predicted": None,
        "prediction_error_pct": None,
        "quantized_linears": None,
    }


def distribution(values):
    ordered = sorted(values)
    count, mean = len(values), sum(values) / len(values)

    def quantile(p):
        at = p * (count - 1)
        low = int(at)
        high = min(low + 1, count - 1)
        return ordered[low] + (at - low) * (ordered[high] - ordered[low])

    spread = (sum((v - mean) ** 2 for v in values) / (count - 1)) ** 0.5 if count > 1 else None
    quantiles = {f"p{round(100 * p)}": quantile(p) for p in (0.5, 0.9, 0.95, 0.99)}
    return {"values": values, "count": count, "mean": mean, "sd": spread, **quantiles, "min": ordered[0], "max": ordered[-1]}


def metrics(found):
    if found is None:
        return None
    loss = {"value": found["loss"], "stderr": None, "n": found["n"]}
    perplexity = float(torch.tensor(found["loss"], dtype=torch.float64).exp())
    return {"eval_loss": loss, "perplexity": perplexity, "accuracy": None, "forgetting": None}


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_all(paths):
    parts = [sha256(path) for path in paths]
    return parts[0] if len(parts) == 1 else hashlib.sha256("\n".join(parts).encode()).hexdigest()


def data_hashes(config):
    sets = config.get("eval_datasets") or []
    tokenizer = Path(config["model_name_or_path"]) / "tokenizer.json"
    return {
        "train": sha256_of_all([entry["path"] for entry in config["datasets"]]),
        "eval": sha256_of_all([entry["path"] for entry in sets]) if sets else None,
        "chat_template": None,
        "tokenizer": sha256(tokenizer) if tokenizer.exists() else None,
    }


def model_info(directory):
    return {
        "id": directory.resolve().name,
        "revision": None,
        "sha256_of_weights": sha256_of_all(sorted(directory.glob("*.safetensors")) or [directory / "random_weights.json"]),
        "config_sha": sha256(directory / "config.json"),
    }


def meta_info(config, options, model):
    entries = {"train": config["datasets"], "eval": config.get("eval_datasets") or []}
    data = {
        f"{role}[{index}] {Path(entry['path']).name}": {"revision": None, "sha256": sha256(entry["path"]), "rows": None}
        for role, sets in entries.items()
        for index, entry in enumerate(sets)
    }
    return {
        "model_info": model,
        "dataset_info": data,
        "gpu": gpu_info() if options.device == "cuda" else None,
        "nvidia_smi": None,
        "runtime": {
            **{"node": None, "v8": None, "webgpu_npm": None, "dawn": None},
            **{"os": f"{platform.system()} {platform.machine()}", "kernel": platform.release(), "container": None},
            **{"cpu": cpu_name(), "cores": os.cpu_count(), "ram": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")},
            "env": {},
        },
        "package_info": {"python": platform.python_version()} | versions() | {"torch_threads": str(options.threads)},
    }


def versions():
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def cpu_name():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def gpu_info():
    card = torch.cuda.get_device_properties(0)
    return {
        "vendor": "nvidia",
        "architecture": f"sm_{card.major}{card.minor}",
        "device": card.name,
        "description": f"{card.name}, CUDA {torch.version.cuda}",
        "driver": driver(),
        "isFallbackAdapter": False,
        "software_rendered": False,
        "features": [],
        "limits": {},
        "backend": "cuda",
        "toggles": [],
        "subgroup": {"min": 32, "max": 32},
    }


def driver():
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return None


def code_info():
    def git(*arguments):
        try:
            done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    status = git("status", "--porcelain")
    return {
        "version": json.loads((ROOT / "package.json").read_text())["version"],
        "git_commit": git("rev-parse", "HEAD"),
        "git_branch": git("rev-parse", "--abbrev-ref", "HEAD"),
        "git_dirty": None if status is None else status != "",
        "lockfile_sha256": sha256(ROOT / "package-lock.json"),
    }
