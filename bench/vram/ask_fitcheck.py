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


def main() -> None:
    """Answer each question with bytes, or leave it out where fitcheck refuses it."""
    from fitcheck import TrainingConfig, config_parser, estimate, get_gpu

    hub: Any = config_parser
    answers = {}
    for question in json.load(sys.stdin):
        hub.hf_hub_download = lambda *_, path=question["config"], **__: path
        hub._reported_param_count = lambda *_, count=question["parameters"]: count
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                model = config_parser.fetch_model_config(question["id"])
            report = estimate(
                model, TrainingConfig(**question["training"]), get_gpu(question["gpu"])
            )
        except (ValueError, KeyError) as error:
            print(f"{question['id']}: {error}", file=sys.stderr)
            continue
        answers[question["id"]] = report.total_mib * 2**20
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
