# %% [markdown]
# +++ title
# # Patches: feed volumes that do not fit
#
# ![Two pictures of the same grey slice of a brain with an outlined tumour at the upper left, and
# squares laid over it. Left, the squares lie anywhere, and about half of them are dotted: they hold
# no tumour. Right, most squares are orange and crowd around the tumour.](../images/03_patches.png)
#
# You have a scan, a network and a card with memory. You start the training, and it stops at once:
# out of memory. So you cut the scan into boxes, *patches*, and feed those. The first paper of this
# course does it too: patches of 64 × 64 × 64 voxels, 16 from each volume, 8 at a time.
#
# That solves one problem and brings three. Where do you cut, if most of a head is no tumour? How do
# you cut fast enough, so that the network never waits? And when the network is trained and has to
# segment a whole head: how do you put the pieces together so that nobody sees where they were cut?

# %% [markdown]
# +++ objectives
# **After this lesson you can**
#
# - work out what a training step will need, in MiB, before anything is loaded;
# - say how many of your patches hold no tumour, and check a sampler against that number;
# - change patches at random without spoiling their labels;
# - cut a volume into overlapping windows and blend them back, and prove that nothing was lost.

# %% [markdown]
# +++ prerequisites
# **You need** lesson 00, and Python with NumPy: slices, shapes, sums. Lessons 01 and 02 help: what
# a voxel is, and what "prepared" means. How the network works inside comes in lesson 04. Words of
# the field are in the [glossary](../glossary.md).

# %% [markdown]
# +++ minutes
# **Time**: 45 minutes to read and try. The cells compute for about half a minute on two CPU cores
# (CPU: under 1 minute; GPU: not measured yet). Four patients with voxels of 1 mm are made when
# they are first asked for: one or two minutes more.

# %% [markdown]
# ## Set up

# %%
# +++ setup

# %%
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from scipy.stats import binom
from torch.nn import functional as F

from gliomakit import UNet3d, arithmetic, find_cases, patches, plots, sliding_window
from gliomakit.course import choose_size, emit
from gliomakit.course.exercises import check, use
from gliomakit.course.widgets import slide
from gliomakit.patches import PatchSampler, augment_intensity, cut, gaussian, tiles
from gliomakit.phantom import embedded
from gliomakit.phantom.dataset import embedded_names
from gliomakit.preprocess import cached
from gliomakit.unet import count_parameters

SIZE = choose_size()

# %% [markdown]
# ## A budget, before anything is loaded
#
# A number in an image array takes 4 bytes (`float32`). A batch is n images of c channels, all of
# one size. So you can say what it takes without having it. Memory is counted in MiB: 2²⁰ bytes.
#
# **Exercise 1.** Write `batch_mib(n, channels, sides, bytes_each)`. It returns the MiB that a batch
# takes. `sides` are three lengths in voxels, which may differ.


# %%
# +++ exercise 03.memory
def batch_mib(n, channels, sides, bytes_each):
    """MiB of n images: so many channels, three sides in voxels, bytes for each number."""
    # +++ solution
    numbers = n * channels * sides[0] * sides[1] * sides[2]
    return numbers * bytes_each / 2**20
    # +++ end


check("03.memory", batch_mib)

# %% [markdown]
# Now ask what the first paper's data take. Its scans have 240 × 240 × 155 voxels and four
# sequences, and 400 of them are trained on. Guess first: does one scan fit into 12 GB?

# %%
batch_mib = use("03.memory", batch_mib, arithmetic.batch_mib)
scan, patch = (240, 240, 155), (64, 64, 64)

print(f"one scan              {batch_mib(1, 4, scan, 4):8.0f} MiB")
print(f"400 scans             {batch_mib(400, 4, scan, 4) / 1024:8.1f} GiB")
print(f"a batch of 8 patches  {batch_mib(8, 4, patch, 4):8.0f} MiB")

# %% [markdown]
# One scan fits easily. Then what fills the card?
#
# The network does. Its first layer turns 4 channels into 32, the next into 64, and each channel is
# as large as the image. Such an array is a *feature map*. To find out how each weight should
# change, training goes back through all layers, and needs what they gave on the way. So every
# feature map stays in memory until the step is done.
#
# PyTorch can count them without computing anything. A tensor on the device `meta` has a shape and
# no content. We send one through the paper's network (`UNet3d`) and note the size of each layer's
# output.


