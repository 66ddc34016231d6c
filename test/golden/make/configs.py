"""What transformers makes of config.json files that leave fields out or spell them in their own way, and its rotary
frequencies for every rope type; what PEFT adapts where nobody says. Writes test/golden/configs/."""

import json
import tempfile
from pathlib import Path

import torch
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as LORA_TARGETS
from transformers import AutoConfig, LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from shared import GOLDEN, settle, versions, write_json

OUT = GOLDEN / "configs"
# vocabularies hold every default token id
SHAPE = dict(
    vocab_size=200_000, hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=32
)
LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192)

NULL_HEADS = dict(num_key_value_heads=None)
# what every architecture is tried with
COMMON = {
    "as little as possible": {},
    "null heads": NULL_HEADS,
    "explicit heads": dict(num_key_value_heads=4, head_dim=16, num_attention_heads=8),
    "rope_theta of transformers 4": dict(rope_theta=500000.0, rope_scaling=None),
    "rope_parameters of transformers 5": dict(rope_parameters=dict(rope_type="default", rope_theta=1000000.0)),
    "ids and ties": dict(
        bos_token_id=5, eos_token_id=[6, 7], pad_token_id=None, tie_word_embeddings=True, rms_norm_eps=1e-4
    ),
    "untied": dict(tie_word_embeddings=False, initializer_range=0.01, max_position_embeddings=512),
}
SLIDING = {
    "a window that is not used": dict(use_sliding_window=False, sliding_window=32, max_window_layers=1),
    "a window from a layer on": dict(use_sliding_window=True, sliding_window=32, max_window_layers=3),
    "a window in every layer": dict(use_sliding_window=True, sliding_window=32, max_window_layers=0),
    "a window from a layer there is not": dict(use_sliding_window=True, sliding_window=32),
    "the default window": dict(use_sliding_window=True, max_window_layers=2),
    "layer types": dict(
        use_sliding_window=True,
        sliding_window=16,
        max_window_layers=0,
        layer_types=["sliding_attention", "full_attention", "full_attention", "sliding_attention"],
    ),
}
OWN = {
    "llama": {
        "llama3 rope of transformers 4": dict(rope_theta=500000.0, rope_scaling=dict(rope_type="llama3", **LLAMA3)),
        "llama3 rope and a tied head, as Llama 3.2": dict(
            tie_word_embeddings=True,
            rope_theta=500000.0,
            rope_scaling=dict(rope_type="llama3", **(LLAMA3 | {"factor": 32.0})),
        ),
        "linear rope, in older words": dict(rope_scaling=dict(type="linear", factor=4.0)),
        "yarn": dict(rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=1024)),
        "yarn in a length of its own": dict(max_position_embeddings=4096, rope_scaling=dict(type="yarn", factor=2.0)),
    },
    "mistral": {"no window": dict(sliding_window=None), "a window": dict(sliding_window=128)},
    "qwen2": SLIDING,
    "qwen3": SLIDING,
    "gemma": {"gelu, which means its tanh form": dict(hidden_act="gelu")},
    "phi3": {"no window": dict(sliding_window=None), "a window": dict(sliding_window=128)},
    "smollm3": {
        "every second layer without rope": dict(no_rope_layer_interval=2),
        "layers without rope": dict(no_rope_layers=[0, 1, 1, 0]),
        "a window where there is no rope": dict(use_sliding_window=True, sliding_window=8, no_rope_layers=[0, 1, 1, 0]),
    },
    "olmo2": {},
}
ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gemma": "GemmaForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
}
PLAIN = (
    "model_type",
    "num_key_value_heads",
    "hidden_act",
    "max_position_embeddings",
    "rms_norm_eps",
    "tie_word_embeddings",
    "initializer_range",
    "bos_token_id",
    "pad_token_id",
)


def read(config):
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "config.json").write_text(json.dumps(config))
        return AutoConfig.from_pretrained(directory)


def in_effect(config):
    """What the model code does with the config, in one form for all architectures."""
    layers = config.num_hidden_layers
    window = getattr(config, "sliding_window", None)
    types = getattr(config, "layer_types", None)
    slides = [window is not None] * layers if types is None else [kind == "sliding_attention" for kind in types]
    eos = config.eos_token_id
    rope = dict(config.rope_parameters)
    rope.pop("partial_rotary_factor", None)
    rope.pop("type", None)
    if rope["rope_type"] == "yarn":
        rope["attention_factor"] = LlamaRotaryEmbedding(config).attention_scaling
    return {key: getattr(config, key) for key in PLAIN} | {
        "head_dim": getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        "rope_parameters": rope,
        "eos_token_id": [] if eos is None else eos if isinstance(eos, list) else [eos],
        "windows": [window if slide else None for slide in slides],
        "rotates": [bool(flag) for flag in getattr(config, "no_rope_layers", None) or [1] * layers],
    }


def configs():
    cases = []
    for model_type, own in OWN.items():
        for name, changes in (COMMON | own).items():
            if changes == NULL_HEADS and model_type in ("mistral", "gemma"):  # their classes want a number
                continue
            config = {"architectures": [ARCHITECTURES[model_type]], "model_type": model_type} | SHAPE | changes
            cases.append({"name": f"{model_type}: {name}", "config": config, "want": in_effect(read(config))})
    write_json(OUT / "configs.json", cases)


def lora_targets():
    write_json(OUT / "lora-targets.json", {model_type: LORA_TARGETS.get(model_type) for model_type in ARCHITECTURES})


def rope_types():
    cases = []
    for head_dim, parameters in [
        (64, dict(rope_type="linear", rope_theta=10000.0, factor=4.0)),
        (128, dict(rope_type="linear", rope_theta=500000.0, factor=3.0)),
        (64, dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=2048)),
        (128, dict(rope_type="yarn", rope_theta=1000000.0, factor=4.0, original_max_position_embeddings=32768)),
        (128, dict(
            rope_type="yarn", rope_theta=150000.0, factor=32.0, original_max_position_embeddings=4096,
            beta_fast=32.0, beta_slow=1.0, truncate=False)),
        (64, dict(
            rope_type="yarn", rope_theta=10000.0, factor=40.0, original_max_position_embeddings=4096,
            mscale=1.0, mscale_all_dim=0.707)),
        (64, dict(
            rope_type="yarn", rope_theta=10000.0, factor=8.0, original_max_position_embeddings=16,
            beta_fast=4.0, beta_slow=2.0, attention_factor=0.9)),
    ]:
        config = LlamaConfig(
            hidden_size=2 * head_dim, num_attention_heads=2, head_dim=head_dim,
            max_position_embeddings=131072, rope_parameters=dict(parameters))
        embedding = LlamaRotaryEmbedding(config)
        positions = [0, 1, 17, 1000, 8191]
        cos, sin = embedding(torch.zeros(1, 1, 1), torch.tensor([positions]))
        cases.append({
            "head_dim": head_dim,
            "rope_parameters": parameters,
            "inv_freq": embedding.inv_freq.tolist(),
            "positions": positions,
            "cos": cos[0, :, : head_dim // 2].flatten().tolist(),
            "sin": sin[0, :, : head_dim // 2].flatten().tolist(),
        })
    write_json(OUT / "rope-types.json", cases)


if __name__ == "__main__":
    settle()
    OUT.mkdir(exist_ok=True)
    configs()
    lora_targets()
    rope_types()
    versions(OUT / "versions.json")
