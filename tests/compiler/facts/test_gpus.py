"""The catalogue of GPUs: names as people write them, MIG slices, plausible figures."""

from __future__ import annotations

import pytest

from ftspec.compiler.facts.gpus import (
    MIB,
    Gpu,
    catalogue,
    find_cards,
    find_gpu,
    matching,
    nearest_names,
    other_maker,
    split_count,
)

AS_WRITTEN = {
    "4090": "NVIDIA GeForce RTX 4090",
    "rtx-4090": "NVIDIA GeForce RTX 4090",
    "RTX 4090": "NVIDIA GeForce RTX 4090",
    "rtx4090": "NVIDIA GeForce RTX 4090",
    " NVIDIA GeForce RTX 4090 ": "NVIDIA GeForce RTX 4090",
    "geforce_rtx_4090_24gb": "NVIDIA GeForce RTX 4090",
    "laptop 4090": "NVIDIA GeForce RTX 4090 Laptop GPU",
    "RTX 4090 mobile": "NVIDIA GeForce RTX 4090 Laptop GPU",
    "3090 ti": "NVIDIA GeForce RTX 3090 Ti",
    "3090ti": "NVIDIA GeForce RTX 3090 Ti",
    "3050": "NVIDIA GeForce RTX 3050",
    "rtx 3050 6gb": "NVIDIA GeForce RTX 3050 6GB",
    "3060": "NVIDIA GeForce RTX 3060",
    "RTX 2070 Max-Q": "NVIDIA GeForce RTX 2070 with Max-Q Design",
    "3080 ti mobile": "NVIDIA GeForce RTX 3080 Ti Laptop GPU",
    "5070 Ti Laptop": "NVIDIA GeForce RTX 5070 Ti Laptop GPU",
    "3080": "NVIDIA GeForce RTX 3080",
    "3080 12GB": "NVIDIA GeForce RTX 3080 12GB",
    "4060 ti": "NVIDIA GeForce RTX 4060 Ti",
    "4060 ti 16gb": "NVIDIA GeForce RTX 4060 Ti 16GB",
    "4080 super": "NVIDIA GeForce RTX 4080 SUPER",
    "4080s": "NVIDIA GeForce RTX 4080 SUPER",
    "RTX 4070 TiSuper": "NVIDIA GeForce RTX 4070 Ti SUPER",
    "5090": "NVIDIA GeForce RTX 5090",
    "1080ti": "NVIDIA GeForce GTX 1080 Ti",
    "titan rtx": "NVIDIA TITAN RTX",
    "A6000": "NVIDIA RTX A6000",
    "RTXA6000": "NVIDIA RTX A6000",
    "rtx 6000": "Quadro RTX 6000",
    "rtx 6000 ada": "NVIDIA RTX 6000 Ada Generation",
    "RTX6000-Ada": "NVIDIA RTX 6000 Ada Generation",
    "rtx pro 6000": "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
    "a100": "NVIDIA A100-SXM4-40GB",
    "A100 80GB": "NVIDIA A100-SXM4-80GB",
    "a100-80gb": "NVIDIA A100-SXM4-80GB",
    "a100-80": "NVIDIA A100-SXM4-80GB",
    "a100-80g": "NVIDIA A100-SXM4-80GB",
    "80 gb a100": "NVIDIA A100-SXM4-80GB",
    "a100 80g pcie": "NVIDIA A100 80GB PCIe",
    "h100": "NVIDIA H100 80GB HBM3",
    "H100-SXM": "NVIDIA H100 80GB HBM3",
    "H100-SXM5-80GB": "NVIDIA H100 80GB HBM3",
    "h100 pcie": "NVIDIA H100 PCIe",
    "h100 pci-e": "NVIDIA H100 PCIe",
    "H100 NVL": "NVIDIA H100 NVL",
    "h100 94gb": "NVIDIA H100 NVL",
    "H200": "NVIDIA H200",
    "B200": "NVIDIA B200",
    "gh200": "NVIDIA GH200 480GB",
    "L4": "NVIDIA L4",
    "L40": "NVIDIA L40",
    "L40S": "NVIDIA L40S",
    "t4": "Tesla T4",
    "nvidia-tesla-t4": "Tesla T4",
    "a10": "NVIDIA A10",
    "a10g": "NVIDIA A10G",
    "v100": "Tesla V100-SXM2-16GB",
    "v100 32gb": "Tesla V100-SXM2-32GB",
    "p100": "Tesla P100-PCIE-16GB",
    "p100 12gb": "Tesla P100-PCIE-12GB",
    "gb300": "NVIDIA GB300",
    "gb10": "NVIDIA GB10",
    "t4g": "NVIDIA T4G",
}
UNKNOWN = ("", "gpu", "nvidia", "80gb", "4095", "a100 24gb", "mi300x", "gtx 4090", "3090 super")


@pytest.mark.parametrize(("text", "name"), AS_WRITTEN.items())
def test_finds_a_name_as_people_write_it(text: str, name: str) -> None:
    found = find_gpu(text)
    assert found is not None and found.name == name


