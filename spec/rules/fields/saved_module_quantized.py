"""A quantized layer that is to be trained in full.

What it finds
    A linear layer of the attention or the MLP, such as `q_proj`, in `modules_to_save` where the
    base is quantized.

Why it matters
    `modules_to_save` trains the layer's own weight. Quantized, that weight is made of integers and
    takes no gradient, and the run stops. The embeddings, the norms and `lm_head` are not quantized.

Evidence it needs
    `method.type`, `method.quantization` and `method.modules_to_save`.

Example
    ```yaml
    method: {type: qlora, modules_to_save: [down_proj]}
    ```

What to do
    Name the layer in `target_modules` instead, which puts an adapter on it.

References
    peft 0.21 `utils/other.py`, `ModulesToSaveWrapper.update`: "only Tensors of floating point dtype
    can require gradients", seen with nf4 and int8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftspec.spec.finding import Finding, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule

# Linear layers inside a block, by the names of the common architectures; bitsandbytes quantizes
# every linear layer but the output one.
_LINEAR = re.compile(
    r"(.+_)?proj|query_key_value|dense(_[a-z0-9]+_to_[a-z0-9]+)?|c_(attn|fc)|fc_?(in|out|[12])|w[123o]"
)


def find(spec: Spec) -> Iterator[Finding]:
    """Yield one finding a quantized layer."""
    method, saved = spec.method, spec.method.modules_to_save or ()
    if method.type != "qlora" or method.quantization == "none":
        return
    for place, name in enumerate(saved):
        if not _LINEAR.fullmatch(name.rpartition(".")[2].lower()):
            continue
        route = ("method", "modules_to_save", place)
        yield RULE.finding(
            f"`{name}` is quantized, and `modules_to_save` would train it in full",
            route=route if len(saved) > 1 else route[:2],
            found="quantized weights take no gradient",
            help=f"name `{name}` in `target_modules` instead, or write `type: lora`",
            evidence={"modules_to_save": list(saved)},
        )


RULE = Rule("FT144", "saved-module-quantized", Severity.ERROR, find)
