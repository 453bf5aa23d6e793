"""What four sequences show of a head: brightness of tissues, vessels, and lesions that are none.

Brightness is relative to normal white matter (T1) or grey matter (T2, FLAIR), drawn for each
patient from ranges wide enough that real scanners lie inside. Where ranges of diseased and normal
tissue touch, they touch in real exams too: a phantom that is too clear teaches a network to trust
what it should not.
"""

from __future__ import annotations

import torch

from ..regions import SEQUENCES
from ._random import Dice, Grid, blur
from .anatomy import Anatomy
from .tumour import Tumour

TISSUES = {
    #              flair         t1            t1ce          t2
    "white":     ((0.68, 1.00), (1.00, 1.00), (1.00, 1.00), (0.62, 0.95)),
    "grey":      ((1.00, 1.00), (0.70, 0.93), (0.74, 1.00), (1.00, 1.00)),
    "csf":       ((0.15, 0.60), (0.25, 0.60), (0.25, 0.60), (1.40, 2.80)),
    "edema":     ((1.15, 2.10), (0.62, 1.00), (0.66, 1.00), (1.08, 1.90)),
    "core":      ((1.00, 2.20), (0.48, 0.97), (0.50, 0.97), (1.15, 2.20)),
    "necrosis":  ((0.45, 2.20), (0.32, 0.85), (0.32, 0.80), (1.20, 2.60)),
    "enhancing": ((1.00, 2.00), (0.60, 1.10), (1.20, 2.40), (0.95, 1.70)),
}  # fmt: skip
"""Range of each tissue's brightness in FLAIR, T1, T1ce, T2."""


def draw_tissues(dice: Dice, kind: str) -> dict[str, torch.Tensor]:
    """Brightness of each tissue in the four sequences: tensors (4,)."""
    drawn = {name: [dice.uniform(*r) for r in ranges] for name, ranges in TISSUES.items()}
    # T1 and T1ce are the same tissue seen twice: without contrast agent they agree.
    for name in ("grey", "csf", "edema", "core", "necrosis"):
        low, high = TISSUES[name][2]
        drawn[name][2] = min(max(drawn[name][1] + dice.uniform(-0.08, 0.08), low), high)
    if kind == "low_grade":
        # A solid core: wetter than edema, so darker on T1 and brighter on T2 and FLAIR.
        drawn["core"][1] = drawn["core"][2] = drawn["edema"][1] * dice.uniform(0.72, 1.0)
        drawn["core"][3] = drawn["edema"][3] * dice.uniform(1.0, 1.4)
        drawn["core"][0] = drawn["edema"][0] * dice.uniform(0.85, 1.35)
    if dice.chance(0.25):
        # A faint lesion: everything but enhancement comes closer to grey matter.
        faint = dice.uniform(0.45, 0.8)
        for name in ("edema", "core", "necrosis"):
            drawn[name] = [
                g + faint * (v - g) for g, v in zip(drawn["grey"], drawn[name], strict=True)
            ]
    return {name: torch.tensor(values) for name, values in drawn.items()}


def render(dice: Dice, grid: Grid, anatomy: Anatomy, tumour: Tumour | None) -> torch.Tensor:
    """The four sequences without any artefact: float32 (4, x, y, z), 0 outside the brain."""
    tissues = draw_tissues(dice, tumour.kind if tumour else "none")
    structures = _bystanders(dice, grid, anatomy)
    textures = dice.field(grid, 9.0, octaves=2, channels=2)
    image = torch.empty((len(SEQUENCES), *grid.shape))
    for i, name in enumerate(SEQUENCES):
        value = {tissue: float(v[i]) for tissue, v in tissues.items()}
        plain = value["white"] * anatomy.white + value["grey"] * anatomy.grey
        plain = plain * (1 + dice.uniform(0.01, 0.05) * textures[i % 2])
        plain = plain + value["csf"] * anatomy.csf
        for share, brightness in structures[name]:
            plain = plain + share * (brightness - plain)
        image[i] = (
            _add_tumour(plain, tumour, value, textures[(i + 1) % 2], dice) if tumour else plain
        )
        image[i] *= anatomy.brain
    return image.clamp_(min=0)


def _add_tumour(plain, tumour, value, texture, dice: Dice) -> torch.Tensor:
    """Replace tissue by tumour, share by share: what a voxel shows is the mean of what it holds."""
    image = plain + tumour.edema * (value["edema"] - plain)
    texture = 1 + dice.uniform(0.02, 0.15) * texture
    for share, tissue in (("core", "core"), ("necrosis", "necrosis"), ("enhancing", "enhancing")):
        image = image + getattr(tumour, share) * (value[tissue] * texture - image)
    return image


def _bystanders(dice: Dice, grid: Grid, anatomy: Anatomy) -> dict[str, list]:
    """Bright things that are not tumour: (share, brightness) of each sequence."""
    found: dict[str, list] = {name: [] for name in SEQUENCES}
    spacing = grid.spacing
    edge = anatomy.brain - blur((anatomy.brain > 0.9).float(), 5.0 / spacing)
    surface = ((edge + 0.15).clamp(0, 0.5) * 2) * anatomy.brain
    # Vessels: thin winding lines where a smooth field crosses 0 twice, in fluid and at the surface.
    first, second = dice.field(grid, 22.0, octaves=2, channels=2)
    lines = torch.exp(-(first**2 + second**2) / dice.uniform(0.004, 0.02))
    veins = (lines * (anatomy.csf + surface + 0.1)).clamp(0, 1)
    found["t1ce"].append((veins, dice.uniform(1.3, 2.6)))
    dura = surface * torch.sigmoid((dice.field(grid, 25.0) - dice.uniform(0.3, 1.6)) / 0.3)
    found["t1ce"].append((dura * dice.uniform(0.2, 0.9), dice.uniform(1.1, 2.2)))
    # Choroid plexus: knots in the ventricles.
    plexus = anatomy.ventricles * torch.sigmoid(
        (dice.field(grid, 7.0) - dice.uniform(0.4, 1.2)) / 0.2
    )
    found["t1ce"].append((plexus, dice.uniform(1.0, 2.0)))
    # White-matter hyperintensities: caps around the ventricles, and spots.
    near = blur((anatomy.ventricles > 0.3).float(), 4.0 / spacing)
    caps = torch.sigmoid((near - dice.uniform(0.1, 0.45)) / 0.05) * anatomy.white
    # Spots stay small: what is as large and as bright as edema could not be told from it.
    spots = torch.sigmoid((dice.field(grid, 8.0) - dice.uniform(2.4, 3.4)) / 0.2) * anatomy.white
    old = (caps * dice.uniform(0.0, 0.8) + spots).clamp(0, 1)
    found["flair"].append((old, dice.uniform(1.05, 1.6)))
    found["t2"].append((old, dice.uniform(1.0, 1.4)))
    if dice.chance(0.3):
        # Fluid that flows is not dark on FLAIR.
        flow = anatomy.csf * torch.sigmoid((dice.field(grid, 20.0) - 0.7) / 0.2)
        found["flair"].append((flow, dice.uniform(0.6, 1.3)))
    return found
