"""A 4-bit base on the CPU goes on learning after an evaluation.

bitsandbytes 0.50 repacks weights in evaluation on processors with AVX-512 bf16, to a form that no
gradient passes; the emitted script switches that off, in the lines that this test takes from it.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from tiny import make_llama

SWITCH = """\
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # In evaluation bitsandbytes 0.50 repacks weights so that no gradient passes.
            module.support_avx512bf16_for_cpu = False
"""


def test_the_template_holds_the_switch() -> None:
    template = Path(__file__).parents[2] / "templates" / "train.py.j2"
    assert SWITCH in template.read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore")
def test_gradients_reach_the_lowest_layer_after_an_evaluation(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")
    make_llama(tmp_path)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        str(tmp_path),
        dtype=torch.float32,
        quantization_config=transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
        ),
    )
    exec(textwrap.dedent(SWITCH), {"model": model})
    tuned = peft.get_peft_model(
        model, peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"])
    )
    ids = torch.arange(24).reshape(2, 12) + 5
    tuned.eval()
    with torch.no_grad():
        tuned(input_ids=ids)
    tuned.train()
    tuned(input_ids=ids, labels=ids).loss.backward()
    reached = {
        name: float(weight.grad.norm())
        for name, weight in tuned.named_parameters()
        if weight.grad is not None and "lora_B" in name
    }
    assert len(reached) == 4
    assert all(norm > 0 for norm in reached.values()), reached
