"""Moving parts of lessons: a thin shell over a function that draws.

The picture is an image widget, not captured output, so that a lesson that is executed without a
browser needs nothing special.
"""

from __future__ import annotations

from collections.abc import Callable

from .._picture import Picture


class Browser:
    """Controls above a picture, drawn anew when one is moved.

    draw:     takes the controls' values by name and returns a `Picture`.
    controls: ipywidgets with a `value`, such as `IntSlider`.

    A saved notebook cannot show it alive: a sentence stands there instead, so put the same picture
    beside it.
    """

    def __init__(self, draw: Callable[..., Picture], **controls: object):
        import ipywidgets as widgets

        self.draw, self.controls = draw, controls
        self.image = widgets.Image(format="png", layout=widgets.Layout(max_width="100%"))
        for control in controls.values():
            control.observe(self.redraw, "value")
        self.box = widgets.VBox([widgets.HBox(list(controls.values())), self.image])
        self.redraw()

    def redraw(self, _: object = None) -> None:
        """Draw with the controls' present values."""
        values = {name: control.value for name, control in self.controls.items()}
        self.image.value = self.draw(**values).png()

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        return {
            "text/plain": "Run this cell to move the controls.",
            "text/html": "<i>Run this cell to move the controls.</i>",
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.box.model_id,
            },
        }


def slide(
    draw: Callable[[float], Picture], name: str, low: float, high: float, step: float, start: float
) -> object:
    """A `Browser` with one slider; drawn when it is let go.

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
    return Browser(lambda value: draw(value), value=slider)
