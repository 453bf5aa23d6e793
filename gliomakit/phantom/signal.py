"""What four sequences show of a head: proton density, T1 and T2, through the signal equations.

Every tissue has a proton density, a T1 and a T2, drawn for each patient from ranges that cover 1.5
and 3 tesla; every sequence has its own repetition, echo and inversion times, drawn too. Brightness
follows from the equations, so that the four sequences of a phantom agree with each other as those
of a patient do. Where ranges of diseased and normal tissue touch, they touch in real exams too: a
phantom that is too clear teaches a network to trust what it should not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..regions import SEQUENCES
from ._random import Dice, Grid, blur
from .anatomy import Anatomy
from .tumour import Tumour

Range = tuple[float, float]

TISSUES: dict[str, tuple[Range, Range, Range]] = {
    #            proton density   T1, ms          T2, ms
    "white":     ((0.66, 0.74), (620, 1080),   (62, 88)),
    "grey":      ((0.78, 0.88), (1000, 1650),  (80, 115)),
    "csf":       ((0.96, 1.00), (3000, 4600),  (300, 1500)),
    "edema":     ((0.78, 0.94), (1050, 1750),  (95, 210)),
    "core":      ((0.80, 0.96), (1000, 2000),  (85, 260)),
    "necrosis":  ((0.82, 1.00), (1000, 2600),  (90, 400)),
    "enhancing": ((0.78, 0.94), (800, 1700),   (75, 220)),
    "blood":     ((0.70, 0.90), (350, 1300),   (25, 60)),
}  # fmt: skip
"""Ranges of the tissues: after Stanisz et al. (2005) for the normal ones, wider for the others."""

RELAXIVITY = 4.5
"""1 / (s mM): how much a gadolinium agent shortens T1."""


@dataclass
class Maps:
    """The head as physics sees it, each float32 (x, y, z).

    density, log_t1, log_t2: of the solid tissue in a voxel (T1 and T2 in ms).
    agent:                   contrast agent, mM.
    fluid:                   share of the voxel that is fluid; it keeps its own signal.
    """

    density: torch.Tensor
    log_t1: torch.Tensor
    log_t2: torch.Tensor
    agent: torch.Tensor
    fluid: torch.Tensor

    def mix(self, share: torch.Tensor, tissue: torch.Tensor) -> None:
        """Replace a share of the solid tissue: (density, log T1, log T2) of what comes."""
        for name, value in zip(("density", "log_t1", "log_t2"), tissue.tolist(), strict=True):
            getattr(self, name).lerp_(torch.as_tensor(value, device=share.device), share)


Equation = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Signal of density, rate 1/T1 and rate 1/T2 (1/ms)."""


def spin_echo(tr: float, te: float) -> Equation:
    """PD (1 - e^(-TR/T1)) e^(-TE/T2): T1 with short times, T2 with long ones."""
    return lambda pd, r1, r2: pd * (1 - torch.exp(-tr * r1)) * torch.exp(-te * r2)


def spoiled_echo(tr: float, degrees: float) -> Equation:
    """The Ernst equation: PD sin a (1 - E) / (1 - E cos a) with E = e^(-TR/T1)."""
    angle = torch.deg2rad(torch.tensor(degrees))
    sine, cosine = float(angle.sin()), float(angle.cos())

    def signal(pd, r1, r2):
        e = torch.exp(-tr * r1)
        return pd * sine * (1 - e) / (1 - e * cosine)

    return signal


def inversion(tr: float, ti: float, te: float) -> Equation:
    """PD |1 - 2 e^(-TI/T1) + e^(-TR/T1)| e^(-TE/T2): FLAIR with a long TI, MPRAGE's contrast with a
    middling one."""

    def signal(pd, r1, r2):
        relaxed = 1 - 2 * torch.exp(-ti * r1) + torch.exp(-tr * r1)
        return pd * relaxed.abs() * torch.exp(-te * r2)

    return signal


