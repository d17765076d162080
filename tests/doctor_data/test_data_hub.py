"""Data sets of a hub: which files are a split, fetched through a client that is a stand-in."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ftspec.doctor.data.check import check
from ftspec.doctor.data.readers import hub
from ftspec.doctor.data.readers.source import find_sources
from ftspec.doctor.data.record import UnreadableDataError

ROW = {"instruction": "Say it.", "output": "It is said."}


class RevisionNotFoundError(Exception):
    """As huggingface_hub's, told by its name."""


def client(tmp_path: Path, main: list[str], converted: list[str] | None = None):
    """Return a stand-in for huggingface_hub with the files of two branches."""
    asked = []

    def listed(repository, repo_type, revision):
        assert (repository, repo_type) == ("owner/set", "dataset")
        if revision is None:
            return main
        if converted is None:
            raise RevisionNotFoundError("no such branch")
        return converted

    def fetched(repository, file, repo_type, revision):
        asked.append((file, revision))
        path = tmp_path / "cache" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(ROW) + "\n")
        return str(path)

    api = SimpleNamespace(list_repo_files=listed)
    return SimpleNamespace(HfApi=lambda: api, hf_hub_download=fetched, asked=asked)


@pytest.mark.parametrize(
    ("names", "split", "found"),
    [
        (["README.md", "data.jsonl"], "train", ["data.jsonl"]),
        (["train.jsonl", "test.jsonl"], "train", ["train.jsonl"]),
        (["train.jsonl", "test.jsonl"], "test", ["test.jsonl"]),
        (["a/train-00001.parquet", "a/train-00000.parquet"], "train", ["a/train-00000.parquet"]),
        (["data/x_dev.json", "data/x.json"], "validation", ["data/x_dev.json"]),
        (["data/x_dev.json", "data/x.json"], "train", ["data/x.json"]),
        (["training.csv.gz", "training.parquet"], "train", ["training.csv.gz"]),
        (["dataset_infos.json", ".hidden/train.json"], "train", []),
        (["restrained.json", "latest.json"], "test", []),
        (["train_sft-0.json", "train_gen-0.json"], "train_sft", ["train_sft-0.json"]),
    ],
)
def test_the_files_of_a_split(names, split, found) -> None:
    assert hub.of_split(names, split)[:1] == found


def test_rows_of_a_hub_are_checked_like_any_others(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    stand_in = client(tmp_path, ["train.jsonl", "test.jsonl"])
    monkeypatch.setitem(sys.modules, "huggingface_hub", stand_in)
    sources = find_sources(["owner/set", "owner/set:test"], tmp_path, online=True)
    assert [source.name for source in sources] == [
        "owner/set/train.jsonl",
        "owner/set:test/test.jsonl",
    ]
    checked = check(sources)
    assert checked.rows == 2 and checked.format == "alpaca"
    with pytest.raises(UnreadableDataError, match="there is no file"):
        find_sources(["owner/set"], tmp_path)  # not asked for


def test_what_the_hub_converted_comes_second(tmp_path: Path) -> None:
    stand_in = client(tmp_path, ["set.py", "README.md"], ["default/train/0000.parquet"])
    assert [file for _, file in hub.files_of("owner/set", stand_in)] == [
        "default/train/0000.parquet"
    ]
    assert stand_in.asked == [("default/train/0000.parquet", hub.CONVERTED)]
    with pytest.raises(UnreadableDataError, match="no files of the split `train`"):
        hub.files_of("owner/set", client(tmp_path, ["README.md"]))


def test_a_hub_that_cannot_be_reached_is_told() -> None:
    def fails(*_, **__):
        raise RuntimeError("no route to host\nand more")

    stand_in = SimpleNamespace(HfApi=lambda: SimpleNamespace(list_repo_files=fails))
    with pytest.raises(UnreadableDataError, match="no route to host") as error:
        hub.files_of("owner/set", stand_in)
    assert "HF_TOKEN" in error.value.help and "and more" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("owner/set", True),
        ("owner/set-1.5:train_sft", True),
        ("owner/set.jsonl", False),
        ("rows.jsonl", False),
        ("a/b/c", False),
        ("./set", False),
        ("data/*.x", False),
    ],
)
def test_names_that_may_be_of_a_hub(name, is_one) -> None:
    assert hub.is_id(name) is is_one
