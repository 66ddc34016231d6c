"""Holds a run's event files, as TensorBoard's own reader sees them, against its log.jsonl and transformers' tags.

    nibble train config.yaml --report_to tensorboard
    python bench/fidelity/event_files.py OUTPUT_DIR [LOGGING_DIR]

Needs tensorboard and transformers. Ends with 1 where they differ.
"""
import json
import pathlib
import sys

import numpy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers.integrations.integration_utils import rewrite_logs

folder = pathlib.Path(sys.argv[1])
events = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else next((folder / "runs").iterdir())
reader = EventAccumulator(str(events), size_guidance={"scalars": 0, "tensors": 0})
reader.Reload()

wanted = {}
for line in (folder / "log.jsonl").read_text().splitlines():
    row = json.loads(line)
    # texts of eval_generate, for which event files have no place here
    if "samples" in row:
        continue
    step = row.pop("step")
    for tag, value in rewrite_logs(row).items():
        wanted.setdefault(tag, []).append((step, float("nan") if value is None else float(numpy.float32(value))))

got = {tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}
same = numpy.testing.assert_equal
same(sorted(got), sorted(wanted))
for tag in wanted:
    same(got[tag], wanted[tag], tag)
same(reader.Tags()["tensors"], ["args/text_summary"])
settings = json.loads(reader.Tensors("args/text_summary")[0].tensor_proto.string_val[0])
files = sorted(file.name for file in events.iterdir())
print(f"{len(files)} event files, {len(got)} tags, {sum(map(len, got.values()))} scalars: as in log.jsonl")
print(", ".join(f"{tag} {len(points)}" for tag, points in sorted(got.items())))
print(f"args/text_summary: {len(settings)} settings")
