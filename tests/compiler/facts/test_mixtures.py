"""What trl asks the configs of mixtures of experts for, held against transformers' own classes."""

from __future__ import annotations

import pytest

from ftspec.compiler.facts.mixtures import BALANCING, NO_NUM_EXPERTS, SPARSE, balancing


@pytest.mark.parametrize("kind", SPARSE)
def test_balancing_and_counts_are_those_of_transformers(kind: str) -> None:
    auto = pytest.importorskip("transformers", reason="transformers has the configs").AutoConfig
    config = auto.for_model(kind)
    assert hasattr(config, "output_router_logits")  # else trl asks for no balancing loss
    assert getattr(config, "router_aux_loss_coef", 0.0) == BALANCING.get(kind, 0.0)
    assert hasattr(config, "num_experts") == (kind not in NO_NUM_EXPERTS)


@pytest.mark.parametrize(
    ("kind", "stated", "weight"),
    [
        ("mixtral", {}, 0.001),
        ("mixtral", {"router_aux_loss_coef": 0.02}, 0.02),
        ("mixtral", {"router_aux_loss_coef": 0}, 0.0),
        ("mixtral", {"router_aux_loss_coef": None}, 0.0),
        ("mixtral", {"router_aux_loss_coef": "much"}, 0.0),
        ("glm4_moe", {}, 0.0),
        ("glm4_moe", {"router_aux_loss_coef": 0.01}, 0.01),
        ("llama", {"router_aux_loss_coef": 0.01}, 0.0),
    ],
)
def test_the_weight_of_the_balancing_loss(
    kind: str, stated: dict[str, object], weight: float
) -> None:
    assert balancing(kind, stated) == weight
