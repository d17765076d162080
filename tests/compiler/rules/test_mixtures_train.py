"""What two rules say of virtual tokens and of mixtures, tried on tiny models with trl and peft."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import make_tokenizer

MIXTURE = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2}
GRANITE = {key: value for key, value in MIXTURE.items() if key != "num_experts"}
LATENT = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "q_lora_rank": None,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 16,
    "v_head_dim": 16,
    "num_key_value_heads": 4,
}


@pytest.fixture
def step(tmp_path: Path) -> Callable[..., None]:
    """Train a tiny model for one step."""
    pytest.importorskip("trl", reason="trl trains")
    import torch
    from datasets import Dataset
    from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    vocab = make_tokenizer(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    rows = [{"input_ids": list(range(4, 4 + n)), "labels": list(range(4, 4 + n))} for n in (9, 5)]

    def train(kind: str, method: str, **changes: Any) -> None:
        torch.manual_seed(0)
        widths = {"hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 2}
        widths |= {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": vocab}
        config = AutoConfig.for_model(kind, **(widths | changes))
        made = {
            "lora": LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"]),
            "prefix": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
            "prompt": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
        }
        settings = SFTConfig(
            output_dir=str(tmp_path / "run"),
            max_steps=1,
            per_device_train_batch_size=2,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to=[],
            disable_tqdm=True,
            save_strategy="no",
        )
        SFTTrainer(
            AutoModelForCausalLM.from_config(config),
            settings,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=made[method],
        ).train()

    return train


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "method", "changes", "refusal"),
    [
        ("granitemoe", "lora", GRANITE, "has no attribute 'num_experts'"),
        ("granitemoe", "lora", GRANITE | {"router_aux_loss_coef": 0.0}, ""),
        ("mixtral", "prefix", MIXTURE, "size of tensor"),
        ("mixtral", "prefix", MIXTURE | {"router_aux_loss_coef": 0.0}, ""),
        ("mixtral", "prompt", MIXTURE, ""),
        ("deepseek_v2", "prefix", LATENT, "Sizes of tensors must match"),
        ("deepseek_v2", "prompt", LATENT, ""),
        (
            "falcon",
            "prefix",
            {"multi_query": True, "num_key_value_heads": 4},
            "Sizes of tensors must match",
        ),
        ("falcon", "prefix", {"multi_query": False, "num_key_value_heads": 4}, ""),
        ("mpt", "prompt", {"d_model": 64, "n_heads": 4, "n_layers": 2}, "num_attention_heads"),
    ],
)
def test_what_the_rules_say_is_so(
    kind: str, method: str, changes: dict[str, Any], refusal: str, step: Callable[..., None]
) -> None:
    if not refusal:
        step(kind, method, **changes)
        return
    with pytest.raises((AttributeError, RuntimeError, ValueError), match=refusal):
        step(kind, method, **changes)
