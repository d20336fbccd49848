"""Do heatmaps lie on the object? ProtoCLR's Conv-4 and random weights on photographs with masks.

    python benchmarks/explain.py DATA

DATA holds masks/{human,davis_car-shadow,coco_panoptic2,stl10_examples}/{images,masks} and
weights/conv4_protoclr/*.safetensors (indy-lab/ProtoTransfer, MIT). For each set: the overlap of the maps of D, of the
other highly activated features and of random ones with the masks, beside the centre prior, random maps and two encoders
that have learned nothing: the authors' random initialisation ("before"), and the trained network with its weights drawn
again ("random init"). Then deletion and insertion curves on the first set, a contact sheet for each (--sheets FOLDER),
and a run of karat's demo encoder on the demo's test images, with its own (FOLDER/demo/maps).

D is fitted on 3,000 images of CIFAR-10 (cifar10/train_jpeg.npz), since the sets are too small for it, with the
threshold that karat chooses without labels.
"""

from __future__ import annotations

import argparse
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import torch
from conv4 import SIDE, WEIGHTS, encoder, images
from PIL import Image

import karat
from karat.attribution import align_masks, faithfulness, mask_overlap, open_masks, sample_maps
from karat.attribution.masks import AlignedMasks
from karat.attribution.overlap import iou
from karat.attribution.pictures import Tile, contact_sheet, overlay
from karat.encoders import Preprocessing, load_encoder
from karat.images import ImageSource, open_images
from karat.records import Explanation
from karat.stats.reference import fit_reference

SETS = ("human", "davis_car-shadow", "coco_panoptic2", "stl10_examples")
REFERENCE_IMAGES = 3000


def sheet(
    source: ImageSource, maps: np.ndarray, masks: AlignedMasks, preprocessing: Preprocessing, name: str
) -> np.ndarray:
    """The images whose map lies best on the object, and worst: image with mask, image with map."""
    used = np.flatnonzero(masks.used("core"))
    values = iou(maps[used], masks.masks["core"][used])
    order = np.argsort(-values, kind="stable")
    rows = []
    for chosen in (order[:6], order[::-1][:6]):
        tiles = []
        for place in chosen:
            i = int(used[place])
            pixels = (preprocessing(source.read(i)).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            outlined = overlay(pixels, masks.masks["core"][i].astype(np.float32) * 0.6)
            tiles.append(Tile((outlined, overlay(pixels, maps[i])), (str(source.ids[i]), f"IoU {values[place]:.2f}")))
        rows.append(tiles)
    return contact_sheet(rows, title=f"{name}: mask, map of D", headings=["highest IoU", "lowest IoU"])


def explain_demo(out: Path, method: str) -> Explanation:
    """The demo's encoder on the demo's test images, D of its training images."""
    with as_file(files("karat.demo") / "data") as data:
        model = load_encoder(data / "encoder.safetensors")
        train = karat.extract(model, data / "train.npz")
        return karat.explain(
            model, data / "test.npz", reference=train, epsilon="auto", method=method, out=out, overwrite=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with masks/, weights/ and cifar10/")
    parser.add_argument("--sheets", type=Path, help="a folder for contact sheets")
    parser.add_argument("--method", default="gradcam", help="of the heatmaps")
    parser.add_argument("--epsilon", default="auto", help="the threshold, or auto")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    epsilon = arguments.epsilon if arguments.epsilon == "auto" else float(arguments.epsilon)
    weights = {
        name: arguments.data / "weights/conv4_protoclr" / f"{file}.safetensors" for name, file in WEIGHTS.items()
    }
    learned, initial = (encoder(name, path) for name, path in weights.items())
    pixels = images(arguments.data / "cifar10/train_jpeg.npz", REFERENCE_IMAGES, 0)[0]
    h = karat.extract(learned, pixels, workers=0, precision="float32").h
    reference = fit_reference(h, epsilon=epsilon)
    preprocessing = Preprocessing(SIDE, (0, 0, 0), (1, 1, 1))
    for number, name in enumerate(SETS):
        folder = arguments.data / "masks" / name
        source = open_images(folder / "images")
        shared = {"method": arguments.method, "threads": arguments.threads, "workers": 0}
        record = mask_overlap(
            learned,
            source,
            folder / "masks",
            reference=h,
            reference_images=pixels,
            before=initial,
            epsilon=epsilon,
            **shared,
        )
        print(f"\n{'=' * 20} {name} {'=' * 20}\n{record.provenance.parameters['fitted']}\n{record}", flush=True)
        maps = sample_maps(learned, source, reference=reference, **shared)
        if number == 0:
            curves = faithfulness(learned, source, maps, reference, steps=10, threads=arguments.threads)
            print(f"\n{curves}", flush=True)
        if arguments.sheets is not None:
            arguments.sheets.mkdir(parents=True, exist_ok=True)
            masks = align_masks(open_masks(folder / "masks", source.ids.tolist()), source, preprocessing)
            picture = sheet(source, maps, masks, preprocessing, name)
            Image.fromarray(picture).save(arguments.sheets / f"{name}.png")
    if arguments.sheets is not None:
        print(f"\n{'=' * 20} demo {'=' * 20}\n{explain_demo(arguments.sheets / 'demo', arguments.method)}")


if __name__ == "__main__":
    main()
