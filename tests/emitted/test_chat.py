"""chat.py with several adapters: what each answers, what a mixture is, what is refused."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projects import METHODS, Trained, environment, run

Find = Callable[[str], Trained]
# peft 0.21 asks transformers 5.23 by a name that is to go.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
PROMPT = "<|user|>what is red 0<|end|>\n<|assistant|>"
PROBE = """\
import json, sys, torch
sys.path.insert(0, sys.argv[1])
import chat
loaded = chat.Adapters()
for pair in json.loads(sys.argv[2]):
    loaded.add(*pair)
loaded.mix({"slow": 1.5, "tuned": 0.7, "ranks": -0.4})
found = {}
for name in ["base", "tuned", "ranks", "slow", "slow+tuned+ranks", "base"]:
    with loaded.speaking(name) as (model, tokenizer), torch.no_grad():
        ids = tokenizer(sys.argv[3], add_special_tokens=False, return_tensors="pt")["input_ids"]
        found[name] = model(input_ids=ids).logits[0, -1].tolist()
print(json.dumps(found))
"""


def final(made: Trained) -> Path:
    return made.project / "runs" / "1" / "final"


def talk(made: Trained, lines: list[str], *options: str, script: str = "chat.py") -> list[str]:
    """Say lines to chat.py, and return what comes after each, white space apart."""
    command = [sys.executable, str(made.project / script), "--max-new-tokens", "8", *options]
    done = subprocess.run(
        command,
        input="".join(f"{line}\n" for line in [*lines, "/quit"]),
        env=environment(made.project.parent),
        cwd=made.project.parent,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # What was typed is not echoed: a prompt that nothing follows stands before the next one.
    answers = re.split(r"(?:^|(?<=> ))(?:base|tuned|other)> ", done.stdout, flags=re.MULTILINE)
    assert len(answers) == len(lines) + 2
    return [" ".join(answer.split()) for answer in answers][1:-1]


def lora(made: Trained, folder: Path, base: Path | None = None, **settings: Any) -> Path:
    """Save a LoRA adapter that says something of its own."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(str(base or made.base))
    torch.manual_seed(len(folder.name))
    config = LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **settings)
    adapted = get_peft_model(model, config)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.mul_(8)
    adapted.save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_a_conversation_with_two_and_the_base(method: str, trained: Find) -> None:
    made = trained(method)
    ask = "what is red 0"
    tuned, both, _, base, added, _, listed, again, dropped, mixed, none = talk(
        made,
        [
            *(ask, "/compare", "/use base", ask, f"/add other={made.project}", "/use other"),
            *("/adapters", "/compare tuned other", "/drop tuned", "/mix other=1 base=1"),
            "/use tuned",
        ],
    )
    assert both.split() == ["[tuned]", *tuned.split(), "[base]", *base.split()]
    assert added == "loaded: /use other"
    assert listed.split() == ["base", "tuned", "*", "other"]
    ours, theirs = again.removeprefix("[tuned]").split("[other]")
    assert ours.strip() == theirs.strip()
    assert dropped == ""
    why = {"full": "whole models are not mixed", "prefix": "prefixes are no", "prompt": "soft pr"}
    assert why.get(method, "the base is in every mixture") in mixed
    assert none == "tuned is not loaded; there is base, other"


def test_each_answers_as_peft_alone_would_and_a_mixture_is_the_sum(
    trained: Find, tmp_path: Path
) -> None:
    """Ranks, alphas, modules and rsLoRA differ; the sum is computed here from the files."""
    import torch

    made = trained("lora")
    pairs = [("tuned", final(made))]
    pairs.append(("ranks", lora(made, tmp_path / "r", r=2, target_modules=["q_proj", "v_proj"])))
    settings = {"r": 4, "lora_alpha": 6, "use_rslora": True, "target_modules": ["q_proj", "o_proj"]}
    pairs.append(("slow", lora(made, tmp_path / "slow", **settings)))
    given = json.dumps([(name, str(folder)) for name, folder in pairs])
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(made.project), given, PROMPT],
        env=environment(made.project.parent),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = {n: torch.tensor(v) for n, v in json.loads(done.stdout.splitlines()[-1]).items()}
    shares = {"base": {}, **{name: {name: 1.0} for name, _ in pairs}}
    shares["slow+tuned+ranks"] = {"tuned": 0.7, "ranks": -0.4, "slow": 1.5}
    folders = dict(pairs)
    for name, weights in shares.items():
        expected = summed(made.base, {folders[one]: share for one, share in weights.items()})
        assert torch.allclose(found[name], expected, atol=1e-4), name
    assert not torch.allclose(found["base"], found["ranks"], atol=0.1)


