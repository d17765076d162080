"""Ask fitcheck-llm, in an interpreter that has it: questions in, answers out, as JSON.

Its own reader of config.json runs, with its own refusals; only the two calls to the hub are
replaced: the file lies on the disk, and the parameters are counted already.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import Any

MIB = 2**20


def main() -> None:
    """Answer each question with bytes and a verdict, or leave it out where fitcheck refuses it."""
    from fitcheck import TrainingConfig, config_parser, estimate, get_gpu

    hub: Any = config_parser
    answers = {}
    for question in json.load(sys.stdin):
        hub.hf_hub_download = lambda *_, path=question["config"], **__: path
        hub._reported_param_count = lambda *_, count=question["parameters"]: count
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                model = config_parser.fetch_model_config(question["id"])
            card = get_gpu(question.get("gpu"), question.get("vram_mib"))
            report = estimate(model, TrainingConfig(**question["training"]), card)
        except (ValueError, KeyError) as error:
            print(f"{question['id']}: {str(error)[:160]}", file=sys.stderr)
            continue
        answers[question["id"]] = {
            "total": report.total_mib * MIB,
            "tensors": (report.total_mib - report.overhead_mib) * MIB,
            "verdict": report.verdict,
        }
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