# %%
def feature_maps_gib(network, shape):
    """GiB of what all layers of a network give for images of that shape, in float32."""
    sizes = []

    def note(layer, given, output):
        sizes.append(output.numel())

    layers = [module for module in network.modules() if not list(module.children())]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    network(torch.empty(shape, device="meta"))
    for hook in hooks:
        hook.remove()
    return 4 * sum(sizes) / 2**30


with torch.device("meta"):
    network = UNet3d()

# %%
CARD_GIB = 12  # try yours: gliomakit doctor names it

weights_gib = 4 * 4 * count_parameters(network) / 2**30
print(f"weights, their gradients, and two more numbers each for Adam: {weights_gib:.2f} GiB")

needed = {}
for name, images in {
    "whole scan": (1, 4, 240, 240, 160),  # sides must be multiples of 8
    "box around the brain": (1, 4, 144, 176, 144),
    "1 patch of 64³": (1, 4, *patch),
    "8 patches of 64³": (8, 4, *patch),
}.items():
    needed[name] = feature_maps_gib(network, images) + weights_gib
    fits = "fits" if needed[name] < CARD_GIB else "does not fit"
    print(f"{name:22} at least {needed[name]:5.1f} GiB: {fits}")

# %% [markdown]
# The first paper trained on a K80. Each of that card's two chips has 12 GB, hence the number in the
# cell. "At least" is meant: copies and scratch space come on top, and a card holds other things
# too.
#
# So the whole scan is out, and eight patches are comfortable. The box around the brain is between:
# it fits by this count. Why not take it, then, one a step? Because a step would see one patient. In
# a batch of eight patches there can be eight patients, and the step goes where most of them agree.
# Batch norm, which this network has, also needs a batch: it measures the mean and spread of what
# passes, and one patient is a poor sample.
#
# The price is sight. A network that is fed 64 mm of a head never learns what is on the other side.
#
# **Try this.** Add a row with patches of 128³, two at a time. Twice the side is how many times the
# memory? (Eight times for one patch: memory grows with the volume, not with the side.)
#
# ## Cut
#
# Now we load a patient: voxels of 1 mm, cropped to the brain, each sequence with mean 0 and spread
# 1. `PatchSampler` cuts patches at random places. With `foreground=0.5`, half of them are put
# around a voxel of tumour that is drawn at random; the others lie anywhere.

# %%
PATIENT = 1  # try another: 0 to 3

name = embedded_names("fine")[PATIENT]
case = cached(next(files for files in find_cases(embedded(fine=True)) if files.name == name))
sampler = PatchSampler(case, size=64, foreground=0.5, seed=0)
batch = sampler.batch(16)

# A prepared case keeps one number a voxel: 0 outside, 1 in WT, 2 in TC, 3 in ET. So has a batch.
print(f"{case.name}: {case.regions.shape} voxels, {(case.regions > 0).sum():,} of them tumour")
print(f"one batch of 16 patches: {tuple(batch.image.shape)}, labels {tuple(batch.code.shape)}")
print(f"400 volumes, 16 patches each, 8 at a time: {400 * 16 // 8} steps an epoch")
plots.patches([batch[i] for i in range(16)])

# %% [markdown]
# +++ picture
# *In the picture: the sixteen patches, one axial slice of each on FLAIR, the slice with the most
# tumour. Whole tumour in blue, core in orange with dashes, enhancing tumour in yellow. Some are
# flipped or turned: more of that below. A patch without outlines holds no tumour.*

# %% [markdown]
# ## Most of a head is no tumour
#
# What if you cut anywhere (`foreground=0`)? Some patches then hold no tumour at all. The first
# paper's loss gives such a patch the value 1 whatever the network says, and almost no direction to
# go (lesson 05 shows why). The network sits through it and learns next to nothing.
#
# How often does that happen to this patient? There is no need to estimate it. Each place where a
# patch may begin is equally probable, so the answer is the share of places whose box is empty.
# There are many places, but running sums make it cheap. The sum over a window is the sum up to its
# end, less the sum up to its beginning, one axis after the other. A box is empty when its sum is 0.
#
# Guess before you run the cell. What share of 64³ boxes misses this tumour?


# %%
def share_empty(mask, size):
    """The share of all boxes of `size` voxels a side in which no voxel of the mask is True."""
    sums = mask.astype(np.int64)
    for axis in range(3):
        running = np.cumsum(np.insert(sums, 0, 0, axis=axis), axis=axis)
        ends = np.arange(size, running.shape[axis])
        sums = running.take(ends, axis) - running.take(ends - size, axis)
    return float((sums == 0).mean())


