"""The Python side of tokenizers.mjs: tokenizers, texts, and the ids of AutoTokenizer and of Rust's `tokenizers`.

    tokenizer_reference.py DIR     writes a folder of files for each tokenizer, texts and ids into DIR, and index.json
"""

import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from transformers import AutoTokenizer
from transformers.utils import logging as hf_logging

from tokenizer_families import families, named_elsewhere
from tokenizer_parts import parts
from tokenizer_text import SENTENCES, border_texts, code_points, mixed_text, training_text

PACKAGES = ("transformers", "tokenizers", "unicodedata2", "numpy")
BORDER_TEXTS, PART_TEXTS = 4000, 600


def write(folder, files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf8")


def keep(file, encoded):
    """For each text its number of ids, and the ids."""
    flat = [np.concatenate([np.array([len(ids)], "<i4"), np.array(ids, "<i4")]) for ids in encoded]
    np.concatenate(flat).tofile(file)


def auto_ids(folder, texts):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = {name: token if token is None else int(token) for name, token in (
        ("bos", tokenizer.bos_token_id), ("eos", tokenizer.eos_token_id), ("pad", tokenizer.pad_token_id))}
    return tokenizer(texts)["input_ids"], ids, type(tokenizer).__name__


def rust_ids(folder, texts):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def main():
    out = Path(sys.argv[1])
    hf_logging.set_verbosity_error()
    trained_on = training_text()
    points, count = code_points()
    texts = {
        "points": points,
        "borders": border_texts(BORDER_TEXTS) + SENTENCES + ["", " ", "\n"],
        "mixed": [mixed_text()],
        "few": border_texts(PART_TEXTS, 17) + SENTENCES + ["", " "] + points[::20],
    }
    for name, list_ in texts.items():
        (out / f"{name}.json").write_text(json.dumps(list_, ensure_ascii=False), encoding="utf8")
    made = families(trained_on)
    folders = {}
    for kind, group, sets in (("family", made, ["points", "borders", "mixed"]), ("files", named_elsewhere(made), ["few"])):
        for name, files in group.items():
            folder = out / str(len(folders))
            write(folder, files)
            folders[folder.name] = {"kind": kind, "name": name, "sets": sets, "against": ["auto", "rust"] if kind == "family" else ["auto"]}
            for set_ in sets:
                ids, specials, class_ = auto_ids(folder, texts[set_])
                keep(folder / f"auto-{set_}.bin", ids)
                if kind == "family":
                    keep(folder / f"rust-{set_}.bin", rust_ids(folder, texts[set_]))
            folders[folder.name] |= {"specials": specials, "class": class_}
    for name, tokenizer in parts(trained_on):
        folder = out / str(len(folders))
        write(folder, {"tokenizer.json": tokenizer})
        keep(folder / "rust-few.bin", rust_ids(folder, texts["few"]))
        folders[folder.name] = {"kind": "part", "name": name, "sets": ["few"], "against": ["rust"]}
    index = {"versions": {name: importlib.metadata.version(name) for name in PACKAGES}, "folders": folders, "points": count,
             "texts": {name: len(list_) for name, list_ in texts.items()}}
    # a file: tokenizers itself prints lines to standard output
    (out / "index.json").write_text(json.dumps(index))


main()
