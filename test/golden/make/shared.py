"""What the golden-file scripts share: seeded weights, token data, versions, JSON that keeps every bit."""

import importlib.metadata
import json
import platform
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).resolve().parent.parent
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "safetensors", "numpy")


def settle():
    """One thread and no clever kernels: the same bytes on every run on one kind of CPU."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(0)


def versions(path):
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        found[name] = importlib.metadata.version(name)
    write_json(path, found)


def write_json(path, value):
    """Lists of numbers stay on one line; floats are printed by repr, so a double comes back exactly."""

    def render(item, depth):
        pad, end = "  " * (depth + 1), "  " * depth
        if isinstance(item, dict) and item:
            rows = [f"{pad}{json.dumps(key)}: {render(entry, depth + 1)}" for key, entry in item.items()]
            return "{\n" + ",\n".join(rows) + f"\n{end}}}"
        if isinstance(item, list) and any(isinstance(entry, (dict, list)) for entry in item):
            return "[\n" + ",\n".join(pad + render(entry, depth + 1) for entry in item) + f"\n{end}]"
        return json.dumps(item)

    Path(path).write_text(render(value, 0) + "\n")


def fill(model, seed, matrix_std, embedding_std, bias_std=0.1, norm_center=1):
    """Normal weights from numpy's PCG64 (torch's vectorised normal depends on the CPU); norms spread around 1 (around 0
    where the architecture adds 1 to them)."""
    draw = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.from_numpy(draw.standard_normal(tuple(parameter.shape)).astype(np.float32))
            if "norm" in name:
                parameter.copy_(norm_center + 0.2 * noise)
            elif name.endswith(".bias"):
                parameter.copy_(bias_std * noise)
            else:
                parameter.copy_((embedding_std if "embed_tokens" in name else matrix_std) * noise)


def tidy_config(directory, **changes):
    """Leaves the directory as save_pretrained wrote it, but without traces of where it was written."""
    path = Path(directory) / "config.json"
    config = json.loads(path.read_text())
    config.pop("_name_or_path", None)
    config.update(changes)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def token_batch(draw, vocab, rows, length, alphabet_size=12, follow=0.75):
    """Rows over a few tokens, each mostly followed by one fixed successor: new data in every batch, and so much to
    learn that 20 steps move the loss visibly (otherwise a planted bug would hide below the tolerance)."""
    alphabet = np.linspace(0, vocab - 1, alphabet_size).round().astype(np.int64)
    alphabet = np.random.default_rng(12345).permutation(alphabet)
    letters = np.empty((rows, length), dtype=np.int64)
    letters[:, 0] = draw.integers(0, alphabet_size, rows)
    for t in range(1, length):
        # a skewed draw otherwise, so that plain token frequencies carry information too
        other = (alphabet_size * draw.random(rows) ** 3).astype(np.int64)
        letters[:, t] = np.where(draw.random(rows) < follow, (letters[:, t - 1] + 1) % alphabet_size, other)
    return alphabet[letters]


def mask_labels(draw, ids, longest_prompt):
    """Labels as the Trainer takes them (unshifted): a prompt of -100 at the start, a few holes later."""
    labels = ids.copy()
    for row in labels:
        row[: draw.integers(0, longest_prompt + 1)] = -100
        row[1:][draw.random(len(row) - 1) < 0.1] = -100
    return labels
