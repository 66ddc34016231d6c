"""The token ids that TRL's SFTTrainer makes of rows of text. Needs trl and datasets besides what the other scripts need.

Writes test/golden/trainer/text-rows.json.
"""

import importlib.metadata
import itertools
import tempfile

import datasets.fingerprint
from datasets import Dataset
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from trl import SFTConfig, SFTTrainer

from shared import GOLDEN, settle, write_json

TEXTS = [
    "hello", "", " a</s>b", "x\n\n\ny  z", "It's 12345 o'clock", "ends</s>", "  two words  ", "ends </s>", "ends</s> ",
    "a row that is cut to max_length, and loses its EOS by that",
]
MAX_LENGTH = 24


def main():
    # datasets names its cache by pickling functions, which dill 0.4.1 cannot do with a type of pyarrow 26; nothing is cached here
    count = itertools.count()
    datasets.fingerprint.Hasher.hash = classmethod(lambda cls, value: f"h{next(count)}")
    datasets.fingerprint.Hasher.update = lambda self, value: None
    tokenizer = AutoTokenizer.from_pretrained(GOLDEN / "formats" / "tokenizer")
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=300, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, head_dim=4,
        num_key_value_heads=2,
    ))
    config = SFTConfig(
        tempfile.mkdtemp(), use_cpu=True, bf16=False, report_to="none", max_length=MAX_LENGTH, max_steps=1
    )
    rows = Dataset.from_dict({"text": TEXTS}).to_iterable_dataset()
    trainer = SFTTrainer(model, args=config, train_dataset=rows, processing_class=tokenizer)
    made = [list(row["input_ids"]) for row in trainer.train_dataset]
    packages = ("trl", "datasets", "transformers", "tokenizers")
    write_json(GOLDEN / "trainer" / "text-rows.json", {
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "max_length": MAX_LENGTH,
        "rows": [{"text": text, "input_ids": ids} for text, ids in zip(TEXTS, made, strict=True)],
    })


if __name__ == "__main__":
    settle()
    main()
