"""`transformers serve`: a model a name, loaded when it is asked for; each adapter on its own base.

It has no option for adapters. A request's model is whatever `from_pretrained` takes, and that takes
a folder which holds a whole model and an adapter beside it (transformers 5.23,
`integrations/peft.py`, `maybe_load_adapters`: "a complete model with an embedded adapter"). So each
adapter gets a folder of links: the base's files, and its own over them. The server stands in the
folder above: there, an adapter's name is a path. Each name that is asked for takes a base's memory,
until it was idle for five minutes.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from ftspec.runtime.serving.models import BASE, NotServableError, Offer

FOLDER = "serving"  # in the project
NEEDS = ("transformers", "peft", "fastapi", "uvicorn", "openai")
INSTALL = "pip install 'transformers[serving]'"
ASK = (
    "import sys; from importlib.util import find_spec as f; sys.exit(None in map(f, sys.argv[1:]))"
)
QUANTIZATIONS = {"nf4": "bnb-4bit", "int8": "bnb-8bit"}
OTHER_WEIGHTS = (".bin", ".pt", ".pth", ".gguf", ".onnx", ".h5", ".msgpack")


def installed(python: str) -> bool:
    """Say whether a Python has what `transformers serve` imports."""
    return subprocess.run([python, "-c", ASK, *NEEDS]).returncode == 0


def command(found: Offer, python: str, host: str, port: int) -> list[str]:
    """Return the command that serves an offer, from the folder that `lay_out` made."""
    words = [python, "-m", "transformers.cli.transformers", "serve"]
    words += ["--host", host, "--port", str(port), "--dtype", found.dtype]
    if found.quantization in QUANTIZATIONS:
        words += ["--quantization", QUANTIZATIONS[found.quantization]]
    if found.trust_remote_code:
        words += ["--trust-remote-code"]
    return words


def notes(found: Offer) -> list[str]:
    """Say where what is served is not quite what was trained."""
    if found.quantization == "fp4":
        return ["the base was quantized to fp4; it is served unquantized"]
    if found.quantization == "nf4" and not found.double_quant:
        return ["the server quantizes the constants a second time, which training did not"]
    return []


def lay_out(found: Offer, project: Path) -> Path:
    """Make the folder that the server stands in, a folder of links for each name.

    What an earlier call made there is replaced. Raises NotServableError, OSError.
    """
    folder = project.resolve() / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    base = _base(found) if found.base else None
    if base is not None:
        _link(base, folder / BASE)
    for model in found.models:
        if base is not None:
            _link(base, folder / model.name)
        _link(model.folder, folder / model.name)
    return folder


def _link(source: Path, target: Path) -> None:
    """Link the files of a folder into another, over those of the same name."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_file() and path.suffix not in OTHER_WEIGHTS:
            (target / path.name).unlink(missing_ok=True)
            (target / path.name).symlink_to(path.resolve())


def _base(found: Offer) -> Path:
    """Return the folder of the base's files; the hub's are looked for in its cache."""
    name = str(found.base)
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(name, revision=found.revision, local_files_only=True))
    except (OSError, HfHubHTTPError, HFValidationError):
        commit = f" --revision {found.revision}" if found.revision else ""
        raise NotServableError(
            f"the base `{name}` is not in this machine's cache", f"hf download {name}{commit}"
        ) from None
