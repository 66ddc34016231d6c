"""Loads a tiny model of architectures.py in either form and trains its adapter with the loop of peft_loop.py."""

import json

import torch
from peft import get_peft_model_state_dict

from architecture_models import OUT, STEPS
from nf4_reference import read_base
from peft_loop import Recipe, train_model, with_adapter


def recipe(**changes):
    return Recipe(**({"total_steps": STEPS} | changes))


def load(name, spec, form, attention="eager"):
    return load_dense(name, spec, attention) if form == "dense" else load_dequantized(name, spec, attention)


def load_dense(name, spec, attention="eager"):
    """Stored in bfloat16, computed in float32."""
    return spec.model.from_pretrained(OUT / name / "dense", dtype=torch.float32, attn_implementation=attention)


def load_dequantized(name, spec, attention="eager"):
    """The 4-bit checkpoint as an ordinary float32 model, its weights dequantized by the format's definition."""
    directory = OUT / name / "bnb-4bit"
    _, weights, quantized = read_base(directory)
    assert len(quantized) > 0
    settings = json.loads((directory / "config.json").read_text())
    del settings["quantization_config"]
    config = spec.model.config_class(**settings)
    model = spec.model._from_config(config, dtype=torch.float32, attn_implementation=attention)
    state = {key: torch.from_numpy(value) for key, value in weights.items()}
    found = model.load_state_dict(state, strict=False)
    assert found.unexpected_keys == [] and found.missing_keys == (["lm_head.weight"] if spec.tied else []), found
    if spec.tied:
        assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    return model


def adapter_of(model):
    """The trainable tensors in the model's order, by their names in PEFT's files."""
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    saved = get_peft_model_state_dict(model)
    named = {name.replace(".default", ""): parameter for name, parameter in trainable.items()}
    assert set(named) == set(saved)
    return named


def train(name, spec, form, steps, changes=None, base=None):
    """@returns the history, and the adapter after the last step by its names in PEFT's files."""
    chosen = recipe(**(changes or {}))
    base = load(name, spec, form, chosen.attention) if base is None else base
    model = with_adapter(base, OUT / name / "adapter-init", chosen)
    history = train_model(model, steps, chosen)
    return history, {key: value.detach().clone() for key, value in adapter_of(model).items()}
