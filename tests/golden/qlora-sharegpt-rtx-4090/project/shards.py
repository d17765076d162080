"""Merge an adapter into its base tensor by tensor, so that no machine has to hold the model.

The base is built without numbers (on torch's meta device) and peft puts the adapter on it.
Then each tensor of the base's safetensors files is read, merged by peft's own layer, and
written: memory holds a file's worth of tensors and one layer.
"""

import json
import shutil

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from peft.utils import ModulesToSaveWrapper, load_peft_weights
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import cached_file

from base import weight_files

SHARD = 2 * 2**30  # bytes of tensors in a file, and in memory


class NotByTensorsError(Exception):
    """The base's files do not hold what the adapter changes, one tensor for each."""


def merge_by_tensors(name, source, final, folder, dtype, quantization=None):
    """Write the merged model into a folder, in `dtype`: weights, config, generation config.

    source: revision and trust_remote_code of the base. quantization: as base.json has it; its
    layers are first quantized and dequantized, to what the adapter was trained on. Raises
    NotByTensorsError before anything is written.
    """
    config, revision = AutoConfig.from_pretrained(name, **source), source["revision"]
    how = {"dtype": dtype, "trust_remote_code": source["trust_remote_code"]}
    with torch.device("meta"):
        base = AutoModelForCausalLM.from_config(config, **how)
    shapes = {place: tensor.shape for place, tensor in base.state_dict().items()}
    embedding, head = ends_of(base)
    model = with_adapter(base, final)
    changed = changed_by(model)

    files = weight_files(name, revision)
    names = {}  # of a tensor: in a file, and in the model (None: not there)
    for key, shape in (pair for path in files for pair in shapes_in(path)):
        place = key if key in shapes else f"{base.base_model_prefix}.{key}"
        names[key] = place if place in shapes else None
        if shapes.get(place, shape) != shape:
            raise NotByTensorsError(f"{key} has another shape in the model")
    layers = quantization["layers"] if quantization else []
    quantized = {f"{layer}.weight" for layer in layers}
    # An embedding that is the output's too, and of which one was trained, becomes two tensors.
    tied = config.tie_word_embeddings and head not in names.values()
    untied = tied and bool(changed & {embedding, head})
    lacking = changed - set(names.values()) - ({head} if untied else set())
    if lacking or not files:
        what = min(lacking, default="a tensor")
        raise NotByTensorsError(f"no file of {name} holds {what}")

    def tensors():
        for path in files:
            for key, _ in shapes_in(path):
                place, weight = names[key], tensor_of(path, key, dtype)
                if place in quantized:
                    weight = as_trained(weight, quantization)
                yield key, merged(model, place, weight) if place else weight
                if untied and place == embedding:
                    yield head, merged(model, head, weight)

    folder.mkdir(parents=True)
    write_tensors(tensors(), folder)
    config.dtype = dtype
    if untied:
        config.tie_word_embeddings = False
    config.save_pretrained(str(folder))
    optional = {"revision": revision, "_raise_exceptions_for_missing_entries": False}
    if generation := cached_file(name, "generation_config.json", **optional):
        shutil.copy(generation, folder)


def ends_of(base):
    """Return the names of the weights of the embedding and of the output."""
    names = {id(module): name for name, module in base.named_modules()}
    ends = base.get_input_embeddings(), base.get_output_embeddings()
    return [f"{names.get(id(module))}.weight" for module in ends]


def with_adapter(base, final):
    """Put an adapter on a base without numbers; its own numbers are in memory, in float32."""
    place = {"torch_device": "cpu", "low_cpu_mem_usage": True}
    model = PeftModel.from_pretrained(base, str(final), **place)
    adapter, found = load_peft_weights(str(final), device="cpu"), {}
    for name in model.state_dict():
        plain = name.replace(".modules_to_save", "").replace(".default", "")
        for key in (plain, plain.removesuffix(".weight")):
            if key in adapter:
                value = adapter.pop(key)
                found[name] = value.float() if ".lora_" in key else value
    if adapter:
        raise NotByTensorsError(f"the model has no place for {min(adapter)}")
    model.load_state_dict(found, strict=False, assign=True)
    return model.base_model.model


def changed_by(model):
    """Return the names of the base's tensors that an adapter changes."""
    found = set()
    for name, module in model.named_modules():
        if isinstance(module, ModulesToSaveWrapper):
            learnt = module.modules_to_save["default"].state_dict()
            found |= {f"{name}.{leaf}" for leaf in learnt}
        elif isinstance(module, LoraLayer):
            found.add(f"{name}.weight")
    for name, weight in model.named_parameters():
        if weight.device.type != "meta" and name.endswith(".bias"):
            found.add(name.replace(".base_layer", ""))
    return {name.replace(".modules_to_save.default", "") for name in found}


def merged(model, name, weight):
    """Return a tensor of the merged model. weight: the base's."""
    place, _, leaf = name.rpartition(".")
    module = model.get_submodule(place)
    if isinstance(module, ModulesToSaveWrapper):
        return getattr(module.modules_to_save["default"], leaf).data
    layer = module.get_base_layer() if isinstance(module, LoraLayer) else module
    kept = getattr(layer, leaf)
    if kept.device.type != "meta":
        weight = kept.data  # the adapter brings it: a bias that was trained
    if layer is module or leaf != "weight":
        return weight
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    module.merge(safe_merge=True)  # refuses numbers that are not finite
    value, layer.weight = layer.weight.data, kept
    return value


def as_trained(weight, quantization):
    """Return the weight that a quantized layer computes with."""
    from bitsandbytes import functional

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if quantization["type"] == "int8":
        half = weight.to(device, torch.float16)
        codes, scales, _ = functional.int8_vectorwise_quant(half)
        found = functional.int8_vectorwise_dequant(codes, scales)
    else:
        packed, state = functional.quantize_4bit(
            weight.to(device),
            quant_type=quantization["type"],
            compress_statistics=quantization["double"],
        )
        found = functional.dequantize_4bit(packed, state)
    return found.to("cpu", weight.dtype)


def shapes_in(path):
    """Return (name, shape) of each tensor of a safetensors file."""
    with safe_open(path, "pt") as file:
        names = list(file.keys())
        return [(name, torch.Size(file.get_slice(name).get_shape())) for name in names]


def tensor_of(path, name, dtype):
    """Read one tensor; the file is closed again, so that what was read does not add up."""
    with safe_open(path, "pt") as file:
        tensor = file.get_tensor(name)
        kept = dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.to(kept, copy=True)


def write_tensors(tensors, folder):
    """Write (name, tensor) pairs as safetensors files of about SHARD bytes, and their index."""
    shard, size, total, parts = {}, 0, 0, []

    def flush():
        parts.append((folder / f"part-{len(parts) + 1}", list(shard)))
        save_file(shard, parts[-1][0], metadata={"format": "pt"})
        shard.clear()

    for name, tensor in tensors:
        if shard and size + tensor.nbytes > SHARD:
            flush()
            size = 0
        shard[name] = tensor.contiguous()
        size, total = size + tensor.nbytes, total + tensor.nbytes
    flush()
    where = {}
    for number, (path, names) in enumerate(parts, 1):
        last = f"model-{number:05}-of-{len(parts):05}.safetensors"
        path.replace(folder / (last if len(parts) > 1 else "model.safetensors"))
        where |= dict.fromkeys(names, last)
    if len(parts) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": where}
        text = json.dumps(index, indent=1)
        (folder / "model.safetensors.index.json").write_text(text, "utf-8")
