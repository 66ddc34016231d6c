"""Builds the model as a PEFT user does, trains it with transformers' Trainer, and measures every step."""

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig, Trainer, TrainerCallback, TrainingArguments, set_seed

from rows import Collator

IGNORED = -100
# as nibble's random weights have it
RANDOM_STD = 0.02


@dataclass
class Result:
    timing: dict = field(default_factory=dict)
    steps: list = field(default_factory=list)
    eval_before: dict | None = None
    eval_after: dict | None = None
    memory: dict | None = None
    trainable: int = 0
    total: int = 0
    adapter_dir: object = None
    peft_config: dict = field(default_factory=dict)


def run(config, options, data, adapter_dir):
    train_rows, eval_rows = data
    result = Result(adapter_dir=adapter_dir)
    baseline = device_bytes() if options.device == "cuda" else None
    started = time.perf_counter()
    model = base_model(config, options)
    set_seed(config["seed"])  # the adapter is drawn from this seed, in nibble too
    model = get_peft_model(model, lora_config(config))
    result.timing["load_s"] = time.perf_counter() - started
    result.trainable, result.total = model.get_nb_trainable_parameters()
    result.peft_config = {key: plain(value) for key, value in model.peft_config["default"].to_dict().items()}
    if config.get("eval_on_start") and eval_rows:
        result.eval_before = evaluate(model, eval_rows, config, result)
    fit(model, config, options, train_rows, result)
    if options.device == "cuda":
        result.memory = cuda_memory(model, baseline)
    if eval_rows:
        result.eval_after = evaluate(model, eval_rows, config, result)
    started = time.perf_counter()
    model.save_pretrained(adapter_dir)
    result.timing["save_s"] = time.perf_counter() - started
    return result


def plain(value):
    return sorted(value) if isinstance(value, set) else getattr(value, "value", value)


def base_model(config, options):
    four_bit = config["method"] == "qlora" and not options.dequantized
    directory = Path(config["model_name_or_path"])
    build = random_model if (directory / "random_weights.json").exists() else stored_model
    model = build(config, options, four_bit)
    model.config.use_cache = False
    if config["method"] == "qlora" and options.dequantized:
        round_to_four_bits(model, config)
    if four_bit and options.prepare_kbit:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=checkpointing(config))
    return model


def stored_model(config, options, four_bit):
    dtype = getattr(torch, options.precision)
    settings = {"dtype": dtype, "attn_implementation": options.attention, "device_map": {"": options.device}}
    if four_bit:
        settings["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=config["bnb_4bit_quant_type"],
            bnb_4bit_use_double_quant=config["bnb_4bit_use_double_quant"],
            bnb_4bit_compute_dtype=dtype,
        )
    return AutoModelForCausalLM.from_pretrained(config["model_name_or_path"], **settings)


def random_model(config, options, four_bit):
    """The shapes of config.json with random weights, made on the device; for speed and memory alone."""
    dtype = getattr(torch, options.precision)
    shape = AutoConfig.from_pretrained(config["model_name_or_path"])
    shape._attn_implementation = options.attention
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape, dtype=dtype)
    head = model.get_output_embeddings()
    # one layer at a time: the dense model need not fit beside its 4-bit form
    for name, module in list(model.named_modules()):
        if four_bit and isinstance(module, torch.nn.Linear) and module is not head:
            replace(model, name, four_bit_linear(module, config, dtype, options.device))
    for module in model.modules():
        for key, parameter in list(module._parameters.items()):
            if parameter is not None and parameter.is_meta:
                fresh = torch.empty(parameter.shape, dtype=dtype, device=options.device)
                fresh = fresh.fill_(1) if parameter.dim() == 1 else fresh.normal_(0, RANDOM_STD)
                module._parameters[key] = torch.nn.Parameter(fresh, requires_grad=False)
    model.tie_weights()
    # buffers (rotary tables) were made on meta too
    model.model.rotary_emb = type(model.model.rotary_emb)(config=shape).to(options.device)
    return model


def four_bit_linear(linear, config, dtype, device):
    from bitsandbytes.nn import Linear4bit, Params4bit

    made = Linear4bit(
        linear.in_features,
        linear.out_features,
        bias=False,
        compute_dtype=dtype,
        compress_statistics=config["bnb_4bit_use_double_quant"],
        quant_type=config["bnb_4bit_quant_type"],
        device="meta",
    )
    # drawn where it is quantized: one CPU thread would draw 7B for minutes
    weight = torch.empty(linear.weight.shape, dtype=dtype, device=device).normal_(0, RANDOM_STD)
    settings = {"compress_statistics": config["bnb_4bit_use_double_quant"], "quant_type": config["bnb_4bit_quant_type"]}
    made.weight = Params4bit(weight, requires_grad=False, **settings).to(device)
    return made


def replace(model, name, module):
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


