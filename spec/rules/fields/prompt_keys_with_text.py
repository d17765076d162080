"""Keys of prompts where the rows have none.

What it finds
    `data.train_on_prompt`, `data.system` or `model.chat_template` where `data.format` is `text`.

Why it matters
    A row of plain text is learnt as it stands: it has no prompt, no system message and no turns.
    The keys would be dropped in silence.

Evidence it needs
    `data.format` and the keys named above.

Example
    ```yaml
    data: {train: book.jsonl, format: text, system: "You are a poet."}
    ```

What to do
    Delete the key, or name the format that the rows have, such as `format: messages`.

References
    trl 1.16 `trainer/sft_trainer.py`: a dataset with a `text` column is tokenized as it is, and
    `completion_only_loss` is off.
"""

from __future__ import annotations

from collections.abc import Iterator

from ftspec.spec.finding import Finding, Route, Severity
from ftspec.spec.model import Spec
from ftspec.spec.rule import Rule


def find(spec: Spec) -> Iterator[Finding]:
    """Yield one finding a key."""
    if spec.data.format != "text":
        return
    written: dict[Route, object] = {
        ("model", "chat_template"): spec.model.chat_template,
        ("data", "train_on_prompt"): spec.data.train_on_prompt,
        ("data", "system"): spec.data.system,
    }
    for route, value in written.items():
        if value is not None:
            yield RULE.finding(
                f"`{route[-1]}` does nothing for rows in the format `text`",
                route=route,
                at_key=True,
                found="plain text has no prompt and no turns",
                help=f"delete `{route[-1]}`, or name a format with turns: `format: messages`",
                evidence={"key": ".".join(str(step) for step in route)},
            )


RULE = Rule("FT131", "prompt-keys-with-text", Severity.ERROR, find)