@pytest.mark.parametrize("gpu", catalogue(), ids=lambda gpu: gpu.name)
def test_finds_each_card_by_its_own_name(gpu: Gpu) -> None:
    assert find_gpu(gpu.name) == gpu
    assert find_gpu(gpu.name.upper().replace(" ", "-")) == gpu


@pytest.mark.parametrize("text", UNKNOWN)
def test_answers_none_to_what_it_does_not_know(text: str) -> None:
    assert find_gpu(text) is None


def test_names_are_unique_and_many() -> None:
    names = [gpu.name for gpu in catalogue()]
    assert len(names) >= 60
    assert len(set(names)) == len(names)


# Totals of nvidia-smi, and of CUDA on an idle card under Linux, from public logs.
MEMORY = {
    "4090": (24564, 24074),
    "3090": (24576, 24124),
    "5090": (32607, 32112),
    "h100": (81559, 80998),
    "h200": (143771, 143073),
    "a100 80gb": (81920, 81038),
    "a10g": (23028, 22589),
    "l4": (23034, 22563),
    "t4": (15360, 14912),
}


@pytest.mark.parametrize(("text", "mib"), MEMORY.items())
def test_memory_is_what_the_driver_reports(text: str, mib: tuple[int, int]) -> None:
    found = find_gpu(text)
    assert found is not None and found.measured_memory
    assert (found.total_bytes, found.usable_bytes) == (mib[0] * MIB, mib[1] * MIB)


@pytest.mark.parametrize(
    ("text", "kept"), [("4060", 384 + 57), ("v100 pcie", 288), ("1080", 128), ("gh200 144g", 1412)]
)
def test_what_the_driver_keeps_is_estimated_where_no_log_tells(text: str, kept: int) -> None:
    found = find_gpu(text)
    assert found is not None and not found.measured_memory
    assert found.total_bytes - found.usable_bytes == kept * MIB


def test_estimates_are_on_the_safe_side() -> None:
    """No report shows a driver that keeps more than a twentieth, and hardly one over a fortieth."""
    shares = [1 - gpu.usable_bytes / gpu.total_bytes for gpu in catalogue()]
    assert 0 < min(shares) and max(shares) < 0.12  # a card of 4 GB
    large = [1 - gpu.usable_bytes / gpu.total_bytes for gpu in catalogue() if gpu.bf16]
    assert sorted(large)[len(large) // 2] < 0.025


@pytest.mark.parametrize(
    ("text", "tflops"), [("4090", 165.2), ("3090", 71.2), ("5090", 209.5), ("a100", 312)]
)
def test_rates_are_dense_with_fp32_accumulation(text: str, tflops: float) -> None:
    found = find_gpu(text)
    assert found is not None and found.bf16_flops == pytest.approx(tflops * 1e12)


@pytest.mark.parametrize("gpu", catalogue(), ids=lambda gpu: gpu.name)
def test_figures_are_plausible(gpu: Gpu) -> None:
    assert gpu.bf16 == (gpu.bf16_flops is not None) == (gpu.capability >= (8, 0))
    assert gpu.bf16_flops in (None, gpu.fp16_flops)
    assert gpu.fp8 == (gpu.capability >= (8, 9))
    assert 3.8e9 < gpu.usable_bytes < gpu.total_bytes < 320e9
    assert 125e9 < gpu.bandwidth < 10e12
    # FLOP a byte: from 20 (Pascal, no tensor cores) to 460 (RTX 5000 Ada and GB10).
    assert 20 < gpu.fp16_flops / gpu.bandwidth < 460
    # Time to read the whole memory once, in seconds; a GB10's is the system's.
    assert 0.01 < gpu.usable_bytes / gpu.bandwidth < (0.5 if gpu.capability == (12, 1) else 0.1)
    assert gpu.source
    assert gpu.capability in {(6, 0), (6, 1), (7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0)} | {
        (10, 0), (10, 3), (12, 0), (12, 1),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "name", "memory_share", "compute_share"),
    [
        ("a100-80gb-1g.10gb", "NVIDIA A100-SXM4-80GB", 1 / 8, 1 / 7),
        ("A100 MIG 1g.5gb", "NVIDIA A100-SXM4-40GB", 1 / 8, 1 / 7),
        ("h100 3g.40gb", "NVIDIA H100 80GB HBM3", 4 / 8, 3 / 7),
        ("NVIDIA H100 80GB HBM3 MIG 1g.20gb", "NVIDIA H100 80GB HBM3", 2 / 8, 1 / 7),
        ("h100 1g.10gb+me", "NVIDIA H100 80GB HBM3", 1 / 8, 1 / 7),
        ("h200 mig-2g.35gb", "NVIDIA H200", 2 / 8, 2 / 7),
        ("a30 2g.12gb", "NVIDIA A30", 2 / 4, 2 / 4),
    ],
)
def test_a_mig_slice_has_its_share(
    text: str, name: str, memory_share: float, compute_share: float
) -> None:
    whole, part = find_gpu(name), find_gpu(text)
    assert whole is not None and whole.bf16_flops is not None
    assert part is not None and part.bf16_flops is not None
    assert part.name.startswith(f"{name} MIG ")
    assert part.bandwidth == pytest.approx(whole.bandwidth * memory_share)
    assert part.bf16_flops == pytest.approx(whole.bf16_flops * compute_share)
    assert 0.94 < part.usable_bytes / (whole.total_bytes * memory_share) < 1
    assert part.capability == whole.capability and not part.measured_memory


