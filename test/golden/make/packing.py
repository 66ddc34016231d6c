"""Rows packed by TRL, and whole runs of its SFTTrainer with packing.

Writes test/golden/packing/. Needs trl and datasets beside what the other scripts need. `--check` writes nothing and holds
the model's packed rows against the same documents one by one. How to run: README.md in this folder.
"""

import argparse
import importlib.metadata
import platform

import numpy as np

from packing_runs import check_isolation, write_runs
from shared import GOLDEN, PACKAGES, settle, write_json
from trl_tools import quiet_fingerprints

OUT = GOLDEN / "packing"
# Document i holds the tokens i * STRIDE, i * STRIDE + 1, ...: a packed row says by itself what it is made of.
STRIDE = 1000


def lengths_of(seed, count, longest):
    return np.random.default_rng(seed).integers(1, longest + 1, count).tolist()


CASES = [
    # 1 goes beside 5, where it fits best
    {"length": 6, "documents": [4, 5, 1]},
    # many of one length: their order, and bins of like space first come first served
    {"length": 10, "documents": [4, 4, 4, 3, 3, 3, 3, 2, 2, 6, 6, 5, 1, 1]},
    # documents as long as a row, longer, and of twice and more its length
    {"length": 8, "documents": [8, 9, 16, 17, 3, 30, 8, 1, 2]},
    {"length": 1, "documents": [1, 3, 1]},
    {"length": 32, "documents": lengths_of(1, 70, 32)},
    {"length": 33, "documents": lengths_of(2, 90, 12)},
    {"length": 24, "documents": lengths_of(3, 60, 60)},
    # one more than TRL packs together
    {"length": 64, "documents": lengths_of(4, 1001, 20)},
]


def segments(row):
    """Runs of consecutive tokens, as document, first and count of each, one after the other."""
    found = []
    for token in row:
        document, at = divmod(token, STRIDE)
        if found and found[-3] == document and found[-2] + found[-1] == at:
            found[-1] += 1
        else:
            found += [document, at, 1]
    return found


def packed(case, strategy):
    import datasets
    import trl

    ids = [list(range(i * STRIDE, i * STRIDE + n)) for i, n in enumerate(case["documents"])]
    rows = trl.pack_dataset(datasets.Dataset.from_dict({"input_ids": ids}), case["length"], strategy)
    found = {"rows": [segments(row) for row in rows["input_ids"]]}
    if strategy != "wrapped":
        found["seq_lengths"] = [list(lengths) for lengths in rows["seq_lengths"]]
    return found


def write_packs(path):
    strategies = ("bfd", "bfd_split", "wrapped")
    write_json(path, {
        "stride": STRIDE,
        "cases": [case | {strategy: packed(case, strategy) for strategy in strategies} for case in CASES],
    })


def write_versions(path):
    names = (*PACKAGES, "trl", "datasets")
    write_json(path, {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare packed rows with documents one by one")
    arguments = parser.parse_args()
    settle()
    quiet_fingerprints()
    if arguments.check:
        check_isolation(OUT)
    else:
        OUT.mkdir(exist_ok=True)
        write_packs(OUT / "packs.json")
        write_runs(OUT)
        write_versions(OUT / "versions.json")
