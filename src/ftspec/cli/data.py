"""`ftspec data`: check, clean and preview the rows that a model is to learn from."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType

import click

# command -> (module, what it does)
COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "check": ("data_check", "What is wrong with the data, row by row?"),
        "clean": ("data_clean", "Repair rows and set rows aside, each accounted for."),
        "preview": ("data_preview", "The rows as the model will see them."),
    }
)


class Commands(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in their own order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a command's module and return it."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"ftspec.cli.{COMMANDS[name][0]}")
        command: click.Command = getattr(module, name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])


@click.command(cls=Commands, subcommand_metavar="COMMAND ...")
def data() -> None:
    """Look at training data before a card is paid for.

    \b
      ftspec data check rows.jsonl --eval held_out.jsonl
      ftspec data clean rows.jsonl -o clean.jsonl
      ftspec data preview rows.jsonl --model NAME
    """
