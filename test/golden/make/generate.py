"""Greedy generations of transformers with every tiny model of architectures/: both bases, with and without an adapter.

Writes test/golden/generate/greedy.json, and sampling.json: the probabilities that transformers would draw from. The end of text is switched off, so that every row has all its tokens. `ties` are the
places where the chosen token's score leads the next one by less than TIE, so that another order of sums may choose the other.
How to run: README.md in this folder.
"""

import numpy as np
import torch
from peft import PeftModel
from transformers import GenerationConfig, LogitsProcessorList
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from architecture_models import MODELS, OUT as ARCHITECTURES, VOCAB
from architecture_training import load
from shared import GOLDEN, settle, versions, write_json

OUT = GOLDEN / "generate"
# longer than every sliding window
PROMPT, NEW = 13, 128
PENALTY = 4.0
TIE = 1e-4


def greedy(model, prompt, **changes):
    """@returns the new tokens, and which of them barely lead."""
    settings = GenerationConfig(
        max_new_tokens=NEW,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
        output_scores=True,
        return_dict_in_generate=True,
        **changes,
    )
    with torch.no_grad():
        made = model.eval().generate(input_ids=torch.tensor([prompt]), generation_config=settings)
    best = [torch.topk(scores[0], 2).values for scores in made.scores]
    ties = [place for place, top in enumerate(best) if (top[0] - top[1]).item() < TIE]
    return {"token_ids": made.sequences[0, PROMPT:].tolist(), "ties": ties}


SAMPLING = (
    {},
    {"temperature": 0.7},
    {"temperature": 1.8, "top_k": 5},
    {"top_p": 0.8},
    {"min_p": 0.1},
    {"repetition_penalty": 1.5},
    {"repetition_penalty": 0.8, "temperature": 0.5, "top_k": 12, "top_p": 0.9, "min_p": 0.05},
)
# in the order of GenerationMixin._get_logits_processor
STEPS = {
    "repetition_penalty": RepetitionPenaltyLogitsProcessor,
    "temperature": TemperatureLogitsWarper,
    "top_k": TopKLogitsWarper,
    "top_p": TopPLogitsWarper,
    "min_p": MinPLogitsWarper,
}


def sampling():
    """Two of the logits are equal, and top_k 5 keeps them both."""
    draw = np.random.default_rng(78)
    logits = (2 * draw.standard_normal(40)).astype(np.float32)
    fifth, sixth = np.argsort(-logits)[4:6]
    logits[sixth] = logits[fifth]
    seen = draw.integers(0, 40, 10).tolist()
    rows = []
    for settings in SAMPLING:
        steps = LogitsProcessorList(make(settings[key]) for key, make in STEPS.items() if key in settings)
        scores = steps(torch.tensor([seen]), torch.from_numpy(logits.copy())[None])
        rows.append({"settings": settings, "probabilities": torch.softmax(scores[0].double(), 0).tolist()})
    write_json(OUT / "sampling.json", {"logits": logits.tolist(), "seen": seen, "rows": rows})


def main():
    draw = np.random.default_rng(77)
    found = {}
    for name, spec in MODELS.items():
        prompt = draw.integers(3, VOCAB, PROMPT).tolist()
        runs = {}
        for form in ("dense", "bnb-4bit"):
            base = load(name, spec, form)
            # transformers looks for its own default otherwise, and ends at the model's end of text
            base.generation_config = GenerationConfig(eos_token_id=None, pad_token_id=0)
            base.config.eos_token_id = None
            runs[form] = greedy(base, prompt)
            # some of these models repeat one token otherwise
            runs[f"{form}+penalty"] = greedy(base, prompt, repetition_penalty=PENALTY)
            adapted = PeftModel.from_pretrained(base, ARCHITECTURES / name / "adapter-init")
            runs[f"{form}+adapter"] = greedy(adapted, prompt)
        print(name, {key: (len(run["ties"]), len(set(run["token_ids"]))) for key, run in runs.items()}, flush=True)
        found[name] = {"prompt": prompt, **runs}
    OUT.mkdir(exist_ok=True)
    write_json(OUT / "greedy.json", {"repetition_penalty": PENALTY, "models": found})
    sampling()
    versions(OUT / "versions.json")


if __name__ == "__main__":
    settle()
    main()
