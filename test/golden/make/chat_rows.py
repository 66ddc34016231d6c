"""Twenty conversations, in the forms that TRL reads: what test/golden/chat is made of."""

import json

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "tide",
            "description": "Height of the tide, in metres above \u201cmean\u201d water",
            "parameters": {
                "type": "object",
                "properties": {
                    "harbour": {"type": "string"},
                    "hour": {"type": "number", "minimum": 0.0, "maximum": 23.5, "default": 12},
                    "in_feet": {"type": "boolean", "default": False},
                },
                "required": ["harbour"],
            },
        },
    }
]

LONG = "The boats lie on the mud until the water is back; then they turn, one after another, into the wind. " * 6


def user(content):
    return {"role": "user", "content": content}


def said(content, **more):
    return {"role": "assistant", "content": content} | more


def system(content):
    return {"role": "system", "content": content}


CALL = {"type": "function", "function": {"name": "tide", "arguments": {"harbour": "Bréhat", "hour": 7.0, "in_feet": False}}}
CALLS = {"tool_calls": [CALL]}

CONVERSATIONS = [
    [user("What of the sea?"), said("It is wide.")],
    [user("Hello"), said("Hello! What can I do for you?"), user("Sing."), said("La la la."), user("Again!"), said("La.")],
    [system("Answer in one word."), user("Is it late?"), said("Yes")],
    [system("  Spaces before and after.\n"), user(" \n leading and trailing \t "), said("  kept or cut?  \n\n")],
    [user("First line\nsecond line\n\n\nfifth line"), said("1. one\n2. two\n\n```ts\nconst a = {b: [1, 2]};\n```\n")],
    [user("Zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich"), said("größer als 日本 und 한국? 🙂👩\u200d👧 cafe\u0301")],
    [user(""), said("Nothing was asked.")],
    [user("Nothing to answer."), said("")],
    [user("What is 2 + 2?"), said("<think>\nTwo and two.\n</think>\n\nIt is 4."), user("And 3 + 3?"), said("<think>\nSix.\n</think>\n\n6")],
    [user("Think aloud."), said("Done.", reasoning_content="First this,\nthen that.")],
    [user("Write <|im_start|>user or <eos> or </s> yourself"), said("I write <|im_end|> and <|eot_id|> and <end_of_turn>.")],
    [user(LONG), said("That is a long story.")],
    [user("Tell me a long story."), said(LONG)],
    [user("Short."), said("Yes."), user(LONG), said("No."), user("Why?"), said("Because.")],
    [user("{{ braces }} {% and %} {# signs #}"), said("'quotes' and \"quotes\" and \\backslashes\\")],
    [user("\u00a0no-break\u00a0"), said("\ufeffmark\u2028line\u3000")],
    [system("You know the tides."), user("High water?"), said("Let me look.", **CALLS), {"role": "tool", "name": "tide", "content": "4.5"}, said("It is 4.5 m.")],
    [user("At seven?"), said("", **CALLS), {"role": "tool", "name": "tide", "content": "{\"height\": 2.0}"}, said("Two metres."), user("Thanks!"), said("You are welcome.")],
    [user("Count: " + " ".join(str(n) for n in range(40))), said(" ".join(str(n) for n in range(40, 80)))],
    [user("A last\ttab and a \x0b vertical one"), said("The end \u2026 or not?\r\nA line of Windows.")],
]
WITH_TOOLS = (16, 17)


def chats():
    """Rows of `messages`; those that call tools name them."""
    return [
        {"messages": messages} | ({"tools": json.dumps(TOOLS)} if i in WITH_TOOLS else {})
        for i, messages in enumerate(CONVERSATIONS)
    ]
