"""Where a two-dimensional network can begin: ResNet34's weights from photographs, from phantoms, or
none.

    start = best_start()                       # downloads 87 MB once, if that is possible
    learn = unet_learner(dls, resnet34, pretrained=start.name == "imagenet")
    load_encoder(learn.model)                  # what `make encoder` wrote, where that is the start
"""

from __future__ import annotations

import io
import socket
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ._torchvision import import_torchvision
from .errors import GliomakitError
from .paths import checkout

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of images in [0, 1]: what the weights from photographs expect, and ours too."""

STAGES = (4, 5, 6, 7)
"""Parts of the encoder that end with 64, 128, 256 and 512 channels, at 1/4 to 1/32 of the side."""


@dataclass(frozen=True)
class Start:
    """name: "imagenet", "phantoms" or "random". why: a sentence for the reader."""

    name: str
    why: str


def encoder_file() -> Path:
    """Where `make encoder` writes, and where lessons look: `runs/encoder.safetensors`."""
    return (checkout() or Path()) / "runs" / "encoder.safetensors"


def best_start(timeout: float = 20.0, path: str | Path | None = None) -> Start:
    """The best weights that can be had: of ImageNet, else of phantoms (`path`), else none.

    ImageNet's are downloaded once, into PyTorch's cache, and checked by their digest. timeout:
    seconds without a byte after which the download counts as failed. Raises nothing for it.
    """
    why = _imagenet(timeout)
    if why is None:
        return Start("imagenet", "ResNet34's weights from ImageNet are here")
    path = Path(path) if path else encoder_file()
    if path.is_file():
        return Start("phantoms", f"ImageNet's weights {why}; {path.name} from `make encoder` is")
    return Start("random", f"ImageNet's weights {why}, and `make encoder` was not run")


def _imagenet(timeout: float) -> str | None:
    """Fetch them into PyTorch's cache; what went wrong, as the end of a sentence."""
    import_torchvision()
    from torchvision.models import ResNet34_Weights

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout)
    try:
        with redirect_stdout(io.StringIO()):  # PyTorch says where it downloads to
            ResNet34_Weights.DEFAULT.get_state_dict(progress=False, check_hash=True)
    except URLError as error:
        why = getattr(error.reason, "strerror", None) or error.reason
        return f"cannot be downloaded here ({why})"
    except OSError as error:
        return f"cannot be downloaded here ({error.strerror or type(error).__name__})"
    except RuntimeError:  # the digest is another: a proxy's page of words, say
        return "came damaged"
    finally:
        socket.setdefaulttimeout(before)
    return None


def load_encoder(model: nn.Module, path: str | Path | None = None) -> None:
    """Load what `make encoder` wrote into the encoder of fastai's `DynamicUnet` (its first part).

    Raises `GliomakitError` if the file is missing, damaged or of another network.
    """
    path = Path(path) if path else encoder_file()
    if not path.is_file():
        raise GliomakitError("there is no such encoder", where=path, todo="make encoder")
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise GliomakitError(
            "is damaged, or no safetensors file", where=path, todo="remove it, then make encoder"
        ) from error
    wanted = model[0].state_dict()
    wrong = sorted(set(state) ^ set(wanted)) or [
        name for name in wanted if state[name].shape != wanted[name].shape
    ]
    if wrong:
        raise GliomakitError(f"does not fit this encoder: {wrong[0]}", where=path)
    model[0].load_state_dict(state)


def new_encoder() -> nn.Sequential:
    """ResNet34 without its last two layers and with random weights, as fastai cuts it."""
    import_torchvision()
    from torchvision.models import resnet34

    return nn.Sequential(*list(resnet34(weights=None).children())[:-2])


class _Coarse(nn.Module):
    """An encoder that says for each cell of 4 × 4 pixels how much of it is tumour."""

    def __init__(self, encoder: nn.Sequential):
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleList(nn.Conv2d(64 * 2**i, 1, 1) for i in range(len(STAGES)))

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor | None = None
        for i, part in enumerate(self.encoder):
            x = part(x)
            if i in STAGES:
                said = self.heads[i - STAGES[0]](x)
                if total is None:
                    total = said
                else:
                    total = total + F.interpolate(said, total.shape[-2:], mode="nearest")
        return total


def pretrain(
    images: NDArray[np.uint8],
    masks: NDArray[np.bool_],
    steps: int,
    batch: int = 32,
    rate: float = 1e-3,
    seed: int = 0,
    say=lambda step, loss: None,
) -> Mapping[str, Tensor]:
    """An encoder's weights after learning which cells of 4 × 4 pixels hold tumour.

    images: (n, side, side, 3), uint8. masks: (n, side, side). Cells and not pixels: that needs no
    upward path, which costs most of a U-Net's time. say: gets each step and its loss.
    """
    if len(images) < 2 or len(images) != len(masks):
        raise GliomakitError(f"{len(images)} images and {len(masks)} masks to learn from")
    if images.shape[1] % 32 or images.shape[1:3] != masks.shape[1:]:
        raise GliomakitError(f"slices of {images.shape[1:3]} pixels: sides are multiples of 32")
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    network = _Coarse(new_encoder()).train()
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=max(steps, 2))
    for step in range(steps):
        chosen = draw.choice(len(images), min(batch, len(images)), replace=False)
        x = torch.from_numpy(images[chosen]).permute(0, 3, 1, 2).float() / 255
        y = torch.from_numpy(masks[chosen]).float()[:, None]
        if draw.random() < 0.5:
            x, y = x.flip(-1), y.flip(-1)
        loss = F.binary_cross_entropy_with_logits(network((x - mean) / std), F.avg_pool2d(y, 4))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        say(step, loss.item())
    return network.encoder.state_dict()
