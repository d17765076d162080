"""Failures that a user can do something about: each has an exit code and a way out."""

from __future__ import annotations


class Failure(Exception):
    """Ends a verb with a message, a hint and an exit code (CONTRACT: exit codes)."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class CannotReadError(Failure):
    """A file or folder that cannot be read, or does not hold what the verb needs."""

    exit_code = 2


class RunFailedError(Failure):
    """A run, or another script of a project, that did not end well."""

    exit_code = 1
