"""Every verdict of karat on five encoders, and the tables of docs/evidence.md.    python benchmarks/judging DATA

DATA holds cifar10/{train,test}_jpeg.npz and weights/. The encoders: SimCLR (karat's demo), ProtoCLR's Conv-4, an
autoencoder, a supervised Conv-4 and a randomly initialised one. Each has a run's folder under RUNS; what is there is
not made again, so an interrupted run goes on where it was. Look at one with `karat report RUNS/demo`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stages import judge, once
from subjects import ENCODERS, LABEL_FREE, draw, embeddings
from tables import tables

import karat
from karat._files import write_bytes

TRAIN, TEST, VIEWS = 10_000, 5_000, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with cifar10/ and weights/")
    parser.add_argument("--runs", type=Path, default=Path("build/judging"), help="where the runs are written")
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/evidence-judging.md"), help="the tables")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder, seed = arguments.runs, arguments.seed
    images = draw(arguments.data, folder / "images", train=TRAIN, test=TEST, seed=seed)
    parts = {name: embeddings(name, arguments.data, images, folder / name, views=VIEWS) for name in ENCODERS}
    for name in ENCODERS:
        ensemble = [parts[other]["val"] for other in LABEL_FREE if other != name]
        judge(folder / name, parts[name], ensemble, seed=seed)
    names = list(ENCODERS)
    once(folder / "all", "comparison", lambda: karat.compare(*(folder / name for name in names), seed=seed))
    write_bytes(arguments.out, tables(folder, names, train=TRAIN, test=TEST, seed=seed).encode())


if __name__ == "__main__":
    main()
