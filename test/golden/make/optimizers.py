"""Golden files for the optimizers: 50 steps of bitsandbytes' and torch's on the CPU, from gradients that a formula gives.

Writes test/golden/optimizers/. How to run: README.md in this folder.

bitsandbytes 0.50.2 has two ways to encode a state on the CPU: its functional code in Python, which takes the nearest value of the
map as its CUDA code does, and a library with a table of 65,536 entries, which misses that by up to several codes. The first is what
nibble is held to, the second and the 32-bit optimizer say how large bitsandbytes' own error is.
"""

import numpy as np
import torch

REGISTERED = {}
register = torch.library.register_kernel


def remembering(name, device, *rest):
    """register_kernel, which also keeps what is registered: the functional code is reached no other way."""
    decorate = register(name, device, *rest)

    def keep(function):
        REGISTERED[name, device] = function
        return decorate(function)

    return keep if not rest else decorate


torch.library.register_kernel = remembering

import bitsandbytes as bnb
from bitsandbytes.backends.cpu import ops as cpu
from safetensors.torch import save_file

import peft_options as po
from peft.optimizers import create_loraplus_optimizer
from transformers.integrations.neftune import neftune_post_forward_hook

from shared import GOLDEN, settle, versions, write_json

OUT = GOLDEN / "optimizers"
STEPS = 50
# two runs of whole blocks of 256 and a short one; more than the 4,096 elements from which states have 8 bits
SIZE = 5000
SETTINGS = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
# gradients of a block differ by so much; by far more, and a second moment of 8 bits is 0 beside a first that is not
SCALES = np.array([1.0, 0.3, 0.1, 0.03, 0.01])


def uniform(salt, step, n):
    i = np.arange(n, dtype=np.int64)
    return ((i * 7919 + step * 104729 + salt * 15485863) % 100003) / 100003


def start(n):
    return torch.from_numpy(((uniform(1, 0, n) - 0.5) * 0.2).astype(np.float32))


def gradient(step, n):
    i = np.arange(n)
    return torch.from_numpy(((uniform(2, step, n) - 0.4) * SCALES[i // 7 % 5]).astype(np.float32))


def functional(values, code, absmax_out, out, block):
    """Encodes as the functional code does, in the place of the library's call."""
    codes, absmax = REGISTERED["bitsandbytes::quantize_blockwise", "default"](values, code, block)
    out.copy_(codes)
    absmax_out.copy_(absmax)


def run(make, n=SIZE, steps=STEPS, after_first=None):
    parameter = torch.nn.Parameter(start(n))
    optimizer = make([parameter])
    for step in range(1, steps + 1):
        parameter.grad = gradient(step, n)
        optimizer.step()
        if step == 1 and after_first is not None:
            after_first(optimizer.state[parameter])
    return parameter.detach().clone(), optimizer.state[parameter]


def moments(state, prefix):
    return {f"{prefix}.{key}": state[key].clone() for key in ("state1", "absmax1", "state2", "absmax2")}


def philox(counter, key):
    """Philox4x32-10 of many counters: (n, 4) words."""
    c = [np.array(part, dtype=np.uint64) for part in counter]
    k = [np.uint64(part) for part in key]
    mask = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(b >> np.uint64(32)) ^ c[1] ^ k[0], b & mask, (a >> np.uint64(32)) ^ c[3] ^ k[1], a & mask]
        k = [(k[0] + np.uint64(0x9E3779B9)) & mask, (k[1] + np.uint64(0xBB67AE85)) & mask]
    return np.stack(c, axis=1)


class Noise:
    """Stands for torch's generator in transformers' own hook: what nibble draws, by seed, step, micro-batch and element."""

    def __init__(self, seed):
        self.seed = seed
        self.step = 0

    def uniform(self, tensor, low, high):
        vectors = tensor.numel() // 4
        counter = [np.arange(vectors)] + [np.full(vectors, part) for part in (0xFFFFFFFF, 0, self.step)]
        words = philox(counter, (self.seed, 0)).reshape(-1)
        unit = words.astype(np.float32) * np.float32(2.0**-31) - np.float32(1)
        self.step += 1
        return tensor.copy_(torch.from_numpy(unit * np.float32(high)).view(tensor.shape))


def peft_steps(neftune=None, make=None):
    """20 steps of PEFT on the batches of peft-options/, from the adapter that lies there as `default`."""
    base, directory = po.OPTIONS["default"][0], GOLDEN / "peft-options" / "default"
    model = po.PeftModel.from_pretrained(po.open_base(base), directory, is_trainable=True).train()
    batches = po.make_steps(seed=41, steps=po.STEPS, longest_prompts=[4], vocab=po.VOCAB, length=po.LENGTH)
    recipe = po.Recipe()
    if neftune is not None:
        embeddings = model.get_base_model().get_input_embeddings()
        embeddings.neftune_noise_alpha = neftune
        embeddings.register_forward_hook(neftune_post_forward_hook)
        noise, uniform_ = Noise(seed=7), torch.Tensor.uniform_
        torch.Tensor.uniform_ = lambda tensor, low, high: noise.uniform(tensor, low, high)
        try:
            return po.train(model, batches, recipe)
        finally:
            torch.Tensor.uniform_ = uniform_
    adamw = torch.optim.AdamW
    torch.optim.AdamW = lambda groups, lr, **rest: make(model, adamw, lr, rest, recipe)
    try:
        return po.train(model, batches, recipe)
    finally:
        torch.optim.AdamW = adamw


def loraplus(model, adamw, lr, rest, recipe):
    return create_loraplus_optimizer(
        model, adamw, lr=lr, loraplus_lr_ratio=16, loraplus_weight_decay=recipe.weight_decay, **rest
    )


def options():
    settle()
    return {
        "neftune_noise_alpha": {"value": 5.0, "seed": 7, "steps": peft_steps(neftune=5.0)},
        "loraplus_lr_ratio": {"value": 16, "steps": peft_steps(make=loraplus)},
    }


def main():
    settle()
    OUT.mkdir(exist_ok=True)
    eight = lambda parameters: bnb.optim.AdamW8bit(parameters, **SETTINGS)
    tensors = {}
    tensors["adamw_torch"], _ = run(lambda parameters: torch.optim.AdamW(parameters, **SETTINGS))
    tensors["adamw_8bit.library"], _ = run(eight)
    cpu._quant_blockwise_fp32_direct = functional
    tensors["adamw_8bit"], last = run(eight, after_first=lambda state: tensors.update(moments(state, "first")))
    tensors.update(moments(last, "last"))
    # fewer elements keep 32 bits
    small, state = run(eight, n=4095, steps=3)
    assert state["state1"].dtype == torch.float32
    tensors["small"] = small
    lion = dict(lr=1e-3, betas=(0.9, 0.99), weight_decay=0.01)
    tensors["lion_32bit"], _ = run(lambda parameters: bnb.optim.Lion(parameters, optim_bits=32, **lion), n=1000, steps=20)
    sgd = dict(lr=1e-2, weight_decay=0.01)
    tensors["sgd"], _ = run(lambda parameters: torch.optim.SGD(parameters, **sgd), n=1000, steps=20)
    save_file(tensors, OUT / "steps.safetensors")
    write_json(OUT / "settings.json", {"steps": STEPS, "size": SIZE, "adamw": SETTINGS | {"betas": list(SETTINGS["betas"])},
                                       "lion": lion | {"betas": list(lion["betas"])}, "sgd": sgd})
    write_json(OUT / "options.json", options())
    versions(OUT / "versions.json")


if __name__ == "__main__":
    main()
