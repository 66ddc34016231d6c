"""The tiny models of architectures.py: what each is and shows, its older config, and the tokens all of them see."""

import copy
from dataclasses import dataclass, field

import numpy as np
import torch
import transformers

from peft_loop import make_steps
from shared import GOLDEN

OUT = GOLDEN / "architectures"
# rows are longer than every sliding window
BATCH, LENGTH, STEPS = 2, 16, 50
# ids below this are in every vocabulary
VOCAB = 128
DEFAULT_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
# wavelengths of head_dim 16 fall into all three regions: kept, blended, divided
LLAMA3_ROPE = dict(
    rope_type="llama3",
    rope_theta=10000.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)

# every in_features is a multiple of 64: bitsandbytes on a CPU restarts its blocks at rows otherwise
COMMON = dict(
    vocab_size=VOCAB,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    rms_norm_eps=1e-5,
    rope_parameters=DEFAULT_ROPE,
    tie_word_embeddings=False,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)


@dataclass(frozen=True)
class Model:
    """`older` replaces entries of the config in its transformers 4 spelling; None takes one away."""

    architecture: str
    shows: str
    seed: int
    config: dict = field(default_factory=dict)
    norm_center: float = 1
    quantized_from: torch.dtype = torch.bfloat16
    older: dict = field(default_factory=dict)

    @property
    def model(self):
        return getattr(transformers, self.architecture)

    @property
    def tied(self):
        return self.config.get("tie_word_embeddings", False)

    def new(self):
        # a copy: Phi3Config writes into the rope_parameters that it is given
        return self.model(self.model.config_class(**copy.deepcopy(COMMON | self.config)))


MODELS = {
    "llama": Model(
        architecture="LlamaForCausalLM",
        shows="llama3 rope scaling, untied head, grouped keys and values, 4-bit weights quantized from float32",
        seed=1,
        config=dict(max_position_embeddings=512, rope_parameters=LLAMA3_ROPE),
        quantized_from=torch.float32,
    ),
    # Llama 3.2 differs from 3.1 by these two
    "llama-tied": Model(
        architecture="LlamaForCausalLM",
        shows="llama3 rope scaling by 32, tied head, grouped keys and values",
        seed=10,
        config=dict(
            max_position_embeddings=2048, rope_parameters=LLAMA3_ROPE | {"factor": 32.0}, tie_word_embeddings=True
        ),
    ),
    "llama-biased": Model(
        architecture="LlamaForCausalLM",
        shows="attention_bias and mlp_bias, tied head, as many key heads as query heads",
        seed=2,
        config=dict(num_key_value_heads=4, attention_bias=True, mlp_bias=True, tie_word_embeddings=True),
    ),
    "mistral": Model(
        architecture="MistralForCausalLM",
        shows="a sliding window of 8 in every layer",
        seed=3,
        config=dict(sliding_window=8, rope_parameters=DEFAULT_ROPE | {"rope_theta": 1000000.0}),
    ),
    # transformers 4 could leave layer_types out: max_window_layers decided
    "qwen2": Model(
        architecture="Qwen2ForCausalLM",
        shows="biases of q, k and v; full attention in layer 0, a sliding window of 8 in layer 1",
        seed=4,
        config=dict(use_sliding_window=True, sliding_window=8, max_window_layers=1),
        older=dict(layer_types=None),
    ),
    "qwen3": Model(
        architecture="Qwen3ForCausalLM",
        shows="norms of q and k, head_dim 32 where hidden / heads is 16, tied head",
        seed=5,
        config=dict(head_dim=32, tie_word_embeddings=True),
        older=dict(layer_types=None),
    ),
    # gate_up_proj has 384 blocks: two nested ones
    "phi3": Model(
        architecture="Phi3ForCausalLM",
        shows="fused qkv_proj and gate_up_proj, a sliding window of 10",
        seed=6,
        config=dict(intermediate_size=192, sliding_window=10, original_max_position_embeddings=64),
    ),
    # the first Gemma configs said "gelu" and meant its tanh form; scaled embeddings hide a smaller epsilon
    "gemma": Model(
        architecture="GemmaForCausalLM",
        shows="norm weights around 0, tanh GELU, embeddings scaled by sqrt(hidden), head_dim 32, one key head, tied",
        seed=7,
        config=dict(vocab_size=144, head_dim=32, num_key_value_heads=1, tie_word_embeddings=True, rms_norm_eps=1e-4),
        norm_center=0,
        older=dict(hidden_act="gelu", hidden_activation=None),
    ),
    # transformers 4 could leave both lists out: the interval decided
    "smollm3": Model(
        architecture="SmolLM3ForCausalLM",
        shows="no rotary embedding in layer 1, biases of q, k, v and o, tied head",
        seed=8,
        config=dict(no_rope_layer_interval=2, attention_bias=True, tie_word_embeddings=True),
        older=dict(no_rope_layers=None, layer_types=None),
    ),
    "olmo2": Model(
        architecture="Olmo2ForCausalLM",
        shows="norms after attention and MLP, norms of all of q and of k",
        seed=9,
    ),
}


def older_spelling(config, spec):
    """The same config as transformers 4 spelled it: rope_theta and rope_scaling apart, torch_dtype."""
    older = dict(config)
    rope = dict(older.pop("rope_parameters"))
    older["rope_theta"] = rope.pop("rope_theta")
    partial = rope.pop("partial_rotary_factor", None)
    if partial is not None:
        older["partial_rotary_factor"] = partial
    older["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    older["torch_dtype"] = older.pop("dtype")
    older["transformers_version"] = "4.57.6"
    for key, value in spec.older.items():
        if value is None:
            older.pop(key, None)
        else:
            older[key] = value
    return older


def tokens():
    """Ids [B, T] for the logits, and the steps of training: one micro-batch each."""
    ids = np.random.default_rng(100).integers(0, VOCAB, (BATCH, LENGTH))
    return ids, make_steps(seed=24, steps=STEPS, longest_prompts=[6], vocab=VOCAB, length=LENGTH)