tumour = case.regions > 0
exact = share_empty(tumour, 64)
print(f"The tumour is {tumour.sum() / case.brain.sum():.1%} of the brain.")
print(f"{exact:.1%} of all places give a patch without tumour.")

# %% [markdown]
# Does the sampler agree? It draws places at random, so its share will be a little off. How much may
# it be off? If each draw is empty with probability p, then the number of empty ones among n draws
# follows the *binomial distribution*, and 95 % of the time it lies in an interval that SciPy knows.
# `sampler.plan` draws places without copying a voxel.

# %%
DRAWS = 400 if SIZE == "laptop" else 4000


def count_empty(origins):
    """How many patches that begin at these voxels hold no tumour."""
    boxes = [tuple(slice(o, o + 64) for o in origin) for origin in origins]
    return sum(not tumour[box].any() for box in boxes)


anywhere = PatchSampler(case, size=64, foreground=0.0, seed=0).plan(DRAWS).origin
measured = count_empty(anywhere) / DRAWS
low, high = (bound / DRAWS for bound in binom.interval(0.95, DRAWS, exact))
within = bool(low <= measured <= high)

print(f"exact {exact:.1%}; 95 % of samples of {DRAWS} lie between {low:.1%} and {high:.1%}")
print(f"measured {measured:.1%}: {'inside' if within else 'outside'}")

# %% [markdown]
# This is how to test something random: work out what must come out, and ask whether what came out
# is within chance. One result outside is no proof of a fault, for a right sampler is outside one
# time in twenty. Another seed that is outside as well would be worth an hour of your time.
#
# Now half of the patches are put around tumour. What should the share of empty ones be?

