"""The architectures' golden files against bitsandbytes' layers and against planted bugs."""

import torch
from safetensors.torch import load_file

from architecture_models import OUT, tokens
from architecture_training import load_dense, train
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


def without_biases(model):
    for name, parameter in model.named_parameters():
        if name.endswith(".bias"):
            parameter.data.zero_()


def with_wider_window(model):
    """One key more than the window holds."""
    model.config.sliding_window += 1
    for module in model.modules():
        if getattr(module, "sliding_window", None) is not None:
            module.sliding_window += 1


def with_epsilon(model):
    for module in model.modules():
        for name in ("variance_epsilon", "eps"):
            if hasattr(module, name):
                setattr(module, name, getattr(module, name) * 10)


def with_rope(model):
    """Half a percent in every frequency."""
    for module in model.modules():
        if hasattr(module, "inv_freq"):
            module.inv_freq.mul_(1.005)


def without_head_norms(model):
    for name, parameter in model.named_parameters():
        if "q_norm" in name or "k_norm" in name:
            parameter.data.fill_(1)


def with_exact_gelu(model):
    for layer in model.model.layers:
        layer.mlp.act_fn = torch.nn.GELU()


LOGIT_BUGS = {
    "none, computed in float64": (lambda model: model.double(), None),
    "RMSNorm epsilon x10": (with_epsilon, None),
    "rotary frequencies +0.5 %": (with_rope, None),
    "biases left out": (without_biases, ("llama-biased", "qwen2")),
    "window one wider": (with_wider_window, ("mistral", "qwen2", "phi3")),
    "weights of the q and k norms left out": (without_head_norms, ("qwen3",)),
    "GELU by erf": (with_exact_gelu, ("gemma",)),
}


def logits_sensitivity(models):
    print("| model | planted | largest difference / max logit |\n| --- | --- | --- |")
    ids = torch.from_numpy(tokens()[0])
    for name, spec in models.items():
        with torch.no_grad():
            reference = load_dense(name, spec).eval()(input_ids=ids).logits
            for title, (plant, where) in LOGIT_BUGS.items():
                if where is not None and name not in where:
                    continue
                model = load_dense(name, spec).eval()
                plant(model)
                difference = (model(input_ids=ids).logits - reference).abs().max() / reference.abs().max()
                print(f"| {name} | {title} | {difference:.1e} |")
    print()


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
