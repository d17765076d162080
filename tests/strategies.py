"""Hypothesis strategies: valid specs, the ways to write one down, and texts that are no spec."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import strategies as st

from ftspec.spec.edit import literal

Spec = dict[str, Any]

COLUMNS = {
    "alpaca": {"instruction": "question", "input": "context", "output": "answer"},
    "sharegpt": {"conversations": "turns", "from": "who", "value": "said"},
    "messages": {"messages": "turns"},
    "prompt-completion": {"prompt": "question", "completion": "answer"},
    "text": {"text": "body"},
}
SHORT = {"model": "name", "method": "type", "data": "train", "hardware": "gpu"}


def optional(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Spec]:
    """Maps with any of the keys."""
    return st.fixed_dictionaries({}, optional=keys)


@st.composite
def specs(
    draw: st.DrawFn,
    model: str = "gpt2",
    train: str = "train.jsonl",
    modules: tuple[str, ...] = ("q_proj", "v_proj", "o_proj"),
    methods: tuple[str, ...] = ("full", "lora", "qlora", "prefix", "prompt"),
) -> Spec:
    """Valid specs in their full form: nothing in them is a finding at the level of an error."""
    method = draw(_methods(modules, methods))
    spec = {
        "model": {"name": model, **draw(_models(method["type"]))},
        "method": method,
        "data": {"train": train, **draw(_data(method["type"]))},
    }
    text, held_out = spec["data"].get("format") == "text", spec["data"].get("eval") != "none"
    hardware = draw(optional(count=st.integers(1, 4), nodes=st.integers(1, 2), gpu=_GPUS))
    sections = {
        "train": draw(_training(method["type"], hardware, held_out, spec["data"].get("packing"))),
        "hardware": hardware | draw(optional(vram_limit=st.sampled_from(["8GiB", "20 GB"]))),
        "tune": draw(_tunes()),
        "run": draw(optional(on_oom=st.sampled_from(["retry", "stop"]), max_attempts=_SMALL)),
    }
    spec |= {key: section for key, section in sections.items() if section or draw(st.booleans())}
    if text:
        spec["model"].pop("chat_template", None)
    if held_out and draw(st.booleans()):
        metrics = ["perplexity"] if text else ["perplexity", "bleu", "chrf", "rouge"]
        spec["evaluate"] = draw(st.lists(st.sampled_from(metrics), min_size=1, unique=True))
    if draw(st.booleans()):
        spec["output"] = draw(st.sampled_from(["out", "runs/support bot"]))
    return spec


_GPUS = st.sampled_from(["rtx-4090", "a100-80gb", "h100"])
_SMALL = st.integers(1, 8)


def _models(method: str) -> st.SearchStrategy[Spec]:
    dtypes = ["bfloat16", "float32"] + (["float16"] if method != "full" else [])
    return optional(
        dtype=st.sampled_from(dtypes),
        attention=st.sampled_from(["sdpa", "eager"]),
        revision=st.sampled_from(["main", "3f1c0de"]),
    )


@st.composite
def _methods(draw: st.DrawFn, modules: tuple[str, ...], methods: tuple[str, ...]) -> Spec:
    method: Spec = {"type": draw(st.sampled_from(methods))}
    bits = ["nf4", "fp4", "int8"]
    if method["type"] in ("lora", "qlora"):
        presets = st.sampled_from(["attention-min", "attention", "all-linear"])
        names = st.lists(st.sampled_from(modules), min_size=1, unique=True)
        method |= draw(
            optional(
                r=st.sampled_from([4, 8, 16, 64]),
                alpha=st.integers(1, 128),
                dropout=st.sampled_from([0, 0.05, 0.1]),
                target_modules=presets | names,
                rslora=st.booleans(),
                dora=st.booleans(),
                bias=st.sampled_from(["none", "all", "lora_only"]),
                modules_to_save=st.just(["lm_head"]),
            )
        )
    if method["type"] in ("prefix", "prompt"):
        method |= draw(optional(num_virtual_tokens=st.integers(1, 32)))
        bits = ["none", *bits]
    if method["type"] == "prompt":
        inits = [{}, {"init": "vocab"}, {"init": "random"}, {"init_text": "Answer politely."}]
        method |= draw(st.sampled_from([*inits, {"init": "text", "init_text": "Frage: Ärger? #1"}]))
    if method["type"] not in ("full", "lora"):
        method |= draw(optional(quantization=st.sampled_from(bits)))
        base = method.get("quantization", "nf4" if method["type"] == "qlora" else "none")
        if base in ("nf4", "fp4"):
            method |= draw(optional(double_quant=st.booleans()))
    return method


@st.composite
def _data(draw: st.DrawFn, method: str) -> Spec:
    prompt_learning = method in ("prefix", "prompt")
    data = draw(
        optional(
            eval=st.sampled_from(["5%", "0.5 %", "none", "eval.jsonl"]),
            format=st.sampled_from(list(COLUMNS)),
            max_length=st.sampled_from([64, 128, 512, 1024]),
            packing=st.just(False) if prompt_learning else st.booleans(),
        )
    )
    form = data.get("format")
    if form is not None and draw(st.booleans()):
        data["columns"] = COLUMNS[form]
    if form != "text":
        data |= draw(optional(train_on_prompt=st.booleans(), system=st.just("Be kind: always.")))
    return data


@st.composite
def _training(
    draw: st.DrawFn, method: str, hardware: Spec, held_out: bool, packing: bool | None
) -> Spec:
    checkpointing = [False] if method == "prefix" else [False, True, "selective"]
    train = draw(
        optional(
            batch_size=st.integers(1, 8),
            gradient_accumulation=st.integers(1, 8),
            learning_rate=st.sampled_from([2e-4, 1e-5, 0.003, 1]),
            scheduler=st.sampled_from(["linear", "cosine", "constant_with_warmup"]),
            optimizer=st.sampled_from(["adamw_torch_fused", "adamw_8bit", "sgd", "adafactor"]),
            weight_decay=st.sampled_from([0, 0.01]),
            max_grad_norm=st.sampled_from([0, 0.3, 1.0]),
            seed=st.integers(0, 2**32 - 1),
            activation_checkpointing=st.sampled_from(checkpointing),
            compile=st.just(False),
            logging_steps=st.integers(1, 50),
            save_limit=st.integers(1, 3),
            report_to=st.lists(st.sampled_from(["wandb", "mlflow"]), unique=True),
        )
    )
    length = draw(st.sampled_from([{}, {"epochs": 3}, {"epochs": 0.5}, {"max_steps": 100}]))
    train |= length | draw(optional(warmup=st.sampled_from([0, 0.03, 10])))
    if method != "prompt":
        train |= draw(optional(label_smoothing=st.sampled_from([0, 0.1])))
    if held_out:
        train |= draw(optional(eval_steps=st.just(25), eval_batch_size=_SMALL))
        train |= draw(optional(early_stopping=st.sampled_from([False, True, {"patience": 2}])))
    train |= draw(optional(save_steps=st.sampled_from([25, 50, 100])))
    if draw(st.booleans()):
        ranks = hardware.get("count", 1) * hardware.get("nodes", 1)
        batch, accumulation = train.get("batch_size"), train.get("gradient_accumulation")
        more = 1 if batch and accumulation else draw(_SMALL)
        train["effective_batch"] = (batch or 1) * (accumulation or 1) * ranks * more
    return train


def _tunes() -> st.SearchStrategy[Spec]:
    how = st.sampled_from(["auto", "suggest", "off"])
    leave = st.sampled_from(["quantize", "shorten", "regularize", "offload", "optimizer"])
    return optional(memory=how, speed=how, overfitting=how, allow=st.lists(leave, unique=True))


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Valid specs as a person might write them: blocks, flow, short forms, comments, CRLF."""
    lines: list[str] = []
    for key, value in draw(specs()).items():
        _comment(draw, lines, "")
        short = SHORT.get(key)
        if short and isinstance(value, dict) and set(value) == {short} and draw(st.booleans()):
            value = value[short]
        if not isinstance(value, dict) or not value:
            lines.append(f"{key}: {literal(value)}{_remark(draw)}")
        elif draw(st.booleans()):
            inside = ", ".join(f"{inner}: {_value(draw, item)}" for inner, item in value.items())
            pad = draw(st.sampled_from(["", " "]))
            lines.append(f"{key}: {{{pad}{inside}{pad}}}{_remark(draw)}")
        else:
            _block(draw, lines, key, value)
    _comment(draw, lines, "")
    end = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    return end.join(lines) + draw(st.sampled_from([end, ""]))


