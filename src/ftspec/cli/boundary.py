"""The one place where errors end: findings exit 1, usage 2, our own faults 3, Ctrl-C 130."""

from __future__ import annotations

import gc
import io
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from ftspec import __version__
from ftspec.cli.app import app
from ftspec.cli.failure import Failure

OUR_FAULT, INTERRUPTED, USAGE = 3, 130, 2
# Objects made before cycles are looked for; Python's own 700 costs `check` a seventh of its time.
# What a verb makes, it needs to its end.
GC_AFTER = 500_000


def main() -> NoReturn:
    """Run the command line, and end the process with the right exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What the terminal's encoding lacks is written as an escape, as on standard error.
        sys.stdout.reconfigure(errors="backslashreplace")
    gc.set_threshold(GC_AFTER)
    code = run(sys.argv[1:])
    gc.freeze()  # the process gives everything back as a whole
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the command line with `arguments`; returns the exit code, and raises nothing."""
    try:
        # Not app.main(), which makes a findings' exit code (1) of a pipe that was closed early.
        with app.make_context("ftspec", list(arguments)) as context:
            result = app.invoke(context)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as asked:  # --help, --version
        sys.stdout.flush()
        return asked.exit_code
    except Failure as failure:
        _say(f"error: {failure}", failure.hint)
        return failure.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        _say(error.format_message())
        return USAGE
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "ftspec"
        _say(f"error: {error.format_message()}", f"{command} --help")
        return USAGE
    except click.ClickException as error:
        _say(f"error: {error.format_message()}")
        return USAGE
    except (click.Abort, EOFError, KeyboardInterrupt):
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader went away: what it did not want is not an error. Python would complain when
        # it flushes standard output at the end, so that goes nowhere from here on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        return _our_fault(arguments)


def _say(message: str, hint: str = "") -> None:
    print(message, file=sys.stderr)
    if hint:
        print(f"  = help: {hint}", file=sys.stderr)


def _our_fault(arguments: list[str]) -> int:
    import datetime
    import platform
    import tempfile
    import traceback

    from ftspec.runtime.secrets import Secrets

    text = Secrets().hide(
        f"ftspec {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"arguments: {arguments}\n\n{traceback.format_exc()}"
    )
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    name = f"ftspec-crash-{stamp}-{os.getpid()}.log"
    for folder in (_log_folder(), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / name
            path.write_text(text, encoding="utf-8")
        except OSError:
            continue
        _say("error: this is a fault of ftspec, not yours", f"the log for a report is {path}")
        return OUR_FAULT
    _say("error: this is a fault of ftspec, not yours; no log could be written")
    return OUR_FAULT


def _log_folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "ftspec"
