"""What is served together, and the command that each server is started by."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from served import adapter, local, project, whole

from ftspec.runtime.serving import transformers_serve, vllm
from ftspec.runtime.serving.models import NotServableError, Offer, offer


def offered(folder: Path, *others: tuple[str, Path], number: int = 1) -> Offer:
    return offer(folder, folder / "runs" / str(number) / "final", others)


def test_a_run_and_other_adapters_share_their_base(tmp_path: Path) -> None:
    bot = project(tmp_path / "bot", runs=2)
    other = adapter(tmp_path / "other/runs/7/final")
    found = offered(bot, ("coding", tmp_path / "other"), ("early", bot / "runs/1"), number=2)
    assert found.names == ("base", "tuned", "coding", "early")
    assert [model.folder for model in found.models] == [
        *(bot / "runs/2/final", other, bot / "runs/1/final"),
    ]
    assert (found.base, found.revision, found.dtype) == ("org/model-7b", "c0ffee", "bfloat16")


def test_the_plan_s_commit_is_served(tmp_path: Path) -> None:
    bot = project(tmp_path / "bot")
    plan = json.loads((bot / "plan.json").read_text())
    plan["model"]["revision"] = "v2"
    (bot / "plan.json").write_text(json.dumps(plan))
    assert offered(bot).revision == "v2"
    found = offered(local(project(tmp_path / "near/bot")))
    assert (found.base, found.revision) == (str(tmp_path / "near/model-7b"), None)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"peft_type": "PREFIX_TUNING"}, "`x` is a prefix, which neither"),
        ({"peft_type": "PROMPT_TUNING"}, "`x` is a soft prompt, which neither"),
        ({"peft_type": "IA3"}, "of the kind IA3"),
        ({"weights": "others"}, "`x` and `tuned` were trained on different bases"),
        ({"weights": None, "base_model_name_or_path": "org/other"}, "trained on org/other, not on"),
    ],
)
def test_what_cannot_be_served_is_refused(
    config: dict[str, Any], words: str, tmp_path: Path
) -> None:
    bot = project(tmp_path / "bot")
    with pytest.raises(NotServableError, match=words):
        offered(bot, ("x", adapter(tmp_path / "x", **config)))


def test_names_and_folders_are_checked(tmp_path: Path) -> None:
    bot = project(tmp_path / "bot")
    final = bot / "runs/1/final"
    for name in ("base", "a/b", "", "a b"):
        with pytest.raises(NotServableError, match="is no name"):
            offered(bot, (name, final))
    with pytest.raises(NotServableError, match="the same name"):
        offered(bot, ("tuned", final))
    with pytest.raises(NotServableError, match="holds no trained model"):
        offered(bot, ("x", tmp_path))
    with pytest.raises(NotServableError, match="`x` is a whole model and others are adapters"):
        offered(bot, ("x", whole(tmp_path / "x")))
    unsaid = adapter(tmp_path / "moved", weights=None, base_model_name_or_path="/old/model-7b")
    assert offered(bot, ("x", unsaid)).names == ("base", "tuned", "x")


def test_vllm_serves_a_base_with_its_adapters(tmp_path: Path) -> None:
    bot = project(tmp_path / "bot", quantization="nf4")
    small = adapter(tmp_path / "small", r=2, rank_pattern={"q_proj": 40})
    words = vllm.command(offered(bot, ("small", small)), "vllm", "127.0.0.1", 8000)
    final = bot / "runs/1/final"
    assert words == [
        *("vllm", "serve", "org/model-7b", "--served-model-name", "base"),
        *("--host", "127.0.0.1", "--port", "8000", "--dtype", "bfloat16"),
        *("--revision", "c0ffee", "--quantization", "bitsandbytes"),
        *("--chat-template", str(final / "chat_template.jinja")),
        *("--enable-lora", "--max-loras", "2", "--max-lora-rank", "64"),
        *("--lora-modules", f"tuned={final}", f"small={small}"),
    ]


def test_vllm_serves_a_whole_model(tmp_path: Path) -> None:
    bot = project(tmp_path / "bot", runs=2, adapters=False)
    found = offered(bot, number=2)
    final = str(bot / "runs/2/final")
    assert found.names == ("tuned",)
    words = vllm.command(found, "vllm", "localhost", 80)
    assert words[:5] == ["vllm", "serve", final, "--served-model-name", "tuned"]
    assert "--enable-lora" not in words and "--chat-template" not in words
    two = offered(bot, ("early", bot / "runs/1"), number=2)
    with pytest.raises(NotServableError, match="one whole model at a time"):
        vllm.command(two, "vllm", "localhost", 80)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "lora_only"}, "biases"),
        ({"r": 513}, "rank is over 512"),
    ],
)
def test_what_vllm_refuses(config: dict[str, Any], words: str, tmp_path: Path) -> None:
    bot = project(tmp_path / "bot")
    found = offered(bot, ("x", adapter(tmp_path / "x", **config)))
    with pytest.raises(NotServableError, match=f"vLLM does not serve `x`: .*{words}"):
        vllm.command(found, "vllm", "localhost", 80)


def test_each_rank_is_one_that_vllm_takes(tmp_path: Path) -> None:
    bot = project(tmp_path / "bot")
    for rank, taken in ((1, 16), (17, 32), (320, 320), (512, 512)):
        found = offered(bot, ("x", adapter(tmp_path / str(rank), r=rank)))
        words = vllm.command(found, "vllm", "localhost", 80)
        assert words[words.index("--max-lora-rank") + 1] == str(taken)


def test_what_is_served_otherwise_than_trained_is_told(tmp_path: Path) -> None:
    fp4 = offered(project(tmp_path / "fp4", quantization="fp4"))
    assert "unquantized" in vllm.notes(fp4)[0] and "unquantized" in transformers_serve.notes(fp4)[0]
    single = offered(project(tmp_path / "nf4", quantization="nf4", double_quant=False))
    assert "second time" in vllm.notes(single)[0] + transformers_serve.notes(single)[0]
    plain = project(tmp_path / "plain")
    assert vllm.notes(offered(plain)) == transformers_serve.notes(offered(plain)) == []
    other = adapter(tmp_path / "x")
    (other / "chat_template.jinja").write_text("another")
    assert "tuned's" in vllm.notes(offered(plain, ("x", other)))[0]


def test_transformers_serve_gets_a_folder_of_links_a_name(tmp_path: Path) -> None:
    bot = local(project(tmp_path / "bot"))
    other = adapter(tmp_path / "x", weights="w")
    folder = transformers_serve.lay_out(offered(bot, ("x", other)), bot)
    assert sorted(path.name for path in folder.iterdir()) == ["base", "tuned", "x"]
    base = {"config.json", "model.safetensors", "tokenizer.json"}
    assert {path.name for path in (folder / "base").iterdir()} == base, "no second set of weights"
    added = {path.name for path in (folder / "x").iterdir()} - base
    assert added == {*("adapter_config.json", "adapter_model.safetensors"), *("base.json",)} | {
        "chat_template.jinja"
    }
    assert all(path.is_symlink() for path in folder.glob("*/*"))
    assert (folder / "x/adapter_model.safetensors").read_text() == (
        (other / "adapter_model.safetensors").read_text()
    )
    transformers_serve.lay_out(offered(bot), bot)
    assert sorted(path.name for path in folder.iterdir()) == ["base", "tuned"]
    assert (other / "adapter_model.safetensors").is_file(), "links go, and not what they show"


def test_an_adapter_s_own_tokenizer_is_served(tmp_path: Path) -> None:
    bot = local(project(tmp_path / "bot"))
    (bot / "runs/1/final/tokenizer.json").write_text("with more tokens")
    folder = transformers_serve.lay_out(offered(bot), bot)
    assert (folder / "tuned/tokenizer.json").read_text() == "with more tokens"
    assert (folder / "base/tokenizer.json").read_text() != "with more tokens"


def test_a_base_of_the_hub_is_taken_from_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = project(tmp_path / "bot")
    with pytest.raises(NotServableError, match="is not in this machine's cache") as raised:
        transformers_serve.lay_out(offered(bot), bot)
    assert raised.value.hint == "hf download org/model-7b --revision c0ffee"
    cached = whole(tmp_path / "snapshot")
    asked = []

    def snapshot(name: str, **options: Any) -> str:
        asked.append((name, options))
        return str(cached)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    folder = transformers_serve.lay_out(offered(bot), bot)
    assert asked == [("org/model-7b", {"revision": "c0ffee", "local_files_only": True})]
    assert (folder / "tuned/model.safetensors").resolve() == cached / "model.safetensors"


def test_transformers_serve_is_told_how_the_base_is_stored(tmp_path: Path) -> None:
    for kind, option in (("nf4", "bnb-4bit"), ("int8", "bnb-8bit"), ("fp4", None), ("none", None)):
        found = offered(project(tmp_path / kind, quantization=kind))
        words = transformers_serve.command(found, "/bin/python", "localhost", 80)
        assert words[:4] == ["/bin/python", "-m", "transformers.cli.transformers", "serve"]
        assert (words[-2:] == ["--quantization", str(option)]) == (option is not None)


def test_what_is_installed_is_asked_of_the_python_that_serves(tmp_path: Path) -> None:
    liar = tmp_path / "python"
    liar.write_text("#!/bin/sh\nexit 1\n")
    liar.chmod(0o755)
    assert not transformers_serve.installed(str(liar))
    liar.write_text("#!/bin/sh\nexit 0\n")
    assert transformers_serve.installed(str(liar))
    assert isinstance(transformers_serve.installed(sys.executable), bool)


def test_vllm_is_found_beside_the_python_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert vllm.program(str(tmp_path / "venv/python")) is None
    for place in ("path", "venv"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "vllm").write_text("#!/bin/sh\n")
        (tmp_path / place / "vllm").chmod(0o755)
        found = vllm.program(str(tmp_path / "venv/python"))
        assert found == str(tmp_path / place / "vllm")
    shutil.rmtree(tmp_path / "venv")
    assert vllm.program(str(tmp_path / "venv/python")) == str(tmp_path / "path/vllm")
