"""Each part of tokenizer.json by itself, around vocabularies whose tokens cross the borders that the part draws."""

import itertools
import json

from tokenizers import Tokenizer, trainers

from tokenizer_families import BYTE_LEVEL, META, META_DECODER, bpe, byte_level, sentencepiece, split, template, token, whole, GPT4

BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")


def crossing(texts, size):
    """Characters and merges of whole lines: tokens go across spaces, digits and punctuation."""
    tokenizer = Tokenizer.from_str(json.dumps(whole(model=bpe({}, []))))
    lines = [line[i : i + 200] for line in texts[:600] for i in range(0, len(line), 200)]
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=size, special_tokens=["<unk>"], show_progress=False))
    model = json.loads(tokenizer.to_str())["model"]
    vocab = model["vocab"]
    vocab |= {char: len(vocab) + i for i, char in enumerate(char for char in (META, "Ġ") if char not in vocab)}
    return vocab, model["merges"]


def pre_tokenizers():
    yield "none", None
    patterns = {"a space": {"String": " "}, "a dot": {"String": "."}, "\\s+": {"Regex": r"\s+"}, "\\d": {"Regex": r"\d"}, "\\w+": {"Regex": r"\w+"},
                "\\p{Han}|\\b": {"Regex": r"\p{Han}|\b"}, "empty matches": {"Regex": r"\s*"}, "POSIX": {"Regex": r"[[:punct:]&&[^-']]++|[[:upper:]]"},
                "lookarounds": {"Regex": r"(?<=[\p{Ll}])(?=\p{Lu})|(?i:the|s)"}}
    for (name, pattern), behavior, invert in itertools.product(patterns.items(), BEHAVIORS, (False, True)):
        yield f"Split at {name}, {behavior}{', inverted' if invert else ''}", {
            "type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}
    for each in (True, False):
        yield f"Digits, individual_digits {each}", {"type": "Digits", "individual_digits": each}
    for behavior in BEHAVIORS:
        yield f"Punctuation, {behavior}", {"type": "Punctuation", "behavior": behavior}
    for scheme, each in itertools.product(("always", "first", "never"), (True, False)):
        yield f"Metaspace, {scheme}, split {each}", {"type": "Metaspace", "replacement": META, "prepend_scheme": scheme, "split": each}
    yield "Whitespace", {"type": "Whitespace"}
    yield "WhitespaceSplit", {"type": "WhitespaceSplit"}
    yield "CharDelimiterSplit", {"type": "CharDelimiterSplit", "delimiter": "e"}
    yield "FixedLength", {"type": "FixedLength", "length": 3}
    yield "Sequence", {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Punctuation"}, {
        "type": "Metaspace", "replacement": META, "prepend_scheme": "always", "split": True}]}


def normalizers():
    for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase"):
        yield name, {"type": name}
    for left, right in itertools.product((True, False), repeat=2):
        yield f"Strip, left {left}, right {right}", {"type": "Strip", "strip_left": left, "strip_right": right}
    yield "Replace", {"type": "Replace", "pattern": {"Regex": r"\s{2,}|'"}, "content": " "}
    yield "Replace by nothing", {"type": "Replace", "pattern": {"String": "e"}, "content": ""}
    yield "Prepend", {"type": "Prepend", "prepend": "the "}
    yield "Sequence", {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]}


# of the borders of tokenizer_text.py: words, digits and signs in both halves, as single_word is the first of the flags
FLAGGED = ["the", "word", "a", "\u00e9", "1", "\u4e2d", "'s", "\u00bd", "-", "_", "(", "...", "<", "\u0301", "$", "in",
           "B", "\u00df", "\u0436", "\u3042", "23", "456", "'re", "n't", "\u00b2", "#", "|", "!?", "=", "+", "\u2014", "\U0001f9ff"]


def flagged():
    """A token of each combination of flags."""
    names = ("single_word", "lstrip", "rstrip", "normalized", "special")
    for content, flags in zip(FLAGGED, itertools.product((False, True), repeat=5), strict=True):
        yield token(0, content, **dict(zip(names, flags)))


