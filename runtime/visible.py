"""Which of a machine's NVIDIA cards a CUDA program sees, and in what order.

Sources: CUDA programming guide, "CUDA environment variables" (CUDA_VISIBLE_DEVICES); NVIDIA
MIG user guide, "CUDA visible devices": a program sees one MIG slice at most, and beside a slice
no whole card.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Device:
    """A card, or a MIG slice of one (then with the card's handle as `parent`).

    cut: MIG is on, so only the card's slices compute. old_name: how drivers before 470 named a
    slice, `MIG-GPU-<uuid>/<gpu instance>/<compute instance>`.
    """

    handle: Any
    uuid: str
    index: int
    cut: bool = False
    slices: tuple[Device, ...] = ()
    parent: Any = None
    old_name: str = ""


def visible(devices: Sequence[Device]) -> tuple[tuple[Device, ...], str]:
    """Return the devices that CUDA shows under this environment, and a note where it hides some.

    As CUDA does, the variable is read up to the first word that names no device. Its numbers are
    taken to be NVML's: on a machine with several kinds of cards that needs
    CUDA_DEVICE_ORDER=PCI_BUS_ID.
    """
    asked = os.environ.get("CUDA_VISIBLE_DEVICES")
    if asked is None:
        return _as_cuda_shows(device for card in devices for device in (card, *card.slices))
    found: list[Device] = []
    for word in asked.split(","):
        device = _named(word.strip(), devices)
        if device is None:
            break
        found.append(device)
    seen, note = _as_cuda_shows(found)
    hidden = "CUDA_VISIBLE_DEVICES hides every card" if devices and not seen else ""
    return seen, note or hidden


def _as_cuda_shows(devices: Iterable[Device]) -> tuple[tuple[Device, ...], str]:
    """Drop what cannot compute and what is there twice; a slice stands alone."""
    every = list({id(device): device for device in devices}.values())
    usable = [device for device in every if not device.cut]
    if len(usable) < len(every) and not usable:
        return (), "MIG is on, and the card has no slice"
    slices = [device for device in usable if device.parent is not None]
    if not slices:
        return tuple(usable), ""
    if len(usable) == 1:
        return (slices[0],), ""
    return (slices[0],), "MIG: a program sees one slice, the first of those that are here"


def _named(word: str, devices: Sequence[Device]) -> Device | None:
    """Return the device that a word of the variable names: by number or the start of its UUID."""
    if word.isdecimal():
        found = [device for device in devices if device.index == int(word)]
    elif word.upper().startswith("GPU-"):
        found = _starting(word, devices)
    elif word.upper().startswith("MIG-"):
        found = _starting(word, [part for card in devices for part in card.slices])
    else:
        return None
    if len(found) != 1:
        return None
    return found[0].slices[0] if found[0].slices else found[0]


def _starting(word: str, devices: Sequence[Device]) -> list[Device]:
    start = word.casefold()
    return [
        device
        for device in devices
        if device.uuid.casefold().startswith(start) or device.old_name.casefold() == start
    ]
