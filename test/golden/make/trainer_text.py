"""Rows of text as TRL's SFTTrainer tokenizes them, by its rule; `--check` of trainer.py runs SFTTrainer itself."""

import json
import tempfile

from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from shared import GOLDEN, write_json
from trl_tools import quiet_fingerprints

TEXTS = [
    "hello", "", " a</s>b", "x\n\n\ny  z", "It's 12345 o'clock", "ends</s>", "  two words  ", "ends </s>", "ends</s> ",
    "a row that is cut to max_length, and loses its EOS by that",
]
MAX_LENGTH = 24


def load_tokenizer():
    return AutoTokenizer.from_pretrained(GOLDEN / "formats" / "tokenizer")


def write_text_rows(path):
    """TRL adds the text of the EOS where a text does not end with it, tokenizes, then cuts."""
    tokenizer = load_tokenizer()
    ended = [text if text.endswith(tokenizer.eos_token) else text + tokenizer.eos_token for text in TEXTS]
    made = [tokenizer(text)["input_ids"][:MAX_LENGTH] for text in ended]
    rows = [{"text": text, "input_ids": ids} for text, ids in zip(TEXTS, made, strict=True)]
    write_json(path, {"max_length": MAX_LENGTH, "rows": rows})


def check_text_rows(path):
    """Needs trl and datasets."""
    import datasets
    import trl

    quiet_fingerprints()
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=300, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, head_dim=4,
        num_key_value_heads=2,
    ))
    config = trl.SFTConfig(
        tempfile.mkdtemp(), use_cpu=True, bf16=False, report_to="none", max_length=MAX_LENGTH, max_steps=1
    )
    rows = datasets.Dataset.from_dict({"text": TEXTS}).to_iterable_dataset()
    trainer = trl.SFTTrainer(model, args=config, train_dataset=rows, processing_class=load_tokenizer())
    made = [list(row["input_ids"]) for row in trainer.train_dataset]
    assert made == [row["input_ids"] for row in json.loads(path.read_text())["rows"]]
    print(f"text-rows.json: {len(made)} rows are those of SFTTrainer, trl {trl.__version__}")
