"""The model of the caching allocator: its rules counted by hand, and a plain transcription."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec.compiler.memory.replay import (
    ADDRESS,
    EMPTY_CACHE,
    MIB,
    PHASE,
    SHIFT,
    UNIT,
    Allocator,
    Pool,
    Replay,
    Replayed,
    replay,
    segment_bytes,
)

Event = tuple[int, Any]
EMPTY = (EMPTY_CACHE, 0)


def mib(value: float) -> int:
    return int(value * MIB)


def allocations(*sizes: float) -> list[Event]:
    """One allocation a size, in MiB, with keys from 0."""
    return [(key, mib(size)) for key, size in enumerate(sizes)]


def peaks(events: list[Event], **options: Any) -> tuple[float, float]:
    """The two peaks in MiB."""
    out = replay(events, **options)
    assert out.failed_at is None
    return out.allocated_peak / MIB, out.reserved_peak / MIB


# --- sizes: round_size, get_pool, get_allocation_size ---------------------------------------------


@pytest.mark.parametrize(("asked", "block"), [(1, 512), (512, 512), (513, 1024), (1025, 1536)])
@pytest.mark.parametrize("expandable", [True, False])
def test_a_size_is_a_multiple_of_512(asked: int, block: int, expandable: bool) -> None:
    assert replay([(0, asked)], expandable=expandable).allocated_peak == block


@pytest.mark.parametrize(
    ("asked", "reserved"),
    [
        (1, mib(2)),
        (mib(1), mib(2)),
        (mib(1) + 1, mib(20)),
        (mib(10) - 512, mib(20)),
        (mib(10) - 511, mib(10)),  # rounded to 10 MiB first
        (mib(10) + 1, mib(12)),
        (mib(31), mib(32)),
    ],
)
def test_a_segment_by_size(asked: int, reserved: int) -> None:
    assert replay([(0, asked)], expandable=False).reserved_peak == reserved


def test_small_and_large_requests_lie_apart() -> None:
    """get_pool: 1 MiB does not go into the 11 MiB left of a large segment."""
    assert peaks(allocations(9, 1), expandable=False) == (10, 22)
    assert peaks(allocations(9, 1)) == (10, 22)


def test_an_empty_tensor_takes_nothing() -> None:
    out = replay([(0, 0), (1, 512), (0, -1)])
    assert (out.allocated_peak, out.reserved_peak) == (512, mib(2))


# --- splitting: should_split ----------------------------------------------------------------------


def test_a_large_block_is_split_when_more_than_one_mib_is_left() -> None:
    assert peaks(allocations(21), expandable=False) == (22, 22)
    assert peaks(allocations(20.5), expandable=False) == (20.5, 22)
    # The 1.5 MiB left over serve 1.25 MiB whole: 0.25 MiB is too little to split.
    assert peaks(allocations(20.5, 1.25), expandable=False) == (22, 22)


def test_a_small_block_is_split_down_to_512_bytes() -> None:
    events = [(0, mib(1)), (1, mib(1) - 512), (2, 512)]
    assert replay(events, expandable=False).reserved_peak == mib(2)


def test_an_expandable_block_is_split_down_to_512_bytes() -> None:
    assert peaks(allocations(21)) == (21, 40)
    assert peaks(allocations(21, 18.5, 0.5)) == (40, 42)
    assert replay([(0, mib(21)), (1, mib(19) - 512)]).allocated_peak == mib(40) - 512


# --- which block: get_free_block, free_block, try_merge_blocks ------------------------------------


def test_the_smallest_block_that_fits_is_taken() -> None:
    # Of the free 16 and 12 MiB, 12 goes to the 12: then 16 is still whole.
    events = [*allocations(16, 12), (0, -1), (1, -1), (2, mib(12)), (3, mib(16))]
    assert peaks(events, expandable=False) == (28, 28)


def test_of_equal_blocks_the_lowest_is_taken() -> None:
    # Free: 2 MiB at 0 and at 4, with 2 MiB held between. The next 2 MiB go to 0, so that the
    # block at 4 merges with 6 to 8 when that is freed.
    events = [*allocations(2, 2, 2, 2, 12), (0, -1), (2, -1), (5, mib(2)), (3, -1), (6, mib(4))]
    assert peaks(events) == (20, 20)


def test_a_block_that_can_expand_counts_with_all_it_can_expand_to() -> None:
    """5 MiB go into the 12 freed at the start, not into the 6 at the growing end."""
    events = [*allocations(12, 2), (0, -1), (2, mib(5)), (3, mib(12))]
    assert peaks(events) == (19, 40)


def test_a_block_that_can_expand_no_further_than_the_next_is_taken() -> None:
    # Free after emptying: 5 MiB at 15, with the page above them unmapped; and 25 MiB at 60.
    events = [*allocations(15, 25, 20, 25, 15), (1, -1), EMPTY, (3, -1), (PHASE, "after")]
    out = replay([*events, (5, mib(5)), (6, mib(25))])
    assert out.phases["after"] == (mib(80), mib(80))


def test_gaps_side_by_side_count_as_one() -> None:
    # 5 MiB at 15 can expand by 20 to 60, emptied in two steps, so they come after the 30 at 60.
    events = [*allocations(15, 25, 20, 30, 10), (1, -1), EMPTY, (2, -1), EMPTY, (3, -1)]
    out = replay([*events, (PHASE, "after"), (5, mib(5)), (6, mib(30))])
    assert out.phases["after"] == (mib(60), mib(100))


def test_released_neighbours_merge() -> None:
    events = [*allocations(6, 6, 8), (0, -1), (2, -1), (1, -1), (3, mib(20))]
    assert peaks(events) == (20, 20)
    assert peaks(events, expandable=False) == (20, 20)


# --- growing: find_expandable_block, map_block, unmap_block, release_block ------------------------


def test_only_what_is_missing_at_the_end_is_mapped() -> None:
    assert peaks(allocations(15, 12)) == (27, 40)
    assert peaks(allocations(15, 25)) == (40, 40)
    assert peaks(allocations(15, 25.5)) == (40.5, 60)


def test_emptying_the_cache_unmaps_whole_pages() -> None:
    events = [*allocations(15, 30), (0, -1), EMPTY, (PHASE, "after")]
    assert replay(events).phases["after"] == (mib(30), mib(60))  # no page is free throughout
    events = [*allocations(15, 50, 15), (1, -1), EMPTY, (PHASE, "after")]
    assert replay(events).phases["after"] == (mib(30), mib(40))  # 20 to 60 of 15 to 65


def test_emptying_the_cache_frees_whole_segments() -> None:
    events = [*allocations(9, 9, 12), (0, -1), (2, -1), EMPTY, (PHASE, "after")]
    assert replay(events, expandable=False).phases["after"] == (mib(9), mib(20))


def test_the_lowest_gap_that_is_wide_enough_is_mapped() -> None:
    events = [*allocations(20, 20, 20), (0, -1), EMPTY]
    assert peaks([*events, (3, mib(15))]) == (60, 60)
    # 30 MiB do not fit below 20: they are mapped behind the others, the gap stays.
    assert peaks([*events, (3, mib(30))]) == (70, 80)


def test_a_gap_is_filled_together_with_the_free_block_before_it() -> None:
    events = [*allocations(10, 50, 20), (1, -1), EMPTY]  # free 10 to 20, gap 20 to 60
    assert peaks([*events, (3, mib(45)), (PHASE, "after")]) == (80, 80)


def test_another_range_is_opened_when_addresses_run_out() -> None:
    # A card of 40 MiB has 60 MiB of addresses: 45 rounded up to pages.
    events = [*allocations(20, 5, 15, 20), (0, -1), (2, -1), (3, -1), EMPTY, (4, mib(40))]
    assert replay(events, total=mib(40)).reserved_peak == mib(60)
    assert replay([*events, (5, mib(40))], total=mib(40)).reserved_peak == mib(100)
    assert replay([(0, mib(61))], total=mib(40)).failed_at == 0


# --- bounds: malloc, alloc_block, release_cached_blocks -------------------------------------------


def test_the_limit_is_compared_with_a_segment_of_its_own() -> None:
    # 25 MiB need one more page, 40 in all; but 20 + 26 are compared.
    assert replay(allocations(15, 25), limit=mib(45)).failed_at == 1
    assert replay(allocations(15, 25), limit=mib(46)).failed_at is None
    # The reverse: 20 + 12 are within the limit, and 40 are mapped.
    assert peaks(allocations(12, 12), limit=mib(32)) == (24, 40)
    assert replay(allocations(12, 12), limit=mib(32) - 1).failed_at == 1


@pytest.mark.parametrize("expandable", [True, False])
def test_cached_memory_is_given_back_before_a_failure(expandable: bool) -> None:
    events = [*allocations(20, 20), (0, -1), (2, mib(40))]
    assert peaks(events, expandable=expandable) == (60, 80)
    assert peaks(events, expandable=expandable, limit=mib(60)) == (60, 60)
    assert replay(events, expandable=expandable, limit=mib(60)).retries == 1


def test_a_failure_says_where_and_how_much() -> None:
    out = replay([(0, mib(30)), (7, mib(40) - 5)], limit=mib(60))
    assert (out.failed_at, out.failed_bytes, out.retries) == (1, mib(40) - 5, 1)
    assert (out.allocated_peak, out.reserved_peak) == (mib(30), mib(40))


def test_a_full_card_counts_what_is_mapped() -> None:
    assert replay(allocations(15, 25), room=mib(40)).failed_at is None
    assert replay(allocations(15, 25.5), room=mib(59)).failed_at == 1
    assert replay(allocations(12, 12), room=mib(32)).failed_at == 1
    assert replay(allocations(12, 12), room=mib(24), expandable=False).failed_at is None


# --- peaks, phases, errors ------------------------------------------------------------------------


def test_peaks_and_where_they_are_first_reached() -> None:
    out = replay([(0, mib(15)), (1, mib(15)), (0, -1), (2, mib(15)), (2, -1)])
    assert (out.allocated_peak, out.allocated_at) == (mib(30), 1)
    assert (out.reserved_peak, out.reserved_at) == (mib(40), 1)


def test_a_phase_begins_with_what_is_there() -> None:
    events = [*allocations(30, 5), (PHASE, "a"), (0, -1), (PHASE, "b"), (2, mib(8)), (PHASE, "a")]
    out = replay(events)
    assert out.phases == {"a": (mib(35), mib(40)), "b": (mib(13), mib(40))}
    assert (out.allocated_peak, out.allocated_at) == (mib(35), 1)


def test_a_phase_after_an_emptied_cache_begins_below_the_peak() -> None:
    events = [(0, mib(50)), (0, -1), EMPTY, (PHASE, "after"), (1, mib(5))]
    assert replay(events).phases == {"after": (mib(5), mib(20))}


def test_nothing_happens() -> None:
    assert replay([]) == Replayed(0, 0, 0, 0, {})


@pytest.mark.parametrize(
    "events", [[(0, 5), (0, 5)], [(0, 5), (1, -1)], [(0, 5), (0, -1), (0, -1)]]
)
def test_a_stream_that_cannot_be(events: list[Event]) -> None:
    with pytest.raises(ValueError, match=f"event {len(events) - 1} "):
        replay(events)


# --- a plain transcription ------------------------------------------------------------------------


@dataclass(eq=False)
class Block:
    at: int
    size: int
    mapped: bool = True
    allocated: bool = False
    prev: Block | None = None
    next: Block | None = None


@dataclass
class PlainPool:
    page: int
    is_small: bool
    blocks: list[Block] = field(default_factory=list)
    unmapped: list[Block] = field(default_factory=list)
    following: int = 0


class Plain:
    """The C++ functions, one by one, with blocks in linked lists and sets that are searched."""

    def __init__(self, expandable: bool, limit: int | None, room: int | None, total: int | None):
        self.expandable, self.limit, self.room = expandable, limit, room
        self.total = total or 2**39
        self.small, self.large = PlainPool(mib(2), True), PlainPool(mib(20), False)
        self.reserved = 0

    def malloc(self, size: int) -> tuple[Block, PlainPool] | None:
        size = 512 if size < 512 else 512 * ((size + 511) // 512)
        pool = self.small if size <= mib(1) else self.large
        block = self.get_free_block(pool, size) or self.alloc_block(pool, size)
        if block is None:
            self.release_cached_blocks()
            block = self.alloc_block(pool, size)
        if block is None:
            return None
        pool.blocks.remove(block)
        remaining = block.size - size
        least = 512 if pool.is_small or self.expandable else mib(1) + 1
        if remaining >= least:
            rest = Block(block.at + size, remaining)
            self.splice(rest, block, block.next)
            pool.blocks.append(rest)
            block.size = size
        block.allocated = True
        return block, pool

    def splice(self, block: Block, before: Block | None, after: Block | None) -> None:
        block.prev, block.next = before, after
        if before:
            before.next = block
        if after:
            after.prev = block

    def get_free_block(self, pool: PlainPool, size: int) -> Block | None:
        def expandable_size(b: Block) -> int:
            return b.size + (b.next.size if b.next and not b.next.mapped else 0)

        fitting = sorted((b for b in pool.blocks if b.size >= size), key=lambda b: (b.size, b.at))
        if not fitting:
            return None
        at = 0
        while at + 1 < len(fitting) and expandable_size(fitting[at + 1]) < expandable_size(
            fitting[at]
        ):
            at += 1
        return fitting[at]

    def alloc_block(self, pool: PlainPool, size: int) -> Block | None:
        if size <= mib(1):
            alloc_size = mib(2)
        elif size < mib(10):
            alloc_size = mib(20)
        else:
            alloc_size = mib(2) * ((size + mib(2) - 1) // mib(2))
        if self.limit is not None and self.reserved + alloc_size > self.limit:
            return None
        if self.expandable:
            return self.try_allocate_expandable_block(pool, size)
        if self.room is not None and self.reserved + alloc_size > self.room:
            return None
        self.reserved += alloc_size
        pool.following += 512
        block = Block(pool.following, alloc_size)
        pool.following += alloc_size
        pool.blocks.append(block)
        return block

    def find_expandable_block(self, pool: PlainPool, size: int) -> Block | None:
        for gap in sorted(pool.unmapped, key=lambda b: b.at):
            start = gap.prev if gap.prev and not gap.prev.allocated else gap
            length, block = 0, start
            while length < size and block and not block.allocated:
                length, block = length + block.size, block.next  # type: ignore[assignment]
            if length >= size:
                return start
        pages = (self.total + self.total // 8 + pool.page - 1) // pool.page
        if pages * pool.page < size:
            return None
        pool.following += pool.page
        fresh = Block(pool.following, pages * pool.page, mapped=False)
        pool.following += fresh.size
        pool.unmapped.append(fresh)
        return fresh

    def map_block(self, pool: PlainPool, block: Block, size: int) -> bool:
        mapped = (size + pool.page - 1) // pool.page * pool.page
        if self.room is not None and self.reserved + mapped > self.room:
            return False
        pool.unmapped.remove(block)
        block.mapped = True
        if mapped < block.size:
            rest = Block(block.at + mapped, block.size - mapped, mapped=False)
            self.splice(rest, block, block.next)
            pool.unmapped.append(rest)
            block.size = mapped
        self.merge(pool, block)
        pool.blocks.append(block)
        self.reserved += mapped
        return True

    def try_allocate_expandable_block(self, pool: PlainPool, size: int) -> Block | None:
        block = self.find_expandable_block(pool, size)
        if block is None:
            return None
        if not block.mapped and not self.map_block(pool, block, min(block.size, size)):
            return None
        while block.size < size:
            after = block.next
            assert after is not None
            if not self.map_block(pool, after, min(size - block.size, after.size)):
                return None
            block = after
        return block

    def merge(self, pool: PlainPool, block: Block) -> None:
        """Both calls of try_merge_blocks."""
        for other in (block.prev, block.next):
            if other is None or other.allocated or other.mapped != block.mapped:
                continue
            if other is block.prev:
                block.at = other.at
                self.splice(block, other.prev, block.next)
            else:
                self.splice(block, block.prev, other.next)
            block.size += other.size
            (pool.blocks if other.mapped else pool.unmapped).remove(other)

    def free(self, block: Block, pool: PlainPool) -> None:
        block.allocated = False
        self.merge(pool, block)
        pool.blocks.append(block)

    def release_cached_blocks(self) -> None:
        for pool in (self.large, self.small):
            for block in sorted(pool.blocks, key=lambda b: (b.size, b.at)):
                if self.expandable:
                    self.unmap_block(pool, block)
                elif not block.prev and not block.next:
                    pool.blocks.remove(block)
                    self.reserved -= block.size

    def unmap_block(self, pool: PlainPool, block: Block) -> None:
        begin = (block.at + pool.page - 1) // pool.page * pool.page
        end = (block.at + block.size) // pool.page * pool.page
        if begin >= end:
            return
        pool.blocks.remove(block)
        for at, stop in ((block.at, begin), (end, block.at + block.size)):
            if at < stop:
                part = Block(at, stop - at)
                neighbours = (block.prev, block) if stop == begin else (block, block.next)
                self.splice(part, *neighbours)
                pool.blocks.append(part)
        block.at, block.size, block.mapped = begin, end - begin, False
        self.merge(pool, block)
        pool.unmapped.append(block)
        self.reserved -= end - begin


# --- properties -----------------------------------------------------------------------------------

EDGES = [mib(edge) for edge in (0.5, 1, 2, 9, 10, 12, 20, 22, 40, 64)]
SIZES = st.one_of(
    st.integers(1, 4096),
    st.integers(1, mib(30)),
    st.sampled_from([edge + off for edge in EDGES for off in (-512, -1, 0, 1, 512)]),
)
BOUNDS = st.one_of(st.none(), st.integers(mib(10), mib(1000)))


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """Long streams over a few sizes, so that blocks are reused, split and merged."""
    sizes = draw(st.lists(SIZES, min_size=1, max_size=12))
    share, random = draw(st.floats(0.3, 0.6)), draw(st.randoms(use_true_random=False))
    events: list[Event] = []
    held: list[int] = []
    for key in range(draw(st.integers(0, 300))):
        what = random.random()
        if what < 0.02:
            events.append(EMPTY)
        elif what < share and held:
            events.append((held.pop(random.randrange(len(held))), -1))
        else:
            held.append(key)
            events.append((key, random.choice(sizes)))
    return events


@settings(max_examples=300, deadline=None)
@given(streams(), st.booleans(), BOUNDS, BOUNDS, st.sampled_from([None, mib(80), mib(400)]))
def test_it_does_what_the_transcription_does(
    events: list[Event], expandable: bool, limit: int | None, room: int | None, total: int | None
) -> None:
    model = Allocator(expandable=expandable, limit=limit, room=room, total=total)
    plain = Plain(expandable, limit, room, total)
    blocks: dict[int, int] = {}
    plain_blocks: dict[int, tuple[Block, PlainPool]] = {}
    for key, size in events:
        if key == EMPTY_CACHE:
            model.empty_cache()
            plain.release_cached_blocks()
        elif size > 0:
            block, expected = model.malloc(size), plain.malloc(size)
            assert (block is None) == (expected is None)
            if block is not None and expected is not None:
                assert (block & ADDRESS, block >> SHIFT) == (expected[0].at, expected[0].size)
                blocks[key], plain_blocks[key] = block, expected
        elif key in blocks:  # its allocation may have failed
            model.free(blocks.pop(key))
            plain.free(*plain_blocks.pop(key))
        assert model.card.reserved == plain.reserved


def ranges(pool: Pool, held: list[int]) -> list[tuple[int, int]]:
    """Free and held ranges of a pool, in order of address."""
    blocks = [*pool.free, *held]
    return sorted((b & ADDRESS, (b & ADDRESS) + (b >> SHIFT)) for b in blocks)


@settings(deadline=None)
@given(streams(), st.booleans(), BOUNDS)
def test_no_byte_is_lost_or_given_twice(
    events: list[Event], expandable: bool, limit: int | None
) -> None:
    model = Allocator(expandable=expandable, limit=limit)
    held: dict[int, int] = {}
    for key, size in events:
        if key == EMPTY_CACHE:
            model.empty_cache()
        elif size > 0 and (block := model.malloc(size)):
            held[key] = block
        elif size < 0 and key in held:
            model.free(held.pop(key))
        small = [block for block in held.values() if block >> SHIFT <= mib(1)]
        large = [block for block in held.values() if block >> SHIFT > mib(1)]
        spans = ranges(model.small, small), ranges(model.large, large)
        for pool_spans in spans:
            assert all(a[1] <= b[0] for a, b in zip(pool_spans, pool_spans[1:], strict=False))
        assert sum(end - at for span in spans for at, end in span) == model.card.reserved
    for block in held.values():
        model.free(block)
    model.empty_cache()  # all merged back into whole segments, or pages
    assert (model.card.reserved, model.small.free, model.large.free) == (0, [], [])


@settings(deadline=None)
@given(streams(), st.booleans(), BOUNDS, BOUNDS)
def test_peaks_are_in_order_and_within_their_bounds(
    events: list[Event], expandable: bool, limit: int | None, room: int | None
) -> None:
    out = replay(events, expandable=expandable, limit=limit, room=room)
    assert out.allocated_peak <= out.reserved_peak
    assert room is None or out.reserved_peak <= room
    # An expandable segment may end within a page behind the limit.
    assert limit is None or out.reserved_peak <= limit + (mib(20) if expandable else 0)
    assert (out.failed_at is None) or out.retries > 0


@settings(deadline=None)
@given(streams(), st.booleans())
def test_a_limit_that_is_not_reached_changes_nothing(events: list[Event], expandable: bool) -> None:
    free = replay(events, expandable=expandable)
    largest = max((size for _, size in events), default=0)
    enough = free.reserved_peak + segment_bytes(largest + UNIT) + mib(20)
    assert replay(events, expandable=expandable, limit=enough, room=enough) == free


@settings(deadline=None)
@given(streams(), BOUNDS)
def test_expandable_blocks_have_no_slack(events: list[Event], limit: int | None) -> None:
    """A run that survives has the same allocated peak under every limit: that of its tensors."""
    held: dict[int, int] = {}
    top = 0
    for key, size in events:
        if size > 0:
            held[key] = -(-size // 512) * 512
        elif key >= 0:
            del held[key]
        top = max(top, sum(held.values()))
    out = replay(events, limit=limit)
    assert out.failed_at is not None or out.allocated_peak == top


@given(st.lists(SIZES, max_size=40))
def test_what_is_never_released_is_laid_end_to_end(sizes: list[int]) -> None:
    """Then expandable segments reserve the sum of the sizes, rounded up to a page once a pool."""
    rounded = [-(-size // 512) * 512 for size in sizes]
    small = sum(size for size in rounded if size <= mib(1))
    large = sum(size for size in rounded if size > mib(1))
    pages = -(-small // mib(2)) * mib(2) + -(-large // mib(20)) * mib(20)
    assert replay(enumerate(sizes)).reserved_peak == pages


# --- a replay in parts ----------------------------------------------------------------------------


@settings(deadline=None)
@given(streams(), st.integers(0, 300), st.booleans(), BOUNDS)
def test_a_copy_goes_on_as_if_it_had_seen_everything(
    events: list[Event], cut: int, expandable: bool, limit: int | None
) -> None:
    first = Replay(expandable=expandable, limit=limit)
    first.feed(events[:cut])
    before, twin = first.result(), first.copy()
    twin.feed(events[cut:])
    assert twin.result() == replay(events, expandable=expandable, limit=limit)
    assert first.result() == before
    first.feed(events[cut:])
    assert first.result() == twin.result()