# %%
balanced = sampler.plan(DRAWS).origin
measured_balanced = count_empty(balanced) / DRAWS
low, high = (bound / DRAWS for bound in binom.interval(0.95, DRAWS // 2, exact))
print(f"expected {exact / 2:.1%} ({low:.1%} to {high:.1%}), measured {measured_balanced:.1%}")
plots.positions(
    case, {"anywhere": anywhere[:40], "half of them around the tumour": balanced[:40]}, size=64
)

# %% [markdown]
# +++ picture
# *In the picture: forty patches drawn in two ways; shown are those that cross this slice. Grey and
# dotted: the patch holds no tumour. Orange: it does, here or in another slice. The blue line is the
# whole tumour.*

# %% [markdown]
# Half of the draws are sure to hold tumour, the rest are as before: the share halves, give or take
# chance, which plays with the free half alone. It is not free. The squares crowd around the tumour,
# and the healthy brain is seen less. To the network, tumour now looks far more common than it is.
# At `foreground=1.0` it never sees a place without tumour nearby, and may later find tumour
# everywhere. Half is a compromise, no law.
#
# **Try this.** Set `PATIENT` to 0, whose tumour is several times as large, and run from there. How
# much does balance matter for that patient? (Little: few patches miss it in the first place.
# Balance is for small tumours, and those are the ones that get missed.)
#
# With sliders it goes faster. Move *foreground* from 0 to 1 and watch the count of empty patches.
# Then make the patches small. What happens to the count at a foreground of 0? The last three boxes
# are the subject of the next section.

# %%
from gliomakit.course.explorers import patch_explorer

patch_explorer(case)

# %% [markdown]
# ## The same patch, never twice
#
# Four hundred patients are few. So each patch is changed at random each time it is drawn, in ways
# that leave its meaning alone. This is *augmentation*. The first paper flips and turns. Whatever
# moves voxels has to move the label in the same way; whatever changes brightness must leave the
# label alone.
#
# To see only the changes, we make a volume that is exactly as large as a patch: there is one place
# to cut, and all that differs between two draws is augmentation.

# %%
with_tumour = int(np.argmax(batch.code.flatten(1).gt(0).sum(1)))
one = batch[with_tumour]
alone = replace(case, image=one.image.numpy(), regions=one.label.numpy())
draws = list(PatchSampler(alone, size=64, seed=3).take(100))
orientations = len({draw.image.numpy().tobytes() for draw in draws})
print(f"{len(draws)} draws, {orientations} different patches")

# %%
OFF = {"gain": 0.0, "offset": 0.0, "gamma": 0.0, "noise": 0.0}


def changed(**strength):
    """The patch, its brightness changed by the named kinds only."""
    image = one.image[None].clone()  # it is changed in place
    image = augment_intensity(image, seed=1, step=0, share=1.0, **(OFF | strength))
    return replace(one, image=image[0])


rows = {f"draw {i + 1}": draw for i, draw in enumerate(draws[:4])}
rows |= {"the patch": one, "gain and offset": changed(gain=0.3, offset=0.3)}
rows |= {"gamma": changed(gamma=0.5), "noise": changed(noise=0.5)}
plots.patches(list(rows.values()), list(rows), columns=4)

# %% [markdown]
# +++ picture
# *In the picture: above, four draws of one patch, flipped and turned, with the outlines moving
# along. Below, the patch itself, and with another brightness: other gain and offset, another gamma
# (the middle greys shift), noise. The outlines stay. All eight share one grey scale.*

# %% [markdown]
# Three axes may be flipped (8 ways) and the x–y plane turned by quarters (4 ways). That makes 32
# combinations and only 16 different patches: turning by half is the same as flipping twice.
#
# The changes in the lower row are stronger than in training, so that you can see them. They
# pretend to be another scanner. A network that has seen only one brightness may take it for a
# sign of tumour.
#
# **Try this.** `changed(gamma=2.0)`. Can you still tell the tumour's border? If you cannot, the
# label is no longer true, and the network would be taught something false. That is the limit of
# every augmentation.
#
# ## Fast enough
#
# A network that waits for patches is an expensive heater. So how fast is the sampler? We compare it
# with a loop as one writes it first: cut, turn, flip, collect in a list, stack. Both follow the
# same plan, and both must give the same batch.


# %%
def naive(plan):
    """The patches of a plan, cut in a plain loop."""
    images, labels = [], []
    for i, corner in enumerate(plan.origin):
        box = tuple(slice(c, c + 64) for c in corner)
        image = np.rot90(case.image[(slice(None), *box)], plan.turns[i], axes=(1, 2))
        label = np.rot90(case.regions[box], plan.turns[i])
        for axis in np.flatnonzero(plan.flip[i]):
            image, label = np.flip(image, axis + 1), np.flip(label, axis)
        images.append(torch.from_numpy(image.copy()))
        labels.append(torch.from_numpy(label.copy()))
    return torch.stack(images), torch.stack(labels)


def median_ms(work, times=5):
    """Median time of a call in ms; the first call is left out, for it is never typical."""
    seconds = []
    for _ in range(times + 1):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds[1:]))


plan, kept = sampler.plan(16), sampler.batch(16)
image, label = naive(plan)
same_batch = torch.equal(image, kept.image) and torch.equal(label, kept.code)
print("both give the same batch:", same_batch)

# %%
target = torch.empty_like(kept.image)
milliseconds = {
    "naive loop": median_ms(lambda: naive(plan)),
    "sampler": median_ms(lambda: sampler.batch(16)),
    "sampler, same memory": median_ms(lambda: sampler.batch(16, out=kept)),
    "copy of the batch": median_ms(lambda: target.copy_(kept.image)),
    "one search for tumour": median_ms(lambda: np.argwhere(case.regions)),
}
for name, ms in milliseconds.items():
    print(f"{name:22} {ms:7.1f} ms")
ratio = milliseconds["naive loop"] / milliseconds["sampler, same memory"]
print(f"The naive loop takes {ratio:.1f} times as long as the sampler in memory that it has.")

# %% [markdown]
# Look at the second row first. The sampler is clever, and yet not much faster than the loop. Both
# only read voxels at one place and write them at another. What makes the difference is the third
# row: `out=` hands the sampler the memory of an earlier batch. New memory is not free. The system
# must find it and clear it, page by page, each time.
#
# The fourth row is the bound: no sampler is faster than writing the batch once, and patches are
# slow to read, in pieces of 64 voxels far apart. The naive loop writes everything twice, into the
# list and into the stack.
#
# The last row is what many loops do for each patch besides: search the whole label for tumour. The
# sampler searches once a patient.
#
# The timings are your machine's and change from run to run. And `out=` has a price: the earlier
# batch is gone. Use it before you ask for the next.
#
# ## One launch for the whole batch
#
# A GPU copies faster, but each command to it costs microseconds, and cutting, turning and flipping
# 16 patches one by one takes a hundred commands. So there the sampler sends one: a *kernel*, a
# small program that thousands of threads run at once, each for other voxels. It is written in
# Triton, which looks like Python.


