"""Which base a run was trained on: base.json, which train.py writes into final/.

An adapter is worth something on its own base alone. base.json holds the base's name and
commit, a hash of its weights, and how it was quantized; evaluate.py and merge.py refuse a
base whose weights have another hash.
"""

import hashlib
import json
import os
from pathlib import Path

from transformers.utils import cached_file

PLACES, SAMPLE = 16, 256  # of each tensor, so many places of so many bytes are hashed


def weight_files(name, revision=None):
    """Return a model's safetensors files, fetched where they are missing; [] if it has none."""
    found = {"revision": revision, "_raise_exceptions_for_missing_entries": False}
    index = cached_file(name, "model.safetensors.index.json", **found)
    if index is None:
        whole = cached_file(name, "model.safetensors", **found)
        return [Path(whole)] if whole else []
    parts = set(json.loads(Path(index).read_text("utf-8"))["weight_map"].values())
    return [Path(cached_file(name, part, revision=revision)) for part in sorted(parts)]


def weights_hash(files):
    """Hash the tensors' names, types and shapes, and bytes from all over each of them.

    Two models of one architecture differ in nearly all of their numbers, so 4 KiB of each
    tensor tell them apart, at once and whatever the model's size. How tensors are spread over
    files does not count. None where there are no safetensors files.
    """
    found = {}
    for path in files:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")  # of the header
            header = json.loads(file.read(size))
            header.pop("__metadata__", None)
            for name, facts in header.items():
                begin, end = (8 + size + offset for offset in facts["data_offsets"])
                digest = hashlib.sha256(repr((facts["dtype"], facts["shape"])).encode())
                for place in range(begin, end, max(SAMPLE, (end - begin) // PLACES)):
                    file.seek(place)
                    digest.update(file.read(min(SAMPLE, end - place)))
                found[name] = digest.hexdigest()
    text = json.dumps(found, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest() if found else None


def commit_of(name, revision=None):
    """Return the commit on the hub that a model was loaded from; None for a folder."""
    here = {"revision": revision, "local_files_only": True}
    try:
        file = cached_file(name, "config.json", **here)
    except OSError:
        return None
    folder = Path(file).parent
    return folder.name if folder.parent.name == "snapshots" else None


def describe(model, revision=None):
    """Return what is to be known of a loaded model: where it is from, and how it is stored."""
    name = model.config._name_or_path
    commit = commit_of(name, revision)
    try:
        weights = weights_hash(weight_files(name, commit or revision))
    except (OSError, ValueError):
        weights = None  # it cannot be read again: it is known by its name alone
    return {
        "schema_version": 1,
        "name": name,
        "commit": commit,
        "architecture": type(model).__name__,
        "dtype": str(model.dtype).removeprefix("torch."),
        "weights": weights,
        "quantization": quantization(model),
    }


def quantization(model):
    """Return how bitsandbytes quantized a model, and which of its layers; None: it did not."""
    asked = getattr(model.config, "quantization_config", None)
    layers = []
    for name, module in model.named_modules():
        theirs = type(module).__module__.startswith("bitsandbytes")
        if theirs and hasattr(module, "weight"):
            layers.append(name.removesuffix(".base_layer"))
    if not layers:
        return None
    if asked.load_in_8bit:
        return {"type": "int8", "double": False, "layers": layers}
    double = asked.bnb_4bit_use_double_quant
    return {"type": asked.bnb_4bit_quant_type, "double": double, "layers": layers}


def write_base(folder, model, revision=None):
    """Write base.json into a run's final/, and return the lines that load what lies there."""
    adapter = hasattr(model, "peft_config")
    base = model.get_base_model() if adapter else model
    facts = describe(base, revision)
    facts["load"] = how_to_load(base, adapter, facts["commit"])
    (folder / "base.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    return facts["load"]


def read_base(folder):
    """Return what base.json says; None where a run has none."""
    file = Path(folder) / "base.json"
    return json.loads(file.read_text("utf-8")) if file.exists() else None


def wrong_base(folder, name, revision=None):
    """Say why a model is not the base that folder was trained on; None: it is."""
    told = read_base(folder)
    if told is None:  # a checkpoint, or not of such a project: peft wrote a name down
        file = Path(folder) / "adapter_config.json"
        config = json.loads(file.read_text("utf-8")) if file.exists() else {}
        trained_on = config.get("base_model_name_or_path") or name
        same = Path(trained_on).name == Path(name).name
        return None if same else f"{name} is the wrong base: it is not {trained_on}"
    try:
        found = weights_hash(weight_files(name, revision))
    except OSError as error:
        return f"the base {name} cannot be read: {error}"
    if told["weights"] and found:
        if told["weights"] == found:
            return None
        why = "its weights are not those it was trained on"
    elif Path(told["name"]).name == Path(name).name:
        return None
    else:
        why = f"it is not {told['name']}"
    commit = f" at commit {told['commit']}" if told["commit"] else ""
    return f"{name} is the wrong base: {why} ({told['name']}{commit})"


def trained_otherwise(folder, kind):
    """Say on what base an adapter was trained, where it was not one quantized to `kind`."""
    told = read_base(folder)
    if told is None:
        return None
    found = (told["quantization"] or {"type": "none"})["type"]
    words = "a base that was not quantized" if found == "none" else f"a base in {found}"
    return words if found != kind else None


def how_to_load(base, adapter, commit=None):
    """Return plain transformers and peft code that loads a run's final/ (FINAL) in three lines."""
    name = base.config._name_or_path
    words = [repr(os.path.abspath(name) if os.path.isdir(name) else name)]
    if commit:
        words.append(f"revision={commit!r}")
    words.append(f"dtype={str(base.dtype).removeprefix('torch.')!r}")
    remote = type(base).__module__.startswith("transformers_modules")
    trust = ", trust_remote_code=True" if remote else ""
    tokenizer = f"tokenizer = AutoTokenizer.from_pretrained(FINAL{trust})"
    if not adapter:
        dtype = f", {words[-1]}{trust}"
        return [
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            f"model = AutoModelForCausalLM.from_pretrained(FINAL{dtype})",
            tokenizer,
        ]
    names = "AutoModelForCausalLM, AutoTokenizer"
    if how := quantization(base):
        names += ", BitsAndBytesConfig"
        compute = f"bnb_4bit_compute_dtype={str(base.dtype).removeprefix('torch.')!r}"
        kind = f"load_in_4bit=True, bnb_4bit_quant_type={how['type']!r}, {compute}"
        kind += f", bnb_4bit_use_double_quant={how['double']}"
        kind = "load_in_8bit=True" if how["type"] == "int8" else kind
        words.append(f"quantization_config=BitsAndBytesConfig({kind})")
    return [
        "from peft import PeftModel",
        f"from transformers import {names}",
        f"base = AutoModelForCausalLM.from_pretrained({', '.join(words)}{trust})",
        "model = PeftModel.from_pretrained(base, FINAL)",
        tokenizer,
    ]
