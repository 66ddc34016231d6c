"""Golden files for test/formats and test/data, made by the libraries whose formats nibble reads.

Usage: python test/golden/make/formats.py   (needs torch, transformers, peft, bitsandbytes, tokenizers)
Writes test/golden/formats/; versions.json there names what made it. Neither nibble nor its tests need Python.
"""

import json
import math
import shutil
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.trainer_pt_utils import get_length_grouped_indices
from peft import LoraConfig, get_peft_model

OUT = Path(__file__).resolve().parents[1] / "formats"


def write_json(name, value):
    (OUT / name).write_text(json.dumps(value, indent=1) + "\n")


def tiny(**changes):
    shape = dict(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2,
        pad_token_id=None, tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**{**shape, **changes}))


def facts(directory):
    """What a reader must find: dtype, shape, first values (as f32) and byte length of every tensor."""
    found = {}
    for file in sorted(directory.glob("*.safetensors")):
        for name, tensor in load_file(file).items():
            found[name] = {
                "dtype": str(tensor.dtype).removeprefix("torch."),
                "shape": list(tensor.shape),
                "first": tensor.flatten()[:3].float().tolist(),
            }
    return found


def checkpoints():
    wanted = {}
    for name, dtype, shards, changes in [
        ("llama-untied-f32", torch.float32, None, {"num_hidden_layers": 1}),
        ("llama-tied-f16", torch.float16, None, {"tie_word_embeddings": True, "num_key_value_heads": 4}),
        ("llama-sharded-bf16", torch.bfloat16, "6KB", {
            "rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
                                "high_freq_factor": 4.0, "original_max_position_embeddings": 32}}),
    ]:
        directory = OUT / name
        model = tiny(**changes).to(dtype)
        model.save_pretrained(directory, **({"max_shard_size": shards} if shards else {}))
        (directory / "generation_config.json").unlink(missing_ok=True)
        wanted[name] = facts(directory)
    write_json("checkpoints.json", wanted)


def adapter():
    model = tiny(num_hidden_layers=1)
    torch.manual_seed(0)
    peft = get_peft_model(model, LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM", rank_pattern={"down_proj": 2}))
    for name, parameter in peft.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    peft.save_pretrained(OUT / "adapter")
    (OUT / "adapter" / "README.md").unlink()
    # PEFT writes a set, in an order that changes from run to run
    path = OUT / "adapter" / "adapter_config.json"
    config = json.loads(path.read_text())
    config["target_modules"] = sorted(config["target_modules"], reverse=True)
    path.write_text(json.dumps(config, indent=2))
    trainable, total = peft.get_nb_trainable_parameters()
    write_json("adapter.json", {"trainable": trainable, "all": total, "tensors": facts(OUT / "adapter")})


def matching():
    """Which modules PEFT wraps, with which rank and scaling, for the ways of writing target_modules."""
    cases = {
        "suffixes": dict(target_modules=["q_proj", "v_proj"]),
        "full name": dict(target_modules=["model.layers.1.mlp.up_proj"]),
        "partial path": dict(target_modules=["self_attn.o_proj"]),
        "regex": dict(target_modules=r".*\.layers\.0\.(self_attn|mlp)\.(q|gate)_proj"),
        "regex must match fully": dict(target_modules=r"model\.layers\.0\.self_attn\.k_proj"),
        "all-linear": dict(target_modules="all-linear"),
        "all-linear in capitals": dict(target_modules="ALL-LINEAR"),
        "default for llama": dict(),
        "lm_head by name": dict(target_modules=["lm_head", "k_proj"]),
        "exclude list": dict(target_modules=["q_proj", "k_proj"], exclude_modules=["layers.0.self_attn.q_proj"]),
        "exclude regex": dict(target_modules="all-linear", exclude_modules=r".*mlp.*"),
        "one layer": dict(target_modules=["q_proj"], layers_to_transform=1),
        "layers with a pattern": dict(target_modules=["q_proj"], layers_to_transform=[0], layers_pattern="layers"),
        "rank pattern": dict(target_modules="all-linear", rank_pattern={r"layers\.0\..*": 2, "down_proj": 6, "proj": 5},
                             alpha_pattern={"q_proj": 32, r"model\.layers\.1\.mlp\.up_proj": 3}),
        "rslora": dict(target_modules=["q_proj", "v_proj"], use_rslora=True, rank_pattern={"v_proj": 16}),
    }
    wanted = {}
    for name, changes in cases.items():
        peft = get_peft_model(tiny(), LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **changes))
        rows = []
        for module_name, module in peft.named_modules():
            if hasattr(module, "lora_A"):
                rows.append([module_name.removeprefix("base_model.model."), module.r["default"], module.scaling["default"]])
        wanted[name] = {"config": changes, "targets": rows}
    modules = [n for n, m in tiny().named_modules() if isinstance(m, torch.nn.Linear)]
    write_json("matching.json", {"linear": modules, "cases": wanted})


