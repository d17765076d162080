"""`ftspec schema`: the JSON schema of the spec language, for editors."""

from __future__ import annotations

import click

from ftspec.cli.output import print_json


@click.command()
def schema() -> int:
    """Print the JSON schema of the spec language."""
    from ftspec.spec.schema import json_schema

    print_json(json_schema())
    return 0