# %%
kernel = Path(patches.__file__).with_name("_kernels.py").read_text(encoding="utf-8")
body = kernel[kernel.index("    # Which patch") : kernel.index("_TYPES")]
print(body.rstrip())

# %% [markdown]
# - **Which patch.** Two numbers say which patch a program works on, and which 512 of its voxels.
#   Division gives x, y and z. `written` is false past the patch's end.
# - **The row.** All that a patch is stands in one row of a table: where the volume lies in memory,
#   how far apart its voxels are, its shape, the patch's corner, how it is turned.
# - **Flipped and turned.** A flipped voxel is read from the other end; a quarter
#   turn exchanges x and y and flips one of them.
# - **The border.** Where `inside` is false, `tl.load` reads nothing and gives 0: no padding.
# - **Read and write.** Each voxel is read once and written once, in four sequences and the label.
#
# Here the same in NumPy, without a GPU.


# %%
def gathered(volume, origin, turns, flip, size=64):
    """A patch as the kernel reads it: where does each of its voxels come from?"""
    x, y, z = np.unravel_index(np.arange(size**3), (size,) * 3)
    # A turn is an exchange and a flip: by 90° of x, by 270° of y, by 180° of both.
    back = flip ^ np.array([turns in (1, 2), turns in (2, 3), False])
    a, b, c = (np.where(f, size - 1 - v, v) for f, v in zip(back, (x, y, z)))
    i, j = (b, a) if turns % 2 else (a, b)
    i, j, k = i + origin[0], j + origin[1], c + origin[2]
    shape = volume.shape
    inside = (i >= 0) & (i < shape[0]) & (j >= 0) & (j < shape[1]) & (k >= 0) & (k < shape[2])
    patch = np.zeros(size**3, volume.dtype)
    patch[inside] = volume[i[inside], j[inside], k[inside]]
    return patch.reshape((size,) * 3)


same = [
    np.array_equal(
        gathered(case.regions, plan.origin[n], plan.turns[n], plan.flip[n]), label[n].numpy()
    )
    for n in range(len(plan.case))
]
print(f"{sum(same)} of {len(same)} patches are equal, voxel by voxel")

# %% [markdown]
# Who writes the table? A second kernel, which draws NumPy's own numbers on the GPU: the batch is
# that of a processor, bit by bit.
#
# When does the kernel *not* pay? Without a GPU: a processor that copies whole rows is faster. With
# few small patches: then the command takes longer than the copy. And nearly always when the network
# is slower than the patches: measure whether it waits.
#
# ## Whole again
#
# The network is trained on patches, and now a whole head comes in. Lay windows over it, segment
# each, put the results together. Where windows overlap, take a mean. Its forerunner is the
# *overlap-tile* strategy of the U-Net's authors: larger windows go in, and only the middle of each
# result is kept.
#
# First the places, along one axis.
#
# **Exercise 2.** Write `starts(length, size, overlap)`. It returns a list with the first voxel of
# each window. The step from one to the next is `int(size * (1 - overlap))`, but at least 1. Every
# voxel must be in a window, and no window may reach past the end: the last one is moved back until
# it ends with the axis. No place may come twice. If the axis is shorter than a window, there is one
# window, at 0.


# %%
# +++ exercise 03.starts
def starts(length, size, overlap):
    """First voxel of each window of `size` voxels along an axis of `length` voxels."""
    # +++ solution
    last = max(length - size, 0)
    step = max(int(size * (1 - overlap)), 1)
    return [*range(0, last, step), last]
    # +++ end


check("03.starts", starts)

# %%
starts = use("03.starts", starts, patches.starts)

shape, overlap = case.regions.shape, 0.5
axes = [[slice(start, start + 64) for start in starts(n, 64, overlap)] for n in shape]
windows = list(product(*axes))
print(f"{shape} voxels: {' × '.join(str(len(axis)) for axis in axes)} = {len(windows)} windows")
print("as the package places them:", windows == tiles(shape, 64, overlap))

# %% [markdown]
# Then the weights. A network knows least about the border of its window, for it cannot see what
# lies beyond. So the mean should be weighted: a voxel in the middle of a window counts 1, one at
# its border almost nothing. `gaussian` makes such a hill.

