"""The order in which a real Trainer visits the rows, epoch by epoch."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer

from shared import write_json
from trainer_schedules import arguments

LENGTHS = [3, 9, 4, 9, 2, 7, 5, 5, 8, 3, 6, 9, 2, 4, 7, 7, 3, 8, 6, 5, 2, 9, 4, 6, 8, 3, 5, 7, 2, 6]


def rows(count, offset=0):
    lengths = (LENGTHS * (count // len(LENGTHS) + 1))[offset : offset + count]
    return [{"input_ids": [1 + i % 7] * n, "row": i} for i, n in enumerate(lengths)]


class Recorder:
    """A collator that notes the rows it is given."""

    def __init__(self):
        self.seen = []

    def __call__(self, features):
        self.seen.append([feature["row"] for feature in features])
        longest = max(len(feature["input_ids"]) for feature in features)
        ids = torch.zeros(len(features), longest, dtype=torch.long)
        for i, feature in enumerate(features):
            ids[i, : len(feature["input_ids"])] = torch.tensor(feature["input_ids"])
        return {"input_ids": ids, "labels": ids.clone()}


def visited(count, eval_count=0, **settings):
    """The row indices of the training batches, one list an epoch, and of the last evaluation."""
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, head_dim=4,
        num_key_value_heads=2, max_position_embeddings=16,
    ))
    recorder, evaluated = Recorder(), Recorder()
    trainer = Trainer(
        model,
        arguments(remove_unused_columns=False, logging_strategy="no", **settings),
        data_collator=recorder,
        train_dataset=rows(count),
        eval_dataset=rows(eval_count, offset=5) if eval_count else None,
    )
    evaluate = trainer.evaluate

    def evaluate_apart(*args, **kwargs):
        trainer.data_collator, evaluated.seen = evaluated, []
        try:
            return evaluate(*args, **kwargs)
        finally:
            trainer.data_collator = recorder

    trainer.evaluate = evaluate_apart
    trainer.train()
    size = -(-count // settings["per_device_train_batch_size"])
    # accelerate prepares batches beyond the last step, of which nothing is trained
    epochs = [recorder.seen[at : at + size] for at in range(0, len(recorder.seen), size)]
    return {
        "rows": count,
        "eval_rows": eval_count,
        "settings": settings,
        "epochs": [[i for batch in epoch for i in batch] for epoch in epochs],
        "evaluated": [i for batch in evaluated.seen for i in batch],
    }


def write_orders(path):
    small = dict(per_device_train_batch_size=2, gradient_accumulation_steps=1, num_train_epochs=3)
    grouped = dict(train_sampling_strategy="group_by_length")
    evaluating = dict(per_device_eval_batch_size=2)
    write_json(path, {"lengths": LENGTHS, "runs": [
        visited(7, seed=42, **small),
        visited(23, seed=7, data_seed=3, **small | dict(gradient_accumulation_steps=3)),
        visited(30, seed=3, **small | dict(per_device_train_batch_size=4, num_train_epochs=2)),
        visited(9, seed=42, **small | dict(train_sampling_strategy="sequential", num_train_epochs=2)),
        visited(7, seed=42, **small | grouped),
        visited(23, seed=7, data_seed=3, **small | grouped | dict(gradient_accumulation_steps=3)),
        visited(61, seed=1, **small | grouped),
        visited(130, seed=0, **small | grouped | dict(per_device_train_batch_size=4, num_train_epochs=2)),
        visited(1, seed=5, **small | grouped | dict(num_train_epochs=2)),
        visited(15, 7, seed=9, eval_strategy="epoch", **small | grouped | evaluating),
        visited(15, 7, seed=9, data_seed=4, eval_strategy="steps", eval_steps=3, eval_on_start=True,
                **small | grouped | evaluating),
    ]})
