"""Small Llama models written by transformers' save_pretrained, and the float32 logits transformers computes for them.

Writes test/golden/llama/<name>/: the model directory, plus expected.json (token ids, shape) and logits.bin
(little-endian float32, [B, T, V] row-major). `--sensitivity` prints how far planted bugs move the logits.
How to run: README.md in this folder.
"""

import argparse
import json
import shutil

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from shared import GOLDEN, fill, settle, tidy_config, versions, write_json

OUT = GOLDEN / "llama"
BATCH, LENGTH = 2, 24

COMMON = dict(hidden_size=64, num_attention_heads=4, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2)

# max_shard_size is small on purpose where it is set: a directory with an index file
MODELS = {
    "untied-gqa-f32": dict(
        config=dict(
            vocab_size=160,
            intermediate_size=128,
            num_hidden_layers=2,
            num_key_value_heads=2,
            head_dim=16,
            max_position_embeddings=64,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            tie_word_embeddings=False,
        ),
        dtype=torch.float32,
        max_shard_size="150KB",
        seed=1,
    ),
    # head_dim is not hidden / heads, the vocabulary is odd, and no width but C is a multiple of 64
    "tied-mha-bf16": dict(
        config=dict(
            vocab_size=163,
            intermediate_size=144,
            num_hidden_layers=2,
            num_key_value_heads=4,
            head_dim=24,
            max_position_embeddings=64,
            rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
            tie_word_embeddings=True,
        ),
        dtype=torch.bfloat16,
        max_shard_size="5GB",
        seed=2,
    ),
    # wavelengths of head_dim 16 fall into all three regions: kept, blended, divided
    "llama3-rope-f16": dict(
        config=dict(
            vocab_size=160,
            intermediate_size=128,
            num_hidden_layers=1,
            num_key_value_heads=1,
            head_dim=16,
            max_position_embeddings=512,
            rope_parameters={
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            },
            tie_word_embeddings=False,
        ),
        dtype=torch.float16,
        max_shard_size="5GB",
        seed=3,
    ),
}


def logits_of(directory, ids, changes=None, dtype=torch.float32):
    """[B, T, V] in the order of ids; `changes` replaces entries of the config, to plant a bug."""
    config = LlamaConfig.from_pretrained(directory)
    for key, value in (changes or {}).items():
        setattr(config, key, value)
    model = LlamaForCausalLM.from_pretrained(directory, config=config, dtype=dtype, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(input_ids=torch.from_numpy(ids)).logits.numpy()


def older_spelling(config):
    """The same config as transformers 4.x spelled it: rope_theta and rope_scaling apart, torch_dtype."""
    older = dict(config)
    rope = dict(older.pop("rope_parameters"))
    older["rope_theta"] = rope.pop("rope_theta")
    older["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    older["torch_dtype"] = older.pop("dtype")
    older["transformers_version"] = "4.57.6"
    return older


def make(name, spec):
    directory = OUT / name
    shutil.rmtree(directory, ignore_errors=True)
    model = LlamaForCausalLM(LlamaConfig(**COMMON, **spec["config"]))
    fill(model, spec["seed"], matrix_std=0.1, embedding_std=0.1)
    model.to(spec["dtype"]).save_pretrained(directory, max_shard_size=spec["max_shard_size"])
    tidy_config(directory)

    ids = np.random.default_rng(100 + spec["seed"]).integers(0, spec["config"]["vocab_size"], (BATCH, LENGTH))
    logits = logits_of(directory, ids)

    config = json.loads((directory / "config.json").read_text())
    older = directory / "config-4x.json"
    older.write_text(json.dumps(older_spelling(config), indent=2, sort_keys=True) + "\n")
    check = OUT / "check-4x"
    shutil.copytree(directory, check)
    shutil.move(check / "config-4x.json", check / "config.json")
    same = np.array_equal(logits_of(check, ids), logits)
    shutil.rmtree(check)
    assert same, f"{name}: the 4.x spelling of config.json changes the logits"

    logits.astype("<f4").tofile(directory / "logits.bin")
    write_json(
        directory / "expected.json",
        {
            "input_ids": ids.tolist(),
            "logits": {"file": "logits.bin", "dtype": "float32", "shape": list(logits.shape)},
            "max_abs_logit": float(np.abs(logits).max()),
        },
    )
    print(f"{name}: logits {logits.shape}, max |logit| {np.abs(logits).max():.4f}, std {logits.std():.4f}")


def sensitivity():
    print("| model | planted | largest difference / max logit |\n| --- | --- | --- |")
    for name, spec in MODELS.items():
        ids = np.array(json.loads((OUT / name / "expected.json").read_text())["input_ids"])
        reference = logits_of(OUT / name, ids)
        rope = spec["config"]["rope_parameters"]
        planted = {
            "RMSNorm epsilon x10": dict(rms_norm_eps=1e-4),
            "RMSNorm epsilon 1e-6": dict(rms_norm_eps=1e-6),
            "rope_theta +1 %": dict(rope_parameters=rope | {"rope_theta": 1.01 * rope["rope_theta"]}),
        }
        if rope["rope_type"] == "llama3":
            default = {"rope_type": "default", "rope_theta": rope["rope_theta"]}
            planted["llama3 scaling left out"] = dict(rope_parameters=default)
            # no blended region: every wavelength is either kept or divided
            planted["llama3 without blending"] = dict(rope_parameters=rope | {"low_freq_factor": 3.999})
        rows = {title: logits_of(OUT / name, ids, changes) for title, changes in planted.items()}
        rows["none, computed in float64"] = logits_of(OUT / name, ids, dtype=torch.float64)
        for title, logits in rows.items():
            print(f"| {name} | {title} | {np.abs(logits - reference).max() / np.abs(reference).max():.1e} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensitivity", action="store_true", help="print the table of planted bugs, write nothing")
    arguments = parser.parse_args()
    settle()
    if arguments.sensitivity:
        sensitivity()
    else:
        for name, spec in MODELS.items():
            make(name, spec)
        versions(OUT / "versions.json")
