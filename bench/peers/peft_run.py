"""One run of a nibble config by PEFT + transformers (+ bitsandbytes): the same model, rows, order, batches and recipe.

The config is the config.yaml that every nibble run leaves in its folder. Training is transformers' Trainer, as a PEFT
user runs it; the result is a run file of nibble's schema, so that one report shows both. Errors exit with code 2.
"""

import argparse
import importlib.util
import sys
import time
from pathlib import Path

import yaml

import measure
import record
import rows

PRECISIONS = ("float32", "bfloat16", "float16")
METHODS = ("lora", "qlora")


def stop(message):
    print(f"peft_run: {message}", file=sys.stderr)
    sys.exit(2)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python bench/peers/peft_run.py results/quick/runs/lora-seed0/config.yaml --out results/peers\n"
        "  nibble bench report results/quick results/peers",
    )
    parser.add_argument("config", type=Path, help="config.yaml of a nibble run")
    parser.add_argument("--out", type=Path, required=True, help="folder that receives ARM-seedN.run.json and the adapter")
    parser.add_argument("--suite", default="peers", help="name of the suite in the record")
    parser.add_argument("--arm", help="name of the arm; peft-METHOD without it")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--precision", choices=PRECISIONS, default="bfloat16", help="dtype of weights and computation")
    parser.add_argument("--attention", choices=("sdpa", "eager"), default="sdpa")
    parser.add_argument("--prepare-kbit", action="store_true", help="prepare_model_for_kbit_training: f32 residual stream")
    parser.add_argument(
        "--no-autocast", action="store_true", help="multiply the float32 adapter in float32, as Trainer does without bf16=True"
    )
    parser.add_argument(
        "--dequantized",
        action="store_true",
        help="qlora on a dense base with the 4-bit values: checks numbers where bitsandbytes has no kernels; says nothing "
        "about memory or speed",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch")
    return parser.parse_args()


def read_config(options):
    try:
        config = yaml.safe_load(options.config.read_text())
    except (OSError, yaml.YAMLError) as problem:
        stop(f"{options.config}: {problem}; give the config.yaml of a nibble run")
    if not isinstance(config, dict) or config.get("method") not in METHODS:
        got = config.get("method") if isinstance(config, dict) else type(config).__name__
        stop(f"{options.config}: method is {got!r}, wanted one of {', '.join(METHODS)}")
    if config["method"] == "qlora" and options.device == "cpu" and not options.dequantized:
        stop("bitsandbytes has no dependable 4-bit backward on a CPU: add --dequantized, which checks numbers only")
    return config


def main():
    options = parse_arguments()
    config = read_config(options)
    import torch  # after the arguments: --help should not wait for it

    if options.device == "cuda" and not torch.cuda.is_available():
        stop("torch sees no CUDA device: install a CUDA build, or say --device cpu")
    if config["method"] == "qlora" and not options.dequantized and importlib.util.find_spec("bitsandbytes") is None:
        stop("bitsandbytes is not installed: a QLoRA run needs it (bench/peers/requirements.txt)")
    if config.get("gradient_checkpointing") == "selective":
        print("peft_run: gradient_checkpointing selective is full here, and recorded so: Trainer has no other", file=sys.stderr)
    torch.set_num_threads(options.threads)
    arm = options.arm or f"peft-{config['method']}"
    name = f"{arm}-seed{config['seed']}"
    target = options.out / f"{name}.run.json"
    if target.exists():
        stop(f"{target} exists; give another --out or --arm")
    started = time.perf_counter()
    result = measure.run(config, options, rows.load(config, options.config.parent), options.out / "runs" / name)
    run = record.build(config, options, arm, result, time.perf_counter() - started)
    record.write(target, run)
    after = run["eval_info"]["metrics"]
    print(f"{name}: eval loss {after['eval_loss']['value']:.6f}" if after else f"{name}: done", "->", target)


if __name__ == "__main__":
    main()
