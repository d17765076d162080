"""`ftspec schema`: the JSON schema of the spec language, for editors."""

from __future__ import annotations

import json

import click


@click.command()
def schema() -> int:
    """Print the JSON schema of the spec language."""
    from ftspec.spec.schema import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0
