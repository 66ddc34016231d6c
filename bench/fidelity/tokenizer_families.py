"""Tokenizers as the families of models have them: their pipelines, flags and classes, around small vocabularies trained here."""

import copy
import json

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

GPT4 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN = GPT4.replace("{1,3}", "")
VOCABULARY = 1200
META = "\u2581"
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
META_DECODER = {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": META}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
PREPEND = {"type": "Sequence", "normalizers": [
    {"type": "Prepend", "prepend": META}, {"type": "Replace", "pattern": {"String": " "}, "content": META}]}


def token(id_, content, special=True, **flags):
    return {"id": id_, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": not special,
            "special": special} | flags


def template(bos, id_):
    return {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                     {"SpecialToken": {"id": bos, "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {bos: {"id": bos, "ids": [id_], "tokens": [bos]}}}


def split(regex):
    return {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}, BYTE_LEVEL | {"use_regex": False}]}


DIGITS = {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTE_LEVEL]}


def whole(normalizer=None, pre_tokenizer=None, post_processor=None, decoder=None, model=None, added=()):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": list(added), "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer, "post_processor": post_processor, "decoder": decoder, "model": model}


def bpe(vocab, merges, **flags):
    return {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
            "fuse_unk": False, "byte_fallback": False, "ignore_merges": False} | flags | {"vocab": vocab, "merges": merges}


def trained(pre_tokenizer, texts, alphabet=(), normalizer=None):
    """Vocabulary and merges of a BPE over the pieces that a pipeline cuts."""
    tokenizer = Tokenizer.from_str(json.dumps(whole(normalizer, pre_tokenizer, model=bpe({}, []))))
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=list(alphabet), show_progress=False))
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], model["merges"]


def byte_level(texts, pre_tokenizer, normalizer=None):
    return trained(pre_tokenizer, texts, pre_tokenizers.ByteLevel.alphabet(), normalizer)


def sentencepiece(texts, specials):
    """A vocabulary with byte tokens behind the special ones, and characters that are rare left to them."""
    split_ = {"type": "Metaspace", "replacement": META, "prepend_scheme": "always", "split": True}
    common = [text for text in texts if text.isascii() or "ß" in text or "и" in text]
    vocab, merges = trained(split_, common)
    names = specials + [f"<0x{byte:02X}>" for byte in range(256)] + sorted(vocab, key=vocab.get)
    # runs of spaces are tokens of these families, and merge across what a splitting pre-tokenizer would have cut
    runs = [META * length for length in (2, 3, 4, 8)]
    merges = [[META, META], [META * 2, META], [META * 2, META * 2], [META * 4, META * 4]] + merges
    return {name: id_ for id_, name in enumerate(dict.fromkeys(names + runs))}, merges


