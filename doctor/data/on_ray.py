"""Ray looks at the parts of files, on as many machines as it has: for data beyond one machine.

Each task reads all files, which every node must see, and looks at every n-th part; what they found
is put together here, in order, so it is the same as that of one process. Library: Ray 2.5 and
later (`pip install 'ftspec[ray]'`); RAY_ADDRESS names a cluster, without it this machine is one.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import Any

from ftspec.doctor.data.part import Part
from ftspec.doctor.data.processes import Job, looker_of
from ftspec.doctor.data.record import UnreadableDataError


def parts_of(job: Job, tasks: int | None = None) -> Iterator[Part]:
    """Yield the parts of a job's files in their order; a task for each CPU that Ray has.

    Raises UnreadableDataError as a reader does, and where Ray is not installed.
    """
    try:
        ray, ray_data = import_module("ray"), import_module("ray.data")
    except ImportError as error:
        words = f"Ray cannot be used: {error}"
        raise UnreadableDataError(words, "pip install 'ftspec[ray]'") from None
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    tasks = tasks or max(1, int(ray.cluster_resources().get("CPU", 1)))
    indices = ray_data.from_items([{"index": at} for at in range(tasks)], override_num_blocks=tasks)
    found = indices.flat_map(partial(_look, pickle.dumps(job), tasks), num_cpus=1)
    waiting: dict[int, bytes] = {}  # tasks do not keep in step
    turn = 0
    for row in found.iter_rows():
        waiting[row["number"]] = row["part"]
        while turn in waiting:
            part = pickle.loads(waiting.pop(turn))
            if isinstance(part, UnreadableDataError):
                raise part
            yield part
            turn += 1


def _look(job: bytes, of: int, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Look at every n-th part, in a task of Ray."""
    number = int(row["index"])
    unpacked: Job = pickle.loads(job)
    try:
        for part in looker_of(unpacked, number, of).parts(unpacked.sources):
            yield {"number": number, "part": pickle.dumps(part)}
            number += of
    except UnreadableDataError as error:
        yield {"number": number, "part": pickle.dumps(error)}
