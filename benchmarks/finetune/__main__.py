"""Is fine-tuning with the Q-Score worth anything? On CIFAR-10, for three encoders.    python benchmarks/finetune DATA

DATA holds cifar10/{train,test}_jpeg.npz. Each encoder is a small residual network of 512 features: for SimCLR that of
karat demo, whose heads begin anew; the others karat pretrains from scratch on the training images, and their heads are
kept. Then `karat.finetuning.study` continues it on some of them, in four arms with several seeds, and judges it on the
test images. What is done lies under --runs and is not done again: the same call goes on where it was interrupted, and
the tables are written after each study. On two idle cores eight epochs of pretraining take about 15 minutes an encoder,
and five of fine-tuning two to three minutes a run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from subjects import Budget, images_of, pretrain
from tables import tables

import karat
from karat._files import write_bytes
from karat.finetuning import study
from karat.finetuning.study import StudyProgress
from karat.records import Finetuning, Study

METHODS = ("simclr", "moco", "vicreg")
DEMO = Path(karat.__file__).parent / "demo" / "data" / "encoder.safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with cifar10/")
    parser.add_argument("--runs", type=Path, default=Path("build/finetune"), help="where the runs are written")
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/evidence-finetune.md"), help="the tables")
    parser.add_argument("--methods", nargs="+", default=METHODS, help="which encoders")
    parser.add_argument("--pretrain-epochs", type=int, default=Budget.pretrain_epochs)
    parser.add_argument("--pretrain-images", type=int, default=Budget.pretrain_images)
    parser.add_argument("--epochs", type=int, default=Budget.epochs, help="of each fine-tuning")
    parser.add_argument("--images", type=int, default=Budget.images, help="that are fine-tuned on")
    parser.add_argument("--test-images", type=int, default=Budget.test_images)
    parser.add_argument("--seeds", type=int, default=Budget.seeds)
    parser.add_argument("--epsilon", type=lambda text: text if text == "auto" else float(text), default=Budget.epsilon)
    parser.add_argument("--batch-size", type=int, default=Budget.batch_size)
    arguments = parser.parse_args()
    given = {name: getattr(arguments, name) for name in Budget.__dataclass_fields__}
    budget = Budget(**given)
    done: dict[str, tuple[Finetuning | None, Study]] = {}
    for method in arguments.methods:
        done[method] = studied(method, arguments.data, arguments.runs, budget)
        write_bytes(arguments.out, tables(done, budget).encode())
        print(f"{method}: {done[method][1].verdict}\n-> {arguments.out}", flush=True)


def studied(method: str, data: Path, runs: Path, budget: Budget) -> tuple[Finetuning | None, Study]:
    """The pretraining of one encoder, where there was one, and its study."""
    images = images_of(data, budget)
    record, encoder = None, DEMO
    if method != "simclr":
        encoder = runs / method / "pretrained"
        record = pretrain(method, images["pretrain"], encoder, budget, progress=_told(method))
    found = study(
        karat.load_encoder(encoder) if record is None else encoder,
        images["train"],
        val=images["test"],
        method=method,
        out=runs / method / "study",
        seeds=budget.seeds,
        epochs=budget.epochs,
        batch_size=budget.batch_size,
        epsilon=budget.epsilon,
        workers=0,  # such small images are decoded in no time
        resume=True,
        progress=_study_told(method),
    )
    return record, found


def _told(method: str) -> Callable[[int, int, Mapping[str, float]], None]:
    def tell(done: int, total: int, told: Mapping[str, float]) -> None:
        if done % max(1, total // 40) == 0:
            print(f"{method}: step {done:,} of {total:,}, loss {told['loss']:.4g}", flush=True)

    return tell


def _study_told(method: str) -> StudyProgress:
    def tell(name: str, run: int, runs: int, done: int, total: int, told: Mapping[str, float]) -> None:
        if done == total:
            print(f"{method}: run {run + 1} of {runs}, {name}, loss {told['loss']:.4g}", flush=True)

    return tell


if __name__ == "__main__":
    main()
