"""The catalogue of GPUs: names as people write them, MIG slices, plausible figures."""

from __future__ import annotations

import pytest

from ftspec.compiler.facts.gpus import MIB, Gpu, catalogue, find_gpu, nearest_names

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
    "3060": "NVIDIA GeForce RTX 3060",
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
    "a100 80g pcie": "NVIDIA A100 80GB PCIe",
    "h100": "NVIDIA H100 80GB HBM3",
    "H100-SXM": "NVIDIA H100 80GB HBM3",
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


@pytest.mark.parametrize(
    ("text", "mib"),
    [("4090", 24564), ("h100", 81559), ("h200", 143771), ("a100 80gb", 81920), ("t4", 15360)],
)
def test_memory_is_what_nvml_reports(text: str, mib: int) -> None:
    found = find_gpu(text)
    assert found is not None and found.measured_memory
    assert found.usable_bytes == mib * MIB


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
    assert 4e9 < gpu.usable_bytes < 320e9
    assert 150e9 < gpu.bandwidth < 10e12
    # FLOP a byte: from 20 (Pascal, no tensor cores) to 460 (RTX 5000 Ada).
    assert 20 < gpu.fp16_flops / gpu.bandwidth < 460
    # Time to read the whole memory once, in seconds.
    assert 0.01 < gpu.usable_bytes / gpu.bandwidth < 0.1
    assert gpu.source


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
    assert 0.94 < part.usable_bytes / (whole.usable_bytes * memory_share) < 1
    assert part.capability == whole.capability and not part.measured_memory


def test_the_smallest_a100_slice_is_what_the_guide_lists() -> None:
    part = find_gpu("a100 80gb 1g.10gb")
    assert part is not None and part.usable_bytes == 9728 * MIB  # 9.50 GiB


@pytest.mark.parametrize("text", ["4090 1g.10gb", "h100 1g.99gb", "1g.10gb", "a30 7g.80gb"])
def test_a_slice_that_no_card_offers_is_unknown(text: str) -> None:
    assert find_gpu(text) is None


def test_a_near_miss_names_the_card_meant() -> None:
    assert "NVIDIA GeForce RTX 4090" in nearest_names("rtx 4095")
    assert "NVIDIA H100 80GB HBM3" in nearest_names("h10")
    assert len(nearest_names("rtx 30900", count=2)) == 2
    assert nearest_names("") == nearest_names("zzzz") == ()
