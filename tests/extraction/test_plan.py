"""The plan: every image once, batches within shards, shards of about 4,096 rows."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from karat.extraction.plan import SHARD_ROWS, Plan


@given(
    images=st.integers(1, 30_000),
    batch_size=st.integers(1, 9_000),
    views=st.none() | st.integers(1, 50),
)
def test_every_image_is_in_one_batch_of_one_shard_in_order(images: int, batch_size: int, views: int | None) -> None:
    plan = Plan(images, batch_size, views)
    batches = [batch for number in range(plan.shards) for batch in plan.batches(number)]
    assert batches[0].start == 0
    assert batches[-1].stop == images
    assert all(before.stop == after.start for before, after in pairwise(batches))
    for number in range(plan.shards):
        assert plan.batches(number)[0].start == plan.shard(number).start
        assert plan.batches(number)[-1].stop == plan.shard(number).stop
        assert len(plan.shard(number)) * plan.rows_per_image <= plan.shard_rows


@given(
    images=st.integers(1, 30_000),
    batch_size=st.integers(1, 9_000),
    views=st.none() | st.integers(1, 50),
)
def test_only_the_last_batch_and_shard_are_smaller(images: int, batch_size: int, views: int | None) -> None:
    plan = Plan(images, batch_size, views)
    count = views or 1
    sizes = [len(batch) for number in range(plan.shards) for batch in plan.batches(number)]
    assert set(sizes[:-1]) <= {plan.batch_images}
    assert sizes[-1] <= plan.batch_images
    assert plan.batch_rows <= max(batch_size, count)
    assert {len(plan.shard(number)) for number in range(plan.shards - 1)} <= {plan.shard_images}
    assert plan.shard_rows <= max(SHARD_ROWS, plan.batch_rows)
    assert plan.shard_rows > SHARD_ROWS - plan.batch_rows or plan.batch_images == images
