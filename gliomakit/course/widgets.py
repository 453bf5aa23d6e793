"""Moving parts of lessons: thin shells over functions that draw.

The picture is an image widget, not captured output, so that a lesson that is executed without a
browser needs nothing special.
"""

from __future__ import annotations

from collections.abc import Callable

from .._picture import Picture


def slide(
    draw: Callable[[float], Picture], name: str, low: float, high: float, step: float, start: float
) -> object:
    """A slider, and below it the picture that `draw` makes of its value; drawn when it is let go.

    Without ipywidgets: the picture of `start` alone.
    """
    try:
        import ipywidgets as widgets
    except ImportError:
        print("ipywidgets is not installed: there is no slider. Call the function by hand.")
        return draw(start)
    slider = widgets.FloatSlider(
        value=start, min=low, max=high, step=step, description=name, continuous_update=False
    )
    image = widgets.Image(value=draw(start).png(), format="png")

    def moved(change: dict[str, object]) -> None:
        image.value = draw(change["new"]).png()

    slider.observe(moved, names="value")
    return widgets.VBox([slider, image])