def round_to_four_bits(model, config):
    """Every linear layer but the head takes the values that its 4-bit form stands for."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    head = model.get_output_embeddings()
    with torch.no_grad():
        for module in model.modules():
            if not isinstance(module, torch.nn.Linear) or module is head:
                continue
            packed, state = quantize_4bit(
                module.weight.data,
                quant_type=config["bnb_4bit_quant_type"],
                compress_statistics=config["bnb_4bit_use_double_quant"],
            )
            module.weight.copy_(dequantize_4bit(packed, state))


def lora_config(config):
    targets = config["lora_target_modules"]
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=config["lora_r"],
        lora_alpha=config["lora_alpha"],
        lora_dropout=config["lora_dropout"],
        target_modules=targets,
        use_rslora=config["use_rslora"],
        use_dora=config.get("use_dora", False),
        init_lora_weights=config["init_lora_weights"],
    )


class Stopwatch(TrainerCallback):
    """Wall time of every optimizer step, from the end of the one before, with the device drained."""

    def __init__(self, trainer_rows, result):
        self.result = result
        self.clock = None

    @staticmethod
    def now():
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    def on_train_begin(self, args, state, control, **_):
        self.clock = self.now()

    def on_step_end(self, args, state, control, **_):
        now = self.now()
        self.result.steps.append({"step": state.global_step, "epoch": state.epoch, "step_ms": 1000 * (now - self.clock)})
        self.clock = now


class CountingTrainer(Trainer):
    """Notes what each step is fed: tokens, padded tokens, loss tokens, rows."""

    def __init__(self, *args, fed, **kwargs):
        super().__init__(*args, **kwargs)
        self.fed = fed

    def training_step(self, model, inputs, *args, **kwargs):
        labels, mask = inputs["labels"], inputs["attention_mask"]
        self.fed.append(
            {
                "samples": labels.shape[0],
                "padded_tokens": labels.numel(),
                "tokens": int(mask.sum()),
                "loss_tokens": int((labels[:, 1:] != IGNORED).sum()),
            }
        )
        return super().training_step(model, inputs, *args, **kwargs)


def autocast(options):
    """Whether Trainer computes under autocast: without it the float32 adapter multiplies in float32, far from tensor cores."""
    return options.device == "cuda" and options.precision != "float32" and not options.no_autocast


def checkpointing(config):
    """Trainer checkpoints every layer or none: what nibble's `selective` keeps has no counterpart, so it is all of them here."""
    return bool(config.get("gradient_checkpointing"))


def fit(model, config, options, rows, result):
    directory = result.adapter_dir
    names = (
        *("per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "max_steps", "learning_rate"),
        *("lr_scheduler_type", "warmup_steps", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm"),
        *("seed", "data_seed", "train_sampling_strategy", "lr_scheduler_kwargs"),
    )
    given = {name: config[name] for name in names if config.get(name) is not None}
    arguments = TrainingArguments(
        output_dir=str(directory),
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        optim="adamw_torch",
        use_cpu=options.device == "cpu",
        disable_tqdm=False,
        bf16=autocast(options) and options.precision == "bfloat16",
        fp16=autocast(options) and options.precision == "float16",
        gradient_checkpointing=checkpointing(config),
        # reentrant, as older versions have it, would leave the adapters of a frozen base without gradients
        gradient_checkpointing_kwargs={"use_reentrant": False} if checkpointing(config) else None,
        **given,
    )
    fed = []
    trainer = CountingTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        data_collator=Collator(model.config.pad_token_id or 0),
        callbacks=[Stopwatch(rows, result)],
        fed=fed,
    )
    started = time.perf_counter()
    trainer.train()
    result.timing["train_s"] = time.perf_counter() - started
    per_step = config["gradient_accumulation_steps"]
    logs = {entry["step"]: entry for entry in trainer.state.log_history if "loss" in entry}
    for index, step in enumerate(result.steps):
        parts = fed[index * per_step : (index + 1) * per_step]
        step |= {key: sum(part[key] for part in parts) for key in parts[0]}
        step |= {key: logs[step["step"]].get(key) for key in ("loss", "grad_norm", "learning_rate")}


@torch.no_grad()
def evaluate(model, rows, config, result):
    """Mean cross-entropy over all loss tokens, as nibble reports it (Trainer's own eval_loss weighs batches)."""
    model.eval()
    started = time.perf_counter()
    size, collate = config["per_device_eval_batch_size"], Collator(model.config.pad_token_id or 0)
    device = next(model.parameters()).device
    total, count = 0.0, 0
    for start in range(0, len(rows), size):
        batch = {key: value.to(device) for key, value in collate(rows[start : start + size]).items()}
        labels = batch.pop("labels")
        logits = model(**batch).logits[:, :-1].float()
        targets = labels[:, 1:]
        loss = torch.nn.functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), ignore_index=IGNORED, reduction="none"
        )
        total += float(loss.double().sum())
        count += int((targets != IGNORED).sum())
    result.timing["eval_s"] = result.timing.get("eval_s", 0) + time.perf_counter() - started
    model.train()
    return {"loss": total / count, "n": count}


def cuda_memory(model, baseline):
    """torch's peak, split into what can be counted; the rest of the peak is activations and workspace."""
    parts = {"base_weights": 0, "quant_state": 0, "adapter": 0, "gradients": 0, "optimizer": 0}
    for parameter in model.parameters():
        size = parameter.numel() * parameter.element_size()
        if parameter.requires_grad:
            parts["adapter"] += size
            parts["gradients"] += size
            parts["optimizer"] += 2 * size
            continue
        parts["base_weights"] += size
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            tensors = [state.absmax, state.code]
            if state.state2 is not None:
                tensors += [state.state2.absmax, state.state2.code, state.offset]
            parts["quant_state"] += sum(t.numel() * t.element_size() for t in tensors if t is not None)
    peak = torch.cuda.max_memory_allocated()
    parts["activations"] = peak - sum(parts.values())
    return {
        "peak": peak,
        "reserved": torch.cuda.max_memory_reserved(),
        "parts": parts,
        "device": device_bytes(),
        "baseline": baseline,
    }


def device_bytes():
    """The driver's own figure for the whole card."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]) * 2**20
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return None