# %%
plots.blending(shape[:2], size=64, overlap=0.5)

# %% [markdown]
# +++ picture
# *In the picture: left, the weights of one window, white is 1. In the middle, how much each window
# along one axis has to say in each voxel; the shares (coloured) add up to 1 (dashed) everywhere.
# Right, the sum of all weights in a plane, which is divided away; orange lines are the windows. The
# last windows crowd together because they were moved back. The notch near the end is there because
# no weight is less than 0.001.*

# %% [markdown]
# Run the cell and move the slider (a saved notebook cannot show it). At which overlap does one
# window pass to the next without a jump?


# %%
def draw_blending(overlap):
    """The picture above for another overlap."""
    return plots.blending(shape[:2], 64, overlap)


slide(draw_blending, "overlap", low=0.0, high=0.75, step=0.25, start=0.25)

# %% [markdown]
# Without overlap the shares jump from 1 to 0: a seam. (Only the last window, which was moved back,
# overlaps its neighbour even then.) From 0.25 on they pass smoothly. With more overlap they change
# more gently, and more windows have to be computed.
#
# **Exercise 3.** Write `blend(pieces, windows, shape, weight)`. `pieces` holds n pieces of one
# size. `windows[i]` is a tuple of slices that says where piece i belongs. `shape` is that of the
# whole, a tuple, and `weight` is as large as one piece. Return the weighted mean of the pieces in
# each voxel: the sum of weight × piece, divided by the sum of the weights. If you write
# `total[window]`, one function does for lines, planes and volumes.


# %%
# +++ exercise 03.blend
def blend(pieces, windows, shape, weight):
    """Put pieces back into an array of `shape`: the weighted mean where they overlap."""
    # +++ solution
    total, weights = np.zeros(shape), np.zeros(shape)
    for piece, window in zip(pieces, windows):
        total[window] += weight * piece
        weights[window] += weight
    return total / weights
    # +++ end


check("03.blend", blend)

# %% [markdown]
# ## Nothing was lost
#
# How do you know that windows, weights and sums are right? Take the simplest network there is: one
# that returns its input. Cut, "segment", blend. The scan must come back.
#
# It can be proved in one line. In a voxel, every window that covers it says the same number x, and
# Σ w·x / Σ w = x, whatever the weights, as long as one window covers it with a weight above 0. Only
# rounding is left. This patient's sides are no multiples of 64, so that windows had to be moved.

# %%
blend = use("03.blend", blend, patches.blend)

flair = np.array(case.image[0])
pieces = cut(flair, windows)
back = blend(pieces, windows, shape, gaussian(64).numpy())
error_own = float(np.abs(back - flair).max())

scans = torch.from_numpy(np.array(case.image))
same = sliding_window(lambda x: x, scans, 64, overlap=0.5, activation=None)
error_package = float((same - scans).abs().max())
print(f"{len(pieces)} windows, largest difference {error_own:.1e}")
print(f"sliding_window on all four sequences: {error_package:.1e}")

# %% [markdown]
# That proves the bookkeeping, and nothing else. It cannot find a seam, for this network looks at
# one voxel at a time and has no border to be unsure of. So take one that looks around: it blurs,
# each voxel becoming the mean of the 17³ voxels around it. Beyond its window it sees zeros, as a
# U-Net does. What is right we know: the blur of the whole volume. Guess which helps more, overlap
# or weights.