def draw_protocol(dice: Dice, fluid_t1: float) -> dict[str, Equation]:
    """The four sequences of one scanner. FLAIR's inversion time nulls fluid of that T1 (ms), more
    or less; T1 and T1ce are of one kind in half of the exams."""
    first = _t1_weighted(dice)
    tr, te = dice.uniform(6000, 11000), dice.uniform(80, 145)
    # Where 1 - 2 e^(-TI/T1) + e^(-TR/T1) is 0.
    null = fluid_t1 * math.log(2 / (1 + math.exp(-tr / fluid_t1)))
    return {
        "flair": inversion(tr, null * dice.uniform(0.82, 1.05), te),
        "t1": first,
        "t1ce": first if dice.chance(0.5) else _t1_weighted(dice),
        "t2": spin_echo(dice.uniform(2500, 6500), dice.uniform(75, 125)),
    }


def _t1_weighted(dice: Dice) -> Equation:
    kind = dice.rng.random()
    if kind < 0.45:
        return spin_echo(dice.uniform(350, 700), dice.uniform(8, 20))
    if kind < 0.65:
        return spoiled_echo(dice.uniform(7, 30), dice.uniform(14, 35))
    return inversion(dice.uniform(1600, 2400), dice.uniform(850, 1150), dice.uniform(3, 12))


def draw_tissues(dice: Dice, kind: str) -> dict[str, torch.Tensor]:
    """(density, log T1, log T2) of each tissue."""
    drawn = {
        name: [dice.uniform(*pd), dice.log_uniform(*t1), dice.log_uniform(*t2)]
        for name, (pd, t1, t2) in TISSUES.items()
    }
    edema, core = drawn["edema"], drawn["core"]
    # A core is wetter than the edema, or denser with cells, and often hardly either: real cores
    # are seen by what enhances around them more than by their own brightness.
    wet = dice.chance(0.65) if kind == "low_grade" else dice.chance(0.45)
    more = dice.uniform(1.0, 1.45) if wet else dice.uniform(0.6, 0.95)
    core[1] = edema[1] * (more**0.6 if wet else dice.uniform(0.8, 1.05))
    core[2] = edema[2] * more
    # What is dead may be fluid or clotted.
    more = dice.log_uniform(0.6, 2.2)
    drawn["necrosis"][1:] = [edema[1] * 1.1 * more**0.7, edema[2] * more]
    # Living tumour is denser than edema, and as a rule less bright on T2.
    drawn["enhancing"][1:] = [edema[1] * dice.uniform(0.7, 1.0), edema[2] * dice.uniform(0.65, 1.2)]
    for name in ("core", "necrosis", "enhancing"):
        drawn[name][1:] = [
            min(max(value, low), high)
            for value, (low, high) in zip(drawn[name][1:], TISSUES[name][1:], strict=True)
        ]
    table = {name: torch.tensor(values) for name, values in drawn.items()}
    for values in table.values():
        values[1:] = values[1:].log()
    return table


def draw_exam(dice: Dice, kind: str) -> tuple[dict[str, torch.Tensor], dict[str, Equation], float]:
    """Tissues, sequences and the enhancing tumour's peak of agent (mM), drawn until they give an
    exam that a radiologist would accept."""
    dark = dice.chance(0.3)  # a core that is darker than normal brain on FLAIR, as cysts are
    for _ in range(200):
        tissues = draw_tissues(dice, kind)
        protocol = draw_protocol(dice, math.exp(float(tissues["csf"][1])))
        peak = dice.log_uniform(0.06, 0.6)
        if plausible(tissues, protocol, peak, 0.6 if dark else 1.0):
            break
    return tissues, protocol, peak


