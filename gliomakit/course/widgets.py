"""Moving parts of lessons: a thin shell over a function that draws.

The picture is an image widget, not captured output, so that a lesson that is executed without a
browser needs nothing special. `viewer` and `explorers` hold larger ones. Only what ipywidgets 7.7
and 8 both have is used; its controls can all be moved with the keyboard.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from .._picture import Picture
from ..errors import GliomakitError

SENTENCE = "Run this cell to move the controls."


class Browser:
    """Controls above a picture, drawn anew when one is moved.

    draw:     takes the controls' values by name and returns a `Picture`. It may move the artists
              of the last one, `browser.picture`, and return that.
    rows:     which controls stand side by side; by default all.
    controls: ipywidgets with a `value`, such as `IntSlider`, by name.

    Below the picture stands what it shows in words, or what is wrong: a `GliomakitError` of `draw`
    leaves the last picture standing. A saved notebook cannot show it alive: a sentence stands there
    instead, so put the same picture beside it.
    """

    picture: Picture | None = None

    def __init__(
        self,
        draw: Callable[..., Picture],
        rows: Sequence[Sequence[object]] | None = None,
        **controls: object,
    ):
        import ipywidgets as widgets

        self.draw, self.controls = draw, controls
        self.image = widgets.Image(format="png", layout=widgets.Layout(max_width="100%"))
        self.words = widgets.HTML()
        self._held = 0
        for control in controls.values():
            control.observe(self.redraw, "value")
        line = widgets.Layout(flex_flow="row wrap")
        rows = [list(controls)] if rows is None else rows
        boxes = [
            widgets.HBox([controls[c] if isinstance(c, str) else c for c in row], layout=line)
            for row in rows
        ]
        self.box = widgets.VBox([*boxes, self.image, self.words])
        self._draw()

    def redraw(self, _: object = None) -> None:
        """Draw with the controls' present values; what is wrong is said below the picture."""
        if self._held:
            return
        try:
            self._draw()
        except GliomakitError as error:
            self.complain(error)

    def complain(self, error: GliomakitError) -> None:
        """Say below the picture what is wrong."""
        self.words.value = f"<b>✘ {html.escape(str(error))}</b>"

    @contextmanager
    def together(self) -> Iterator[None]:
        """Controls that are set inside draw once, at the end."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        self.redraw()

    def set(self, **values: object) -> None:
        """Set several controls, by name, and draw once."""
        with self.together():
            for name, value in values.items():
                self.controls[name].value = value

    def _draw(self) -> None:
        values = {name: control.value for name, control in self.controls.items()}
        self.picture = self.draw(**values)
        self.image.value = self.picture.quick()
        said = html.escape(self.picture.alt)
        self.words.value = f"<details><summary>the picture in words</summary>{said}</details>"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        return {
            "text/plain": SENTENCE,
            "text/html": f"<i>{SENTENCE}</i>",
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
    if not there():
        return draw(start)
    slider = slider_of(name, start, low, high, step, at_once=False)
    return Browser(lambda value: draw(value), value=slider)


def there() -> bool:
    """Whether ipywidgets is installed; if not, a line says that there is only the picture."""
    try:
        import ipywidgets  # noqa: F401
    except ImportError:
        print("ipywidgets is not installed: there is no slider. Call the function by hand.")
        return False
    return True


def slider_of(
    name: str, value: float, low: float, high: float, step: float = 1, at_once: bool = True
) -> object:
    """A slider with its name beside it: of whole numbers if all that is given is whole.

    at_once: drawn while it moves, not only when it is let go.
    """
    import ipywidgets as widgets

    whole = all(isinstance(v, int) for v in (value, low, high, step))
    kind = widgets.IntSlider if whole else widgets.FloatSlider
    look = {} if whole else {"readout_format": ".3g"}
    return kind(
        value=value,
        min=low,
        max=high,
        step=step,
        description=name,
        continuous_update=at_once,
        style={"description_width": "initial"},
        layout=widgets.Layout(width=f"{210 + 7 * len(name)}px"),  # a long name leaves no track
        **look,
    )


def choice_of(name: str, options: Sequence[object], value: object = None) -> object:
    """A list to choose from, with its name beside it; options are values or (word, value)."""
    import ipywidgets as widgets

    style = {"description_width": "initial"}
    chosen = {} if value is None else {"value": value}
    wide = widgets.Layout(width="auto")
    return widgets.Dropdown(options=options, description=name, style=style, layout=wide, **chosen)


def span(slider: object, low: float, high: float, value: float, step: float | None = None) -> None:
    """Give a slider other ends and another value, in an order in which no end is past the other."""
    for end in ("min", "max") if low <= slider.max else ("max", "min"):
        setattr(slider, end, {"min": low, "max": high}[end])
    slider.step = slider.step if step is None else step
    slider.value = value
