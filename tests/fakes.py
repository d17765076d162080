"""Stand-ins made by hand: a project whose train.py needs no library, a model without weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHAT_TEMPLATE = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}"

# Behaves as an emitted train.py does, seen from outside: it goes on with the run's folder that
# the supervisor made, writes events, checkpoints on SIGTERM, and ends with an exit code.
TRAIN = """\
import json, os, signal, sys, time
from pathlib import Path

STEPS, PAUSE, END = {steps}, {pause}, {end!r}
HERE = Path(__file__).resolve().parent
run = max((HERE / "runs").iterdir(), key=lambda path: int(path.name))
done = [int(path.name.split("-")[1]) for path in run.glob("checkpoint-*")]
stop = False


def write(event, **facts):
    with open(run / "events.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({{"event": event, "time": time.time(), **facts}}) + "\\n")


def request_stop(*_):
    global stop
    stop = True


if {deaf}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, request_stop)
first = max(done, default=0)
print("arguments:", *sys.argv[1:])
resumed = f"checkpoint-{{first}}" if first else None
write("start", schema_version=1, total_steps=STEPS, train_rows=40, resumed_from=resumed,
      plan_hash="abc")
for step in range(first + 1, STEPS + 1):
    time.sleep(PAUSE)
    write("step", step=step, loss=3.0 / step, tokens_per_second=1234.5, learning_rate=1e-4)
    if stop:
        (run / f"checkpoint-{{step}}").mkdir()
        write("checkpoint", step=step, path=f"checkpoint-{{step}}")
        write("stop", step=step, code=75)
        sys.exit(75)
write("eval", step=STEPS, loss=1.5)
if END == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if END == "raise":
    raise RuntimeError("the fuse is blown")
if END == 76:
    write("out-of-memory", phase="train", message="CUDA out of memory")
if END:
    print("these are my last words", file=sys.stderr)
    sys.exit(END)
(run / "final").mkdir()
write("end", step=STEPS, final="final")
"""


def make_project(
    folder: Path,
    *,
    steps: int = 3,
    pause: float = 0.0,
    end: int | str = 0,
    deaf: bool = False,
    gguf: str | None = None,
) -> Path:
    """Write a project; `end` is its exit code, `raise` or `kill`, `deaf` ones ignore SIGTERM."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = {"schema_version": 1, "model": {"gguf": gguf}, "facts": {"data_digest": "d1g357"}}
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    script = TRAIN.format(steps=steps, pause=pause, end=end, deaf=deaf)
    (folder / "train.py").write_text(script, encoding="utf-8")
    return folder


def make_model(folder: Path) -> Path:
    """Write a llama's config and a tokenizer of whole words: enough for lengths and memory."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    words = ["[UNK]", *(f"w{number}" for number in range(31))]
    tokenizer = Tokenizer(
        models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "model_type": "llama",
        "vocab_size": 32,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 256,
    }
    settings = {"eos_token": "[UNK]", "chat_template": CHAT_TEMPLATE}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def alpaca_rows(count: int) -> list[dict[str, Any]]:
    """Return alpaca rows, all different."""
    return [
        {"instruction": f"what is w{number}", "input": "", "output": f"w{number} it is"}
        for number in range(count)
    ]


def write_alpaca(path: Path, count: int = 120) -> Path:
    """Write alpaca rows as JSON lines."""
    text = "".join(json.dumps(row) + "\n" for row in alpaca_rows(count))
    path.write_text(text, encoding="utf-8")
    return path