# %%
def blur(image):
    """The mean of the 17³ voxels around each voxel; zeros beyond the border. (n, 1, x, y, z)."""
    for kernel in ((17, 1, 1), (1, 17, 1), (1, 1, 17)):
        image = F.avg_pool3d(image, kernel, stride=1, padding=[k // 2 for k in kernel])
    return image


part = scans[:1, ..., :96]  # FLAIR, and not all of it, to save time
brain = np.array(case.brain[..., :96])
right = blur(part[None])[0]

seams = {}
for share in (0.0, 0.25, 0.5):
    places = tiles(part.shape[1:], 64, share)
    blurred = torch.cat([blur(piece[None]) for piece in cut(part, places)])
    for kind, weight in {"alike": None, "Gaussian": gaussian(64)}.items():
        found = patches.blend(blurred, places, part.shape[1:], weight)
        seams[share, kind] = float((found - right).abs()[0][brain].mean())
    means = f"alike {seams[share, 'alike']:.3f}, Gaussian {seams[share, 'Gaussian']:.3f}"
    print(f"overlap {share:4.2f}: {len(places):3} windows, mean error {means}")

# %% [markdown]
# Neither helps much alone. Weights need an overlap to choose from. (What they gain at 0.00 comes
# from the windows that were moved back, which do overlap.) And an overlap in which all windows
# count alike mixes good values with bad ones: going from 0.25 to 0.5 does not even help. With both,
# most of the error is gone. The price is time, for it grows with the number of windows.
#
# **Try this.** Add `0.75` to the overlaps (this takes a while). How many windows does it take, and
# what does it gain? (Several times as many, for nothing: the blur reaches 8 voxels, and at 0.5 each
# voxel already has a window in which it is far from the border. A network that sees farther needs
# more.)

# %%
gain = 1 - seams[0.5, "Gaussian"] / seams[0.0, "alike"]
emit(
    f"{exact:.0%} of uniform patches are empty (measured {measured:.0%}); "
    f"identity to {max(error_own, error_package):.0e}",
    patient=case.name,
    scan_gib=needed["whole scan"],
    batch_gib=needed["8 patches of 64³"],
    empty_exact=exact,
    empty_measured=measured,
    empty_low=low,
    empty_high=high,
    empty_within=within,
    empty_balanced=measured_balanced,
    orientations=orientations,
    same_batch=same_batch,
    speed_ratio=ratio,
    error_own=error_own,
    error_package=error_package,
    seam_gain=gain,
)

# %% [markdown]
# ## Quiz

# %% [markdown]
# +++ quiz 03.card
# A scan takes less than 1 GB, the card has 12 GB, and training on whole scans stops: out of memory.
# What fills the card?
#
# - [ ] The network's weights.
#   They and what Adam keeps for them were a small part of the budget above.
# - [ ] All scans of the data set.
#   Only the batch is on the card. The others wait on disk or in the machine's memory.
# - [x] The feature maps of all layers, kept until the step is done.
#   Right. They grow with the image's volume and with the number of channels.

# %% [markdown]
# +++ quiz 03.chance
# Exactly 40 % of all places are empty. You draw 400 patches, and 37 % are empty: inside the 95 %
# interval. What do you know?
#
# - [x] The sampler may be right: a right one gives such a share often.
#   Right. The test did not find a fault. It cannot show that there is none.
# - [ ] The sampler is right, with a probability of 95 %.
#   The interval says how often a right sampler is inside, not how often one inside is right.
# - [ ] The sampler is wrong: 37 is not 40.
#   A share of 400 draws is rarely exact. That is what the interval is for.

# %% [markdown]
# +++ quiz 03.views
# Somebody cuts 16 patches with NumPy slices and finds that it takes a few microseconds. What was
# measured?
#
# - [ ] A very fast sampler.
#   Faster than writing the batch once? Nothing that delivers the voxels can be.
# - [x] Almost nothing: a slice is a view, and no voxel has moved yet.
#   Right. The copying comes later, when the patches are stacked. Time up to the finished batch.
# - [ ] The speed of the disk.
#   A slice of an array that is in memory does not touch the disk.

# %% [markdown]
# +++ quiz 03.proof
# Cutting and blending gives the input back to 1e-5. Does that show that a real network's result
# will have no seams?
#
# - [ ] Yes: nothing was lost.
#   Nothing was lost of what each window said. But windows may say different things.
# - [x] No: a real network says something else about a voxel near its window's border.
#   Right. The identity tests the bookkeeping. Seams come from what the network cannot see.
# - [ ] No: 1e-5 is too large an error.
#   It is rounding in float32. A wrong window or weight would show as a far larger one.

# %% [markdown]
# +++ remember
# ## What to remember
#
# - Count memory before you load: it is the feature maps that fill a card, not the images.
# - Know the share of your patches that hold no tumour. It can be computed exactly.
# - Test what is random against what chance allows.
# - Balance shows the tumour more often, and makes it look more common than it is.
# - Move the label with the image; leave it alone when only brightness changes.
# - Copying bounds a sampler. Reuse memory, and time up to the finished batch.
# - Overlap and weights belong together. A network that returns its input proves the bookkeeping.

# %% [markdown]
# +++ next
# ## Where to go next
#
# Lesson 04 builds the network that these patches are fed to, and accounts for each of its
# parameters. Lesson 05 shows what its loss makes of an empty patch. Lessons that are not in this
# folder yet are still being written.