def plausible(
    tissues: dict[str, torch.Tensor],
    protocol: dict[str, Equation],
    peak: float,
    core_flair: float = 0.6,
) -> bool:
    """Does each sequence show what it is taken for? T1 white matter brighter than grey, T2 the
    other way round, FLAIR dark fluid and bright edema, T1ce the enhancing tumour; and is the core
    seen beside the edema in one of them? What nobody could see, nobody would have outlined.

    core_flair: how bright the core must be on FLAIR; white matter is 1.
    """
    names = list(tissues)
    density, log_t1, log_t2 = torch.stack([tissues[n] for n in names]).T
    r1, r2 = torch.exp(-log_t1), torch.exp(-log_t2)
    shown = {}
    for sequence, equation in protocol.items():
        agent = torch.zeros(len(names))
        if sequence == "t1ce":
            agent[names.index("enhancing")] = peak
        level = equation(density, r1 + agent * (RELAXIVITY / 1000), r2)
        shown[sequence] = dict(zip(names, (level / level[names.index("white")]).tolist()))
    t1, t1ce, t2, flair = (shown[s] for s in ("t1", "t1ce", "t2", "flair"))
    core = [abs(v["core"] - v["edema"]) / max(v["edema"], v["grey"]) for v in shown.values()]
    return (
        all(0.5 < v["grey"] < 0.94 and v["csf"] < 0.75 for v in (t1, t1ce))
        and all(0.5 < v["edema"] < 1.02 and 0.3 < v["core"] < 1.02 for v in (t1, t1ce))
        and 1.1 < t1ce["enhancing"] < 3.0
        and 1.05 < t2["grey"] < 1.7
        and max(1.03 * t2["grey"], 1.15) < t2["edema"] < 3.0
        and t2["csf"] > 1.4 * t2["grey"]
        and flair["csf"] < 0.75
        and 0.9 < flair["grey"] < 1.5
        and 1.2 * max(flair["grey"], 1.0) < flair["edema"] < 2.6
        and core_flair < flair["core"] < 2.6
        and 1.05 * max(flair["grey"], 1.0) < flair["enhancing"] < 2.6
        and t2["enhancing"] > t2["grey"]
        and flair["necrosis"] > 0.35
        and max(core) > 0.1
    )


def render(dice: Dice, grid: Grid, anatomy: Anatomy, tumour: Tumour | None) -> torch.Tensor:
    """The four sequences without any artefact: float32 (4, x, y, z), 0 outside the brain.

    White matter's mean brightness is about 1 in every sequence.
    """
    tissues, protocol, peak = draw_exam(dice, tumour.kind if tumour else "none")
    flow = _flow(dice, grid, anatomy) if dice.chance(0.3) else None
    maps = tissue_maps(dice, grid, anatomy, tissues)
    _bystanders(dice, grid, anatomy, maps)
    if tumour is not None:
        _add_tumour(dice, grid, maps, tumour, tissues, peak)

    image = torch.empty((len(SEQUENCES), *grid.shape), device=anatomy.brain.device)
    plain, r2 = torch.exp(-maps.log_t1), torch.exp(-maps.log_t2)
    for i, name in enumerate(SEQUENCES):
        # mM x 1 / (s mM) is 1 / s; the rates are in 1 / ms.
        r1 = plain + maps.agent * (RELAXIVITY / 1000) if name == "t1ce" else plain
        solid = protocol[name](maps.density, r1, r2)
        fluid, level = (_of(protocol[name], tissues[tissue]) for tissue in ("csf", "white"))
        if flow is not None and name == "flair":
            fluid = fluid + flow * level
        image[i] = (solid + maps.fluid * (fluid - solid)) / max(level, 1e-3)
        image[i] *= anatomy.brain
    return image.clamp_(min=0)


def _of(equation: Equation, tissue: torch.Tensor) -> float:
    """Signal of a pure tissue."""
    density, log_t1, log_t2 = tissue
    return float(equation(density, torch.exp(-log_t1), torch.exp(-log_t2)))


def tissue_maps(dice: Dice, grid: Grid, anatomy: Anatomy, tissues: dict[str, torch.Tensor]) -> Maps:
    """Density, T1 and T2 of a healthy head, a little uneven."""
    share = anatomy.white / (anatomy.white + anatomy.grey).clamp_min(1e-3)
    grey, white = tissues["grey"], tissues["white"]
    fine = dice.field(grid, dice.uniform(5.0, 12.0), octaves=2)
    uneven = dice.uniform(0.01, 0.06)
    values = [grey[j] + share * (white[j] - grey[j]) for j in range(3)]
    return Maps(
        values[0],
        values[1] + uneven * fine,
        values[2] + 0.7 * uneven * fine,
        torch.zeros_like(share),
        anatomy.csf.clone(),
    )


