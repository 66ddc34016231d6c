"""Rows of chats and text as SFTTrainer of TRL feeds them, in every loss mode it allows: test/golden/chat/.

Needs trl and datasets beside what the other scripts need. The templates of real models are TRL's own files (Apache-2.0),
copied; two more, in chat_templates/, are ours.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import torch
import transformers
import trl
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from chat_rows import CONVERSATIONS, TOOLS, WITH_TOOLS, chats
from chat_strings import strings
from shared import GOLDEN, PACKAGES, settle, write_json
from trl_tools import quiet_fingerprints

OUT = GOLDEN / "chat"
SPECIAL = ["<pad>", "<s>", "</s>", "<bos>", "<eos>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
           "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<start_of_turn>", "<end_of_turn>", "<|user|>", "<|assistant|>",
           "<|system|>", "<|end|>", "\u003c\uff5cUser\uff5c\u003e", "\u003c\uff5cAssistant\uff5c\u003e"]
PLAIN = ["<think>", "</think>", "<tool_call>", "</tool_call>"]
# by name: the file, the tokenizer, its EOS and BOS
TEMPLATES = {
    "llama3": ("level", "<|eot_id|>", "<|begin_of_text|>"),
    "llama3_training": ("level", "<|eot_id|>", "<|begin_of_text|>"),
    "qwen2_5": ("level", "<|im_end|>", None),
    "qwen2_5_training": ("level", "<|im_end|>", None),
    "qwen3": ("level", "<|im_end|>", None),
    "qwen3_training": ("level", "<|im_end|>", None),
    "gemma": ("piece", "<eos>", "<bos>"),
    "gemma_training": ("piece", "<eos>", "<bos>"),
    "phi3": ("piece", "<|endoftext|>", "<s>"),
    "phi3_training": ("piece", "<|endoftext|>", "<s>"),
    "deepseek_r1_distill": ("level", "</s>", "<s>"),
    "deepseek_r1_distill_training": ("level", "</s>", "<s>"),
    "plain": ("level", "</s>", "<s>"),
    "bare": ("piece", "</s>", "<s>"),
}
OURS = ("plain", "bare")
LENGTHS = (4096, 40)
CORPUS = [m["content"] for c in CONVERSATIONS for m in c if isinstance(m["content"], str)] * 3


def tokenizer_of(kind, eos, bos):
    """A small BPE: on bytes with a cut as Qwen's, or on pieces of text with byte fallback as Gemma's and Llama's."""
    level = kind == "level"
    tokenizer = Tokenizer(models.BPE(byte_fallback=not level, fuse_unk=not level, unk_token=None if level else "<unk>"))
    if level:
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    else:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
        tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    byte_tokens = [] if level else ["<unk>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet()) if level else []
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=SPECIAL + byte_tokens, initial_alphabet=alphabet, show_progress=False,
                                  limit_alphabet=1000 if level else 90)
    tokenizer.train_from_iterator(CORPUS, trainer)
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] in SPECIAL]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in PLAIN])
    steps = [processors.ByteLevel(trim_offsets=True)] if level else []
    if bos is not None:
        steps.append(processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos} $B",
                                                   special_tokens=[(bos, tokenizer.token_to_id(bos))]))
    if steps:
        tokenizer.post_processor = processors.Sequence(steps) if len(steps) > 1 else steps[0]
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=eos, bos_token=bos, pad_token="<pad>")


def folder_of(kind, eos, bos):
    return OUT / f"tokenizer-{kind}"


def split(messages):
    """A conversation as prompt and completion: what the assistant says last is the completion."""
    at = max(i for i, message in enumerate(messages) if message["role"] == "assistant")
    return messages[:at], messages[at:]


def forms():
    """Datasets by name: twenty rows each, or None where a conversation has no such form."""
    rows = chats()
    more = [{k: v for k, v in row.items() if k == "tools"} for row in rows]
    pairs = [split(messages) for messages in CONVERSATIONS]
    return {
        "messages": rows,
        "conversations": [None if "tools" in row or any("reasoning_content" in m for m in row["messages"]) else
                          {"conversations": [{"from": m["role"], "value": m["content"]} for m in row["messages"]]} for row in rows],
        "chat-pairs": [{"prompt": p, "completion": c} | m for (p, c), m in zip(pairs, more)],
        "text": [{"text": "\n".join(m["content"] for m in c)} for c in CONVERSATIONS],
        "text-pairs": [{"prompt": "\n".join(m["content"] for m in p), "completion": c[0]["content"]} for p, c in pairs],
    }


