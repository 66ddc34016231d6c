"""What transformers' Trainer does: its runs, its schedules, the order of its rows, what it decays.

Writes test/golden/trainer/. How to run: README.md in this folder.
"""

import argparse

from shared import GOLDEN, settle, versions
from trainer_order import write_orders
from trainer_runs import write_runs
from trainer_schedules import write_decay, write_schedules

OUT = GOLDEN / "trainer"

if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    settle()
    OUT.mkdir(exist_ok=True)
    write_schedules(OUT / "schedules.json")
    write_decay(OUT / "decay.json")
    write_orders(OUT / "order.json")
    write_runs(OUT)
    versions(OUT / "versions.json")
