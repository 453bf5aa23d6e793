"""Checkers of lesson 04, *A 3-D U-Net by hand*."""

from __future__ import annotations

from collections import Counter
from numbers import Integral

from ._core import Answer, checker
from ._expect import Hint, close, number

CICEK = [
    *((3, 3, 32, True), (3, 32, 64, True), (3, 64, 64, True), (3, 64, 128, True)),
    *((3, 128, 128, True), (3, 128, 256, True), (3, 256, 256, True), (3, 256, 512, True)),
    *((2, 512, 512, False), (3, 768, 256, True), (3, 256, 256, True), (2, 256, 256, False)),
    *((3, 384, 128, True), (3, 128, 128, True), (2, 128, 128, False), (3, 192, 64, True)),
    *((3, 64, 64, True), (1, 64, 3, True)),
]
"""Written out, so that the checker does not share a mistake with the package's network."""


@checker(
    "04.parameters",
    call="conv_parameters(kernel, entering, leaving, bias)",
    praise="each channel that leaves has its own cube through all that enter, and one bias",
)
def parameters(answer: Answer) -> None:
    """`conv_parameters(kernel, entering, leaving, bias)`: kernel³ · entering · leaving, + bias."""
    k, a, b = 3, 4, 32
    right = k**3 * a * b + b
    close(
        number(answer(k, a, b, True)),
        right,
        mistakes=[
            (right - b, "the bias is missing: one number for each channel that leaves"),
            (right - b + 1, "there is one bias for each channel that leaves, not one in all"),
            (right - b + a, "the bias goes with the channels that leave, not those that enter"),
            (right - b + a * b, "the bias is one number for each channel that leaves, however many "
             "enter"),
            (k**2 * a * b + b, "that is a flat kernel of 3 × 3: in three dimensions it is a cube"),
            (k * a * b + b, "the kernel is a cube: its side to the power of three"),
            (k * 3 * a * b + b, "the kernel is a cube: its side to the power of three, not times"),
            (k**3 * b + b, "each kernel reaches through all channels that enter"),
            (k**3 * (a + b) + b, "channels that enter are multiplied with those that leave"),
            (k**3 * a + b, "each channel that leaves has a kernel of its own"),
        ],
        rtol=0,
        what="the number of parameters for a kernel of 3, 4 channels in, 32 out, with bias,",
    )  # fmt: skip
    close(
        number(answer(2, 16, 8, False)),
        8 * 16 * 8,
        mistakes=[(8 * 16 * 8 + 8, "with bias=False there is no bias to count")],
        rtol=0,
        what="the number of parameters for a kernel of 2, 16 channels in, 8 out, without bias,",
    )
    close(number(answer(1, 64, 2, True)), 130, rtol=0, what="a 1³ convolution from 64 to 2")


@checker(
    "04.side",
    call="side_after(kind, side, kernel, stride, padding)",
    praise="the same formula for convolution and pooling, and its reverse for the way up",
)
def side(answer: Answer) -> None:
    """`side_after(kind, side, kernel, stride, padding)`: the side after a layer."""
    border = "padding is laid at both ends: twice"
    floor = "the last place must lie inside whole: divide with //, which drops the rest"
    reverse = "the transposed layer enlarges: cubes of side `kernel`, laid down at each `stride`"
    last = "the last cube reaches `kernel` voxels on from its start, (side - 1) * stride"
    cases: list[tuple[tuple, int, dict[float, str]]] = [
        (("conv", 64, 3, 1, 1), 64, {62: "padding is missing", 63: border, 65: "add 1 only once: "
         "a kernel of 3 on a padded side of 66 can stand at 64 places"}),
        (("conv", 64, 3, 1, 0), 62, {64: "without padding the side shrinks", 61: "count both the "
         "first place and the last: + 1"}),
        (("conv", 64, 5, 1, 2), 64, {66: "padding may be other than 1, a kernel other than 3"}),
        (("pool", 64, 2, 2, 0), 32, {63: "the stride is missing", 31: "add 1 after the division",
         64: "a pooling with stride 2 halves the side"}),
        (("pool", 7, 2, 2, 0), 3, {4: floor, 3.5: floor}),
        (("conv", 64, 3, 2, 1), 32, {32.5: floor, 33: floor, 64: "a convolution may stride"}),
        (("up", 32, 2, 2, 0), 64, {16: reverse, 31: reverse, 63: last, 62: last}),
        (("up", 10, 3, 2, 1), 19, {20: last, 18: last, 23: "padding is cut off in the way up, not "
         "added", 21: "padding is cut off both ends", 20.5: last}),
    ]  # fmt: skip
    for arguments, right, mistakes in cases:
        found = number(answer(*arguments))
        kind, before, kernel, stride, padding = arguments
        what = f"{kind!r} on side {before} with kernel {kernel}, stride {stride}, padding {padding}"
        if found != right:
            raise Hint(f"{what}: {mistakes.get(found, f'you return {found:g}, right is {right}')}")
    if not isinstance(answer("pool", 64, 2, 2, 0), Integral):
        raise Hint("a side is a whole number of voxels: divide with //")


