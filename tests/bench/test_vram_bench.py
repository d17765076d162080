"""bench/vram: the weights, the scheduler, measuring, and the worker."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import card
import measure
import rows
import schedule
import weights
from vram_case import CASE, GIB, STAMP, TINY

# Weights


def test_a_sparse_file_is_a_model(tmp_path: Path) -> None:
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM

    rows.write_tokenizer(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**TINY, "dtype": "bfloat16"}))
    file = weights.make(tmp_path)
    with safe_open(str(file), "pt") as content:
        names = set(content.keys())
        assert "lm_head.weight" not in names
        assert content.get_tensor("model.norm.weight").shape == (64,)
    model = AutoModelForCausalLM.from_pretrained(str(tmp_path))
    assert all(not weight.any() for weight in model.parameters())
    assert {str(weight.dtype) for weight in model.parameters()} == {"torch.bfloat16"}


def test_a_sparse_file_takes_no_room(tmp_path: Path) -> None:
    weights.write(tmp_path / "large", {"a": ("BF16", (2**15, 2**15))})
    status = (tmp_path / "large").stat()
    assert status.st_size > 2 * 2**30
    assert status.st_blocks * 512 < 2**20


def test_random_weights_are_not_zero(tmp_path: Path) -> None:
    from safetensors import safe_open

    weights.write(tmp_path / "w", {"a": ("BF16", (64, 3)), "b": ("BF16", (5,))}, random=True)
    with safe_open(str(tmp_path / "w"), "pt") as content:
        assert content.get_tensor("a").any()
        assert content.get_tensor("b").isfinite().all()


# The scheduler


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += max(seconds, 1.0)


@dataclass
class Fake:
    job: schedule.Job
    clock: Clock
    began: float
    killed: bool = False

    def poll(self) -> dict[str, Any] | None:
        return {"exit": 0} if self.clock.now - self.began >= self.job.seconds else None

    def kill(self) -> None:
        self.killed = True


@dataclass
class Machine:
    plan: schedule.Schedule
    clock: Clock = field(default_factory=Clock)
    started: list[Fake] = field(default_factory=list)
    most: int = 0
    heaviest: int = 0

    def start(self, job: schedule.Job) -> Fake:
        self.started.append(Fake(job, self.clock, self.clock.now))
        self.most = max(self.most, len(self.plan.running))
        self.heaviest = max(self.heaviest, sum(other.card_bytes for other in self.plan.running))
        return self.started[-1]

    def run(self, **options: float) -> list[str]:
        ends = schedule.run(
            self.plan, self.start, clock=self.clock, pause=self.clock.pause, **options
        )
        return [job.name for job, _ in ends]


def jobs(*sizes: tuple[int, float]) -> list[schedule.Job]:
    return [schedule.Job(f"j{n}", size, 1, seconds) for n, (size, seconds) in enumerate(sizes)]


def test_all_jobs_run_within_the_budget_longest_first() -> None:
    many = jobs(*[(10 + n, 5 + n) for n in range(20)])
    machine = Machine(schedule.Schedule(many, 60, 100, 8))
    assert sorted(machine.run()) == sorted(job.name for job in many)
    assert machine.started[0].job.name == "j19"
    assert 2 <= machine.most <= 8
    assert machine.heaviest <= 60


def test_slots_and_host_memory_hold_jobs_back() -> None:
    machine = Machine(schedule.Schedule(jobs(*[(1, 5)] * 9), 60, 100, 3))
    machine.run()
    assert machine.most == 3
    machine = Machine(schedule.Schedule(jobs(*[(1, 5)] * 9), 60, 2, 8))
    machine.run()
    assert machine.most == 2


def test_a_job_over_the_budget_runs_alone() -> None:
    machine = Machine(schedule.Schedule(jobs((100, 50), (10, 5), (10, 5)), 60, 100, 8))
    assert len(machine.run()) == 3
    assert machine.heaviest == 100


def test_a_job_that_asks_for_it_runs_alone() -> None:
    plan = schedule.Schedule(jobs((10, 5), (10, 5)), 60, 100, 8)
    plan.add(schedule.Job("first", 10, 1, 5, alone=True))
    machine = Machine(plan)
    assert machine.run()[0] == "first"
    assert machine.started[1].began > 0


def test_time_ends_the_session_cleanly() -> None:
    machine = Machine(schedule.Schedule(jobs((10, 10), (60, 30), (10, 5)), 60, 100, 8))
    assert machine.run(seconds=8, grace=100) == ["j1"]
    assert [job.name for job in machine.plan.waiting] == ["j0", "j2"]
    machine = Machine(schedule.Schedule(jobs((10, 50), (10, 5)), 60, 100, 8))
    assert machine.run(seconds=8, grace=10) == ["j1"]
    assert [fake.killed for fake in machine.started] == [True, False]


# Measuring

ENTRY: dict[str, Any] = {
    "id": CASE.id,
    "kind": "grid",
    "split": "tune",
    "folder": CASE.folder,
    "parameters": 10**9,
    "case": asdict(CASE),
    "verdict": "fits",
    "peak_bytes": 9 * GIB,
    "reserve_bytes": 10 * GIB,
    "reserve_host_bytes": GIB,
    "seconds": 30,
}
CARD = card.Card("NVIDIA H200", "580", 140 * GIB, None)


def options(tmp_path: Path, **changes: Any) -> measure.Options:
    return measure.Options(work=tmp_path, out=tmp_path / "out.jsonl", **changes)


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    done = {"case": CASE.id, **STAMP, "exit": 0}
    failed = {**done, "exit": 1}

    def left(row: dict[str, Any], **changes: Any) -> int:
        return len(list(measure._jobs([ENTRY], [row], options(tmp_path, **changes), CARD)))

    assert left(done) == left(failed) == 0
    assert left({**done, "case": "other"}) == 1
    assert left(failed, again=True) == 1
    assert left(done, again=True) == 0
    assert left({**done, "cap_bytes": GIB}) == 1
    assert left(done, repeats=2) == 1


def test_a_run_that_died_of_others_runs_again_alone() -> None:
    job = measure._job(ENTRY, 0)
    capped_job = measure._job(ENTRY, 8 * GIB)
    died = {"exit": 76, "crowded": True, "card_free_end": 90 * GIB}
    assert measure._again_alone(job, died)
    assert not measure._again_alone(job, {**died, "crowded": False})
    assert not measure._again_alone(capped_job, died)
    assert measure._again_alone(capped_job, {**died, "card_free_end": GIB})


def test_a_capped_case_climbs_until_it_lives(tmp_path: Path) -> None:
    entry = {**ENTRY, "peak_bytes": 10 * GIB, "case": {**ENTRY["case"], "cap_gib": 8}}
    chosen, died, ran = options(tmp_path, climb=True), {"exit": 76}, {"exit": 0}

    def after(cap: int, result: dict[str, Any]) -> list[int]:
        jobs = measure._climb(measure._job(entry, cap), result, chosen, CARD)
        return [job.facts["cap_bytes"] for job in jobs]

    assert after(8 * GIB, died) == [round(9.8 * GIB)]
    assert after(round(9.8 * GIB), died) == [10 * GIB]
    assert after(14 * GIB, died) == [round(15.4 * GIB)]
    assert not after(8 * GIB, ran)
    assert not list(measure._climb(measure._job(entry, 8 * GIB), died, options(tmp_path), CARD))
    known = [{"case": entry["id"], "cap_bytes": 8 * GIB, "exit": 76}]
    (more,) = measure._higher(entry, known, chosen, CARD)
    assert more.facts["cap_bytes"] == round(9.8 * GIB)
    assert not list(measure._higher(entry, [*known, {**known[0], "exit": 0}], chosen, CARD))


def test_results_that_were_cut_off_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text('{"case": "a"}\n{"case": "b", "ex')
    assert measure.read_results(tmp_path / "out.jsonl") == [{"case": "a"}]
    assert measure.read_results(tmp_path / "none.jsonl") == []
