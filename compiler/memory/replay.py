"""Replay a stream of allocations through a model of PyTorch's CUDA caching allocator.

The model follows c10/cuda/CUDACachingAllocator.cpp of torch 2.13 (2.11 has the same rules);
docstrings name its functions. It holds for the default settings, with `expandable_segments` on or
off, and for one stream: a second stream would be a second pair of pools.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

MIB = 2**20
UNIT = 512  # kMinBlockSize: every size is a multiple of it
SMALL = MIB  # kSmallSize: the largest request of the small pool
SMALL_SEGMENT = 2 * MIB  # kSmallBuffer: a segment, or an expandable page, of the small pool
LARGE_SEGMENT = 20 * MIB  # large_segment_size: the same of the large pool
MIN_LARGE = 10 * MIB  # kMinLargeAlloc: from here on a segment is made to measure
ROUND_LARGE = 2 * MIB  # kRoundLarge: in steps of this

# A block is one integer, its size above its address, so that integers are ordered as the allocator
# orders its free blocks: the smaller first, then the lower address (BlockComparatorSize).
SHIFT = 48
ADDRESS = (1 << SHIFT) - 1
ENDLESS = 1 << 40  # an address range that no card fills

PHASE, EMPTY_CACHE = -1, -2  # the keys of marks in a stream of events


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a stream of events took, in bytes; `_at` is an event's index, from 0.

    `phases` holds the peaks (allocated, reserved) since each phase began, as they stand after
    `torch.cuda.reset_peak_memory_stats`. `retries` is `num_alloc_retries`: how often all cached
    memory was given back for one allocation, which waits for the card each time.
    """

    allocated_peak: int
    reserved_peak: int
    allocated_at: int
    reserved_at: int
    phases: dict[str, tuple[int, int]]
    retries: int = 0
    failed_at: int | None = None
    failed_bytes: int | None = None


class _Span(NamedTuple):
    """The peaks between two resets, and where each was first reached."""

    name: str | None
    allocated: int
    allocated_at: int
    reserved: int
    reserved_at: int


def replay(
    events: Iterable[tuple[int, Any]],
    *,
    expandable: bool = True,
    limit: int | None = None,
    room: int | None = None,
    total: int | None = None,
) -> Replayed:
    """Predict `max_memory_allocated` and `max_memory_reserved` of a stream of events.

    Events are `(key, bytes)` for an allocation and `(key, -1)` for its release, with keys from 0;
    `(PHASE, name)` where a phase begins, and `(EMPTY_CACHE, 0)` for `torch.cuda.empty_cache`.
    `limit`, `room` and `total` are `Allocator`'s. The replay ends at an allocation that fails.
    ValueError: a key is allocated while it is held, or released while it is not.
    """
    replayed = Replay(expandable=expandable, limit=limit, room=room, total=total)
    replayed.feed(events)
    return replayed.result()


