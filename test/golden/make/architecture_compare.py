"""The architectures' golden files against bitsandbytes' layers and against planted bugs."""

import torch
from safetensors.torch import load_file

from architecture_models import OUT, tokens
from architecture_training import train
from peft_compare import worst_relative

# the seven of the fidelity tests come last; the first rows show what rounding alone does
BUGS = {
    "none, computed in float64": dict(dtype=torch.float64),
    "none, sdpa instead of eager attention": dict(attention="sdpa"),
    "Adam epsilon 1e-6": dict(epsilon=1e-6),
    "beta2 0.99": dict(beta2=0.99),
    "weight decay left out": dict(weight_decay=0.0),
    "learning rate +1 %": dict(learning_rate=1.01e-3),
    "clipping left out": dict(max_grad_norm=float("inf")),
    "RMSNorm epsilon x10": dict(norm_epsilon_factor=10),
    "alpha -1 %": dict(lora_alpha=7.92),
}


def update_errors(final, reference, initial):
    """|(W - W0) - (W' - W0)| / |W' - W0| of every tensor, sorted; in float64."""
    errors = []
    for key, start in initial.items():
        want = reference[key].double() - start.double()
        got = final[key].double() - start.double()
        errors.append(float((got - want).norm() / want.norm()))
    return sorted(errors)


def compare(got, want, initial):
    """The three figures of the issue: loss, gradient norm, and the update's median and worst tensor."""
    loss, norm = (worst_relative(got[0], want[0], key) for key in ("loss", "grad_norm"))
    errors = update_errors(got[1], want[1], initial)
    return loss, norm, errors[len(errors) // 2], errors[-1]


def sensitivity(models):
    print("| model | planted | loss | grad norm | update, median | worst |\n| --- | --- | --- | --- | --- | --- |")
    _, steps = tokens()
    for name, spec in models.items():
        initial = load_file(OUT / name / "adapter-init" / "adapter_model.safetensors")
        for form in ("dense", "bnb-4bit"):
            reference = train(name, spec, form, steps)
            for title, changes in BUGS.items():
                figures = compare(train(name, spec, form, steps, changes), reference, initial)
                print(f"| {name} {form} | {title} | " + " | ".join(f"{figure:.1e}" for figure in figures) + " |")


def check(models):
    """PEFT on bitsandbytes' own Linear4bit layers, forward and backward, against the dequantized base. Its backward
    rounds weights to the type they were quantized from, so only float32 can agree to the bit."""
    _, steps = tokens()
    for name, spec in models.items():
        options = dict(dtype=torch.float32, attn_implementation="eager", device_map="cpu")
        base = spec.model.from_pretrained(OUT / name / "bnb-4bit", **options)
        initial = load_file(OUT / name / "adapter-init" / "adapter_model.safetensors")
        theirs = train(name, spec, "bnb-4bit", steps, base=base)
        figures = compare(theirs, train(name, spec, "bnb-4bit", steps), initial)
        print(f"{name}, quantized from {spec.quantized_from}: " + ", ".join(f"{figure:.1e}" for figure in figures))
