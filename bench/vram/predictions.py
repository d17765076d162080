"""What ftspec predicts today of each case, made once and kept: some take a trace."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from cases import Case
from measure import digest
from prepare import hardware_of, predict

import ftspec
from ftspec.compiler.memory.live import LiveTracer

KEPT = "predictions.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A case's prediction on one kind of card; bytes, None where there is none.

    config: digest of the config.json that it is of. way: tape, trace or closed form.
    """

    case: str
    gpu: str
    code: str
    config: str
    allocated: int | None
    driver: int | None
    low: int | None
    high: int | None
    verdict: str
    phase: str
    way: str


class Predictions:
    """Predictions of today's code, read from and appended to a file in `folder`."""

    def __init__(self, folder: Path, jobs: int = 1) -> None:
        self.jobs, self.code = jobs, code()
        self.path = folder / KEPT
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        kept = (Prediction(**json.loads(line)) for line in lines)
        self.made = {(one.case, one.gpu): one for one in kept if one.code == self.code}

    def of(self, case: Case, gpu: str) -> Prediction:
        """Return the prediction; KeyError where `make` was not asked for it."""
        return self.made[case.id, gpu]

    def make(self, wanted: Iterable[tuple[Case, str]]) -> None:
        """Make those that are not there yet, each kept as soon as it is known."""
        missing = [(case, gpu) for case, gpu in wanted if (case.id, gpu) not in self.made]
        with ProcessPoolExecutor(self.jobs) as workers:
            futures = [workers.submit(_predict, case, gpu, self.code) for case, gpu in missing]
            for number, future in enumerate(as_completed(futures), 1):
                self._keep(future.result())
                print(f"{number} of {len(missing)} predicted", flush=True)

    def _keep(self, prediction: Prediction) -> None:
        self.made[prediction.case, prediction.gpu] = prediction
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(prediction)) + "\n")


def code() -> str:
    """Return a digest of what predictions are made by: the package's sources and its data."""
    found = hashlib.sha256()
    root = Path(ftspec.__file__).parent
    for folder in ("compiler", "spec"):
        for path in sorted((root / folder).resolve().rglob("*")):
            if path.is_file() and path.suffix in (".py", ".json", ".zip"):
                found.update(path.read_bytes())
    return found.hexdigest()[:12]


def _predict(case: Case, gpu: str, code: str) -> Prediction:
    with tempfile.TemporaryDirectory(prefix="vram-") as name:
        folder = Path(name)
        memory = predict(case, folder, hardware_of(gpu), tracer=LiveTracer()).memory
        config = digest(folder / "models" / case.folder / "config.json")
    return Prediction(
        case=case.id,
        gpu=gpu,
        code=code,
        config=config,
        allocated=memory.allocated_peak_bytes,
        driver=memory.peak_bytes,
        low=memory.low_bytes,
        high=memory.high_bytes,
        verdict=memory.verdict,
        phase=memory.phase or "",
        way=memory.method,
    )
