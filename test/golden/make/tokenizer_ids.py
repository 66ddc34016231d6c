"""Token ids of transformers' AutoTokenizer and of Rust's `tokenizers`, for tokenizers/.

The tokenizers are those of bench/fidelity, which compares far more text; here their vocabularies are smaller.
"""

import hashlib
import importlib.metadata
import json
import platform
import sys
import tempfile
from pathlib import Path

from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoTokenizer
from transformers.utils import logging as hf_logging

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "bench" / "fidelity"))
import tokenizer_families  # noqa: E402
import tokenizer_parts  # noqa: E402
from tokenizer_text import SENTENCES, border_texts, training_text  # noqa: E402

OUT = HERE.parent / "tokenizers"
PACKAGES = ("transformers", "tokenizers")
TEXTS = [*border_texts(24, 5), *SENTENCES, "", " ", " leading", "trailing \n"]
PART_TEXTS = [*border_texts(10, 3), *SENTENCES[:2], SENTENCES[18], ""]


def outside(files, models):
    """The files with their models, which many share, in a list of their own."""
    tokenizer = files["tokenizer.json"]
    model = tokenizer["model"]
    if model not in models:
        models.append(model)
    return files | {"tokenizer.json": tokenizer | {"model": models.index(model)}}


def write(folder, files):
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf8")


def opened(files):
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), files)
        auto = AutoTokenizer.from_pretrained(folder)
        rust = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    return auto, rust


def digest(offsets):
    """The start of a SHA-256 of offsets, in characters, as [[start,end],...]: they need more room than the ids."""
    return hashlib.sha256(json.dumps(offsets, separators=(",", ":")).encode()).hexdigest()[:12]


def as_opened(files, texts):
    auto, rust = opened(files)
    made = {"class": type(auto).__name__, "size": max(auto.get_vocab().values()) + 1,
            "special": {name: getattr(auto, f"{name}_token_id") for name in ("bos", "eos", "pad")},
            "ids": auto(texts)["input_ids"], "plain": (plain := auto(texts, add_special_tokens=False))["input_ids"],
            "offsets": [digest(encoding.offsets) for encoding in plain.encodings]}
    alone = [encoding.ids for encoding in rust.encode_batch(texts)]
    return made | {"rust": None if alone == made["ids"] else alone,
                   "decoded": [rust.decode(ids, skip_special_tokens=True) for ids in alone]}


def small_models():
    """Directories whose ids were wrong without a word: what TRL makes of one row of text, its EOS included."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merged = [("\u0120", "\u00c2"), ("\u0120", "a"), ("1", "2"), ("\u0120", "\u00ef"), ("!", "\u00ef")]
    names = ["<s>", "</s>", "<pad>"]
    vocab = {name: i for i, name in enumerate(names + alphabet + ["".join(pair) for pair in merged])}
    model = tokenizer_families.bpe(vocab, [list(pair) for pair in merged])
    base = [tokenizer_families.token(i, name) for i, name in enumerate(names)]
    chat = base + [tokenizer_families.token(264 + i, name) for i, name in enumerate(["<|user|>", "<|bot|>", "<|end|>"])]
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    listed = {"added_tokens_decoder": tokenizer_families.decoder_of(chat[:5])}
    ended = {"added_tokens_decoder": tokenizer_families.decoder_of(chat), "eos_token": "<|end|>"}
    level, digits = tokenizer_families.BYTE_LEVEL, tokenizer_families.DIGITS
    rows = (
        ("digits", {}, digits, None, "Add \u00bd cup and \u00bc spoon, about 10 \u00b2 steps"),
        ("added-tokens-decoder", listed, level, None, "<|user|>What of the sea?<|bot|>It is wide."),
        ("eos-only-in-config", ended, level, None, "<|user|>What of the sea?<|bot|>It is wide.<|end|>"),
        ("double-bos", {}, level, tokenizer_families.template("<s>", 0), "<s>What of the sea?</s>"),
    )
    for name, more, pre_tokenizer, post_processor, text in rows:
        tokenizer = tokenizer_families.whole(None, pre_tokenizer, post_processor, level, model, base)
        yield name, {"tokenizer.json": tokenizer, "tokenizer_config.json": config | more, "config.json": {"model_type": "llama"}}, text


def with_eos(auto, text):
    """SFTTrainer of TRL 1.16 ends the text with the EOS unless it does already."""
    return auto(text if text.endswith(auto.eos_token) else text + auto.eos_token)["input_ids"]


def save(name, content):
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=True)}" for key, value in content.items())
    (OUT / name).write_text("{" + lines + "}\n", encoding="ascii")


def main():
    hf_logging.set_verbosity_error()
    OUT.mkdir(exist_ok=True)
    tokenizer_families.VOCABULARY = 340
    trained_on = training_text(count=600)
    models = []
    made = tokenizer_families.families(trained_on)
    groups = {"families": made, "elsewhere": tokenizer_families.named_elsewhere(made)}
    found = {}
    for group, entries in groups.items():
        found[group] = [{"name": name, "files": outside(files, models)} | as_opened(files, TEXTS) for name, files in entries.items()]
    save("families.json", {"texts": TEXTS, "models": models} | found)
    models, parts = [], []
    for name, tokenizer in tokenizer_parts.parts(trained_on, size=700):
        rust = Tokenizer.from_str(json.dumps(tokenizer))
        ids = [encoding.ids for encoding in rust.encode_batch(PART_TEXTS)]
        parts.append({"name": name, "tokenizer": outside({"tokenizer.json": tokenizer}, models)["tokenizer.json"], "ids": ids})
    save("parts.json", {"texts": PART_TEXTS, "models": models, "parts": parts})
    models = []
    small = [{"name": name, "files": outside(files, models), "text": text, "ids": with_eos(opened(files)[0], text)}
             for name, files, text in small_models()]
    save("small.json", {"models": models, "rows": small})
    versions = {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES}
    (OUT / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")


main()
