"""Figures that another library drew."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from gliomakit import plots
from gliomakit._picture import DARK


def test_a_figure_of_pyplots_becomes_a_picture_with_words():
    plt.switch_backend("agg")
    _, panels = plt.subplots(1, 2, figsize=(20, 4))
    panels[0].imshow(np.random.default_rng(0).random((8, 8)))
    panels[0].set_title("a title")
    before = len(plt.get_fignums())
    picture = plots.adopted("two panels", wide=600)
    assert len(plt.get_fignums()) == before - 1, "pyplot forgets it"
    assert picture.alt == "two panels" and picture.get_size_inches()[0] == 6.0
    assert picture.png().startswith(b"\x89PNG")
    pixel = tuple(round(c * 255) for c in picture.get_facecolor()[:3])
    assert "#{:02x}{:02x}{:02x}".format(*pixel) == DARK


def test_where_nothing_was_drawn_it_is_empty():
    plt.switch_backend("agg")
    plt.close("all")
    assert plots.adopted("nothing").png().startswith(b"\x89PNG")
    assert not plt.get_fignums()
