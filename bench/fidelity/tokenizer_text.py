"""Texts of our own for the tokenizers: sentences of many languages, code, odd white space, and what stands at borders."""

import random
import unicodedata

SENTENCES = [
    "The tide comes in twice a day, and nobody asked it to; we'd only wanted to see the boats.",
    "She's sure they'll arrive at 10:45, isn't she? I'VE heard it's 3.14159 or 1,234,567 times so.",
    "Das Wetter über den Bergen wechselt schnell, größere Straßen bleiben im Januar oft gesperrt.",
    "L'été dernier, nous n'avons vu qu'un seul orage près de la forêt; c'était déjà l'automne.",
    "El niño pregunta por qué el mar está tan lejos; ¡mañana iremos con la abuela!",
    "Наша лодка стоит у старого причала, и каждое утро мы слышим чаек над водой.",
    "Το καράβι φεύγει στις επτά το πρωί και ο καφές είναι ακόμη ζεστός.",
    "الميناء هادئ في الصباح، والصيادون يعودون قبل الظهر ومعهم ١٢٣ سمكة.",
    "הספינה יוצאת מהנמל בשעה שבע, והרוח נושבת מן הים.",
    "समुद्र के किनारे तीन नावें खड़ी हैं और बच्चे रेत में खेल रहे हैं। १२ बजे",
    "ทะเลเงียบสงบในตอนเช้า และเรือสามลำกลับเข้าฝั่งพร้อมปลา ๔๕ ตัว",
    "海边有三条船，孩子们在沙滩上玩耍，下午三点以后才会涨潮。",
    "港には三隻の船が並んでいて、カモメの声がずっと聞こえます。ｶﾅも少し。",
    "바닷가에 배가 세 척 있고 아이들은 모래밭에서 놀고 있습니다.",
    "Thuyền cập bến lúc bảy giờ, gió từ biển thổi vào rất nhẹ.",
    "for (let i = 0; i < rows.length; i++) { total += rows[i]?.price ?? 0; } // sum of 3 columns",
    "def area(width, height):\n    \"\"\"Square units.\"\"\"\n\treturn width*height  # 2**10 == 1024\n",
    "{\"name\": \"harbour\", \"open\": true, \"berths\": [1, 2, 30], \"ratio\": 6.02e23}",
    "½ cup and ¼ spoon, about 10² steps, item Ⅷ of 一二三, ①②③, ٤٥٦, x₁ + y₂",
    "cafe\u0301 re\u0301sume\u0301 A\u030a \u1112\u1161\u11ab Ａ ﬁ ǅ ẞ İ \u0915\u093c",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇫🇷 ⌚️ ™️ 1️⃣",
    "https://example.org/a_b-c?d=e&f=%20#g  <p class='x'>&nbsp;</p>\r\n\r\n| a | b |\n|---|---|\n",
]
SPECIALS = ["<s>", "</s>", "<unk>", "<pad>", "<|user|>", "<|end|>", "<|assistant|>", "<|endoftext|>", "<|im_start|>", "<bos>", "<eos>",
            "<mask>", "<|begin_of_text|>", "<tool_call>", "</think>"]
BORDERS = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\u0085", "\u00a0", "\u2028", "\u3000", "\ufeff", "\u200b", "\u200d", "\u180e", "\u1680",
           "a", "B", "é", "e\u0301", "\u0301", "ß", "ſ", "\u212a", "\u0345", "ж", "中", "あ", "ア", "한", "क\u093c", "\u0e33", "ǅ", "ʰ", "1", "23", "456",
           "7890", "½", "²", "Ⅷ", "٣", "一", "₁", "'s", "'S", "'ſ", "'re", "'LL", "n't", "’s", "'", "\"", ".", "...", "!?", "-", "—", "_", "/", "(",
           ")", "#", "$", "€", "+", "=", "^", "`", "´", "。", "،", "👍🏽", "👩‍👧", "\u2581", "\u2581a", "Ġ", "\x00", "\x7f", "\ue000", "\U0001f9ff",
           "\U00011de3", "\u0e50", "the", " the", "in", "word", "Word", "WORD", "<", ">", "|", "<|", "|>", "<0x0A>"] + SPECIALS


def training_text(seed=7, count=4000):
    draw = random.Random(seed)
    return [" ".join(draw.sample(shuffled(draw), 3)) for _ in range(count)]


def shuffled(draw):
    """Each sentence with its words in another order, so that no two lines are alike."""
    out = []
    for sentence in SENTENCES:
        words = sentence.split(" ")
        cut = draw.randrange(len(words))
        out.append(" ".join(words[cut:] + words[:cut]))
    return out


def mixed_text(size=1_000_000, seed=11):
    """One text of a million bytes: sentences with borders and numbers between them."""
    draw = random.Random(seed)
    parts, length = [], 0
    while length < size:
        part = draw.choice(shuffled(draw)) + draw.choice(["\n", " ", "  ", "\n\n", ", ", ". "]) + draw.choice(["", draw.choice(BORDERS)])
        if draw.random() < 0.2:
            part += str(draw.randrange(10 ** draw.randrange(1, 12)))
        parts.append(part)
        length += len(part.encode())
    return "".join(parts)


def border_texts(count, seed=13):
    draw = random.Random(seed)
    return ["".join(draw.choices(BORDERS, k=draw.randrange(1, 12))) for _ in range(count)]


def code_points():
    """Every code point that Unicode 17 assigns, surrogates aside, each beside a letter, a digit and a space; 256 of them to a text."""
    import unicodedata2

    points = [chr(p) for p in range(0x110000) if unicodedata2.category(chr(p)) not in ("Cn", "Cs")]
    texts = ["".join(f"a{c}1{c} " for c in points[i : i + 256]) for i in range(0, len(points), 256)]
    return texts, len(points)
