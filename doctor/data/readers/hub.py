"""Data sets of a hub: the files of a split, downloaded once and read like any others.

The files that the authors put there come first, chosen by their names as the `datasets` library
does (Hugging Face, "Structure your repository": a split's name between marks in the path; files
without one are the train split); else those that the hub converted to Parquet
("Datasets without a script": the branch refs/convert/parquet, a folder for each configuration and
split). The client is huggingface_hub, which the tokenizers library brings along.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from ftspec.doctor.data.record import UnreadableDataError

ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
PACKED = (".gz", ".zst", ".zstd")
CONVERTED = "refs/convert/parquet"
# What datasets takes for the name of a split, in paths.
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
NO_ROWS = ("dataset_infos.json", "dataset_dict.json", "dataset_info.json", "state.json")
_ID = re.compile(r"[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*(?::[\w.\-]+)?")


def is_id(name: str) -> bool:
    """Say whether a name may be a data set of a hub: `owner/name`, or `owner/name:split`."""
    ending = PurePosixPath(name.partition(":")[0]).suffix.lower()
    return _ID.fullmatch(name) is not None and ending not in (*ENDINGS, *PACKED)


def files_of(name: str, client: Any = None) -> list[tuple[Path, str]]:
    """Return the files of a data set's split, and the name of each; they lie in the hub's cache.

    Raises UnreadableDataError where the hub cannot be reached or has no such rows.
    """
    repository, _, split = name.partition(":")
    try:
        if client is None:
            import huggingface_hub as client
        for revision in (None, CONVERTED):
            found = _found(client, repository, split or "train", revision)
            if found:
                return [(_fetched(client, repository, file, revision), file) for file in found]
    except Exception as error:  # its HTTP library's errors are no family of its own
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise UnreadableDataError(
            f"`{name}` could not be had from the hub: {words[0]}",
            "check the name, the network and HF_TOKEN; or download the files and name them",
        ) from error
    raise UnreadableDataError(
        f"`{name}` has no files of the split `{split or 'train'}` that can be read",
        f"endings that are read: {', '.join(ENDINGS)}; another split: {repository}:NAME",
    )


def _found(client: Any, repository: str, split: str, revision: str | None) -> list[str]:
    """Return the files of a split in one branch; none where the hub has converted nothing."""
    try:
        names = client.HfApi().list_repo_files(repository, repo_type="dataset", revision=revision)
    except Exception as error:
        if revision is not None and type(error).__name__ == "RevisionNotFoundError":
            return []
        raise
    return of_split(names, split)


def _fetched(client: Any, repository: str, file: str, revision: str | None) -> Path:
    return Path(client.hf_hub_download(repository, file, repo_type="dataset", revision=revision))


def of_split(names: list[str], split: str) -> list[str]:
    """Return the files of a split, by their names, in order; of several kinds the first."""
    data = sorted(name for name in names if _holds_rows(name))
    found = [name for name in data if _names(name, split)]
    if not found and split == "train":
        found = [name for name in data if not any(_names(name, other) for other in SPLITS)]
    endings = {_ending(name) for name in found}
    best = next((ending for ending in ENDINGS if ending in endings), "")
    return [name for name in found if _ending(name) == best]


def _names(path: str, split: str) -> bool:
    """Say whether a path names a split, between marks or digits."""
    words = "|".join(map(re.escape, SPLITS.get(split, (split,))))
    return re.search(rf"(?:^|[^a-z0-9])(?:{words})(?:[^a-z]|$)", path.lower()) is not None


def _holds_rows(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.name not in NO_ROWS and _ending(name) in ENDINGS


def _ending(name: str) -> str:
    suffixes = PurePosixPath(name.lower()).suffixes
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""
