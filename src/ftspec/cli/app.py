"""The verbs, each loaded only when it is called, so that every start is a fast one."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType

import click

from ftspec import __version__

# verb -> (module, what it does in a few words), in the order of the help page
VERBS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "check": ("check", "Is the spec right, and does it fit?"),
        "build": ("build", "Write the scripts of a spec into a project folder."),
        "run": ("run", "Train: run a project, or build a spec and run it."),
        "status": ("status", "Where a run stands."),
        "logs": ("logs", "What a run has told; -f: goes on telling."),
        "stop": ("stop", "Have a run save a checkpoint and end."),
        "diagnose": ("diagnose", "Read training logs, and say what to change."),
        "data": ("data", "Check, clean and preview training data."),
        "evaluate": ("evaluate", "Measure a trained project on its held-out rows."),
        "merge": ("merge", "Merge a trained adapter into its base."),
        "chat": ("chat", "Talk to a trained model, or to several adapters."),
        "serve": ("serve", "Answer as an OpenAI-compatible endpoint, by an existing server."),
        "methods": ("methods", "Compare the five methods for a model: memory, speed, cost."),
        "models": ("models", "The models whose shapes are known, and the facts of one."),
        "gpus": ("gpus", "List the cards that are known, or those of this machine."),
        "explain": ("explain", "Explain a finding's code, such as FT101."),
        "schema": ("schema", "Print the JSON schema of the spec language."),
        "demo": ("demo", "Do it all once, on a small real model."),
    }
)

HELP = """A compiler and a doctor for fine-tuning language models.

\b
  ftspec check train.yaml       is it right, does it fit?
  ftspec build train.yaml       plain scripts, yours to keep
  ftspec run train.yaml         train
  ftspec diagnose runs/1        what do the losses say?
"""


class Verbs(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in their own order."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a verb's module and return its command."""
        if name not in VERBS:
            return None
        module = importlib.import_module(f"ftspec.cli.{VERBS[name][0]}")
        command: click.Command = getattr(module, name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest verb where one is not known."""
        import difflib

        if args and args[0] not in VERBS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise click.UsageError(f"No such verb: `{args[0]}`.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, words) for name, (_, words) in VERBS.items()])


@click.command(
    cls=Verbs,
    help=HELP,
    subcommand_metavar="VERB ...",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="ftspec", message="%(prog)s %(version)s")
def app() -> None:
    """The group itself does nothing."""
