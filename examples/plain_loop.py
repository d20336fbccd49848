"""The Q-Score regulariser and karat's metrics in a plain torch loop, here of SimSiam.

python examples/plain_loop.py IMAGES    # a folder with a subfolder of images for each class
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18
from torchvision.transforms import v2

from karat.finetuning import QScoreRegularizer
from karat.integrations.torchmetrics import EffectiveRank, QScoreMetric
from karat.torch_stats import fit_reference

TENSOR = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
VIEW = v2.Compose([*TENSOR, v2.RandomResizedCrop(32), v2.RandomHorizontalFlip(), v2.ColorJitter(0.4, 0.4, 0.4, 0.1)])
PLAIN = v2.Compose([*TENSOR, v2.Resize((32, 32))])


@torch.no_grad()
def features(encoder: nn.Module, folder: str, device: str) -> Tensor:
    """h [n, d] of all images, without augmentation."""
    encoder.eval()
    h = torch.cat([encoder(x.to(device)) for x, _ in DataLoader(ImageFolder(folder, PLAIN), batch_size=256)])
    encoder.train()
    return h


def train(folder: str, *, epochs: int = 50, batch_size: int = 256) -> nn.Module:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder = resnet18()
    encoder.fc = nn.Identity()
    projector = nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 128))
    predictor = nn.Sequential(nn.Linear(128, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 128))
    model = nn.ModuleList([encoder, projector, predictor]).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    views = ImageFolder(folder, lambda image: (VIEW(image), VIEW(image)))
    loader = DataLoader(views, batch_size=batch_size, shuffle=True, drop_last=True)

    reference = fit_reference(features(encoder, folder, device), epsilon="auto")
    fitted = {"epsilon": reference.epsilon, "discriminative": reference.discriminative, "means": reference.means}
    reg = QScoreRegularizer(**fitted).to(device)

    for epoch in range(epochs):
        for (x1, x2), _ in loader:
            h1, h2 = encoder(x1.to(device)), encoder(x2.to(device))
            z1, z2 = projector(h1), projector(h2)
            towards_2 = cosine_similarity(predictor(z1), z2.detach()).mean()
            towards_1 = cosine_similarity(predictor(z2), z1.detach()).mean()
            loss = -(towards_1 + towards_2) / 2 + reg(h1, h2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        reg.refresh()  # D anew, from what was seen in this epoch

        h = features(encoder, folder, device)
        q = QScoreMetric(epsilon=reference.epsilon, means=reference.means).to(device)(h)
        rank = EffectiveRank(512).to(device)(h)
        print(f"epoch {epoch + 1}: {loss=:.3f} mean_q={q['mean_q']:.3f} effective_rank={rank:.1f}")
    return encoder


if __name__ == "__main__":
    train(sys.argv[1])