def quantized():
    shape = dict(hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_key_value_heads=2)
    source = OUT / "source"
    wanted = {}
    for name, options in [
        ("bnb-nf4-nested-bf16", dict(bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                                     bnb_4bit_compute_dtype=torch.float32)),
        ("bnb-fp4-plain-storage", dict(bnb_4bit_quant_type="fp4", bnb_4bit_quant_storage=torch.bfloat16)),
    ]:
        tiny(**shape).to(torch.bfloat16).save_pretrained(source)
        model = LlamaForCausalLM.from_pretrained(
            source, dtype=torch.bfloat16, quantization_config=BitsAndBytesConfig(load_in_4bit=True, **options))
        model.save_pretrained(OUT / name)
        (OUT / name / "generation_config.json").unlink(missing_ok=True)
        weight = model.model.layers[0].self_attn.k_proj.weight
        state = weight.quant_state
        wanted[name] = {
            "shape": list(state.shape), "quant_type": state.quant_type, "blocksize": state.blocksize,
            "offset": state.offset.item() if state.nested else None,
            "nested_blocksize": state.state2.blocksize if state.nested else None,
            "packed_first": weight.data.view(torch.uint8).flatten()[:8].tolist(),
            "absmax_first": state.absmax.flatten()[:3].tolist(),
            "code": state.code.tolist(),
        }
    shutil.rmtree(source)
    write_json("bnb.json", wanted)


def rope():
    cases = []
    llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 8192}
    for head_dim, parameters in [
        (64, {"rope_type": "default", "rope_theta": 10000.0}), (128, {"rope_type": "default", "rope_theta": 1e6}),
        (128, {"rope_theta": 500000.0, **llama3}), (64, {"rope_theta": 500000.0, **llama3, "factor": 32.0}),
    ]:
        config = LlamaConfig(hidden_size=2 * head_dim, num_attention_heads=2, head_dim=head_dim,
                             max_position_embeddings=131072, rope_parameters=dict(parameters))
        embedding = LlamaRotaryEmbedding(config)
        positions = [0, 1, 17, 1000, 8191]
        cos, sin = embedding(torch.zeros(1, 1, 1), torch.tensor([positions]))
        cases.append({"head_dim": head_dim, "rope_parameters": parameters, "inv_freq": embedding.inv_freq.tolist(),
                      "positions": positions, "cos": cos[0, :, : head_dim // 2].flatten().tolist(),
                      "sin": sin[0, :, : head_dim // 2].flatten().tolist()})
    write_json("rope.json", cases)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def random():
    lengths = [(i * 37) % 23 + 1 for i in range(45)]
    bound = math.sqrt(3) * (math.sqrt(2 / 6) / math.sqrt(24))
    base = torch.nn.Sequential(torch.nn.Linear(64, 64))
    torch.manual_seed(0)
    linear = get_peft_model(base, LoraConfig(r=4, target_modules=["0"]))
    write_json("random.json", {
        "randperm": [[seed, n, torch.randperm(n, generator=generator(seed)).tolist()]
                     for seed, n in [(42, 10), (42, 11), (43, 11), (0, 1), (7, 2), (1234567890123, 700)]],
        "uniform": {"seed": 3, "bound": bound,
                    "values": torch.empty(40).uniform_(-bound, bound, generator=generator(3)).tolist()},
        "normal": [[seed, n, std, torch.empty(n).normal_(0, std, generator=generator(seed)).tolist()]
                   for seed, n, std in [(0, 5, 1.0), (1, 15, 0.25), (2, 16, 0.5), (3, 37, 1.0), (4, 64, 0.02)]],
        "peft_init": linear.base_model.model[0].lora_A["default"].weight[0, :3].tolist(),
        "grouped": [[seed, batch, get_length_grouped_indices(lengths, batch, generator=generator(seed))]
                    for seed, batch in [(42, 2), (43, 4), (0, 16)]],
        "lengths": lengths,
    })


TEXT = """Call me what you like. It's a long way home, isn't it? We've walked 42 miles;
they'd have walked 1,000 more.\n\nNaïve café - “quoted” - 日本 🙂\t end   of  line.  \n"""


def tokenizer():
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator([TEXT], trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>", "<pad>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    fast = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    fast.save_pretrained(OUT / "tokenizer")
    texts = [TEXT, "", "hello", " a</s>b", "x\n\n\ny  z", "It's 12345 o'clock"]
    write_json("tokenizer.json", {
        "vocab_size": len(fast), "bos": fast.bos_token_id, "eos": fast.eos_token_id, "pad": fast.pad_token_id,
        "cases": [{"text": text, "ids": fast(text)["input_ids"],
                   "plain": fast(text, add_special_tokens=False)["input_ids"]} for text in texts],
    })


def container():
    """One file of the reference writer, to compare byte for byte with ours."""
    save_file({
        "b": torch.arange(6, dtype=torch.float32).reshape(2, 3), "a": torch.ones(2, dtype=torch.float32),
        "half": torch.tensor([[0.5]], dtype=torch.float16), "brain": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "bytes": torch.tensor([1, 2, 3], dtype=torch.uint8), "empty": torch.zeros(0, 4), "scalar": torch.tensor(7, dtype=torch.int64),
    }, OUT / "reference.safetensors", metadata={"format": "pt"})


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    for make in [checkpoints, adapter, matching, quantized, rope, random, tokenizer, container]:
        make()
    names = ["torch", "transformers", "peft", "bitsandbytes", "safetensors", "tokenizers"]
    write_json("versions.json", {"script": "test/golden/make/formats.py", **{name: version(name) for name in names}})


main()
