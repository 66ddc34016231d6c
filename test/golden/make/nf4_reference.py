"""Reads a bitsandbytes 4-bit checkpoint and dequantizes it by the format's definition, in numpy.

bitsandbytes itself is not the reference: on a CPU it has paths that restart blocks at rows. Every step below is one
float32 operation rounded once, so the result is the one set of weights both sides must train on.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

STATE = ".quant_state.bitsandbytes__nf4"
NF4_SHA256 = "8501941daa1b8a90ad1bbfeb632e5101b5dddbc4bb52d6e55abcfd777e60c06a"
DYNAMIC_SHA256 = "e732639a65f497b4ad684bb166a4467708255edd5207757de8b8f0c7e1fda89c"


def dequantize(tensors, name, bug=None):
    """One weight [out, in] in float32: map[code] * absmax, where absmax = map8[q] * nested_absmax + offset.

    `bug` plants one of the mistakes a reader can make, for the table of sensitivities.
    """
    state = json.loads(tensors[name + STATE].tobytes())
    packed = tensors[name].reshape(-1)
    # the element with the even flat index is in the high nibble
    nibbles = [packed >> 4, packed & 15]
    if bug == "nibbles swapped":
        nibbles.reverse()
    codes = np.stack(nibbles, axis=1).reshape(-1)[: np.prod(state["shape"])]

    q, scale = tensors[name + ".absmax"], tensors[name + ".nested_absmax"]
    if bug == "one nested block":
        scale = np.full_like(scale, scale[0])
    scale_of_block = np.repeat(scale, state["nested_blocksize"])[: q.size]
    product = np.multiply(tensors[name + ".nested_quant_map"][q], scale_of_block, dtype=np.float32)
    offset = np.float32(state["nested_offset"])
    if bug == "bf16 offset":
        offset = (np.array([offset]).view(np.uint32) + 0x8000 & 0xFFFF0000).view(np.float32)[0]
    absmax = np.add(product, offset, dtype=np.float32)

    absmax_of_element = np.repeat(absmax, state["blocksize"])[: codes.size]
    weight = np.multiply(tensors[name + ".quant_map"][codes], absmax_of_element, dtype=np.float32)
    return weight.reshape(state["shape"])


def widened(tensor):
    """As numpy, which has no bfloat16: 16-bit floats become float32, which holds each of them."""
    return (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).numpy()


def read_base(directory, bug=None):
    """All weights of the checkpoint under their ordinary names, the 4-bit ones dequantized, and the names of those."""
    stored = load_file(Path(directory) / "model.safetensors")
    tensors = {key: widened(tensor) for key, tensor in stored.items()}
    quantized = [key[: -len(STATE)] for key in tensors if key.endswith(STATE)]
    plain = {
        key: value
        for key, value in tensors.items()
        if not any(key == name or key.startswith(name + ".") for name in quantized)
    }
    return tensors, plain | {name: dequantize(tensors, name, bug) for name in quantized}, quantized