def _block(draw: st.DrawFn, lines: list[str], key: str, section: Spec) -> None:
    indent = " " * draw(st.sampled_from([2, 4]))
    lines.append(f"{key}:{_remark(draw)}")
    for inner, item in section.items():
        _comment(draw, lines, indent)
        if isinstance(item, list) and item and draw(st.booleans()):
            lines.append(f"{indent}{inner}:")
            lines += [f"{indent}  - {literal(part)}{_remark(draw)}" for part in item]
        elif isinstance(item, dict) and item and draw(st.booleans()):
            lines.append(f"{indent}{inner}:{_remark(draw)}")
            lines += [f"{indent}  {name}: {literal(part)}" for name, part in item.items()]
        else:
            lines.append(f"{indent}{inner}: {_value(draw, item)}{_remark(draw)}")


def _value(draw: st.DrawFn, value: Any) -> str:
    if isinstance(value, str) and draw(st.booleans()):
        return "'" + value.replace("'", "''") + "'"
    return literal(value)


def _comment(draw: st.DrawFn, lines: list[str], indent: str) -> None:
    if draw(st.integers(0, 5)) == 0:
        lines += draw(st.sampled_from([[f"{indent}# why: {{a: b}}"], [""], ["", f"{indent}#"]]))


def _remark(draw: st.DrawFn) -> str:
    return draw(st.sampled_from(["", "", "", "  # the guide's", " #: x"]))


