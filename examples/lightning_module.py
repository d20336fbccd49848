"""The Q-Score regulariser and karat's callback in a LightningModule in the manner of solo-learn, here of VICReg.

python examples/lightning_module.py IMAGES    # a folder with a subfolder of images for each class
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from lightly.loss import VICRegLoss
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18
from torchvision.transforms import v2

from karat.finetuning import QScoreRegularizer
from karat.integrations.lightning import KaratCallback
from karat.stats import Reference
from karat.torch_stats import fit_reference

TENSOR = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
VIEW = v2.Compose([*TENSOR, v2.RandomResizedCrop(32), v2.RandomHorizontalFlip(), v2.ColorJitter(0.4, 0.4, 0.4, 0.1)])
PLAIN = v2.Compose([*TENSOR, v2.Resize((32, 32))])


class VICReg(LightningModule):
    def __init__(self, backbone: nn.Module, reference: Reference) -> None:
        super().__init__()
        self.backbone = backbone
        self.projector = nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 512))
        self.criterion = VICRegLoss()
        self.reg = QScoreRegularizer(
            epsilon=reference.epsilon, discriminative=reference.discriminative, means=reference.means
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        feats = self.backbone(x)
        return {"feats": feats, "z": self.projector(feats)}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        (x1, x2), _ = batch
        out1, out2 = self(x1), self(x2)
        loss = self.criterion(out1["z"], out2["z"]) + self.reg(out1["feats"], out2["feats"])
        self.log("train_loss", loss)
        return loss

    def on_train_epoch_end(self) -> None:
        self.reg.refresh()  # D anew, from what was seen in this epoch

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """The callback does what is to be done."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-5)


@torch.no_grad()
def reference_of(backbone: nn.Module, loader: DataLoader) -> Reference:
    """D from one pass over the images, without augmentation."""
    backbone.eval()
    found = fit_reference(torch.cat([backbone(x) for x, _ in loader]), epsilon="auto")
    backbone.train()
    return found


def train(folder: str, *, epochs: int = 50, batch_size: int = 256, **options: Any) -> Trainer:
    views = ImageFolder(folder, lambda image: (VIEW(image), VIEW(image)))
    loader = DataLoader(views, batch_size=batch_size, shuffle=True, drop_last=True)
    plain = DataLoader(ImageFolder(folder, PLAIN), batch_size=256)
    backbone = resnet18()
    backbone.fc = nn.Identity()
    model = VICReg(backbone, reference_of(backbone, plain))
    trainer = Trainer(max_epochs=epochs, callbacks=[KaratCallback("backbone", epsilon="auto")], **options)
    trainer.fit(model, loader, plain)
    return trainer


if __name__ == "__main__":
    train(sys.argv[1])