def test_the_smallest_a100_slice_is_what_the_guide_lists() -> None:
    part = find_gpu("a100 80gb 1g.10gb")
    assert part is not None and part.usable_bytes == 9728 * MIB  # 9.50 GiB


@pytest.mark.parametrize(
    ("text", "count", "name"),
    [
        ("2x4090", 2, "NVIDIA GeForce RTX 4090"),
        ("2 x A100", 2, "NVIDIA A100-SXM4-40GB"),
        ("8xH100", 8, "NVIDIA H100 80GB HBM3"),
        ("8 H100s", 8, "NVIDIA H100 80GB HBM3"),
        ("4 × rtx-3090", 4, "NVIDIA GeForce RTX 3090"),
        ("4*a10g", 4, "NVIDIA A10G"),
        ("4090x2", 2, "NVIDIA GeForce RTX 4090"),
        ("L40S x 4", 4, "NVIDIA L40S"),
        ("a100:8", 8, "NVIDIA A100-SXM4-40GB"),
        ("2x h100 3g.40gb", 2, "NVIDIA H100 80GB HBM3 MIG 3g.40gb"),
        ("24gb 3090", None, "NVIDIA GeForce RTX 3090"),
        ("4090", None, "NVIDIA GeForce RTX 4090"),
        ("RTX 4080 SUPER", None, "NVIDIA GeForce RTX 4080 SUPER"),
    ],
)
def test_several_cards_in_one_name(text: str, count: int | None, name: str) -> None:
    found = find_cards(text)
    assert found is not None
    assert (found[1], found[0].name) == (count, name)


@pytest.mark.parametrize("text", ["0x4090", "2x", "x2", "2x nothing", "", "2x2x4090", "100x4090"])
def test_no_number_of_cards(text: str) -> None:
    assert find_cards(text) is None


@pytest.mark.parametrize("gpu", catalogue(), ids=lambda gpu: gpu.name)
def test_no_name_is_taken_for_a_number_of_cards(gpu: Gpu) -> None:
    assert split_count(gpu.name) == (None, gpu.name)
    assert find_cards(f"2x {gpu.name}") == (gpu, 2)


@pytest.mark.parametrize("text", ["4090 1g.10gb", "h100 1g.99gb", "1g.10gb", "a30 7g.80gb"])
def test_a_slice_that_no_card_offers_is_unknown(text: str) -> None:
    assert find_gpu(text) is None


def test_a_near_miss_names_the_card_meant() -> None:
    assert "NVIDIA GeForce RTX 4090" in nearest_names("rtx 4095")
    assert "NVIDIA H100 80GB HBM3" in nearest_names("h10")
    assert len(nearest_names("rtx 30900", count=2)) == 2
    assert nearest_names("") == nearest_names("zzzz") == ()
    assert "2x NVIDIA GeForce RTX 4090" in nearest_names("2x4095")


@pytest.mark.parametrize(
    ("text", "maker"),
    [
        ("mi300x", "AMD"),
        ("AMD Instinct MI 250", "AMD"),
        ("8x MI300X", "AMD"),
        ("RX 7900 XTX", "AMD"),
        ("radeon pro w7900", "AMD"),
        ("m3 max", "Apple"),
        ("Apple M2 Ultra", "Apple"),
        ("Intel Arc A770", "Intel"),
        ("gaudi 2", "Intel"),
        ("rtx 4095", None),
        ("", None),
    ],
)
def test_cards_of_other_makers(text: str, maker: str | None) -> None:
    assert other_maker(text) == maker


@pytest.mark.parametrize("gpu", catalogue(), ids=lambda gpu: gpu.name)
def test_no_card_of_the_catalogue_is_of_another_maker(gpu: Gpu) -> None:
    assert other_maker(gpu.name) is None


def test_parts_of_names() -> None:
    assert matching("") == catalogue()
    assert {gpu.name for gpu in matching("titan")} >= {"NVIDIA TITAN V", "NVIDIA TITAN RTX"}
    assert all(gpu.total_bytes >= 80 * 2**30 * 0.99 for gpu in matching("80gb"))
    assert len(matching("rtx 40")) > 10
    assert [gpu.name for gpu in matching("a100 80gb 1g.10gb")] == [
        "NVIDIA A100-SXM4-80GB MIG 1g.10gb"
    ]
    assert matching("4095") == ()