class Replay:
    """A replay under way: it takes events in parts, and others may go on from a copy of it.

    The arguments and the events are those of `replay`.
    """

    def __init__(
        self,
        *,
        expandable: bool = True,
        limit: int | None = None,
        room: int | None = None,
        total: int | None = None,
    ) -> None:
        self.allocator = Allocator(expandable=expandable, limit=limit, room=room, total=total)
        self.held: dict[int, int] = {}
        self.spans: list[_Span] = []
        self.span = _Span(None, 0, 0, 0, 0)
        self.allocated = self.count = 0
        self.failed: tuple[int, int] | tuple[None, None] = None, None

    def copy(self) -> Replay:
        """Return a replay that goes on from here by itself."""
        twin = copy(self)
        twin.allocator = self.allocator.copy()
        twin.held, twin.spans = dict(self.held), list(self.spans)
        return twin

    def feed(self, events: Iterable[tuple[int, Any]]) -> None:
        """Take events that follow those before; none is taken after an allocation that failed."""
        if self.failed[0] is not None:
            return
        allocator, held = self.allocator, self.held
        card, small, large = allocator.card, allocator.small, allocator.large
        # A call less for each event: there are tens of thousands of them.
        take_small, take_large = small.take, large.take
        give_small, give_large = small.give, large.give
        name, top, top_at, reserved, reserved_at = self.span
        allocated, index = self.allocated, self.count - 1
        for index, (key, size) in enumerate(events, self.count):
            if key < 0:
                if key == EMPTY_CACHE:
                    allocator.empty_cache()
                    continue
                self.spans.append(_Span(name, top, top_at, reserved, reserved_at))
                name, top, top_at, reserved_at = size, allocated, index, index
                reserved = card.peak = card.reserved
            elif size < 0:
                block = held.pop(key, None)
                if block is None:
                    raise ValueError(f"event {index} releases key {key}, which is not held")
                if block:
                    size = block >> SHIFT
                    allocated -= size
                    (give_small if size <= SMALL else give_large)(block)
            else:
                if key in held:
                    raise ValueError(f"event {index} allocates key {key}, which is still held")
                asked = -(-size // UNIT) * UNIT  # round_size
                block = (take_small if asked <= SMALL else take_large)(asked) if asked else 0
                if block is None:
                    block = allocator.grow(asked)
                    if card.peak > reserved:
                        reserved, reserved_at = card.peak, index
                    if block is None:
                        self.failed = index, size
                        break
                held[key] = block
                allocated += block >> SHIFT
                if allocated > top:
                    top, top_at = allocated, index
        self.span = _Span(name, top, top_at, reserved, reserved_at)
        self.allocated, self.count = allocated, index + 1

    def result(self) -> Replayed:
        """Return what the events so far took."""
        return _summary([*self.spans, self.span], self.allocator.retries, *self.failed)


def _summary(
    spans: list[_Span], retries: int, failed_at: int | None, failed_bytes: int | None
) -> Replayed:
    phases: dict[str, tuple[int, int]] = {}
    for span in spans:
        if span.name is not None:
            allocated, reserved = phases.get(span.name, (0, 0))
            phases[span.name] = max(allocated, span.allocated), max(reserved, span.reserved)
    high = max(spans, key=lambda span: span.allocated)  # the first of equals
    wide = max(spans, key=lambda span: span.reserved)
    peaks = high.allocated, wide.reserved, high.allocated_at, wide.reserved_at
    return Replayed(*peaks, phases, retries, failed_at, failed_bytes)


class Card:
    """The bytes that the allocator has of the card, their peak, and how many the card can give."""

    __slots__ = ("peak", "reserved", "room")

    def __init__(self, room: int | None) -> None:
        self.room = room
        self.reserved = self.peak = 0

    def give(self, size: int) -> bool:
        """Hand out `size` bytes, unless the card has no more (cudaMalloc, cuMemCreate)."""
        if self.room is not None and self.reserved + size > self.room:
            return False
        self.reserved += size
        self.peak = max(self.peak, self.reserved)
        return True


class Allocator:
    """The allocator's state: the card, and a pool of free blocks for small and large requests.

    `limit`: bytes that `torch.cuda.set_per_process_memory_fraction` allows; None is no limit.
    `room`: bytes that the card itself can give, its free memory before the first allocation.
    `total`: the whole card's bytes, which bound an expandable segment's address range.
    """

    def __init__(
        self,
        *,
        expandable: bool = True,
        limit: int | None = None,
        room: int | None = None,
        total: int | None = None,
    ) -> None:
        self.card = Card(room)
        self.limit = limit
        self.retries = 0
        self.small: SegmentPool | ExpandablePool
        self.large: SegmentPool | ExpandablePool
        if expandable:
            self.small = ExpandablePool(self.card, SMALL_SEGMENT, total)
            self.large = ExpandablePool(self.card, LARGE_SEGMENT, total)
        else:
            self.small = SegmentPool(self.card, UNIT)
            self.large = SegmentPool(self.card, SMALL + UNIT)

    def malloc(self, size: int) -> int | None:
        """Return a block for `size` > 0 bytes, or None where torch would be out of memory."""
        size = -(-size // UNIT) * UNIT  # round_size
        pool = self.small if size <= SMALL else self.large
        return pool.take(size) or self.grow(size)

    def copy(self) -> Allocator:
        """Return an allocator in the same state, which goes its own way."""
        twin = copy(self)
        twin.card = copy(self.card)
        twin.small, twin.large = self.small.copy(twin.card), self.large.copy(twin.card)
        return twin

    def free(self, block: int) -> None:
        """Put a block back into its pool, which its size tells."""
        (self.small if block >> SHIFT <= SMALL else self.large).give(block)

    def empty_cache(self) -> None:
        """Give the card back what no block uses (release_cached_blocks)."""
        self.large.trim()
        self.small.trim()

    def grow(self, size: int) -> int | None:
        """Ask the card; where that fails, give all cached memory back and ask once more.

        size: a multiple of 512 bytes, for which its pool has no free block.

        Between the two, `malloc` of torch has steps that do nothing by default: garbage collection
        has no threshold, and release_available_cached_blocks needs a `max_split_size_mb`.
        """
        pool = self.small if size <= SMALL else self.large
        if not self._ask(pool, size):
            self.empty_cache()
            self.retries += 1
            if not self._ask(pool, size):
                return None
        return pool.take(size)

    def _ask(self, pool: SegmentPool | ExpandablePool, size: int) -> bool:
        """Compare with the limit, then grow (alloc_block).

        What is compared is the size of a segment of its own, even where an expandable segment
        would map less, or will map more.
        """
        if self.limit is not None and self.card.reserved + segment_bytes(size) > self.limit:
            return False
        return pool.grow(size)


def segment_bytes(size: int) -> int:
    """Return the segment for a request of `size` bytes, rounded to 512 (get_allocation_size)."""
    if size <= SMALL:
        return SMALL_SEGMENT
    if size < MIN_LARGE:
        return LARGE_SEGMENT
    return -(-size // ROUND_LARGE) * ROUND_LARGE


class Pool:
    """Free blocks of one stream, ordered by size and address, and found by either of their ends.

    `least`: the bytes that must remain for a block to be split (should_split). `unmapped` and
    `unmapped_ends`: address ranges without memory behind them, from start to end and back.
    """

    def __init__(self, card: Card, least: int) -> None:
        self.card = card
        self.least = least
        self.free: list[int] = []
        self.starts: dict[int, int] = {}
        self.ends: dict[int, int] = {}
        self.unmapped: dict[int, int] = {}
        self.unmapped_ends: dict[int, int] = {}

    def copy(self, card: Card) -> Self:
        """Return a pool with the same blocks, of a card in the same state."""
        twin = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, dict | list):
                setattr(twin, name, copy(value))
        twin.card = card
        return twin

    def take(self, size: int) -> int | None:
        """Take the best free block for `size` bytes and split it (get_free_block)."""
        free = self.free
        at = bisect_left(free, size << SHIFT)
        if at == len(free):
            return None
        block = free[at]
        address = block & ADDRESS
        end = address + (block >> SHIFT)
        if end in self.unmapped:
            at = self._best(at)
            block = free[at]
            address = block & ADDRESS
            end = address + (block >> SHIFT)
        del free[at], self.starts[address]
        rest = address + size
        if end - rest < self.least:
            del self.ends[end]
            return block
        remaining = (end - rest) << SHIFT | rest
        insort(free, remaining, 0, at)  # it is smaller than what it is split from
        self.starts[rest] = self.ends[end] = remaining
        return size << SHIFT | address

    def give(self, block: int) -> None:
        """Add a free block, merged with those it touches (free_block, try_merge_blocks)."""
        free, starts, ends = self.free, self.starts, self.ends
        address = block & ADDRESS
        end = address + (block >> SHIFT)
        before = ends.pop(address, None)
        if before is not None:
            del free[bisect_left(free, before)]
            address = before & ADDRESS
        after = starts.pop(end, None)
        if after is not None:
            del free[bisect_left(free, after)]
            end += after >> SHIFT
        block = (end - address) << SHIFT | address
        starts[address] = ends[end] = block
        insort(free, block)

    def _best(self, at: int) -> int:
        """Move on from blocks that can expand further than the next in order (expandable_size)."""

        def reach(at: int) -> int:
            address, end = free[at] & ADDRESS, (free[at] & ADDRESS) + (free[at] >> SHIFT)
            return self.unmapped.get(end, end) - address

        free = self.free
        while at + 1 < len(free) and reach(at + 1) < reach(at):
            at += 1
        return at

    def _remove(self, block: int) -> tuple[int, int]:
        """Drop a free block; return its two ends."""
        address = block & ADDRESS
        end = address + (block >> SHIFT)
        del self.free[bisect_left(self.free, block)], self.starts[address], self.ends[end]
        return address, end


class SegmentPool(Pool):
    """A pool whose memory comes in segments of their own, from cudaMalloc.

    Blocks of two segments never merge. Each segment is taken to lie above the earlier ones: the
    driver decides, and it only matters between free blocks of the same size.
    """

    def __init__(self, card: Card, least: int) -> None:
        super().__init__(card, least)
        self.segments: dict[int, int] = {}
        self.following = UNIT

    def grow(self, size: int) -> bool:
        """Add a segment (alloc_block)."""
        whole = segment_bytes(size)
        if not self.card.give(whole):
            return False
        self.segments[self.following] = whole
        self.give(whole << SHIFT | self.following)
        self.following += whole + UNIT  # a gap keeps two segments apart
        return True

    def trim(self) -> None:
        """Free the segments that are one free block (release_block)."""
        for block in tuple(self.free):
            address = block & ADDRESS
            if self.segments.get(address) == block >> SHIFT:
                self._remove(block)
                self.card.reserved -= self.segments.pop(address)


class ExpandablePool(Pool):
    """A pool whose memory is mapped page by page into an address range (ExpandableSegment).

    A page is 2 MiB in the small pool and 20 MiB in the large one. The range is 9/8 of the card,
    and another one is opened when no addresses are left.
    """

    def __init__(self, card: Card, page: int, total: int | None) -> None:
        super().__init__(card, UNIT)
        self.page = page
        self.span = ENDLESS if total is None else -(-(total + total // 8) // page) * page
        self.following = page

    def grow(self, size: int) -> bool:
        """Map what is missing beside a free block, or at new addresses.

        What was mapped stays if the card has no more midway (try_allocate_expandable_block).
        """
        if size > self.span:
            return False
        start = self._find(size)
        have = self.starts.get(start, 0) >> SHIFT
        while have < size:
            if not self._map(start + have, size - have):
                return False
            have = self.starts[start] >> SHIFT
        return True

    def _find(self, size: int) -> int:
        """Return the lowest address with room for `size` bytes (find_expandable_block)."""
        for gap in sorted(self.unmapped):
            before = self.ends.get(gap)
            start = gap if before is None else before & ADDRESS
            if self._spans(start, size):
                return start
        start = self.following
        self.following += self.span + self.page  # a gap keeps two ranges apart
        self._unmap(start, start + self.span)
        return start

    def _spans(self, start: int, size: int) -> bool:
        """Say whether addresses from `start` on are free or unmapped for `size` bytes."""
        at = start
        while at - start < size:
            if at in self.starts:
                at += self.starts[at] >> SHIFT
            elif at in self.unmapped:
                at = self.unmapped[at]
            else:
                return False
        return True

    def _map(self, start: int, size: int) -> bool:
        """Back `size` bytes from `start` on, or all of the gap, with whole pages (map_block)."""
        end = self.unmapped[start]
        stop = min(end, start + -(-size // self.page) * self.page)
        if not self.card.give(stop - start):
            return False
        del self.unmapped[start], self.unmapped_ends[end]
        if stop < end:
            self._unmap(stop, end)
        self.give((stop - start) << SHIFT | start)
        return True

    def _unmap(self, start: int, end: int) -> None:
        """Note addresses without memory, merged with those beside them."""
        start = self.unmapped_ends.pop(start, start)
        end = self.unmapped.pop(end, end)
        self.unmapped[start] = end
        self.unmapped_ends[end] = start

    def trim(self) -> None:
        """Unmap the pages that lie wholly in free blocks (unmap_block)."""
        for block in tuple(self.free):
            address, end = block & ADDRESS, (block & ADDRESS) + (block >> SHIFT)
            first = -(-address // self.page) * self.page
            last = end // self.page * self.page
            if first >= last:
                continue
            self._remove(block)
            if address < first:
                self.give((first - address) << SHIFT | address)
            if last < end:
                self.give((end - last) << SHIFT | last)
            self._unmap(first, last)
            self.card.reserved -= last - first