@checker(
    "04.seen",
    call="seen_range(path, voxel)",
    praise="you walked back from the output, and the range grew as the layers say",
)
def seen(answer: Answer) -> None:
    """`seen_range(path, voxel)`: first and last input voxel that an output voxel depends on."""
    backward = "walk back from the output: the last layer of the path comes first"
    below = "-1 // 2 is -1 and int(-1 / 2) is 0: ranges may begin below 0, where padding lies"
    whole = [*["conv", "conv", "pool"] * 3, *["conv", "conv", "up"] * 3, "conv", "conv"]
    cases: list[tuple[list[str], int, tuple[int, int], dict[tuple[int, int], str]]] = [
        ([], 10, (10, 10), {}),
        (["conv"], 10, (9, 11), {(9, 12): "both ends belong to the range: the last is 11",
         (7, 13): "a kernel of 3 adds one voxel at either end"}),
        (["conv"] * 2, 10, (8, 12), {(9, 11): "each layer of the path counts"}),
        (["pool"], 10, (20, 21), {(20, 20): "a pooling looks at two voxels, 2 * i and 2 * i + 1",
         (20, 22): "a pooling looks at two voxels: the last is 2 * i + 1",
         (5, 5): "going back through a pooling doubles the voxel's number"}),
        (["up"], 11, (5, 5), {(22, 23): "going back through a transposed convolution halves the "
         "voxel's number", (5, 6): "a voxel came from one voxel only: i // 2"}),
        (["conv", "pool"], 10, (19, 22), {(18, 23): backward}),
        (["conv", "up", "conv"], 0, (-2, 1), {(-1, 1): below, (0, 1): "do not cut the range off at "
         "0: padding lies there"}),
        (whole, 64, (18, 109), {}),
        (whole, 52, (2, 101), {}),
    ]  # fmt: skip
    for path, voxel, right, mistakes in cases:
        found = _range(answer(path, voxel))
        if found != right:
            layers = " ".join(path) if len(path) < 6 else "the whole U-Net"
            hint = mistakes.get(found, f"you return {found}, right is {right}")
            raise Hint(f"path {layers}, voxel {voxel}: {hint}")


@checker(
    "04.cicek",
    call="cicek_layers()",
    praise="18 layers and 19,069,955 parameters, as their paper says",
)
def cicek(answer: Answer) -> None:
    """`cicek_layers()`: the convolutions of Çiçek's network, in any order."""
    layers = answer()
    if not isinstance(layers, (list, tuple)):
        raise Hint(f"return a list of layers, not a {type(layers).__name__}")
    found = Counter(_layer(layer) for layer in layers)
    wanted = Counter(CICEK)
    if found == wanted:
        return
    extra, missing = list((found - wanted).elements()), list((wanted - found).elements())
    for kind, hint in _MISTAKES:
        if any(kind(layer, missing) for layer in extra):
            raise Hint(hint)
    if extra:
        raise Hint(f"there is no {_words(extra[0])}, or not so often; missing is one of "
                   f"{_first(missing)}")  # fmt: skip
    raise Hint(
        f"you have {found.total()} of {wanted.total()} layers; missing: {_words(missing[0])}"
    )


def _first(missing: list[tuple]) -> str:
    return f"{missing[0][1]} channels to {missing[0][2]}" if missing else "none"


def _words(layer: tuple) -> str:
    kernel, entering, leaving, bias = layer
    return f"{kernel}³ from {entering} to {leaving} {'with' if bias else 'without'} bias"


_MISTAKES = (
    (
        lambda one, missing: (*one[:3], not one[3]) in missing and one[0] == 2,
        "the transposed convolutions (kernel 2) have no bias in this network",
    ),
    (
        lambda one, missing: (*one[:3], not one[3]) in missing,
        "all convolutions but the transposed ones have a bias",
    ),
    (
        lambda one, missing: one == (3, 4, 32, True),
        "Çiçek's images have 3 channels; four sequences are ours",
    ),
    (lambda one, missing: one == (1, 64, 2, True), "Çiçek's network has 3 classes, not 2"),
    (
        lambda one, missing: one[0] == 3 and one[3] and one[1:3] in _NO_SKIP,
        "the skip is missing: the first convolution on the way up takes the skip's channels too",
    ),
    (
        lambda one, missing: one[0] == 2 and one[1] == 2 * one[2],
        "here the transposed convolutions keep the number of channels",
    ),
    (
        lambda one, missing: one[0] == 3 and (2, *one[1:3], False) in missing,
        "the transposed convolutions have a kernel of 2",
    ),
    (
        lambda one, missing: one[0] == 3 and (1, *one[1:]) in missing,
        "the last convolution has a kernel of 1",
    ),
)
"""What a layer too many shows, beside the layers that are missing."""

_NO_SKIP = {(512, 256), (256, 128), (128, 64)}
"""Channels of the first convolution of a block on the way up, where the skip was forgotten."""


def _range(value: object) -> tuple[int, int]:
    if value is None:
        raise Hint("your function returns None: does it end with `return`?")
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise Hint("return two numbers, the first and the last voxel: `return first, last`")
    if not all(isinstance(one, Integral) for one in value):
        raise Hint(f"voxels have whole numbers, not {value!r}: divide with //")
    return int(value[0]), int(value[1])


def _layer(layer: object) -> tuple[int, int, int, bool]:
    wanted = "each layer is (kernel, entering, leaving, bias), such as (3, 3, 32, True)"
    if not isinstance(layer, (tuple, list)) or len(layer) != 4:
        raise Hint(f"{wanted}, not {layer!r}")
    kernel, entering, leaving, bias = layer
    if not all(isinstance(one, Integral) for one in layer) or bias not in (0, 1):
        raise Hint(f"{wanted}, not {layer!r}")
    return int(kernel), int(entering), int(leaving), bool(bias)
