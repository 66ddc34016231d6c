"""What Jinja, as transformers sets it up for chat templates, makes of Python's methods of str: test/golden/chat/strings.json."""

from transformers.utils.chat_template_utils import _compile_jinja_template

TEXTS = ["'  a b  c '", "'x--y--z'", "'\\t\\n a\\u2003b\\r\\n'", "''", "'aaa'", "'Hello wOrld 3x'", "'ab\\ncd\\r\\n\\nef\\n'",
         "'\U0001f642\u00e9\U0001f642a'", "'\\x1c a \\x85'"]
CALLS = ["strip()", "lstrip()", "rstrip()", "strip('a ')", "lstrip('x-')", "rstrip('z-f\\n')", "strip(none)", "split()",
         "split('a')", "split('--')", "split(none, 1)", "split(none, 0)", "split('--', 1)", "split('a', 2)", "split(maxsplit=1)",
         "split(sep='a')", "split(sep='-', maxsplit=2)", "rsplit()", "rsplit(none, 1)", "rsplit('--', 1)", "rsplit('a', 1)",
         "rsplit(maxsplit=2)", "splitlines()", "splitlines(true)", "splitlines(keepends=true)", "replace('a', 'bb')",
         "replace('a', 'b', 1)", "replace('a', 'b', 0)", "replace('', '.')", "replace('', '.', 2)", "replace('a', 'b', -1)",
         "removeprefix('a')", "removeprefix('x--')", "removesuffix('c ')", "removesuffix('')", "find('a')", "find('a', 2)",
         "find('a', -2)", "find('a', 0, 1)", "find('\U0001f642')", "find('')", "find('', 99)", "rfind('\U0001f642')", "rfind('zz')",
         "rfind('a', 0, -1)", "count('a')", "count('')", "count('', 2)", "count('a', 1)", "count('\U0001f642')", "capitalize()",
         "title()", "upper()", "lower()", "startswith('a')", "endswith('a')", "join(['1', '2'])", "join('ab')"]
MORE = ["'a'.join([])", "\"it's a dog's life\".title()", "'\u01c6'.capitalize()", "'\u00df'.capitalize()", "'3rd'.title()",
        "'a b c'.split(' ', -1)", "'a b c'.split('')", "'a b'.split(by=' ')", "'a b'.split(' ', 1, 2)", "'a b'.split(' ', sep=' ')",
        "'a b'.split(1)", "'aXbX'.replace('X', 'y', count=1)", "'a'.replace('a')", "'a'.strip(chars='a')", "','.join([1, 2])",
        "'a'.find()", "'a'.count('a', 'b')", "'\u4e2da b'.title()", "'\u02bca'.title()", "'\u10d0\u10d1'.capitalize()", "'\u10d0 a'.title()",
        "'hELLO wORLD' | title", "'it\\'s a-b (c) <d>e' | title", "'\u00e91A' | title", "'hELLO w' | capitalize", "true ~ none ~ 1.0 ~ ['a'] ~ 'b'",
        "[1.0, true, none, 'a'] | join(',')", "'ab' | join('-')", "{'a': 1, 'b': 2} | join(d=' ')", "[1, 2] | join", "x ~ 'a'",
        "' ab  c'.rsplit(none, 2)", "'\U0001f642a\U0001f642'.strip('\U0001f642')"]
# what str() makes of other values
PRINTED = ["('a', 'b')", "[1, ['b']]", "{'a': none, 'b': [true, false]}", "none", "true", "1.0", "0.1 + 0.2", "-0.5", "'it\\'s'",
           "['it\\'s']", "['\"']", "['it\\'s \"']", "['a\\nb\\t\\\\']", "['\u00e9\u2028\U0001f642']", "['\x07\x7f\x85\xa0\xad']",
           "['\u200b\ufeff\u3000\U000e0001\ue000']", "[[]]", "{}"]


def strings():
    """Pairs of an expression and its value as JSON; null where Python raises."""
    rows = []
    for expression in [f"{text}.{call}" for text in TEXTS for call in CALLS] + MORE + [f"({value}) | string" for value in PRINTED]:
        try:
            value = _compile_jinja_template("{{ (" + expression + ") | tojson }}").render()
        except Exception:
            value = None
        rows.append([expression, value])
    return rows
