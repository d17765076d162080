"""The model whose tokenizer counts the tokens of rows, from --model or the spec."""

from __future__ import annotations

from pathlib import Path

from ftspec.cli.data_inputs import DataInputs
from ftspec.cli.failure import CannotReadError
from ftspec.compiler.facts.lengths import TemplateError
from ftspec.compiler.facts.model import ModelFacts, ModelUnreadableError, resolve_model
from ftspec.doctor.data.tokens import Counting, Tokens


def counted(
    inputs: DataInputs, model: str | None, max_length: int | None
) -> tuple[Tokens | None, tuple[str, ...]]:
    """Return what counts tokens, and in words why nothing does. Raises CannotReadError."""
    counting = counting_of(inputs, model, max_length)
    if counting is None:
        return None, ()
    if counting.model.tokenizer_file is None:
        why = f"tokens were not counted: no tokenizer of `{counting.model.name}` is at hand"
        return None, (f"{why}; give --model a folder that has a tokenizer.json",)
    try:
        return Tokens(counting), ()
    except TemplateError as error:
        raise CannotReadError(str(error)) from None
    except Exception as error:  # the tokenizers library raises plain Exception
        raise CannotReadError(
            f"`{counting.model.tokenizer_file}` is no tokenizer: {error}"
        ) from None


def counting_of(inputs: DataInputs, model: str | None, max_length: int | None) -> Counting | None:
    """Return how rows are counted; None where neither a model nor a spec is named."""
    spec, root = inputs.spec, Path() if model else inputs.root
    name = model or (spec.model.name if spec is not None else None)
    if name is None:
        return None
    try:
        facts = resolve_model(name, root, spec.model.revision if spec and not model else None)
    except ModelUnreadableError as error:
        raise CannotReadError(str(error)) from None
    limit = max_length or (spec.data.max_length if spec is not None else None)
    return Counting(
        facts,
        limit or _own_limit(facts),
        spec.data.system if spec is not None else None,
        _template(inputs) if spec is not None else None,
        bool(spec.data.train_on_prompt) if spec is not None else False,
        (spec.train.batch_size or 4) if spec is not None else 4,
        inputs.layout,
    )


def _own_limit(facts: ModelFacts) -> int | None:
    """Return the positions that the model has, where they are known."""
    return facts.shape.positions if facts.shape is not None else None


def _template(inputs: DataInputs) -> str | None:
    """Return the spec's chat template, from its file or inline."""
    assert inputs.spec is not None
    asked = inputs.spec.model.chat_template
    if asked is None or "{%" in asked or "{{" in asked:
        return asked
    try:
        return (inputs.root / Path(asked).expanduser()).read_text(encoding="utf-8")
    except (OSError, RuntimeError, ValueError) as error:
        raise CannotReadError(f"the chat template `{asked}` cannot be read: {error}") from None
