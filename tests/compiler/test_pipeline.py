"""The passes: every open value is decided with a reason, and every explicit one is kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from compiling import Spec, compiled, errors, plan_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from machines import CPU, H100, RTX_4090, T4, cards
from pydantic import BaseModel
from strategies import specs
from tiny import rows_of, write_rows
from world import LLAMA, write_model, write_tokenizer

from ftspec.compiler.emit import emit
from ftspec.compiler.facts.hardware import Hardware
from ftspec.compiler.plan import Plan
from ftspec.spec.model import EarlyStopping
from ftspec.spec.model import Spec as Model

# Under `plan`, but nobody's choice: what the run is given, or what follows from it.
NOT_CHOSEN = {
    "hardware.device",
    "hardware.gpu",
    "hardware.count",
    "hardware.nodes",
    "hardware.free_bytes",
    "hardware.detected",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    model = write_model(folder / "model", {**LLAMA, "max_position_embeddings": 2048})
    write_tokenizer(model)
    write_model(folder / "bare", {**LLAMA, "max_position_embeddings": 2048})
    write_rows(folder / "many.jsonl", rows_of("alpaca", 1200))
    for count in (1, 12, 39, 40, 100, 200):
        write_rows(folder / f"rows-{count}.jsonl", rows_of("alpaca", count))
    return folder


def spec(method: Any = "lora", data: Any = "many.jsonl", **more: Any) -> Spec:
    return {"model": "model", "method": method, "data": data, **more}


def leaves(part: BaseModel, path: str = "") -> dict[str, Any]:
    return {f"{path}{name}": getattr(part, name) for name in type(part).model_fields}


@pytest.mark.parametrize("hardware", [CPU, T4, RTX_4090, H100], ids=["cpu", "t4", "4090", "h100"])
@pytest.mark.parametrize("method", ["full", "lora", "qlora", "prefix", "prompt"])
def test_every_choice_has_a_reason(method: str, hardware: Hardware, root: Path) -> None:
    plan = plan_of(spec(method), root, hardware)
    for section in ("model", "method", "data", "train", "hardware"):
        for path in leaves(getattr(plan, section), f"{section}."):
            if path not in NOT_CHOSEN:
                assert plan.why[path].reason, path
    assert all(why.reason for why in plan.why.values())


@given(written=specs(model="bare", train="rows-200.jsonl"))
@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_what_is_written_is_kept(root: Path, written: Spec) -> None:
    """Or the change stands under `changes`, with its rule and its reason."""
    data = {k: v for k, v in written["data"].items() if k not in ("columns", "format")}
    if data.get("eval") == "eval.jsonl":
        data["eval"] = "rows-12.jsonl"
    written = {**written, "data": data}
    result = compiled(written, root, H100)
    if result.plan is None:
        assert set(errors(result)) <= {"does-not-fit"}
        return
    plan = result.plan
    asked = Model.model_validate(
        {**written, "model": {**written["model"]}, "method": written["method"]}
    )
    changed = {change.path for change in plan.changes}
    for section in ("model", "method", "train"):
        for path, value in leaves(getattr(asked, section), f"{section}.").items():
            if value is None or path in changed or path in NAMED_ANEW:
                continue
            found = getattr(getattr(plan, section), path.partition(".")[2])
            assert found == value, path
            assert plan.why[path].by == "spec" or path == "train.effective_batch", path
    for change in plan.changes:
        assert change.rule and change.reason and change.asked != change.planned


# What the plan says in other words: a path, the names of a preset.
NAMED_ANEW = {"model.name", "model.trust_remote_code", "method.target_modules"}


@given(
    batch=st.none() | st.integers(1, 12),
    accumulation=st.none() | st.integers(1, 12),
    more=st.none() | st.integers(1, 6),
    count=st.sampled_from([1, 2, 4]),
    tune=st.sampled_from(["auto", "suggest", "off"]),
)
@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_effective_batch_is_kept_exactly(
    root: Path,
    batch: int | None,
    accumulation: int | None,
    more: int | None,
    count: int,
    tune: str,
) -> None:
    train: dict[str, int] = {}
    train |= {"batch_size": batch} if batch else {}
    train |= {"gradient_accumulation": accumulation} if accumulation else {}
    if more is not None:
        times = 1 if batch and accumulation else more
        train["effective_batch"] = (batch or 1) * (accumulation or 1) * count * times
    plan = plan_of(
        {
            **spec(data="rows-200.jsonl"),
            "model": "bare",
            "train": train,
            "hardware": {"gpu": "h100", "count": count},
            "tune": {"memory": tune, "speed": tune},
        },
        root,
    )
    made = plan.train.batch_size * plan.train.gradient_accumulation * count
    assert plan.train.effective_batch == made
    assert plan.memory.ranks == count
    assert made == train.get("effective_batch", made)
    assert plan.train.batch_size == (batch or plan.train.batch_size)
    assert plan.train.gradient_accumulation == (accumulation or plan.train.gradient_accumulation)
    if not batch and not accumulation and more is None:
        assert made == 16


def test_what_is_open_is_as_the_contract_says(root: Path) -> None:
    plan = plan_of(spec(), root, H100)
    assert (plan.model.dtype, plan.model.attention, plan.model.revision) == (
        "bfloat16",
        "sdpa",
        None,
    )
    assert (plan.method.r, plan.method.alpha, plan.method.dropout) == (16, 32, 0.05)
    assert plan.method.target_modules == ("q_proj", "k_proj", "v_proj", "o_proj")
    assert (plan.method.rslora, plan.method.dora, plan.method.bias) == (False, False, "none")
    assert plan.method.modules_to_save is None and plan.method.quantization == "none"
    assert (plan.data.eval_from, plan.data.eval_rows, plan.data.train_rows) == ("share", 60, 1140)
    assert plan.data.max_length == 64, "99 % of the rows are shorter, rounded up to 64"
    assert (plan.data.packing, plan.data.train_on_prompt, plan.data.system) == (False, False, None)
    assert plan.train.effective_batch == 16
    assert (plan.train.learning_rate, plan.train.epochs, plan.train.max_steps) == (2e-4, 3, None)
    assert (plan.train.scheduler, plan.train.warmup) == ("linear", 0.03)
    assert plan.train.optimizer == "adamw_torch_fused"
    numbers = (plan.train.weight_decay, plan.train.max_grad_norm, plan.train.label_smoothing)
    assert numbers == (0, 1, 0) and plan.train.seed == 42
    assert (plan.train.compile, plan.train.report_to) == (False, ())
    assert plan.train.early_stopping == EarlyStopping(), "three passes and 216 steps overfit"
    assert (plan.train.logging_steps, plan.train.save_steps, plan.train.save_limit) == (10, 100, 2)
    assert plan.train.eval_steps == 20, "of the divisors of 100 the nearest to a tenth of 216"
    assert plan.train.total_steps == 3 * math.ceil(1140 / 16)
    assert plan.evaluate == ("perplexity",)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("qlora", {"quantization": "nf4", "double_quant": True}),
        ("prefix", {"quantization": "none", "num_virtual_tokens": 20, "double_quant": False}),
        ("prompt", {"num_virtual_tokens": 20, "init": "vocab", "init_text": None}),
        ({"type": "prompt", "init_text": "x"}, {"init": "text", "init_text": "x"}),
        ({"type": "lora", "r": 8}, {"alpha": 16}),
        (
            {"type": "lora", "target_modules": "attention-min"},
            {"target_modules": ("q_proj", "v_proj")},
        ),
        ("full", {"r": None, "alpha": None, "dropout": None, "target_modules": None}),
    ],
)
def test_methods_open_values(method: Any, expected: dict[str, Any], root: Path) -> None:
    plan = plan_of(spec(method), root, H100)
    assert {name: getattr(plan.method, name) for name in expected} == expected
    if plan.method.type == "prefix":
        assert plan.train.activation_checkpointing is False


@pytest.mark.parametrize(
    ("method", "hardware", "dtype", "precision"),
    [
        ("full", H100, "float32", "bf16"),
        ("lora", H100, "bfloat16", "bf16"),
        ("lora", T4, "float16", "fp16"),
        ("qlora", T4, "float16", "fp16"),
        ("full", T4, "float32", "fp16"),
        ("full", CPU, "float32", "none"),
        ("qlora", CPU, "float32", "none"),
    ],
)
def test_dtypes(method: str, hardware: Hardware, dtype: str, precision: str, root: Path) -> None:
    plan = plan_of(spec(method), root, hardware)
    assert (plan.model.dtype, plan.train.precision) == (dtype, precision)


@pytest.mark.parametrize(
    ("model", "targets", "fan_in"),
    [
        ("gpt2", ("c_attn", "attn.c_proj"), True),
        ("microsoft/Phi-3-mini-4k-instruct", ("qkv_proj", "o_proj"), False),
        ("tiiuae/falcon-7b", ("query_key_value", "dense"), False),
        ("facebook/opt-125m", ("q_proj", "k_proj", "v_proj", "out_proj"), False),
    ],
)
def test_presets_speak_the_architecture_s_names(
    model: str, targets: tuple[str, ...], fan_in: bool, root: Path
) -> None:
    plan = plan_of({**spec(), "model": model}, root, H100)
    assert plan.method.target_modules == targets
    assert plan.method.fan_in_fan_out is fan_in


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("google/gemma-2-2b", "Gemma 2 caps its attention scores"),
        ("EleutherAI/gpt-neo-125m", "transformers does not load gpt_neo with sdpa"),
    ],
)
def test_a_model_that_refuses_sdpa_gets_eager(model: str, reason: str, root: Path) -> None:
    plan = plan_of({**spec(), "model": model}, root, H100)
    assert plan.model.attention == "eager"
    assert plan.why["model.attention"].reason == reason


def test_parameters_that_cannot_be_counted_leave_memory_unknown(root: Path, tmp_path: Path) -> None:
    config = {"model_type": "llava", "text_config": LLAMA, "vision_config": {"hidden_size": 32}}
    folder = write_model(tmp_path / "sees", config)
    memory = plan_of({**spec(), "model": str(folder)}, root, H100).memory
    assert memory.verdict == "unknown"
    assert "parameters around the llama in `text_config` are not counted" in memory.note


@pytest.mark.parametrize("revision", [None, "main", "v1"])
def test_the_commit_that_facts_are_of_is_recorded(
    revision: str | None, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest, tagged = "a" * 40, "b" * 40
    place = tmp_path / "models--nobody--nothing-1b"
    (place / "refs").mkdir(parents=True)
    for name, commit, layers in (("main", newest, 2), ("v1", tagged, 3)):
        (place / "refs" / name).write_text(commit)
        write_model(place / "snapshots" / commit, {**LLAMA, "num_hidden_layers": layers})
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    model = {"name": "nobody/nothing-1b", "revision": revision}
    plan = plan_of({**spec(), "model": model}, root, H100)
    assert (plan.facts.model_source, plan.model.local) == ("hub", False)
    assert plan.facts.model_commit == (tagged if revision == "v1" else newest)
    two, three = (
        write_model(tmp_path / f"of-{n}", {**LLAMA, "num_hidden_layers": n}) for n in (2, 3)
    )
    same = plan_of({**spec(), "model": str(three if revision == "v1" else two)}, root, H100)
    assert plan.model.parameters == same.model.parameters
    assert same.facts.model_commit is None


@pytest.mark.parametrize(
    ("rows", "eval_from", "eval_rows"),
    [(1, "none", 0), (39, "none", 0), (40, "share", 20), (100, "share", 20)],
)
def test_what_is_held_out(rows: int, eval_from: str, eval_rows: int, root: Path) -> None:
    plan = plan_of(spec(data=f"rows-{rows}.jsonl"), root)
    assert (plan.data.eval_from, plan.data.eval_rows) == (eval_from, eval_rows)
    assert plan.data.train_rows == rows - eval_rows


@pytest.mark.parametrize(("share", "held"), [("10%", 120), ("0.01%", 1), ("99.9%", 1199)])
def test_shares_are_of_all_rows(share: str, held: int, root: Path) -> None:
    plan = plan_of(spec(data={"train": "many.jsonl", "eval": share}), root)
    assert (plan.data.eval_rows, plan.data.train_rows) == (held, 1200 - held)


def test_few_rows_get_a_smaller_batch(root: Path) -> None:
    plan = plan_of(spec(data="rows-12.jsonl"), root, H100)
    assert plan.train.effective_batch == 1 and plan.train.total_steps == 36
    assert plan.train.save_steps == 36 and 36 % plan.train.eval_steps == 0


def test_off_is_the_guide_s(root: Path) -> None:
    tune = {"memory": "off", "speed": "off", "overfitting": "off"}
    for data in ("many.jsonl", "rows-40.jsonl"):
        plan = plan_of(spec(data=data, tune=tune), root, RTX_4090)
        assert (plan.train.batch_size, plan.train.gradient_accumulation) == (4, 4)
        assert plan.train.activation_checkpointing is True
        assert plan.train.eval_batch_size == 4
        assert (plan.data.max_length, plan.data.packing, plan.train.compile) == (512, False, False)
        assert plan.train.epochs == 3
    plan = plan_of(spec("prefix", tune=tune), root, RTX_4090)
    assert plan.train.activation_checkpointing is False


def test_lengths_decide_the_maximum_within_the_model_s_limit(root: Path, world: Path) -> None:
    assert plan_of(spec(), root).facts.lengths == "measured"
    unknown = plan_of({**spec(), "model": "bare"}, root)
    assert unknown.data.max_length == 512 and unknown.facts.lengths == "unknown"
    limited = plan_of({"model": "untold", "method": "lora", "data": "train.jsonl"}, world)
    assert limited.data.max_length == 256
    written = plan_of(spec(data={"train": "many.jsonl", "max_length": 100}), root)
    assert written.data.max_length == 100


def test_packing_follows_the_kernel(root: Path) -> None:
    flash = {"name": "model", "attention": "flash_attention_2"}
    data = {"train": "many.jsonl", "max_length": 512}
    plan = plan_of({**spec(data=data), "model": flash}, root, H100)
    assert plan.data.packing is True
    assert plan.train.total_steps is not None and plan.train.total_steps < 3 * 1140 / 16
    assert plan_of({**spec("prefix", data=data), "model": flash}, root, H100).data.packing is False
    assert plan_of(spec(data=data), root, H100).data.packing is False


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ({"max_steps": 7}, {"epochs": None, "max_steps": 7, "total_steps": 7, "save_steps": 7}),
        ({"max_steps": 1}, {"warmup": 0, "save_steps": 1, "eval_steps": 1}),
        ({"scheduler": "constant"}, {"warmup": 0}),
        ({"scheduler": "cosine_with_min_lr"}, {"scheduler_options": {"min_lr_rate": 0.1}}),
        (
            {"scheduler": "warmup_stable_decay", "max_steps": 50},
            {"scheduler_options": {"num_decay_steps": 5}},
        ),
        ({"eval_steps": 30}, {"save_steps": 90}),
        ({"eval_steps": 300}, {"save_steps": 300}),
        ({"save_steps": 7}, {"eval_steps": 7}),
        ({"batch_size": 3, "gradient_accumulation": 2}, {"effective_batch": 6}),
        ({"epochs": 0.5}, {"total_steps": 36}),
    ],
)
def test_the_rhythm(train: dict[str, Any], expected: dict[str, Any], root: Path) -> None:
    plan = plan_of(spec(train=train), root, H100)
    assert {name: getattr(plan.train, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("method", "model", "rate"),
    [
        ("lora", "meta-llama/Llama-2-7b-hf", 2e-4),
        ("qlora", "meta-llama/Llama-2-70b-hf", 1e-4),
        ("full", "gpt2", 2e-5),
        ("prefix", "gpt2", 1e-2),
        ("prompt", "gpt2", 3e-2),
    ],
)
def test_learning_rates_go_by_method_and_size(
    method: str, model: str, rate: float, root: Path
) -> None:
    plan = plan_of({**spec(method), "model": model}, root, cards("h100", 8))
    assert plan.train.learning_rate == rate


def test_memory_steers_the_batch(root: Path) -> None:
    """A limit that the fast choice does not fit leads to one that does, the batch kept."""
    made = {}
    for limit in ("80GiB", "22GiB", "18GiB", "16GiB"):
        plan = plan_of(
            {
                "model": "meta-llama/Llama-2-7b-hf",
                "method": "lora",
                "data": {"train": "many.jsonl", "max_length": 1024},
                "hardware": {"gpu": "h100", "vram_limit": limit},
            },
            root,
        )
        assert plan.train.effective_batch == 16
        assert plan.memory.free_bytes == int(limit[:2]) * 2**30 or limit == "80GiB"
        made[limit] = plan
    sizes = [plan.train.batch_size for plan in made.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert made["80GiB"].train.activation_checkpointing is False
    assert made["18GiB"].train.activation_checkpointing is True
    assert all(made[limit].memory.verdict == "fits" for limit in ("80GiB", "22GiB", "18GiB"))


def test_a_run_that_does_not_fit_has_a_plan_all_the_same(root: Path) -> None:
    result = compiled({**spec("full"), "model": "meta-llama/Llama-2-70b-hf"}, root, RTX_4090)
    assert errors(result) == ["does-not-fit"]
    assert result.plan is not None and result.plan.memory.verdict == "no"


def test_a_base_larger_than_a_card_is_spread(root: Path) -> None:
    written = {**spec(), "model": "meta-llama/Llama-2-70b-hf"}
    spread = plan_of(written, root, cards("h100", 4))
    assert spread.hardware.split_model and spread.memory.ranks == 1
    assert spread.train.batch_size * spread.train.gradient_accumulation == 16
    copies = plan_of({**spec(), "model": "gpt2"}, root, cards("h100", 4))
    assert not copies.hardware.split_model and copies.memory.ranks == 4


def test_templates(root: Path, world: Path) -> None:
    own = plan_of(spec(), root)
    assert (own.model.chat_template, own.model.chat_template_fallback) == (None, False)
    untold = plan_of({"model": "untold", "method": "lora", "data": "train.jsonl"}, world)
    assert untold.model.chat_template and untold.model.chat_template_fallback
    plain = plan_of({"model": "untold", "method": "lora", "data": "long.jsonl"}, world)
    assert plain.model.chat_template is None
    inline = {"name": "model", "chat_template": "{{ messages[0]['content'] }}"}
    written = plan_of({**spec(), "model": inline}, root)
    assert written.model.chat_template == inline["chat_template"]
    (root / "t.jinja").write_text("{{ messages }}é", encoding="utf-8")
    filed = plan_of({**spec(), "model": {"name": "model", "chat_template": "t.jinja"}}, root)
    assert emit(filed)["chat_template.jinja"] == "{{ messages }}é".encode()


def test_paths_are_relative_to_the_project(root: Path) -> None:
    plan = plan_of(spec(), root, project=root / "deep" / "er" / "project")
    assert plan.model.name == "../../../model" and plan.data.train == ("../../../many.jsonl",)
    assert plan.output == "project"


def test_hub_data_is_counted_when_it_is_loaded(root: Path) -> None:
    plan = plan_of(spec(data={"train": "tatsu-lab/alpaca:train", "format": "alpaca"}), root)
    assert plan.data.kind == "hub" and plan.data.train == ("tatsu-lab/alpaca",)
    assert (plan.data.train_rows, plan.data.eval_rows, plan.data.eval_share) == (None, None, 0.05)
    assert (plan.train.total_steps, plan.train.save_steps) == (None, 100)


def test_no_data_is_an_error_only_where_it_is_needed(root: Path) -> None:
    from ftspec.compiler.pipeline import compile_spec
    from ftspec.spec.parse import parse

    flat = parse("model: model\nlora_r: 16\nuse_4bit: true\n", "ftspec.yaml")
    looked = compile_spec(flat, root, RTX_4090)
    assert looked.plan is not None and looked.plan.memory.verdict == "fits"
    assert [item.name for item in looked.findings].count("no-data") == 1
    built = compile_spec(flat, root, RTX_4090, needs_data=True)
    assert built.plan is None and "no-data" in errors(built)


def test_a_plan_comes_back_from_its_json(root: Path) -> None:
    plan = plan_of(spec("qlora"), root, H100)
    again = Plan.model_validate_json(plan.to_json())
    assert again == plan and again.to_json() == plan.to_json() and again.digest == plan.digest


def test_facts_that_decided_are_recorded(root: Path) -> None:
    facts = plan_of(spec(), root).facts
    assert facts.model_source == "folder" and facts.data_digest and facts.eval_digest is None
    assert facts.mean_tokens and facts.longest_tokens and facts.supervised_tokens
    assert facts.rows_over_length == 0 and facts.tested_with["trl"]
    held = plan_of(spec(data={"train": "many.jsonl", "eval": "rows-40.jsonl"}), root).facts
    assert held.eval_digest and held.eval_digest != held.data_digest