MODES = {
    "messages": [{}, {"assistant_only_loss": True}, {"completion_only_loss": True}],
    "conversations": [{}],  # TRL asks for assistants before it converts from and value, and finds none
    "chat-pairs": [{}, {"completion_only_loss": False}, {"assistant_only_loss": True},
                   {"assistant_only_loss": True, "completion_only_loss": False}],
    "text": [{}],
    "text-pairs": [{}, {"completion_only_loss": False}],
}


def short(ids):
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()[:8]


def fed(tokenizer, rows, settings):
    """The rows of the trainer's dataset: tokens, hash of ids, labels that count, hash of labels."""
    config = transformers.LlamaConfig(vocab_size=len(tokenizer), hidden_size=4, intermediate_size=4, num_hidden_layers=1,
                                      num_attention_heads=1, max_position_embeddings=8)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    arguments = trl.SFTConfig(output_dir="/tmp/chat-golden", report_to="none", use_cpu=True, bf16=False, **settings)
    # from_list goes by the keys of the first row
    keys = {key: None for row in rows for key in row}
    dataset = datasets.Dataset.from_list([keys | row for row in rows])
    trainer = trl.SFTTrainer(model, args=arguments, train_dataset=dataset, processing_class=tokenizer)
    found = trainer.train_dataset
    return [f"{len(ids)} {short(ids)} {sum(x != -100 for x in labels)} {short(labels)}"
            for ids, labels in zip(found["input_ids"], found["labels"])]


def cases_of(name):
    kind, eos, bos = TEMPLATES[name]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder_of(kind, eos, bos))
    tokenizer.eos_token, tokenizer.bos_token = eos, bos
    tokenizer.chat_template = (OUT / "templates" / f"{name}.jinja").read_text(encoding="utf8")
    marked = trl.chat_template_utils.has_generation_markers(tokenizer.chat_template)

    def renders(i):
        try:
            for messages in (CONVERSATIONS[i], split(CONVERSATIONS[i])[0]):
                tokenizer.apply_chat_template(messages, tools=TOOLS if i in WITH_TOOLS else None, tokenize=False)
            mask = tokenizer.apply_chat_template(CONVERSATIONS[i], return_assistant_tokens_mask=True, return_dict=True) if marked else None
            return mask is None or 1 in mask["assistant_masks"]
        except Exception:
            return False

    taken = [i for i in range(len(CONVERSATIONS)) if renders(i)]
    found = {"tokenizer": kind, "eos_token": eos, "bos_token": bos, "taken": taken, "cases": []}
    for form, rows in forms().items():
        if name.endswith("_training") and form.startswith("text"):
            continue
        some = [row for i, row in enumerate(rows) if row is not None and (form.startswith("text") or i in taken)]
        for mode in MODES[form]:
            if mode.get("assistant_only_loss") and not marked:
                continue
            for length in LENGTHS:
                found["cases"].append({"form": form, "max_length": length} | mode | {"fed": fed(tokenizer, some, mode | {"max_length": length})})
    return found


def main():
    settle()
    quiet_fingerprints()
    transformers.utils.logging.set_verbosity_error()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    (OUT / "templates").mkdir(parents=True, exist_ok=True)
    source = Path(trl.__file__).parent / "chat_templates"
    for name in TEMPLATES:
        folder = Path(__file__).parent / "chat_templates" if name in OURS else source
        shutil.copyfile(folder / f"{name}.jinja", OUT / "templates" / f"{name}.jinja")
    for kind in ("level", "piece"):
        tokenizer_of(kind, "</s>", "<s>").save_pretrained(OUT / f"tokenizer-{kind}")
    lines = []
    for name in TEMPLATES:
        made = cases_of(name)
        lines.append(f"{json.dumps(name)}: {json.dumps(made)}")
        print(name, len(made["taken"]), sum(len(case["fed"]) for case in made["cases"]))
    (OUT / "cases.json").write_text("{" + ",\n".join(lines) + "}\n", encoding="ascii")
    (OUT / "rows.json").write_text("{" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in forms().items()) + "}\n", encoding="ascii")
    chats_alone = [row for row in forms()["messages"] if "tools" not in row]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(chats_alone), OUT / "messages.parquet", compression="zstd", row_group_size=7)
    names = (*PACKAGES, "trl", "datasets", "tokenizers")
    write_json(OUT / "strings.json", strings())
    write_json(OUT / "versions.json", {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names})


if __name__ == "__main__":
    main()
