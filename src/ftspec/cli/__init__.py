"""The command line: one module a verb, one boundary for what goes wrong."""

from ftspec.cli.boundary import main

__all__ = ["main"]
