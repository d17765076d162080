"""What a case is, and which models it may be of; split by architecture before any measurement.

`TUNE` may be looked at while the prediction is worked on. `SCORE` is never tuned on, but the causes
of its worst misses have been looked at. `FRESH` came last: chosen, and committed with the code that
predicts it, before any of its cases ran. A case's id holds a hash of all its numbers, so a case
that changes is another case, and results of the old one are never taken for it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal

from ftspec.compiler.facts import catalogue

Rows = Literal["uniform", "ragged", "packed"]

# Architecture -> models of the catalogue, small ones first. `id:n`: its first n blocks alone
# (mixtures of experts, whose whole weights are larger than what they add to the test).
TUNE: dict[str, tuple[str, ...]] = {
    "llama": (
        "HuggingFaceTB/SmolLM2-135M",
        "HuggingFaceTB/SmolLM2-360M",
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        "meta-llama/Llama-3.2-1B",
        "meta-llama/Llama-3.2-3B",
        "meta-llama/Llama-2-7b-hf",
        "meta-llama/Llama-3.1-8B",
    ),
    "qwen2": ("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-1.5B", "Qwen/Qwen2.5-3B", "Qwen/Qwen2.5-7B"),
    "gemma2": ("google/gemma-2-2b", "google/gemma-2-9b"),
    "gpt2": (
        "openai-community/gpt2",
        "openai-community/gpt2-medium",
        "openai-community/gpt2-large",
        "openai-community/gpt2-xl",
    ),
    "phi3": ("microsoft/Phi-3-mini-4k-instruct", "microsoft/Phi-4-mini-instruct"),
}
SCORE: dict[str, tuple[str, ...]] = {
    "mistral": ("mistralai/Mistral-7B-v0.1", "mistralai/Ministral-8B-Instruct-2410"),
    "qwen3": ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B", "Qwen/Qwen3-4B", "Qwen/Qwen3-8B"),
    "gemma": ("google/gemma-2b", "google/gemma-7b"),
    "gemma3_text": ("google/gemma-3-270m", "google/gemma-3-1b-pt"),
    "phi": ("microsoft/phi-1_5", "microsoft/phi-2"),
    "gpt_neox": (
        "EleutherAI/pythia-160m",
        "EleutherAI/pythia-410m",
        "EleutherAI/pythia-1.4b",
        "EleutherAI/pythia-6.9b",
    ),
    "opt": ("facebook/opt-125m", "facebook/opt-1.3b", "facebook/opt-6.7b"),
    "falcon": ("tiiuae/falcon-rw-1b", "tiiuae/falcon-7b"),
    "olmo": ("allenai/OLMo-1B-hf", "allenai/OLMo-7B-hf"),
    "olmo2": ("allenai/OLMo-2-0425-1B", "allenai/OLMo-2-1124-7B"),
    "granite": ("ibm-granite/granite-3.0-2b-instruct", "ibm-granite/granite-3.0-8b-instruct"),
    "smollm3": ("HuggingFaceTB/SmolLM3-3B",),
    "stablelm": ("stabilityai/stablelm-2-1_6b", "stabilityai/stablelm-3b-4e1t"),
    "starcoder2": ("bigcode/starcoder2-3b", "bigcode/starcoder2-7b"),
    "qwen3_moe": ("Qwen/Qwen3-30B-A3B:3",),
    "olmoe": ("allenai/OLMoE-1B-7B-0924:4",),
}
FRESH: dict[str, tuple[str, ...]] = {
    "bloom": ("bigscience/bloom-560m", "bigscience/bloom-1b1", "bigscience/bloom-3b"),
    "gpt_neo": ("EleutherAI/gpt-neo-125m", "EleutherAI/gpt-neo-1.3B", "EleutherAI/gpt-neo-2.7B"),
    "gptj": ("EleutherAI/gpt-j-6b",),
    "gpt_bigcode": ("bigcode/starcoderbase-1b", "bigcode/starcoderbase-3b"),
    "codegen": ("Salesforce/codegen-350M-mono", "Salesforce/codegen-2B-mono"),
    "mpt": ("mosaicml/mpt-7b",),
    "cohere": ("CohereForAI/aya-23-8B",),
    "glm": ("THUDM/glm-4-9b-chat-hf",),
    "glm4": ("THUDM/GLM-4-9B-0414",),
    "apertus": ("swiss-ai/Apertus-8B-2509",),
    "ernie4_5": ("baidu/ERNIE-4.5-0.3B-PT",),
    "exaone4": ("LGAI-EXAONE/EXAONE-4.0-1.2B",),
    "nemotron": ("nvidia/Minitron-4B-Base",),
    "olmo3": ("allenai/Olmo-3-1025-7B",),
    "qwen2_moe": ("Qwen/Qwen1.5-MoE-A2.7B:4",),
    "mixtral": ("mistralai/Mixtral-8x7B-v0.1:2",),
}
# Too large for the drawn cells: the list in grid.py names what is measured of them.
LARGE: dict[str, tuple[str, ...]] = {
    "llama": (
        "meta-llama/Llama-2-13b-hf",
        "meta-llama/Meta-Llama-3-70B",
    ),
    "qwen2": ("Qwen/Qwen2.5-14B", "Qwen/Qwen2.5-32B", "Qwen/Qwen2.5-72B"),
    "phi3": ("microsoft/phi-4",),
    "mistral": ("mistralai/Mistral-Small-24B-Base-2501",),
    "qwen3": ("Qwen/Qwen3-14B", "Qwen/Qwen3-32B"),
    "falcon": ("tiiuae/falcon-40b",),
    "olmo2": ("allenai/OLMo-2-1124-13B", "allenai/OLMo-2-0325-32B"),
}
MIXTURES = ("qwen3_moe", "olmoe", "qwen2_moe", "mixtral")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run: a model's shape, a method with its options, a batch, and the switches.

    batch x length: rows and tokens of a micro-batch. cap_gib: what the driver may show for the
    process, GiB; None: the whole card. weights: `zero` (a sparse file; memory does not depend
    on values), `random` where zeros would give no finite loss (DoRA divides by a weight's norm)
    or send all tokens to one expert. save: checkpoints and the final model are really written.
    """

    model: str
    method: Literal["full", "lora", "qlora", "prefix", "prompt"]
    batch: int
    length: int
    rows: Rows = "uniform"
    dtype: str = "bfloat16"
    attention: str = "sdpa"
    checkpointing: bool | Literal["selective"] = True
    accumulation: int = 1
    eval_batch: int = 0
    optimizer: str = "adamw_torch_fused"
    r: int = 0
    targets: str = ""
    dropout: float = 0.0
    dora: bool = False
    rslora: bool = False
    saved: tuple[str, ...] = ()
    quantization: str = "none"
    double_quant: bool = True
    virtual: int = 0
    label_smoothing: float = 0.0
    weights: Literal["zero", "random"] = "zero"
    save: bool = False
    cap_gib: int | None = None

    @property
    def id(self) -> str:
        """A name that tells the case to a person, and a hash of all that differs from defaults."""
        told = {name: value for name, value in asdict(self).items() if value != DEFAULTS[name]}
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:6]
        cap = f"-cap{self.cap_gib}" if self.cap_gib else ""
        return f"{slug(self.model)}-{self.method}-{self.batch}x{self.length}{cap}-{digest}"

    @property
    def kind(self) -> str:
        """`capped` or `grid`."""
        return "capped" if self.cap_gib else "grid"

    @property
    def architecture(self) -> str:
        """The model's `model_type`."""
        return ARCHITECTURE_OF[self.model]

    @property
    def split(self) -> str:
        """`tune`, `score` or `fresh`, by architecture."""
        if self.architecture in FRESH:
            return "fresh"
        return "tune" if self.architecture in TUNE else "score"

    @property
    def folder(self) -> str:
        """The name of the model's folder: one for each storage dtype and kind of weights."""
        ends = ["f16"] if self.dtype == "float16" else []
        ends += [self.weights] if self.weights != "zero" else []
        return "-".join([slug(self.model), *ends])

    @property
    def trained_rows(self) -> int:
        """Rows of one step; of packed ones, sequences."""
        return self.batch * self.accumulation


DEFAULTS: dict[str, Any] = {
    field.name: None if field.default is MISSING else field.default for field in fields(Case)
}
ARCHITECTURE_OF: dict[str, str] = {
    model: architecture
    for group in (TUNE, SCORE, LARGE, FRESH)
    for architecture, models in group.items()
    for model in models
}


def slug(model: str) -> str:
    """Return a model's name as folders and ids hold it."""
    name, _, blocks = model.partition("/")[2].partition(":")
    return name.lower().replace("_", "-") + (f"-{blocks}blocks" if blocks else "")


def config_of(model: str) -> dict[str, Any]:
    """Return the model's config.json as the catalogue knows it, cut to its first blocks."""
    name, _, blocks = model.partition(":")
    config = catalogue.known_config(name)
    if config is None:
        raise KeyError(f"{name} is not in the catalogue")
    if blocks:
        config["num_hidden_layers"] = int(blocks)
    return config
