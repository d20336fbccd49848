"""overlap: how much heatmaps overlap masks, beside what they must beat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from .._files import digest_bytes
from .._version import version
from ..errors import InputError
from ..records import Estimate, MapOverlap, Overlap, OverlapDifference, Provenance
from ..records.overlaps import CENTRE_PRIOR, RANDOM_INIT, RANDOM_MAP
from ..stats.bootstrap import Resampled, resampled_means
from .controls import centre_prior, random_maps
from .masks import AlignedMasks, Kind
from .overlap import MEASURES, measured

_BLOCK = 256
_FEW_IMAGES = 30
_WIDE_MASKS = 0.5

_MapsOf = Callable[[np.ndarray], np.ndarray]  # rows [b] -> maps [b, H, W]


def overlap(
    maps: Mapping[str, np.ndarray],
    masks: AlignedMasks,
    *,
    correct: np.ndarray | None = None,
    grid: int = 7,
    resamples: int = 1000,
    seed: int = 0,
) -> Overlap:
    """Do maps lie on the object? Measures of each kind of map with each kind of mask, with controls and intervals.

    In the table always: the centre prior (a centred Gaussian whose area at 0.5 is the mean area of the masks) and
    random maps. The first of `maps` is the claim; it is compared with every other, on the same images (paired bootstrap
    over images).

    Args:
        maps: name -> float [n, H, W] in [0, 1], one a sample, divided by its maximum; the claim first. Usual names are
            "D", "not D", "random features", and "random init" for those of D in a randomly initialised encoder (see
            `controls.reinitialised`); for an encoder before and after a change: "after", "before", ...
        masks: of the same n images (see `masks.align_masks`). Images with an empty mask are left out, and counted.
        correct: bool [n], or float with NaN where it is not known: whether a probe is right on each sample.
        grid: side of the encoder's last spatial layer, for random maps as coarse as its own.
        resamples, seed: of the bootstrap; `seed` also of the random maps.

    Returns:
        An `Overlap`. It prints its tables, and says plainly when the claim does not beat the centre prior.

    Raises:
        InputError: no maps, other shapes, values outside [0, 1], or no mask that is not empty.

    Reference: Kalibhat et al., AAAI 2024 (mIoU of heatmaps and Salient ImageNet's masks); the controls are ours.
    """
    outcome = _checked(maps, masks, correct)
    kinds = [kind for kind in masks.masks if masks.used(kind).any()]
    if not kinds:
        raise InputError("all masks are empty: nothing can overlap them (do they show what is left after the crop?)")
    rows: list[MapOverlap] = []
    differences: list[OverlapDifference] = []
    for kind in kinds:
        found = _Measured.of(maps, masks, kind, grid=grid, seed=seed)
        estimated = partial(_Group, found, resamples=resamples, seed=seed)
        everything = estimated(np.ones(len(found.images), bool))
        groups = {"all": everything}
        if outcome is not None:
            groups |= _by_outcome(estimated, outcome[found.images], seed)
        rows += [group.row(name, kind, samples) for name in found.values for samples, group in groups.items()]
        claim, *others = found.values
        differences += [everything.difference(claim, other, kind) for other in others]
        if "correct" in groups:
            differences += [_unpaired(groups["correct"], groups["wrong"], claim, kind)]
    return Overlap(
        provenance=Provenance(
            "overlap",
            {"maps": list(maps), "grid": grid, "resamples": resamples, "seed": seed},
            _inputs(maps, masks),
            version(),
        ),
        n=len(masks),
        without_mask=masks.without_mask,
        extra_masks=masks.extra,
        empty_masks={kind: masks.empty(kind) for kind in masks.masks},
        mask_area={kind: _area(masks, kind) for kind in kinds},
        measured=tuple(rows),
        differences=tuple(differences),
        warnings=tuple(_warnings(maps, masks, kinds)),
    )


class _Measured:
    """The measures of every kind of map on the images with a mask of one kind.

    Attributes:
        images: [m] their rows.
        values: name -> float64 [4, m], in the order of MEASURES.
        zero: name -> bool [m]: the map is zero everywhere.
    """

    def __init__(self, images: np.ndarray) -> None:
        self.images = images
        self.values: dict[str, np.ndarray] = {}
        self.zero: dict[str, np.ndarray] = {}

    @classmethod
    def of(cls, maps: Mapping[str, np.ndarray], masks: AlignedMasks, kind: Kind, *, grid: int, seed: int) -> _Measured:
        found = cls(np.flatnonzero(masks.used(kind)))
        shape = masks.masks[kind].shape[1:]
        prior = centre_prior(shape, _area(masks, kind))
        for name, given in maps.items():
            found._measure(name, partial(np.take, given, axis=0), masks.masks[kind])
        found._measure(CENTRE_PRIOR, lambda rows: np.broadcast_to(prior, (len(rows), *shape)), masks.masks[kind])
        noise = partial(_noise, shape=shape, grid=grid, seed=seed)
        found._measure(RANDOM_MAP, noise, masks.masks[kind])
        return found

    def _measure(self, name: str, maps_of: _MapsOf, masks: np.ndarray) -> None:
        values, zero = [], []
        for block in _blocks(self.images):
            maps = maps_of(block)
            values.append(measured(maps, masks[block]))
            zero.append(~maps.any(axis=(1, 2)))
        self.values[name], self.zero[name] = np.hstack(values), np.concatenate(zero)


class _Group:
    """Means over some of the images, with the same resamples for all kinds of maps."""

    def __init__(self, found: _Measured, chosen: np.ndarray, *, resamples: int, seed: int) -> None:
        self.n = int(chosen.sum())
        self.values = {name: values[:, chosen] for name, values in found.values.items()}
        self.zero = {name: zero[chosen] for name, zero in found.zero.items()}
        self._settings = {"resamples": resamples, "seed": seed}
        means = iter(self._means(np.vstack(list(self.values.values()))))
        self.means = {name: {measure: next(means) for measure in MEASURES} for name in self.values}

    def row(self, maps: str, mask: str, samples: str) -> MapOverlap:
        return MapOverlap(maps, mask, samples, self.n, int(self.zero[maps].sum()), **_estimates(self.means[maps]))

    def difference(self, first: str, second: str, mask: str) -> OverlapDifference:
        """On the same images; and on those where neither map is zero."""
        apart = {measure: self.means[first][measure] - self.means[second][measure] for measure in MEASURES}
        both = ~self.zero[first] & ~self.zero[second]
        if both.any():
            one, other = self._means(np.stack([self.values[name][0, both] for name in (first, second)]))
            of_both = Estimate(*(one - other).interval())
        else:
            of_both = Estimate(np.nan, np.nan, np.nan)
        return OverlapDifference(
            first, second, mask, self.n, **_estimates(apart), n_both=int(both.sum()), iou_both=of_both
        )

    def _means(self, values: np.ndarray) -> list[Resampled]:
        return resampled_means(values, **self._settings)


def _by_outcome(estimated: Callable[..., _Group], outcome: np.ndarray, seed: int) -> dict[str, _Group]:
    """Correct and wrong samples apart, where there are some of both; drawn independently of each other."""
    groups = {"correct": outcome == 1, "wrong": outcome == 0}
    if not all(chosen.any() for chosen in groups.values()):
        return {}
    return {
        samples: estimated(chosen, seed=seed + number) for number, (samples, chosen) in enumerate(groups.items(), 1)
    }


def _unpaired(right: _Group, wrong: _Group, claim: str, mask: str) -> OverlapDifference:
    """Correct minus wrong samples, of the maps of the claim."""
    apart = {measure: right.means[claim][measure] - wrong.means[claim][measure] for measure in MEASURES}
    seen = [~group.zero[claim] for group in (right, wrong)]
    of_both = Estimate(np.nan, np.nan, np.nan)
    if all(group.any() for group in seen):
        one, other = (
            group._means(group.values[claim][:1, chosen])[0] for group, chosen in zip((right, wrong), seen, strict=True)
        )
        of_both = Estimate(*(one - other).interval())
    return OverlapDifference(
        f"{claim}, correct",
        f"{claim}, wrong",
        mask,
        right.n + wrong.n,
        **_estimates(apart),
        n_both=int(sum(group.sum() for group in seen)),
        iou_both=of_both,
    )


def _estimates(means: Mapping[str, Resampled]) -> dict[str, Estimate]:
    return {measure: Estimate(*mean.interval()) for measure, mean in means.items()}


def _checked(maps: Mapping[str, np.ndarray], masks: AlignedMasks, correct: np.ndarray | None) -> np.ndarray | None:
    """What is known of the outcomes, as float [n] (1, 0, NaN).

    Raises:
        InputError: what does not fit together.
    """
    if not maps:
        raise InputError("maps is empty, but at least one kind of map is needed: the claim")
    if taken := maps.keys() & {CENTRE_PRIOR, RANDOM_MAP}:
        raise InputError(f"maps has {', '.join(sorted(taken))}, but these controls are made here: leave them out")
    shape = next(iter(masks.masks.values())).shape
    for name, given in maps.items():
        if given.shape != shape:
            raise InputError(f"the maps {name!r} are {given.shape}, but the masks {shape}: one map an image is needed")
    if correct is None:
        return None
    outcome = np.asarray(correct, np.float64)
    if outcome.shape != (len(masks),):
        raise InputError(f"correct is {outcome.shape}, but ({len(masks)},) is needed: one value an image")
    if not np.isin(outcome[~np.isnan(outcome)], (0, 1)).all():
        raise InputError("correct has other values than true, false and NaN (not known)")
    return outcome


def _noise(rows: np.ndarray, *, shape: tuple[int, int], grid: int, seed: int) -> np.ndarray:
    """Random maps, the same for the same images in any table."""
    return random_maps(len(rows), shape, grid=grid, seed=seed + int(rows[0]))


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    return (rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK))


def _area(masks: AlignedMasks, kind: Kind) -> float:
    """Mean share of the image in a mask, over the masks that are not empty."""
    return float(masks.masks[kind].mean(axis=(1, 2))[masks.used(kind)].mean())


def _inputs(maps: Mapping[str, np.ndarray], masks: AlignedMasks) -> dict[str, str]:
    digests = {f"maps.{name}": digest_maps(given) for name, given in maps.items()}
    return digests | {f"masks.{kind}": digest_maps(given) for kind, given in masks.masks.items()}


def digest_maps(values: np.ndarray) -> str:
    """xxh3-128 of maps or masks: dtype, shape and content."""
    blocks = (np.ascontiguousarray(values[start : start + _BLOCK]) for start in range(0, len(values), _BLOCK))
    header = f"{values.dtype.newbyteorder('<')} {list(values.shape)}".encode()
    return digest_bytes(header, *(block.view(np.uint8).data for block in blocks))


def _warnings(maps: Mapping[str, np.ndarray], masks: AlignedMasks, kinds: list[Kind]) -> Iterator[str]:
    if RANDOM_INIT not in maps:
        yield (
            f"there are no maps of a randomly initialised encoder ({RANDOM_INIT!r}): without them nobody can say that "
            "the overlap was learned"
        )
    for kind in kinds:
        n = int(masks.used(kind).sum())
        if n < _FEW_IMAGES:
            yield f"only {n} images have a {kind} mask: intervals of so few images are too narrow"
        if (area := _area(masks, kind)) > _WIDE_MASKS:
            yield f"{kind} masks cover {area:.0%} of the image on average: anything overlaps them"
