"""lm-eval itself, through a running `nibble serve`: what it asked, what it made of the answers, and what its own `hf` model says.

usage: serve.py URL OUT.json    with a server for bench/models/tiny and test/golden/eval/adapter=judge at URL
Writes the requests that were sent and, for each task, item by item, log-likelihoods by both ways. Needs: lm_eval, transformers.
test/slow/serve-lm-eval.test.ts sends the requests again.
"""

import importlib.metadata
import json
import os
import sys
from pathlib import Path

from lm_eval import simple_evaluate
from lm_eval.models.openai_completions import LocalCompletionsAPI
from lm_eval.tasks import TaskManager

ROOT = Path(__file__).resolve().parent.parent.parent
EVAL = ROOT / "test" / "golden" / "eval"
TASKS = ["whale_choice", "whale_letters", "sea_passages", "last_word", "next_word"]
MODELS = {"base": "tiny", "adapter": "judge"}
CONTEXT = 512
# first items of each task: enough to hold every kind of request, and few enough to be sent again by a test
ITEMS = 6
BOS = 0


class Recorded(LocalCompletionsAPI):
    """Keeps what is sent, in the order it is sent."""

    sent = []

    def _create_payload(self, *arguments, **keywords):
        payload = super()._create_payload(*arguments, **keywords)
        self.sent.append(json.loads(json.dumps(payload)))
        return payload


def scored(url, model):
    # lm-eval keeps a place of these for the token that it asks for and throws away
    lm = Recorded(
        base_url=f"{url}/v1/completions",
        model=model,
        tokenizer_backend="huggingface",
        tokenizer=str(ROOT / "bench" / "models" / "tiny"),
        max_length=CONTEXT,
        # as lm-eval's hf model does with this tokenizer
        add_bos_token=True,
        custom_prefix_token_id=BOS,
        batch_size=4,
        num_concurrent=1,
        max_retries=1,
    )
    manager = TaskManager(include_path="tasks", include_defaults=False)
    return simple_evaluate(model=lm, tasks=TASKS, task_manager=manager, bootstrap_iters=0, limit=ITEMS)["samples"]


def main(url, out):
    os.chdir(EVAL)
    own = json.loads((EVAL / "lm-eval.json").read_text())
    found = {}
    for arm, model in MODELS.items():
        Recorded.sent = []
        samples = scored(url, model)
        tasks = {}
        for task, rows in samples.items():
            hf = {(row["doc_id"], row["filter"]): row for row in own[arm]["samples"][task]}
            tasks[task] = [
                {
                    "doc_id": row["doc_id"],
                    "served": row["filtered_resps"],
                    "hf": hf[row["doc_id"], row["filter"]]["filtered_resps"],
                }
                for row in rows
            ]
        found[arm] = {"requests": Recorded.sent, "tasks": tasks}
    made = {"lm_eval": importlib.metadata.version("lm_eval"), **found}
    Path(out).write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
