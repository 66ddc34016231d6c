"""lm-eval itself, through a running `nibble serve`: what it asked, and what it took from the answers.

usage: serve.py URL MODEL CONTEXT OUT.json [ITEMS]    with a server for MODEL, whose context is CONTEXT tokens, and an adapter called judge at URL
Writes for the base and the adapter each request with the numbers or texts that lm-eval read out of its answer, and lm-eval's samples and
results of every task of test/golden/eval; ITEMS are the first of each task, all where it is left out. Needs: lm_eval[api], transformers.
"""

import importlib.metadata
import json
import os
import sys
from pathlib import Path

from lm_eval import simple_evaluate
from lm_eval.models.openai_completions import LocalCompletionsAPI
from lm_eval.tasks import TaskManager

EVAL = Path(__file__).resolve().parent.parent.parent / "test" / "golden" / "eval"
TASKS = ["whale_choice", "whale_letters", "sea_passages", "last_word", "next_word"]
MODELS = {"base": "base", "adapter": "judge"}
PACKAGES = ("torch", "transformers", "lm_eval")


class Recorded(LocalCompletionsAPI):
    """Keeps what is sent and what is made of the answer, in the order of both: one request is under way at a time."""

    exchanges = []

    def _create_payload(self, *arguments, **keywords):
        payload = super()._create_payload(*arguments, **keywords)
        Recorded.exchanges.append({"request": json.loads(json.dumps(payload))})
        return payload

    @staticmethod
    def parse_logprobs(outputs, tokens=None, ctxlens=None, **keywords):
        taken = LocalCompletionsAPI.parse_logprobs(outputs=outputs, tokens=tokens, ctxlens=ctxlens, **keywords)
        Recorded.exchanges[-1].update(contexts=list(ctxlens), taken=[list(pair) for pair in taken])
        return taken

    @staticmethod
    def parse_generations(outputs, **keywords):
        taken = LocalCompletionsAPI.parse_generations(outputs=outputs, **keywords)
        Recorded.exchanges[-1].update(taken=taken)
        return taken


def scored(url, name, model, context, items):
    lm = Recorded(
        base_url=f"{url}/v1/completions",
        model=name,
        tokenizer_backend="huggingface",
        tokenizer=model,
        max_length=context,
        # as lm-eval's hf model does where the tokenizer puts one in front
        add_bos_token=True,
        batch_size=4,
        num_concurrent=1,
        max_retries=1,
    )
    manager = TaskManager(include_path="tasks", include_defaults=False)
    return simple_evaluate(model=lm, tasks=TASKS, task_manager=manager, bootstrap_iters=0, limit=items)


def main(url, model, context, out, items=None):
    model, out = Path(model).resolve(), Path(out).resolve()
    # the tasks name their data from here
    os.chdir(EVAL)
    found = {"versions": {name: importlib.metadata.version(name) for name in PACKAGES}}
    for entry, name in MODELS.items():
        Recorded.exchanges = []
        made = scored(url, name, str(model), int(context), None if items is None else int(items))
        samples = {
            task: [{key: row[key] for key in ("doc_id", "filter", "filtered_resps", *row["metrics"])} for row in rows]
            for task, rows in made["samples"].items()
        }
        found[entry] = {"exchanges": Recorded.exchanges, "samples": samples, "results": made["results"]}
    out.write_text(json.dumps(found, default=float) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
