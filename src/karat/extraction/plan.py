"""Which images go into which batch, and which batches into which shard: fixed before the first image is read."""

from __future__ import annotations

from dataclasses import dataclass

SHARD_ROWS = 4096  # about how many rows a shard has


@dataclass(frozen=True)
class Plan:
    """Batches of whole images, and shards of whole batches: any process makes any shard alone, and makes it the same.

    Attributes:
        images: number of images n.
        batch_size: rows in a batch, at most (but at least those of one image).
        views: rows that an image gives; None: one.

    >>> plan = Plan(10000, batch_size=1000)
    >>> plan.shards, plan.shard(2), plan.batches(2)
    (3, range(8000, 10000), [range(8000, 9000), range(9000, 10000)])
    """

    images: int
    batch_size: int
    views: int | None = None

    @property
    def rows_per_image(self) -> int:
        """1, or the number of views."""
        return self.views or 1

    @property
    def batch_images(self) -> int:
        """Images in a batch, the last of all excepted."""
        return min(self.images, max(1, self.batch_size // self.rows_per_image))

    @property
    def batch_rows(self) -> int:
        """Rows in a batch, at most."""
        return self.batch_images * self.rows_per_image

    @property
    def shard_images(self) -> int:
        """Images in a shard, the last excepted."""
        return self.batch_images * max(1, SHARD_ROWS // self.batch_rows)

    @property
    def shard_rows(self) -> int:
        """Rows in a shard, at most."""
        return self.shard_images * self.rows_per_image

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.images // self.shard_images)

    def shard(self, number: int) -> range:
        """The images of a shard."""
        return range(self.images)[number * self.shard_images : (number + 1) * self.shard_images]

    def batches(self, number: int) -> list[range]:
        """The images of each batch of a shard."""
        images = self.shard(number)
        return [images[start : start + self.batch_images] for start in range(0, len(images), self.batch_images)]