def summed(base: Path, shares: dict[Path, float]) -> Any:
    """Return the last logits of a base whose weights had shares of adapters added by hand."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(str(base)).eval()
    weights = dict(model.named_parameters())
    for folder, share in shares.items():
        config = json.loads((folder / "adapter_config.json").read_text())
        root = config["r"] ** (0.5 if config["use_rslora"] else 1)
        factors = load_file(folder / "adapter_model.safetensors")
        for key, factor in factors.items():
            if key.endswith(".lora_A.weight"):
                change = factors[key.replace("lora_A", "lora_B")].float() @ factor.float()
                place = key.removeprefix("base_model.model.").replace("lora_A.", "")
                with torch.no_grad():
                    weights[place].add_(change * (share * config["lora_alpha"] / root))
    ids = AutoTokenizer.from_pretrained(str(base))(PROMPT, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model(input_ids=ids).logits[0, -1]


def test_an_adapter_of_another_base_is_refused(trained: Find, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    made = trained("lora")
    other = shutil.copytree(final(made), tmp_path / "other")
    base = json.loads((other / "base.json").read_text())
    (other / "base.json").write_text(json.dumps({**base, "weights": "0" * 64}))
    stranger = lora(made, tmp_path / "stranger", r=2, target_modules=["q_proj"])
    config = json.loads((stranger / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "someone/else-7b"
    (stranger / "adapter_config.json").write_text(json.dumps(config))
    small = tmp_path / "small" / "llama"  # of the same name, and half as wide
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
    LlamaForCausalLM(
        LlamaConfig(**sizes, num_hidden_layers=2, num_key_value_heads=2, vocab_size=400)
    ).save_pretrained(str(small))
    narrow = lora(made, tmp_path / "narrow", small, r=2, target_modules=["q_proj"])
    prefix = trained("prefix").project
    refused = [f"/add x={folder}" for folder in (other, stranger, narrow, prefix, tmp_path)]
    lines = ["what is red 0", *refused, "what is red 0", "/drop tuned", refused[2], "/adapters"]
    first, wrong, named, size, kind, nothing, again, _, bare, listed = talk(made, lines)
    assert "x is refused: " in wrong and "is the wrong base" in wrong
    assert named.startswith("x is refused: ") and "it is not someone/else-7b" in named
    assert size.startswith("x does not fit ") and "size mismatch" in size
    assert "Cannot combine adapters with different peft types" in kind
    assert "holds no adapter: there is no adapter_config.json" in nothing
    assert again and again == first, "what was refused has left nothing behind"
    assert bare.startswith("x does not fit ")
    assert listed.split() == ["*", "base"]


def test_what_is_no_command_is_told(trained: Find) -> None:
    made = trained("lora")
    lines = [
        "/bogus",
        "/add x",
        "/add a.b=c",
        "/use 'x",
        "/compare",
        "/mix tuned=much",
        "/drop base",
    ]
    listed, form, name, quote, early, share, base = talk(made, lines)
    assert listed.startswith("/adapters") and form == listed
    assert "is no name: letters, digits, - and _" in name
    assert "quotation" in quote
    assert early == "ask something first"
    assert "could not convert string to float: 'much'" in share
    assert base == "the base stays: all adapters stand on it"


def test_several_answer_one_prompt(trained: Find, tmp_path: Path) -> None:
    made = trained("lora")
    other = lora(made, tmp_path / "other", r=2, target_modules=["q_proj", "v_proj"])
    ask = ["--prompt", "what is red 0", "--max-new-tokens", "8"]
    pairs = ["--adapter", f"one={made.project}", "--adapter", f"two={other}"]
    both = run(made.project, "chat.py", *ask, *pairs).stdout
    one, two = both.removeprefix("[one]\n").split("[two]\n")
    assert one == run(made.project, "chat.py", *ask).stdout
    assert two == run(made.project, "chat.py", *ask, "--adapter", f"x={other}").stdout
    assert one != two
    wrong = run(made.project, "chat.py", *ask, "--adapter", f"x={tmp_path}", check=78)
    assert "holds no adapter" in wrong.stderr


def test_ctrl_c_ends_an_answer_and_not_the_conversation(trained: Find) -> None:
    made = trained("lora")
    child = subprocess.Popen(
        [sys.executable, str(made.project / "chat.py"), "--max-new-tokens", "100000"],
        env=environment(made.project.parent),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdin and child.stdout
    try:
        child.stdin.write(b"what is red 0\n")
        child.stdin.flush()
        said = b""
        while len(said) < 30:  # some of an answer that would not end
            said += child.stdout.read(1)
        child.send_signal(signal.SIGINT)
        rest, _ = child.communicate(b"/adapters\n/quit\n", timeout=100)
    finally:
        child.kill()
    assert child.returncode == 0
    assert b"(not finished, and forgotten)" in rest and b"* tuned" in rest
