"""Gather the facts that a plan rests on; what cannot be had becomes a finding."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ftspec.compiler.draft import Draft
from ftspec.compiler.facts.data import DataFacts, DataUnreadableError, resolve_data
from ftspec.compiler.facts.formats import PLAIN_TEMPLATE
from ftspec.compiler.facts.gpus import find_cards
from ftspec.compiler.facts.hardware import Hardware, named
from ftspec.compiler.facts.lengths import Lengths, TemplateError, measure
from ftspec.compiler.facts.model import ModelFacts, ModelUnreadableError, resolve_model
from ftspec.compiler.passes.choose_model import read_template
from ftspec.compiler.rules import (
    card_counts_disagree,
    data_unreadable,
    model_unreadable,
    template_refuses,
    unknown_gpu,
    unmeasured_hardware,
    unusable_path,
)
from ftspec.spec.finding import Finding, Route
from ftspec.spec.model import Spec
from ftspec.spec.values import parse_share


def gather(spec: Spec, root: Path, project: Path, hardware: Hardware) -> Draft:
    """Return the first draft: the spec with everything that can be known beforehand."""
    draft = Draft(spec, root, project, hardware, ModelFacts(spec.model.name, "unknown"))
    draft = draft.found(*_unusable_paths(draft))
    if draft.findings:
        return draft
    draft = _hardware(draft)
    try:
        draft = replace(draft, model=resolve_model(spec.model.name, root, spec.model.revision))
    except ModelUnreadableError as error:
        draft = draft.found(*model_unreadable.find(error))
    draft = _data(draft)
    return _lengths(draft)


def _unusable_paths(draft: Draft) -> Iterator[Finding]:
    """Find paths that the file system refuses to look for."""
    spec = draft.spec
    paths: list[tuple[Route, str]] = [(("model", "name"), spec.model.name)]
    train = spec.data.train or ()
    for number, text in enumerate(train):
        paths.append((("data", "train", number) if len(train) > 1 else ("data", "train"), text))
    paths += [(("data", "eval"), spec.data.eval)] if spec.data.eval else []
    paths += [(("output",), spec.output)] if spec.output else []
    for route, text in paths:
        try:
            (draft.root / Path(text).expanduser()).stat()
        except (OSError, RuntimeError, ValueError) as error:
            if not isinstance(error, OSError):
                yield from unusable_path.find((route, str(error)))
            elif error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
                yield from unusable_path.find((route, error.strerror or "not a path"))


def _hardware(draft: Draft) -> Draft:
    asked = draft.spec.hardware
    if asked.gpu is not None:
        found = find_cards(asked.gpu)
        if found is None:
            return draft.found(*unknown_gpu.find(asked.gpu))
        gpu, written = found
        draft, here = draft.found(*card_counts_disagree.find(asked)), draft.hardware
        count = asked.count or written or 1
        return replace(draft, hardware=named(gpu, count, here.host_bytes, here.cores))
    draft = draft.found(*unmeasured_hardware.find(draft))
    if asked.count is not None and draft.hardware.cards:
        cards = draft.hardware.cards[: asked.count]
        return replace(draft, hardware=replace(draft.hardware, cards=cards))
    return draft


def _data(draft: Draft) -> Draft:
    asked = draft.spec.data
    if asked.train is not None:
        data, draft = _resolve(draft, "train", asked.train)
        draft = replace(draft, data=data)
    if asked.eval is not None and asked.eval != "none" and parse_share(asked.eval) is None:
        data, draft = _resolve(draft, "eval", (asked.eval,))
        draft = replace(draft, eval_data=data)
    return draft


def _resolve(draft: Draft, key: str, sources: tuple[str, ...]) -> tuple[DataFacts | None, Draft]:
    asked = draft.spec.data
    try:
        return resolve_data(sources, draft.root, asked.format, asked.columns), draft
    except DataUnreadableError as error:
        return None, draft.found(*data_unreadable.find((key, str(error))))


def _lengths(draft: Draft) -> Draft:
    for key, data in (("train", draft.data), ("eval", draft.eval_data)):
        if data is None or data.format is None or not data.sample:
            continue
        try:
            lengths = _measured(draft, data)
        except TemplateError as error:
            return draft.found(*template_refuses.find(str(error)))
        except DataUnreadableError as error:
            return draft.found(*data_unreadable.find((key, str(error))))
        if key == "train":
            draft = replace(draft, lengths=lengths)
        else:
            draft = replace(draft, eval_lengths=lengths)
    return draft


def _measured(draft: Draft, data: DataFacts) -> Lengths | None:
    template = read_template(draft)
    if template is None and draft.model.chat_template is None:
        template = PLAIN_TEMPLATE
    return measure(
        data.sample,
        draft.model,
        data.format or "",
        data.columns or {},
        draft.spec.data.system,
        template,
        bool(draft.spec.data.train_on_prompt),
    )
