"""What lm-eval asks of a model when tasks go through a chat template: the requests of eval/tasks and of one with a begun answer.

Writes test/golden/eval-chat: the templates, the task with gen_prefix, and arguments.json: for each form (template, system instruction,
few-shot examples as turns or as one text) and each task the first item's arguments, and a hash over those of all items. No model runs:
requests are caught before. Needs: lm_eval, transformers. How to run: README.md in this folder.
"""

import hashlib
import importlib.metadata
import json
import os
from pathlib import Path

from lm_eval import simple_evaluate
from lm_eval.api.model import LM
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoTokenizer

from shared import GOLDEN, write_json

OUT = GOLDEN / "eval-chat"
EVAL = GOLDEN / "eval"
TINY = Path(os.environ.get("NIBBLE_ROOT", GOLDEN.parent.parent)) / "bench" / "models" / "tiny"
TASKS = ["whale_choice", "whale_letters", "sea_passages", "last_word", "next_word", "whale_begun"]
# ours: one says everything, the other trims contents and takes no system message
TEMPLATES = {
    "plain": "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
    "strict": "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system message') }}{% endif %}"
    "[{{ m.role }}] {{ m.content | trim }}\n{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}",
}
BEGUN = """# Multiple choice whose answer is begun, with an example that is begun as well.
include: ../../eval/tasks/whale_choice.yaml
task: whale_begun
num_fewshot: 1
gen_prefix: "He said:"
"""
SYSTEM = "You are a whaleman."
FORMS = [
    {"template": "plain", "system_instruction": None, "fewshot_as_multiturn": True},
    {"template": "plain", "system_instruction": SYSTEM, "fewshot_as_multiturn": False},
    {"template": "strict", "system_instruction": SYSTEM, "fewshot_as_multiturn": True},
    {"template": None, "system_instruction": SYSTEM, "fewshot_as_multiturn": True},
]


class Listener(LM):
    """Answers anything, and keeps what it was asked."""

    # how HFLM renders chats
    apply_chat_template = HFLM.apply_chat_template
    chat_template_args = {}

    def __init__(self, template):
        super().__init__()
        self.tokenizer = AutoTokenizer.from_pretrained(TINY)
        self.tokenizer.chat_template = template

    @property
    def tokenizer_name(self):
        return "tiny"

    def loglikelihood(self, requests, **_):
        return [(-1.0, False) for _ in requests]

    def loglikelihood_rolling(self, requests, **_):
        return [-1.0 for _ in requests]

    def generate_until(self, requests, **_):
        return ["so" for _ in requests]


def asked(template, system_instruction, fewshot_as_multiturn):
    manager = TaskManager(include_path=[str(EVAL / "tasks"), str(OUT / "tasks")], include_defaults=False)
    made = simple_evaluate(
        model=Listener(TEMPLATES.get(template)),
        tasks=TASKS,
        task_manager=manager,
        bootstrap_iters=0,
        apply_chat_template=template is not None,
        system_instruction=system_instruction,
        fewshot_as_multiturn=fewshot_as_multiturn,
    )
    found = {}
    for task, rows in made["samples"].items():
        # a row of samples for each filter
        first = rows[0]["filter"]
        texts = [[[part for part in call if isinstance(part, str)] for call in row["arguments"]] for row in rows if row["filter"] == first]
        whole = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
        found[task] = {"items": len(texts), "first": texts[0], "sha256": hashlib.sha256(whole.encode()).hexdigest()}
    return found


def main():
    (OUT / "tasks").mkdir(parents=True, exist_ok=True)
    (OUT / "tasks" / "whale_begun.yaml").write_text(BEGUN)
    # the tasks name their data from here
    os.chdir(EVAL)
    write_json(OUT / "arguments.json", {"templates": TEMPLATES, "forms": [{**form, "tasks": asked(**form)} for form in FORMS]})
    packages = {name: importlib.metadata.version(name) for name in ("transformers", "lm_eval")}
    write_json(OUT / "versions.json", packages)


if __name__ == "__main__":
    main()