def parts(texts, size=3000):
    vocab, merges = crossing(texts, size)
    model = bpe(vocab, merges, unk_token="<unk>")
    for name, part in pre_tokenizers():
        yield name, whole(None, part, model=model)
    for name, part in normalizers():
        yield f"normalizer {name}", whole(part, None, model=model)
    bytes_vocab, bytes_merges = byte_level(texts, split(GPT4))
    bytes_model = bpe(bytes_vocab, bytes_merges)
    for prefix, regex in itertools.product((True, False), repeat=2):
        yield f"ByteLevel, add_prefix_space {prefix}, use_regex {regex}", whole(
            None, BYTE_LEVEL | {"add_prefix_space": prefix, "use_regex": regex}, model=bytes_model)
    yield "normalizer ByteLevel", whole({"type": "ByteLevel"}, None, model=bytes_model)
    meta_vocab, meta_merges = sentencepiece(texts, ["<unk>"])
    short = {name: id_ for name, id_ in meta_vocab.items() if name not in ("<0xC3>", "<0xE4>")}
    short = {name: i for i, name in enumerate(short)}
    for fuse, fallback, ignore in itertools.product((True, False), repeat=3):
        yield f"BPE, fuse_unk {fuse}, byte_fallback {fallback}, ignore_merges {ignore}", whole(
            None, {"type": "Metaspace", "replacement": META, "prepend_scheme": "first", "split": True},
            model=bpe(short, meta_merges, unk_token="<unk>", fuse_unk=fuse, byte_fallback=fallback, ignore_merges=ignore))
    yield "BPE without an unknown token", whole(model=bpe(vocab, merges))
    yield from other_models(texts)
    for name, normalizer in (("no normalizer", None), ("Lowercase", {"type": "Lowercase"}), ("Prepend", {"type": "Prepend", "prepend": META})):
        yield f"flags of added tokens, {name}", whole(normalizer, {"type": "Metaspace", "replacement": META, "prepend_scheme": "always", "split": False},
                                                      model=model, added=flagged())
    yield "flags of added tokens, first", whole(None, {"type": "Metaspace", "replacement": META, "prepend_scheme": "first", "split": False},
                                                model=model, added=flagged())
    around = {"sep": ["<end>", 7], "cls": ["<start>", 8]}
    yield "BertProcessing", whole(post_processor={"type": "BertProcessing"} | around, model=model)
    yield "RobertaProcessing", whole(post_processor={"type": "RobertaProcessing", "trim_offsets": True, "add_prefix_space": False} | around, model=model)
    yield "Sequence of post-processors", whole(
        post_processor={"type": "Sequence", "processors": [{"type": "BertProcessing"} | around, template("<b>", 6), BYTE_LEVEL]}, model=model)


def other_models(texts):
    for kind, trainer, model in (
        ("Unigram", trainers.UnigramTrainer(vocab_size=800, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False),
         {"type": "Unigram", "unk_id": None, "vocab": [], "byte_fallback": False}),
        ("WordPiece", trainers.WordPieceTrainer(vocab_size=800, special_tokens=["<unk>"], show_progress=False),
         {"type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": "##", "max_input_chars_per_word": 12, "vocab": {"<unk>": 0}}),
        ("WordLevel", trainers.WordLevelTrainer(vocab_size=300, special_tokens=["<unk>"], show_progress=False),
         {"type": "WordLevel", "unk_token": "<unk>", "vocab": {"<unk>": 0}}),
    ):
        pieces = {"type": "Metaspace", "replacement": META, "prepend_scheme": "always", "split": True} if kind == "Unigram" else {"type": "Whitespace"}
        if kind == "Unigram":
            model = model | {"unk_id": 0, "vocab": [["<unk>", 0.0]]}
        tokenizer = Tokenizer.from_str(json.dumps(whole(None, pieces, model=model)))
        tokenizer.train_from_iterator(texts[:1500], trainer)
        made = json.loads(tokenizer.to_str())["model"]
        yield kind, whole(None, pieces, model=made)
        if kind == "Unigram":
            with_bytes = made | {"byte_fallback": True, "vocab": made["vocab"] + [[f"<0x{byte:02X}>", -20.0] for byte in range(256)]}
            yield "Unigram, byte_fallback", whole(None, pieces, decoder=META_DECODER, model=with_bytes)
        if kind == "WordPiece":
            vocab = made["vocab"]
            pairs = [["t", "##h"], ["##e", "##r"]]
            alphabet = [name for name in vocab if len(name.removeprefix("##")) == 1]
            affixed = {name: i for i, name in enumerate(["<unk>", *alphabet, *[name + "$" for name in alphabet], "th", "##er"])}
            yield "BPE with affixes", whole(None, pieces, model=bpe(
                affixed, [pair for pair in pairs if all(name in affixed for name in pair)], unk_token="<unk>",
                continuing_subword_prefix="##", end_of_word_suffix="$"))
