"""Adapters as llama.cpp's own converter writes them, and the scalings that PEFT gives each of their layers.

Reads architectures/ and peft-options/, writes test/golden/gguf/. LLAMA_CPP names a checkout of llama.cpp, whose
convert_lora_to_gguf.py does the work. How to run: README.md in this folder.
"""

import hashlib
import json
import logging
import os
import runpy
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForCausalLM

from peft_options import OUT as OPTIONS, base_directory
from shared import GOLDEN, settle, versions, write_json

OUT = GOLDEN / "gguf"
ARCHITECTURES = sorted(path.parent.name for path in (GOLDEN / "architectures").glob("*/adapter-init"))
# adapters whose files are kept whole: scalings that differ by layer, an embedding, a head
KEPT = ("patterns", "embedding", "head")
# what llama.cpp's reader takes; the rest of the metadata is for people
READ = ("general.architecture", "general.type", "adapter.type", "adapter.lora.alpha")


def convert(llama_cpp, adapter, base, out, outtype="f32"):
    """Runs the converter in this process, as its command line does."""
    argv, sys.argv = sys.argv, ["convert", "--base", str(base), "--outfile", str(out), "--outtype", outtype, str(adapter)]
    try:
        runpy.run_path(str(llama_cpp / "convert_lora_to_gguf.py"), run_name="__main__")
    finally:
        sys.argv = argv


def described(path):
    from gguf import GGUFReader

    reader = GGUFReader(path)
    metadata = {key: reader.fields[key].contents() for key in READ}
    tensors = {
        tensor.name: {
            "type": tensor.tensor_type.name,
            "shape": [int(size) for size in reversed(tensor.shape)],
            "sha256": hashlib.sha256(tensor.data.tobytes()).hexdigest(),
        }
        for tensor in reader.tensors
    }
    return {"metadata": metadata, "tensors": dict(sorted(tensors.items()))}


def scalings(name, base):
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), OPTIONS / name)
    layers = {key: layer for key, layer in model.base_model.model.named_modules() if isinstance(layer, LoraLayer)}
    return {key: {"scaling": layer.scaling["default"], "r": layer.r["default"]} for key, layer in sorted(layers.items())}


def main():
    warnings.filterwarnings("ignore")
    logging.disable(logging.INFO)
    llama_cpp = Path(os.environ["LLAMA_CPP"])
    sys.path[:0] = [str(llama_cpp / "gguf-py"), str(llama_cpp)]
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    converted = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in ARCHITECTURES:
            folder = GOLDEN / "architectures" / name
            for outtype in ("f32", "f16"):
                out = Path(scratch) / f"{name}-{outtype}.gguf"
                convert(llama_cpp, folder / "adapter-init", folder / "dense", out, outtype)
                converted[f"{name}-{outtype}"] = described(out)
        shutil.copy(Path(scratch) / "llama-f16.gguf", OUT / "llama-f16.gguf")
    write_json(OUT / "converted.json", converted)
    rows = {}
    for name in KEPT:
        base = base_directory(json.loads((OPTIONS / name / "adapter_config.json").read_text())["base_model_name_or_path"].removeprefix("../"))
        convert(llama_cpp, OPTIONS / name, base, OUT / f"{name}.gguf")
        rows[name] = scalings(name, base)
    write_json(OUT / "scalings.json", rows)
    versions(OUT / "versions.json")
    found = json.loads((OUT / "versions.json").read_text())
    found["llama.cpp"] = os.environ.get("LLAMA_CPP_VERSION", "v0.4.0")
    write_json(OUT / "versions.json", found)


if __name__ == "__main__":
    settle()
    main()
