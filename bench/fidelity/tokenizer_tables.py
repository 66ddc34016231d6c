"""Writes src/formats/tokenizer/unicode-tables.ts: sets of code points as Rust's `tokenizers` answers for them.

    tokenizer_tables.py FILE

JavaScript's own properties follow the Unicode version that its engine was built with; those of `tokenizers` follow Oniguruma,
the regex crate, Rust's std and older crates, each at a version of its own. Every set is asked of `tokenizers` itself, code point by
code point.
"""

import sys
from importlib.metadata import version

import unicodedata2
from tokenizers import Regex, normalizers, pre_tokenizers

POINTS = [point for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF]
TEXT = "".join(map(chr, POINTS))
CATEGORIES = ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co").split()
PROPERTIES = ("Alphabetic Uppercase Lowercase Arabic Armenian Bengali Bopomofo Cyrillic Devanagari Ethiopic Georgian Greek Gujarati "
              "Gurmukhi Han Hangul Hebrew Hiragana Kannada Katakana Khmer Lao Latin Malayalam Mongolian Myanmar Oriya Sinhala Tamil "
              "Telugu Thai Tibetan Yi").split()


def points(pieces):
    return {ord(char) for piece, _ in pieces for char in piece}


def oniguruma(name):
    return points(pre_tokenizers.Split(Regex(rf"[^\p{{{name}}}]"), "removed").pre_tokenize_str(TEXT))


def numeric():
    """char::is_numeric: pieces of Digits are numbers and other text in turn."""
    pieces = pre_tokenizers.Digits(individual_digits=False).pre_tokenize_str(TEXT)
    first = next(i for i, (piece, _) in enumerate(pieces) if "0" in piece) % 2
    return points(pieces[first::2])


def punctuation():
    return set(POINTS) - points(pre_tokenizers.Punctuation("removed").pre_tokenize_str(TEXT))


def word():
    """\\w of the regex crate: what sticks to a letter."""
    joined = " ".join("a" + chr(point) for point in POINTS)
    pieces = pre_tokenizers.Whitespace().pre_tokenize_str(joined)
    return {ord(piece[1]) for piece, _ in pieces if len(piece) == 2 and piece[0] == "a"}


def unnormalized():
    """Code points that Unicode 17 decomposes, composes or reorders, and the tables of `tokenizers` leave as they are."""
    nfd, nfkd = normalizers.NFD(), normalizers.NFKD()

    def inert(char):
        # U+0334 has class 1 and U+0345 class 240: a mark of any class changes places with one of them
        texts = [char + "\u0334", "\u0345" + char]
        return nfkd.normalize_str(char) == char and [nfd.normalize_str(text) for text in texts] == texts

    newer = set()
    for point in POINTS:
        char = chr(point)
        decomposition = unicodedata2.decomposition(char)
        if (decomposition or unicodedata2.combining(char)) and inert(char):
            newer.add(point)
            if decomposition and not decomposition.startswith("<"):
                first = int(decomposition.split()[0], 16)
                # a new composition has a new part, which stands in the block of the whole
                assert abs(first - point) < 0x100, "a composition whose first part is old"
                newer.add(first)
    return newer


def encoded(points_):
    """Ranges as `gap.length` in base 36, the gap counted from the end of the range before; a length of 1 is left out."""
    out, end, ordered = [], 0, sorted(points_)
    i = 0
    while i < len(ordered):
        j = i
        while j + 1 < len(ordered) and ordered[j + 1] == ordered[j] + 1:
            j += 1
        length = ordered[j] - ordered[i] + 1
        out.append(base36(ordered[i] - end) + ("" if length == 1 else "." + base36(length)))
        end = ordered[j] + 1
        i = j + 1
    return " ".join(out)


def base36(number):
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
        if number == 0:
            return digits


def main():
    sets = {name: oniguruma(name) for name in CATEGORIES + PROPERTIES}
    sets |= {"RustNumeric": numeric(), "RustPunctuation": punctuation(), "RustWord": word(), "NeverNormalized": unnormalized()}
    lines = [
        "/**",
        f" * Sets of code points as tokenizers {version('tokenizers')} answers for them, written by bench/fidelity/tokenizer_tables.py.",
        " * Ranges are `gap.length` in base 36, the gap counted from the end of the range before; a length of 1 is left out.",
        " */",
        "export const TABLES = {",
        *(f"  {name}: '{encoded(found)}'," for name, found in sets.items()),
        "} as const;",
    ]
    with open(sys.argv[1], "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")


main()
