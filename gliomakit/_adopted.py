"""Figures that another library drew: taken from pyplot, made dark, given words."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes

from ._picture import DARK, LIGHT, Picture


def adopted(alt: str, wide: float = 1100) -> Picture:
    """What was drawn with pyplot last (fastai's `show_batch`, say), as a `Picture` with `alt`.

    Ground and words become those of the course. pyplot forgets the figure, so that a notebook does
    not show it twice. wide: pixels at most. Where nothing was drawn the picture is empty.
    """
    import matplotlib.pyplot as plt
    from PIL import Image

    drawn = plt.gcf()
    drawn.set_facecolor(DARK)
    if drawn.get_suptitle():
        drawn.suptitle(drawn.get_suptitle(), color=LIGHT)
    for panel in drawn.axes:
        _darken(panel)
    packed = io.BytesIO()
    drawn.savefig(packed, format="png", dpi=100, bbox_inches="tight", facecolor=DARK)
    plt.close(drawn)
    image = Image.open(packed).convert("RGB")
    if image.width > wide:
        high = round(image.height * wide / image.width)
        image = image.resize((int(wide), high), Image.Resampling.LANCZOS)
    picture = Picture(figsize=(image.width / 100, image.height / 100), dpi=100)
    picture.set_facecolor(DARK)
    picture.figimage(np.asarray(image))
    picture.alt = alt
    return picture


def _darken(panel: Axes) -> None:
    panel.set_facecolor(DARK)
    panel.title.set_color(LIGHT)
    panel.xaxis.label.set_color(LIGHT)
    panel.yaxis.label.set_color(LIGHT)
    panel.tick_params(colors=LIGHT)
    for spine in panel.spines.values():
        spine.set_color(LIGHT)
