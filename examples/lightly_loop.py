"""The Q-Score regulariser in a loop of lightly, here of SimCLR.

python examples/lightly_loop.py IMAGES    # a folder of images
"""

from __future__ import annotations

import sys

import torch
from lightly.data import LightlyDataset
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms import SimCLRTransform
from torch import nn
from torch.utils.data import DataLoader
from torchvision.models import resnet18
from torchvision.transforms import v2

from karat.finetuning import QScoreRegularizer
from karat.torch_stats import fit_reference


class SimCLR(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = resnet18()
        self.backbone.fc = nn.Identity()
        self.projection_head = SimCLRProjectionHead(512, 512, 128)


@torch.no_grad()
def regularizer_of(backbone: nn.Module, folder: str, device: str) -> QScoreRegularizer:
    """D from one pass over the images, without augmentation."""
    plain = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Resize((32, 32))])
    loader = DataLoader(LightlyDataset(folder, transform=plain), batch_size=256)
    backbone.eval()
    found = fit_reference(torch.cat([backbone(x.to(device)) for x, _, _ in loader]), epsilon="auto")
    backbone.train()
    return QScoreRegularizer(epsilon=found.epsilon, discriminative=found.discriminative, means=found.means).to(device)


def train(folder: str, *, epochs: int = 50, batch_size: int = 256) -> nn.Module:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = SimCLR().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    criterion = NTXentLoss(temperature=0.5)
    views = LightlyDataset(folder, transform=SimCLRTransform(input_size=32, gaussian_blur=0))
    loader = DataLoader(views, batch_size=batch_size, shuffle=True, drop_last=True)

    reg = regularizer_of(model.backbone, folder, device)
    for epoch in range(epochs):
        for (x0, x1), _, _ in loader:
            h0, h1 = model.backbone(x0.to(device)), model.backbone(x1.to(device))
            loss = criterion(model.projection_head(h0), model.projection_head(h1)) + reg(h0, h1)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        reg.refresh()  # D anew, from what was seen in this epoch
        print(f"epoch {epoch + 1}: {loss=:.3f}")
    return model.backbone


if __name__ == "__main__":
    train(sys.argv[1])
