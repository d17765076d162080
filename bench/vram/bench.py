"""What emitted projects take of a GPU's memory, beside what ftspec predicts.

    python bench/vram/bench.py prepare DIR           specs, rows, projects: one archive (ftspec)
    python bench/vram/bench.py measure DIR OUT       on the GPU: runs them, appends JSON lines
    python bench/vram/bench.py report OUT DIR        RESULTS.md and its plots (ftspec)

README.md beside this file says more. A case that OUT already holds for the same versions and the
same card is not measured again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

SPLITS = ("tune", "score", "fresh")


def main() -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    _prepare_options(verbs.add_parser("prepare", help="compile the cases into one archive"))
    _measure_options(verbs.add_parser("measure", help="run them on this machine's GPU"))
    report = verbs.add_parser("report", help="write RESULTS.md")
    report.add_argument("out", type=Path, help="the results, JSON lines")
    report.add_argument("folder", type=Path, help="a folder to compile in")
    report.add_argument("--t4", type=Path, help="folder of the public T4 rows")
    report.add_argument("--jobs", type=int, default=1, help="predictions made at once")
    report.add_argument("--peers", type=Path, help="file of the other estimators' answers")
    options = parser.parse_args()
    if options.verb == "measure":
        return _measure(options)
    if options.verb == "prepare":
        from prepare import prepare

        archive = prepare(options.folder, options.gpu, options.only, options.split)
        print(f"{archive}: {archive.stat().st_size / 2**20:.2f} MiB")
        return 0
    from report import report as write_report

    write_report(options.out, options.folder, options.peers, options.t4, jobs=options.jobs)
    return 0


def _prepare_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gpu", default="h200", help="the card to compile for")
    parser.add_argument("--only", default="", help="cases whose id holds this")
    parser.add_argument("--split", default="", choices=("", *SPLITS))


def _measure_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="where the archive lies")
    parser.add_argument("out", type=Path, help="results are appended here")
    parser.add_argument("--work", type=Path, help="where it is unpacked (else a temporary folder)")
    parser.add_argument("--only", default="", help="cases whose id holds this")
    parser.add_argument("--split", default="", choices=("", *SPLITS))
    parser.add_argument("--kind", default="", choices=("", "grid", "capped"))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="then none starts")
    parser.add_argument("--grace", type=float, default=60, help="then the rest is killed, s")
    parser.add_argument("--timeout", type=float, default=240, help="of one case, over its estimate")
    parser.add_argument("--jobs", type=int, default=10, help="processes at once")
    parser.add_argument("--host-gib", type=float, default=100, help="host memory that they share")
    parser.add_argument("--context-mib", type=float, help="of capped runs, where it is hidden")
    parser.add_argument("--climb", action="store_true", help="find the cap that is large enough")
    parser.add_argument("--again", action="store_true", help="failed cases once more")
    parser.add_argument("--repeats", type=int, default=1, help="results wanted of each case")


def _measure(options: argparse.Namespace) -> int:
    from measure import Options, measure

    with tempfile.TemporaryDirectory(prefix="vram-", ignore_cleanup_errors=True) as temporary:
        chosen = Options(
            work=options.work or Path(temporary),
            out=options.out,
            only=options.only,
            split=options.split,
            kind=options.kind,
            seconds=options.seconds,
            grace=options.grace,
            timeout=options.timeout,
            slots=options.jobs,
            host_bytes=round(options.host_gib * 2**30),
            context_bytes=round(options.context_mib * 2**20) if options.context_mib else None,
            climb=options.climb,
            again=options.again,
            repeats=options.repeats,
        )
        failed = measure(options.folder / "vram.tar.gz", chosen)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
