"""What transformers' Trainer does: its runs, its schedules, the order of its rows, what it decays; TRL's rows of text.

Writes test/golden/trainer/. `--check` writes nothing and compares with trl's SFTTrainer, and with the Trainer of another
transformers where that is the one installed. How to run: README.md in this folder.
"""

import argparse

from shared import GOLDEN, settle, versions
from trainer_order import write_orders
from trainer_runs import check_all_labels, write_runs
from trainer_schedules import write_decay, write_schedules
from trainer_text import check_text_rows, write_text_rows

OUT = GOLDEN / "trainer"


def write_all():
    OUT.mkdir(exist_ok=True)
    write_schedules(OUT / "schedules.json")
    write_decay(OUT / "decay.json")
    write_orders(OUT / "order.json")
    write_text_rows(OUT / "text-rows.json")
    write_runs(OUT)
    versions(OUT / "versions.json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", choices=["text", "all-labels"], help="what to compare")
    arguments = parser.parse_args()
    settle()
    if arguments.check == "text":
        check_text_rows(OUT / "text-rows.json")
    elif arguments.check == "all-labels":
        check_all_labels(OUT)
    else:
        write_all()