_PIECES = st.sampled_from(
    ["model", "method", "train", ":", ": ", "\n", "  ", "\t", "- ", "{", "}", "[", "]", ",", "'"]
    + ['"', "#", "&a ", "*a", "!!str ", "!x", "|\n", ">\n", "---\n", "...", "%YAML 1.2\n", "? "]
    + ["~", "null", "true", "no", ".inf", ".nan", "1e999", "0x1F", "-1", "5%", "20GiB", "auto"]
    + ["r", "use_4bit", "lora_r", "\x00", "\ufeff", "é", "\U0001f600", "\u2028", "\x85", "<<"]
)


@st.composite
def _mutated(draw: st.DrawFn) -> str:
    text = yaml.safe_dump(draw(specs()), sort_keys=False, default_flow_style=draw(st.booleans()))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        cut = draw(st.integers(0, 6))
        text = text[:at] + draw(_PIECES | st.text(max_size=3)) + text[at + cut :]
    return text


@st.composite
def _misvalued(draw: st.DrawFn) -> str:
    """Well-formed specs in which a section holds what it should not."""
    spec = draw(specs())
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=4,
    )
    section = draw(st.sampled_from(list(spec)))
    if isinstance(spec[section], dict) and spec[section] and draw(st.booleans()):
        spec[section] = {**spec[section], draw(st.sampled_from(list(spec[section]))): draw(values)}
    else:
        spec[section] = draw(values)
    return yaml.safe_dump(spec, allow_unicode=True)


def texts() -> st.SearchStrategy[str | bytes]:
    """Anything that may be handed to the reader: noise, scraps of YAML, and damaged specs."""
    scraps = st.lists(_PIECES, max_size=20).map("".join)
    return st.text() | st.binary() | scraps | _mutated() | _misvalued() | documents()