def plain(content):
    return {"__type": "AddedToken", "content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}


def decoder_of(added):
    return {str(entry["id"]): {key: value for key, value in entry.items() if key != "id"} for entry in added}


def families(texts):
    """name: files of a model's directory, without weights."""
    made = {}

    def add(name, tokenizer, config, model_type, **files):
        made[name] = {"tokenizer.json": tokenizer, "tokenizer_config.json": config, "config.json": {"model_type": model_type}} | files

    vocab, merges = sentencepiece(texts, ["<unk>", "<s>", "</s>"])
    sp = {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
    base = [token(i, name) for i, name in enumerate(["<unk>", "<s>", "</s>"])]
    llama2 = whole(PREPEND, None, template("<s>", 1), META_DECODER, bpe(vocab, merges, **sp), base)
    names = {"bos_token": plain("<s>"), "eos_token": plain("</s>"), "unk_token": plain("<unk>"), "pad_token": None}
    llama_config = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False, "clean_up_tokenization_spaces": False,
                    "legacy": False, "model_max_length": 4096, "sp_model_kwargs": {}} | names
    add("Llama 2", llama2, llama_config, "llama")
    add("Llama 2, legacy", llama2, llama_config | {"legacy": True, "added_tokens_decoder": decoder_of(base)}, "llama")
    add("Llama 2 as PreTrainedTokenizerFast", llama2, llama_config | {"tokenizer_class": "PreTrainedTokenizerFast"}, "llama")
    add("Mistral", llama2, llama_config | {"legacy": True, "added_tokens_decoder": decoder_of(base)}, "mistral")
    first = {"type": "Metaspace", "replacement": META, "prepend_scheme": "first", "split": False}
    control = base + [token(3, "[INST]"), token(4, "[/INST]")]
    vocab3, merges3 = sentencepiece(texts, [entry["content"] for entry in control])
    mistral3 = whole(None, first, template("<s>", 1), META_DECODER, bpe(vocab3, merges3, **sp), control)
    add("Mistral v0.3", mistral3, llama_config | {"added_tokens_decoder": decoder_of(control)}, "mistral")
    size = len(vocab)
    chat = [token(size + i, f"<|{name}|>", rstrip=name != "endoftext") for i, name in enumerate(
        ["endoftext", "assistant", "placeholder1", "system", "end", "user"])]
    chat_ = base[:2] + [token(2, "</s>", special=False, normalized=False, rstrip=True)] + chat
    add("Phi-3", whole(PREPEND, None, template("<s>", 1), META_DECODER, bpe(vocab, merges, **sp), chat_),
        llama_config | {"added_tokens_decoder": decoder_of(chat_), "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
                        "bos_token": "<s>", "unk_token": "<unk>"}, "phi3")
    gemma_names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"]
    gvocab, gmerges = sentencepiece(texts, gemma_names)
    gadded = [token(i, name) for i, name in enumerate(gemma_names)]
    gadded += [token(gvocab[run], run, special=False, normalized=False) for run in (META * 2, META * 3, META * 4)]
    gemma_decoder = {"type": "Sequence", "decoders": META_DECODER["decoders"][:3]}
    add("Gemma", whole({"type": "Replace", "pattern": {"String": " "}, "content": META},
                       {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
                       template("<bos>", 2), gemma_decoder, bpe(gvocab, gmerges, **sp), gadded),
        {"tokenizer_class": "GemmaTokenizer", "added_tokens_decoder": decoder_of(gadded), "bos_token": "<bos>", "eos_token": "<eos>",
         "pad_token": "<pad>", "unk_token": "<unk>", "add_bos_token": True,
         "additional_special_tokens": ["<start_of_turn>", "<end_of_turn>"]}, "gemma")

    vocab, merges = byte_level(texts, split(GPT4))
    begin = [token(len(vocab) + i, f"<|{name}|>") for i, name in enumerate(
        ["begin_of_text", "end_of_text", "start_header_id", "end_header_id", "eot_id"] + [f"reserved_special_token_{n}" for n in range(20)])]
    llama3_post = {"type": "Sequence", "processors": [BYTE_LEVEL, template("<|begin_of_text|>", len(vocab))]}
    llama3 = whole(None, split(GPT4), llama3_post, BYTE_LEVEL, bpe(vocab, merges, ignore_merges=True), begin)
    config3 = {"tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": decoder_of(begin), "bos_token": "<|begin_of_text|>",
               "eos_token": "<|end_of_text|>", "clean_up_tokenization_spaces": True}
    add("Llama 3", llama3, config3, "llama")
    think = begin[:5] + [token(len(vocab) + 5, "<think>", special=False, normalized=False), token(len(vocab) + 6, "</think>", special=False, normalized=False),
                         token(len(vocab) + 7, "<|im_start|>"), token(len(vocab) + 8, "<|im_end|>")]
    add("SmolLM3", whole(None, split(GPT4), BYTE_LEVEL, BYTE_LEVEL, bpe(vocab, merges, ignore_merges=True), think),
        config3 | {"added_tokens_decoder": decoder_of(think), "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}, "smollm3")
    vocab, merges = byte_level(texts, split(QWEN), {"type": "NFC"})
    control = [token(len(vocab) + i, name) for i, name in enumerate(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])]
    control += [token(len(vocab) + 3 + i, name, special=False, normalized=False) for i, name in enumerate(["<tool_call>", "</tool_call>", "<think>", "</think>"])]
    qwen = whole({"type": "NFC"}, split(QWEN), BYTE_LEVEL | {"use_regex": False}, BYTE_LEVEL | {"use_regex": False},
                 bpe(vocab, merges, continuing_subword_prefix="", end_of_word_suffix=""), control)
    qwen_config = {"tokenizer_class": "Qwen2Tokenizer", "add_prefix_space": False, "added_tokens_decoder": decoder_of(control), "bos_token": None,
                   "additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "eos_token": "<|im_end|>", "errors": "replace",
                   "pad_token": "<|endoftext|>", "split_special_tokens": False, "unk_token": None}
    add("Qwen2", qwen, qwen_config, "qwen2")
    add("Qwen3", qwen, qwen_config | {"add_bos_token": False}, "qwen3")
    vocab, merges = byte_level(texts, DIGITS)
    smol_names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<file_sep>"]
    smol_vocab = {name: i for i, name in enumerate(smol_names + sorted(vocab, key=vocab.get))}
    added = [token(i, name) for i, name in enumerate(smol_names)]
    smol = whole(None, DIGITS, None, BYTE_LEVEL, bpe(smol_vocab, merges), added)
    smol_config = {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False, "added_tokens_decoder": decoder_of(added), "vocab_size": 49152,
                   "additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
                   "pad_token": "<|im_end|>", "unk_token": "<|endoftext|>", "clean_up_tokenization_spaces": False}
    add("SmolLM2", smol, smol_config, "llama")
    add("SmolLM2 as PreTrainedTokenizerFast", smol, smol_config | {"tokenizer_class": "PreTrainedTokenizerFast"}, "llama")
    vocab, merges = byte_level(texts, split(GPT4))
    added = [token(len(vocab), "|||IP_ADDRESS|||", special=False, normalized=False)]
    added += [token(len(vocab) + 1 + i, name) for i, name in enumerate(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"])]
    olmo = whole(None, split(GPT4), BYTE_LEVEL, BYTE_LEVEL, bpe(vocab, merges), added)
    add("OLMo 2", olmo, {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False, "added_tokens_decoder": decoder_of(added),
                         "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>", "unk_token": "<|endoftext|>"}, "olmo2")
    return made


def named_elsewhere(made):
    """Tokens that only a file beside tokenizer.json names, and ids that no file's order agrees with."""
    base = made["Llama 3"]["tokenizer.json"]
    size = len(base["model"]["vocab"])
    tokenizer = base | {"added_tokens": base["added_tokens"][:2]}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin_of_text|>", "eos_token": "<|end|>", "pad_token": "<pad>"}
    listed = {str(size + 2 + i): token(0, name) for i, name in enumerate(["<|user|>", "<|end|>", "<|assistant|>"])}
    for entry in listed.values():
        del entry["id"]

    def files(**changes):
        return {"tokenizer.json": tokenizer, "tokenizer_config.json": config, "config.json": {"model_type": "llama"}} | {
            name.replace("__", "."): value for name, value in changes.items()}

    moved = copy.deepcopy(tokenizer)
    moved["added_tokens"].append(token(size + 9, "<|user|>", lstrip=True))
    return {
        "added_tokens_decoder": files(tokenizer_config__json=config | {"added_tokens_decoder": listed}),
        "named specials": files(),
        "special_tokens_map.json": files(special_tokens_map__json={"eos_token": "<|assistant|>", "pad_token": plain("<unk>"),
                                                                   "additional_special_tokens": ["<|user|>"]}),
        "added_tokens.json": files(added_tokens__json={"<|assistant|>": size + 3, "<|user|>": size + 2}),
        "additional_special_tokens": files(tokenizer_config__json=config | {"additional_special_tokens": ["<|user|>", "the"]}),
        "extra_special_tokens": files(tokenizer_config__json=config | {"extra_special_tokens": {"image_token": "<|user|>"}, "audio_token": "<|assistant|>"}),
        "an id out of order": files(tokenizer__json=moved, tokenizer_config__json=config | {"added_tokens_decoder": listed}),
        "other flags": files(tokenizer_config__json=config | {"added_tokens_decoder": listed | {
            str(size): {"content": "<|begin_of_text|>", "rstrip": True, "lstrip": True, "single_word": False, "normalized": False, "special": True}}}),
        "LlamaTokenizer": made["Llama 2"] | {"tokenizer_config.json": {
            "tokenizer_class": "LlamaTokenizerFast", "legacy": None, "add_prefix_space": True, "eos_token": "<|end|>", "audio_token": "<|user|>"}},
        "LlamaTokenizer without prefix": made["Llama 2"] | {"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": False}},
        "LlamaTokenizer over ByteLevel": made["Llama 3"] | {"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer"}},
        "Qwen2 by model_type": made["Qwen2"] | {"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>"}},
        "Qwen3 as PreTrainedTokenizerFast": made["SmolLM3"] | {"config.json": {"model_type": "qwen3"}},
        "Gemma without a class": made["Gemma"] | {"tokenizer_config.json": {}},
        "GPTNeoXTokenizer": made["OLMo 2"] | {"tokenizer_config.json": {"tokenizer_class": "GPTNeoXTokenizer", "pad_token": None}, "config.json": {"model_type": "llama"}},
        "a class of nobody": made["OLMo 2"] | {"tokenizer_config.json": {"tokenizer_class": "HarbourTokenizer"}},
    }
