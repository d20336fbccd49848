"""Which images are explained, and their maps and contact sheets drawn into a run."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np

from .._files import digest_bytes, write_bytes
from ..embeddings import Embeddings
from ..errors import FileFormatError
from ..extraction import Progress
from ..extraction.meter import Meter
from ..images import ImageSource
from ..images.decoding import decode, encode_png
from ..records import Explanation, Provenance, Scores
from .chosen import Chosen
from .drawing import Drawing
from .features import feature_pages, read_activations, restricted
from .map_files import MapFiles
from .pictures import Tile, overlay, text_of_length
from .sheets import features_sheet, samples_sheet
from .wanted import Features, given_features, padded

# Maps in a part, about; samples at each end that get an overlay; features and images of each on a contact sheet.
_PART, _PICTURED, _PAGES, _ON_PAGE = 256, 24, 8, 6
_LONGEST = 60
ENDS = {"lowest": "The lowest Q-Scores", "highest": "The highest Q-Scores"}


@dataclass(frozen=True)
class Subject:
    """The images of a run, and those that get a map.

    Attributes:
        source: all images.
        ids, q, number: of the scored images: id, Q-Score, |L_i ∩ D|; [n].
        rows: of those with a map, rising: the row in the scores, [m].
        source_rows: of each scored image: the row in the source, [n].
        end: "lowest", "highest" or "", [m].
        wanted: features that each map shows, int64 [m, k], -1: none.
        strongest: the highest discriminative feature, [m], -1: none.
        features: those that somebody chose for all images alike, as far as they have activations.
    """

    source: ImageSource
    ids: np.ndarray
    q: np.ndarray
    number: np.ndarray
    rows: np.ndarray
    source_rows: np.ndarray
    end: np.ndarray
    wanted: np.ndarray
    strongest: np.ndarray
    features: tuple[int, ...] | None

    @classmethod
    def of(
        cls,
        source: ImageSource,
        emb: Embeddings,
        scores: Scores,
        run: Path,
        *,
        features: Features | None,
        top: int | None,
        dim: int,
    ) -> Self:
        """Choose the images with a map."""
        ids = np.asarray(emb.ids)
        row_of = {name: row for row, name in enumerate(source.ids.tolist())}
        source_rows = np.array([row_of[name] for name in ids.tolist()])
        kept = read_activations(run, features=len(scores.discriminative))
        if kept.shape[0] != len(ids):
            raise FileFormatError(f"{run / 'activations'} has {kept.shape[0]} rows for {len(ids)} images: score again")
        kept = restricted(kept, scores.discriminative)
        number, q = np.diff(kept.indptr), np.asarray(scores.q_score, np.float64)
        rows, end = _chosen_rows(q, number > 0, top)
        own = kept[rows]
        given = None if features is None else given_features(features, len(source), dim)[source_rows[rows]]
        wanted = padded(own.indptr, own.indices) if given is None else given
        strongest = np.array([_strongest(own.indices[a:b], own.data[a:b]) for a, b in pairwise(own.indptr.tolist())])
        alike = given is not None and len(given) > 0 and bool((given == given[0]).all())
        common = tuple(j for j in given[0].tolist() if 0 <= j < kept.shape[1]) if alike and given is not None else None
        return cls(source, ids, q, number, rows, source_rows, end, wanted, strongest, common)

    def digests(self, emb: Embeddings) -> dict[str, Any]:
        """What determines the maps besides the settings: encoder, images, and which features of which."""
        names = ("encoder", "weights_digest", "preprocessing", "source", "source_digest", "device", "versions")
        chosen = digest_bytes(self.source_rows[self.rows].tobytes(), self.wanted.tobytes())
        return {**{name: emb.provenance.get(name) for name in names}, "images": len(self.rows), "chosen": chosen}

    def record(
        self, provenance: Provenance, drawing: Drawing, scores: Scores, *, size: tuple[int, int], zero_maps: int
    ) -> Explanation:
        """What was drawn."""
        rows, found = self.source_rows[self.rows], drawing.found
        empty = int((self.number == 0).sum())
        return Explanation(
            provenance=provenance,
            encoder=drawing.encoder.name,
            method=drawing.method,
            layer=None if found is None else found.name,
            exact=found is not None and found.pooled and drawing.method == "gradcam",
            height=size[0],
            width=size[1],
            epsilon=scores.epsilon,
            d=len(scores.discriminative),
            discriminative_features=int(scores.discriminative.sum()),
            n=len(self.ids),
            n_mapped=len(rows),
            n_empty=empty,
            n_zero_maps=zero_maps,
            columns={
                "row": rows,
                "id": self.source.ids[rows],
                "path": self.source.paths[rows],
                "end": self.end,
                "q_score": self.q[self.rows],
                "n_discriminative": self.number[self.rows],
                "strongest": self.strongest,
            },
            warnings=_warnings(empty, len(self.ids), scores),
        )


def drawn_maps(
    drawing: Drawing, subject: Subject, files: MapFiles, progress: Progress | None
) -> tuple[tuple[int, int], int]:
    """Write the parts that are missing, and the overlays of the samples at both ends.

    Returns:
        The size of the maps, and how many of them are zero everywhere.
    """
    step = drawing.batch_size * max(1, _PART // drawing.batch_size)
    parts = [slice(start, start + step) for start in range(0, len(subject.rows), step)]
    missing = [number for number in range(len(parts)) if not files.has(number)]
    left = sum(len(subject.rows[parts[number]]) for number in missing)
    meter = Meter(progress, total=len(subject.rows), done=len(subject.rows) - left)
    drawing.look(subject.source, subject.source_rows[subject.rows[0]])  # always the same image decides on the layer
    for number in missing:
        _draw_part(drawing, subject, files, number, parts[number], meter)
    zero, size = 0, (0, 0)
    for number in range(len(parts)):
        _, maps = files.read(number)
        zero += int((maps.max(axis=(1, 2)) == 0).sum())
        size = (maps.shape[1], maps.shape[2])
    return size, zero


def _draw_part(drawing: Drawing, subject: Subject, files: MapFiles, number: int, part: slice, meter: Meter) -> None:
    rows, end = subject.source_rows[subject.rows[part]], subject.end[part]
    maps = []
    for drawn in drawing.mean_maps(Chosen.of(subject.source, rows), subject.wanted[part], meter):
        maps.append(drawn.maps.astype(np.float16))
        for place, pixels, heatmap in zip(drawn.images, drawn.pixels, drawn.maps, strict=True):
            if end[place]:
                write_bytes(files.overlay(rows[place]), encode_png(overlay(pixels, heatmap)))
    files.write(number, rows, np.concatenate(maps))


def drawn_sheets(drawing: Drawing, subject: Subject, files: MapFiles, run: Path) -> None:
    """Write the contact sheets: both ends of the Q-Score, and features (the chosen, or the most shared of D)."""
    for end, title in ENDS.items():
        places = np.flatnonzero(subject.end == end)
        order = places[np.argsort(subject.q[subject.rows[places]] * (1 if end == "lowest" else -1), kind="stable")]
        if len(order):
            sheet = samples_sheet([_tile(drawing, subject, files, place) for place in order], title=title)
            write_bytes(files.folder / f"{end}.png", sheet)
    chosen = None if subject.features is None else subject.features[:_PAGES]
    pages = feature_pages(run, features=chosen, top=_ON_PAGE) if chosen is None or len(chosen) else []
    pages = [page for page in pages if len(page.rows)][:_PAGES]
    if pages:
        sheet = features_sheet(drawing, subject.source, pages, subject.source_rows)
        write_bytes(files.folder / "features.png", sheet)


def _tile(drawing: Drawing, subject: Subject, files: MapFiles, place: int) -> Tile:
    row = subject.rows[place]
    number = int(subject.source_rows[row])
    image = drawing.encoder.transform(subject.source.read(number))
    pixels = drawing.pixels(image[None])[0]
    seen = decode(files.overlay(number).read_bytes(), files.overlay(number).name)
    name = text_of_length(str(subject.ids[row]), _LONGEST)
    return Tile((pixels, seen), (name, f"Q = {subject.q[row]:.3g}, features: {subject.number[row]}"))


def _chosen_rows(q: np.ndarray, has: np.ndarray, top: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The rows that get a map, rising, and which end of the Q-Score each is at."""
    candidates = np.flatnonzero(has) if has.any() else np.arange(len(q))
    rising = candidates[np.argsort(q[candidates], kind="stable")]
    each = _PICTURED if top is None else top
    low = rising[: min(each, -(-len(rising) // 2))]
    high = rising[max(len(low), len(rising) - each) :]
    end = np.full(len(q), "", dtype="U7")
    end[low], end[high] = "lowest", "highest"
    rows = np.arange(len(q)) if top is None else np.flatnonzero(end != "")
    return rows, end[rows]


def _strongest(features: np.ndarray, values: np.ndarray) -> int:
    return int(features[np.argmax(values)]) if len(features) else -1


def _warnings(empty: int, n: int, scores: Scores) -> tuple[str, ...]:
    if not scores.discriminative.any():
        return (
            f"no feature is discriminative at epsilon = {scores.epsilon:g}, so that no map shows one: "
            "lower epsilon, or let it be chosen (--epsilon auto)",
        )
    if not empty:
        return ()
    return (
        f"{empty:,} of {n:,} images activate no discriminative feature at epsilon = {scores.epsilon:g}: "
        "there is nothing that their maps could show (a lower epsilon leaves fewer)",
    )