def _add_tumour(
    dice: Dice,
    grid: Grid,
    maps: Maps,
    tumour: Tumour,
    tissues: dict[str, torch.Tensor],
    peak: float,
) -> None:
    """Replace tissue by tumour, share by share."""
    coarse, fine = dice.field(grid, dice.uniform(10.0, 20.0), octaves=2), dice.field(grid, 6.0)
    maps.mix(tumour.edema.clamp(0, 1.2), tissues["edema"])
    solid = torch.maximum(tumour.core, tumour.enhancing)
    # Where the tumour's solid part is, it has pushed the fluid away.
    maps.fluid *= 1 - solid
    for name in ("core", "necrosis", "enhancing"):
        maps.mix(getattr(tumour, name), tissues[name])
    for share, most in ((tumour.edema.clamp(0, 1) * (1 - solid), 0.2), (solid, 0.25)):
        rough = dice.uniform(0.03, most)
        maps.log_t2 += share * rough * (coarse + 0.5 * fine)
        maps.log_t1 += share * 0.6 * rough * (coarse - 0.5 * fine)
    if dice.chance(0.25):
        # Old blood: dark on T2 and FLAIR, sometimes bright on T1.
        clots = torch.sigmoid((fine + 0.5 * coarse - dice.uniform(1.3, 2.4)) / 0.3)
        maps.mix(clots * solid, tissues["blood"])
    maps.agent += tumour.uptake * peak
    if dice.chance(0.3):
        # The agent leaks a little into what surrounds the rim.
        maps.agent += dice.uniform(0.0, 0.06) * peak * solid


def _bystanders(dice: Dice, grid: Grid, anatomy: Anatomy, maps: Maps) -> None:
    """Bright things that are not tumour: vessels, dura, choroid plexus, old lesions."""
    spacing = grid.spacing
    edge = anatomy.brain - blur((anatomy.brain > 0.9).float(), dice.uniform(2.0, 4.0) / spacing)
    surface = ((edge - 0.1) / 0.3).clamp(0, 1) * anatomy.brain
    # Vessels: thin winding lines where two smooth fields are 0 at once, in fluid and at the
    # surface.
    first, second = dice.field(grid, 22.0, octaves=2, channels=2)
    lines = torch.exp(-(first**2 + second**2) / dice.uniform(0.004, 0.02))
    veins = (lines * (anatomy.csf + surface + 0.1)).clamp(0, 1)
    maps.fluid *= 1 - veins
    maps.agent += veins * dice.log_uniform(0.2, 1.2)
    if dice.chance(0.5):  # blood that flows leaves no signal behind
        maps.log_t2 -= veins * dice.uniform(0.2, 1.2)
    dura = surface * torch.sigmoid((dice.field(grid, 25.0) - dice.uniform(0.3, 1.6)) / 0.3)
    maps.fluid *= 1 - 0.6 * dura
    maps.agent += dura * dice.log_uniform(0.02, 0.35)
    # Choroid plexus: knots in the ventricles.
    plexus = anatomy.ventricles * torch.sigmoid(
        (dice.field(grid, 7.0) - dice.uniform(0.4, 1.2)) / 0.2
    )
    maps.fluid *= 1 - plexus
    maps.agent += plexus * dice.log_uniform(0.05, 0.6)
    # White-matter hyperintensities: caps around the ventricles, and spots. They stay small: what
    # is as large and as bright as edema could not be told from it.
    near = blur((anatomy.ventricles > 0.3).float(), 4.0 / spacing)
    caps = torch.sigmoid((near - dice.uniform(0.1, 0.45)) / 0.05) * anatomy.white
    spots = torch.sigmoid((dice.field(grid, 8.0) - dice.uniform(2.4, 3.4)) / 0.2) * anatomy.white
    old = (caps * dice.uniform(0.0, 0.8) + spots).clamp(0, 1)
    maps.log_t2 += old * dice.uniform(0.1, 0.6)
    maps.log_t1 += old * dice.uniform(0.0, 0.35)


def _flow(dice: Dice, grid: Grid, anatomy: Anatomy) -> torch.Tensor:
    """Fluid that flows is not dark on FLAIR: brightness relative to white matter."""
    where = torch.sigmoid((dice.field(grid, 20.0) - 0.7) / 0.2)
    return where * dice.uniform(0.4, 1.2)
