# %% [markdown]
# +++ title
# # Read the papers: what can their numbers mean?
#
# ![Bars of mean Dice over slices in three colours. Predicting nothing reaches .668, copying the
# nearest slice .855, the fastai paper's table .81 and its text .87. Thin lines say that .87 may
# mean any value from .608 to 1 on slices with tumour.](../images/12_read_the_papers.png)
#
# A number in a paper is the end of a long way: data, split, formula, average, luck. The paper shows
# you the end. This lesson goes back along the way, with arithmetic, for the two papers of this
# course. You need no access to anybody's computer.
#
# The tone matters. Papers are written by people, with deadlines, as our own code is. What holds, we
# say that it holds. What cannot be known, we call unknown. To find an error is no proof of bad
# work, and we make errors too.

# %% [markdown]
# +++ objectives
# **After this lesson you can**
#
# - say which of a paper's numbers follow from what it shows;
# - undo a moving average, and an average that counts the background or empty slices;
# - name the score of methods that know nothing, before you admire another;
# - find a wrong label, a lost line and a kind average in public code;
# - go through any segmentation paper with a checklist of one page.

# %% [markdown]
# +++ prerequisites
# **You need** lesson 00 and some NumPy. Lessons 04, 05 and 08 help. Words of the field are in the
# [glossary](../glossary.md).

# %% [markdown]
# +++ minutes
# **Time**: 60 minutes to read and try. The cells compute for about half a minute on two CPU cores
# (CPU: under 1 minute; GPU: not measured yet).

# %% [markdown]
# ## Set up

# %%
# +++ setup

# %%
import json

import numpy as np
import pandas as pd
import torch
from torch import nn

from gliomakit import audit, find_cases, metrics, plots, slices, slicewise
from gliomakit.arithmetic import batch_mib, side_after
from gliomakit.course import choose_size, emit
from gliomakit.course.exercises import check, use
from gliomakit.course.worked import crop_box
from gliomakit.errors import GliomakitError
from gliomakit.losses import WeightedDiceLoss
from gliomakit.patches import PatchSampler
from gliomakit.paths import data_folder, prepared_folder
from gliomakit.phantom import embedded
from gliomakit.phantom.dataset import embedded_names
from gliomakit.phantom.prepared import prepared_phantoms
from gliomakit.phantom.slices import embedded_slices, slice_names
from gliomakit.project import shipped
from gliomakit.regions import to_regions
from gliomakit.unet import UNet3d, table

SIZE = choose_size()

# %% [markdown]
# ## Said, shown, computed
#
# Three kinds of statement must not be mixed. What a paper **says**. What somebody else **shows**:
# here a public notebook whose numbers are close to the second paper's. It may not be the paper's
# code, so what is true of it is not proven of the paper. And what we **compute**. All published
# figures lie in one file, `data/papers.json`. Each claim gets a verdict, and at the end a table.


# %%
def figures(name):
    return json.loads(shipped(name).read_text(encoding="utf-8"))


PAPERS = figures("papers.json")
first, fastai = PAPERS["shaukat2022"], PAPERS["fastai_paper"]
notebook, lgg = PAPERS["public_notebook"], PAPERS["lgg"]
for paper in (first, fastai, notebook):
    print("-", paper["citation"])

VERDICTS = ("holds", "holds if …", "does not follow", "cannot be known")
HOLDS_IF, UNKNOWN = VERDICTS[1], VERDICTS[3]
claims = {}


def record(source, claim, verdict, computed):
    """Note a claim, a verdict (True is "holds", False "does not follow"), and the numbers."""
    verdict = {True: "holds", False: "does not follow"}.get(verdict, verdict)
    assert verdict in VERDICTS
    claims[source, claim] = (verdict, computed)
    print(f"{verdict}: {claim}\n    {computed}")


ONE, TWO, CODE = "paper 1", "paper 2", "public code"

# %% [markdown]
# ## Paper 1: begin with what can be counted
#
# Always begin there. Counts are quick, and they tell you how carefully the rest was written.

# %%
said, quotes = first["claimed"], first["quotes"]
n, split = said["cases"], said["split"]
packed, raw = figures("sources.json")["msd"]["size_gb"], n["all"] * np.prod(said["grid"]) * 2 / 1e9
record(
    ONE, "750 = 484 + 266 cases", n["labelled"] + n["unlabelled"] == n["all"], "the sum is right"
)
record(ONE, f"split {split}", sum(split.values()) == n["labelled"], f"sum {sum(split.values())}")
text = f"the archive has {packed} GB; unpacked, 16 bits a voxel, {raw:.0f} GB"
record(ONE, f'"{quotes["size"]}"', abs(packed - n["size_gb"]) < 0.5, text)

network = table(UNet3d())
layers = {row.layer: row for row in network}
ups = [name for name in layers if name.endswith("_up")]
same = [r.parameters for r in network] == [r["parameters"] for r in first["network"]["layers"]]
text = f"{network.parameters:,} parameters, side 64 to {layers['de4_conv1'].side} and back to 64"
same = HOLDS_IF if same else False  # the text alone was counted: it names no sum
text += "; if the tables, which did not reach us, say the same"
record(ONE, "three encoders, two padded 3³ convolutions a module, 2 classes out", same, text)
text = f"{len(ups)} steps up, with {len(ups)} skips"
record(ONE, f'"{quotes["modules"]}"', HOLDS_IF, f"{text}; four, if the bottom is counted")
pair = layers["de4_conv1"].channels, layers["de4_conv2"].channels
text = f"de4 goes from {pair[0]} to {pair[1]} channels"
text += "; the three above it halve: it holds if the bottom is not counted"
record(ONE, f'decoders "{quotes["halves"]}"', HOLDS_IF, text)
text = "ReLU has no parameters: the count cannot tell the two apart"
record(ONE, f'"{quotes["activation"]}" ReLU in a list, ReLU in the description', UNKNOWN, text)

# %% [markdown]
# Three steps up, and a bottom that the text calls a decoder: a matter of words. The network is
# described well enough to be rebuilt, and that is better than most. (The tables' own numbers did
# not reach us; the count is ours, from the text. And the two words do not go together: with the
# bottom there are four modules, and one of them does not halve.)
#
# Could it have been trained as said? A forward pass has 245 billion multiplications a patch;
# training costs three times that. One half of a K80 reaches 4.4 TFLOP/s on paper. Assume half.

# %%
patches = split["training"] * said["patches_per_volume"] * first["worked_example"]["epochs"]
eflop = patches * 3 * 2 * network.gmac * 1e9 / 1e18
for share in (0.25, 0.5, 1.0):
    hours = eflop * 1e18 / (4.4e12 * share) / 3600
    print(f"{share:.0%} of the peak: {hours:4.0f} h on one half of a {said['gpu']}")
hours = eflop * 1e18 / (4.4e12 * 0.5) / 3600
text = f"{patches:,} patches, {eflop:.2f} EFLOP: {hours:.0f} h at half the peak"
record(ONE, "trained on one K80 in the cloud", HOLDS_IF, f"{text}, if 100 epochs were run")
megabytes = network.parameters * 4 / 1e6
text = f"a file of {megabytes:.0f} MB can be copied anywhere; no access, time or user was measured"
record(ONE, f'"{quotes["access"]}"', UNKNOWN, text)

# %% [markdown]
# ## An average that counts the background
#
# The first paper's result is a mean Dice of .95583 for two classes, tumour and background. Is
# it the tumour's? The text does not say. The worked example that it follows closely averages both
# classes, and the text of its box plot speaks of "the classes". Background is easy: most of it is
# far from any tumour.
#
# **Exercise 1.** Write `tumour_dice(mean, background, classes)`. It gets a mean Dice over all
# classes, background among them, and the background's own Dice. It returns the mean of the others.


# %%
# +++ exercise 12.foreground
def tumour_dice(mean, background, classes=2):
    """The mean Dice of all classes but the background."""
    # +++ solution
    return (classes * mean - background) / (classes - 1)
    # +++ end


check("12.foreground", tumour_dice)

# %%
from gliomakit.course.worked_papers import tumour_dice as _tumour_dice

tumour_dice = use("12.foreground", tumour_dice, _tumour_dice)

printed = said["mean_dice"]
implied = [tumour_dice(printed, b) for b in first["two_class_reading"]["background_dice"]]
print(f"background .995 to .999: tumour {implied[0]:.3f} to {implied[1]:.3f}")
for share in (0.01, 0.06):  # of the voxels are tumour; wrong voxels count on both sides
    wrong = 4 * (1 - printed) / (1 / share + 1 / (1 - share))
    background = 1 - wrong / (2 * (1 - share))
    print(f"tumour {share:.0%} of the voxels: background must be {background:.4f}, "
          f"tumour {tumour_dice(printed, background):.3f}")  # fmt: skip
text = f"{min(implied):.3f} to {max(implied):.3f} for the tumour, if the background is averaged in"
record(ONE, 'mean Dice .95583 ("95 %")', HOLDS_IF, text)

# %% [markdown]
# The second part guesses the tumour's share $s$ instead of the background's Dice. A wrong voxel is
# wrong for both classes: with $w$ of them, half missed and half false, the tumour's Dice is $1 - w
# / 2s$ and the background's $1 - w / 2(1 - s)$, and their mean gives $w$. Both ways lead to the
# same place: a very good whole-tumour Dice, and no longer one of a kind.

# %% [markdown]
# ## A review is no ranking
#
# The first paper divides segmentation into manual, semi-automatic and automatic, and methods into
# discriminative (learn the border between classes) and generative (model what each tissue looks
# like). That frame is sound. Then it reviews other methods, with their Dice, and calls itself the
# "first cloud-based method to achieve maximum accuracy". Here is the review as its text gives it,
# one field for each data set. What may you compare?

# %%
UNNAMED = "not named in our text"
groups = {f"BRATS {year}": {} for year in (2013, 2015, 2019)} | {UNNAMED: {}, "MSD Task01": {}}
for row in first["review"]:
    field = next((g for g in groups if (row["data"] or "").startswith(g)), UNNAMED)
    scores, detail = row["dice"], (row["data"] or "").removeprefix(field).strip()
    each = scores if isinstance(scores, dict) else {detail: scores}
    for what, value in each.items():
        short = what.upper() if len(what) == 2 else what.replace("_", " ")
        name = f"{row['who']} {short}".strip()
        groups[field][name] = (min(value), max(value)) if isinstance(value, list) else (value,) * 2
groups["MSD Task01"]["its tumour, if background counts"] = (min(implied), max(implied))
plots.ranges(groups, computed=["its tumour, if background counts"])

# %% [markdown]
# +++ picture
# *In the picture: Dice from the review, in five fields. Two of them hold results of BRATS 2013 and
# 2015, one of 2019, one those whose data our text does not name. The last holds the paper's own
# .956, and hollow, .913 to .917: the tumour's, if the background was counted.*

# %% [markdown]
# Only rows of one field could be compared. Even there, one is FLAIR alone, others are other
# regions or grades, and nobody says that the test patients were the same. Do test patients matter
# that much? Take one fixed method, a threshold on FLAIR, and change nothing but the patients.

# %%
training = prepared_phantoms(prepared_folder(), range(10), spacing=4.0)
validation = prepared_phantoms(prepared_folder(), range(50, 53), spacing=4.0)
phantoms = training + validation
truth = [np.asarray(case.regions > 0) for case in phantoms]
bright = [np.asarray(case.image[0] > 0.75) for case in phantoms]  # lesson 02's threshold
dice = np.array([metrics.dice(p, r) for p, r in zip(bright, truth)])

rng = np.random.default_rng(0)
means = [rng.choice(dice, 4, replace=False).mean() for _ in range(500)]
low, high = np.quantile(means, [0.05, 0.95])
print(f"one method, test sets of 4 phantoms: nine in ten mean Dice lie in {low:.2f} to {high:.2f}")
others = [high for g in groups if g != "MSD Task01" for _, high in groups[g].values()]
text = f"its {printed} is above {max(others):.3f}, the review's best, but on other patients; "
text += f"{min(implied):.3f} to {max(implied):.3f} if the background counts"
record(ONE, f'"{quotes["first"]}"', False, text)

# %% [markdown]
# **Try this.** Set the number of phantoms in a test set to 8. The interval shrinks. It does not
# vanish.
#
# ## Three questions about the method
#
# *How was the crop made?* The volumes were cut "to a region primarily containing the brain and
# tumor". If the region came from the label, also for test patients, false alarms outside were never
# counted. *What does the loss say of a patch without tumour?* The equations divide by zero there.
# And *over what* were the z-scores taken?

# %%
boxes = [crop_box(r, case.spacing, 5.0) for r, case in zip(truth, phantoms)]
inside = np.mean([metrics.dice(p[b], r[b]) for p, r, b in zip(bright, truth, boxes)])
text = f"threshold on phantoms: Dice {dice.mean():.2f}, {inside:.2f} in a box around the label"
record(ONE, f'crop "{quotes["crop"]}"', HOLDS_IF, f"{text}; fair if no label was used")

logits = torch.zeros(1, 2, 8, 8, 8, dtype=torch.float64, requires_grad=True)
empty = torch.zeros(1, 8, 8, 8).long()
loss = WeightedDiceLoss("square", absent="paper")(logits, empty)
loss.backward()
pull = float(logits.grad.abs().sum())
text = f"a patch without tumour, 1 / 1e-8: loss {float(loss.detach()):.3f}, pull {pull:.0e}"
record(ONE, "weighted Dice, eq. 1 and 2", HOLDS_IF, f"{text}; an absent class needs a rule")
text = f"that would be {64**2:,} of a patch's {64**3:,} voxels"
record(ONE, f'sums "{quotes["elements"]}" of a patch', False, text)
first_step = (1 - 0.9) / np.sqrt(1 - 0.999)
text = f"without bias correction the first step is {first_step:.1f} times the rate; Adam's is 1"
record(ONE, "Adam, as eq. 3 is printed", False, text)

image = find_cases(embedded())[0].read().image
brain = (image != 0).any(axis=0)
flair = image[0][crop_box(brain, (1, 1, 1))].astype(float)
scored, air = (flair - flair.mean()) / flair.std(), flair == 0
text = f"air fills {air.mean():.0%} of a box around a brain; the brain's own mean becomes "
text += f"{scored[~air].mean():+.2f}, not 0: fine, if all cases are cropped alike"
record(ONE, "each sequence z-scored over the cropped region", HOLDS_IF, text)

# %% [markdown]
# Most of these are questions, not findings. The equations define no weight for an absent class;
# MathWorks' example takes 1 / 1e-8, and then the patch pulls at nothing (lesson 05). And a slip in
# a printed equation is none in the program: a library's Adam has its bias correction.
#
# ## Paper 2: a formula that is not Dice
#
# The fastai paper defines Dice as "2 multiplied by overlap area divided by total pixels in the
# image chosen". Is that only loose wording? Build it, and see.
#
# **Exercise 2.** Write `as_printed(pred, ref)` for two masks of one shape: the formula to the
# letter.


# %%
# +++ exercise 12.claims
def as_printed(pred, ref):
    """Twice the overlap over all pixels of the image."""
    # +++ solution
    pred, ref = np.asarray(pred) > 0, np.asarray(ref) > 0
    return 2 * np.count_nonzero(pred & ref) / ref.size
    # +++ end


check("12.claims", as_printed)

# %%
from gliomakit.course.worked_papers import as_printed as _as_printed

as_printed = use("12.claims", as_printed, _as_printed)

for side in (4, 16, 64):
    mask = np.zeros((64, 64), bool)
    mask[:side, :side] = True
    print(f"{side:2} × {side:2} of 64 × 64, all right: Dice {metrics.dice(mask, mask):.2f}, "
          f"as printed {as_printed(mask, mask):.3f}")  # fmt: skip

facts = figures("lgg_slices.json")["patients"]
PIXELS = 256 * 256
largest = max(max(one["tumour"].values()) for one in facts.values())
highest = 2 * largest / PIXELS
text = f"a perfect answer to the largest of 40 patients' slices would score {highest:.2f}, not .87"
record(TWO, f'Dice is "{fastai["quotes"]["dice"]}"', False, text)

# %% [markdown]
# So the printed Dice cannot come from that formula, and the program surely used another. A wrong
# formula in the text is no wrong result. It means that *you* cannot know the formula.
#
# More of its numbers can be put side by side. A loss has no per cent. The U-Net's sizes can be
# walked through, layer by layer.


# %%
def bottom(side, poolings, padded):
    """Side and channels at the bottom of a U-Net with two 3² convolutions a step."""
    for step in range(poolings + 1):
        for _ in range(2):
            side = side_after("conv", side, 3, padding=int(padded))
        if step < poolings:
            side = side_after("pool", side, 2, 2)
    return f"{side}*{side}*{64 * 2**poolings}"


sizes = {}
for given in ((572, 4, False), (448, 4, True), (572, 3, False), (256, 4, True), (224, 3, True)):
    sizes[given] = bottom(*given)
    print(f"{given[0]} pixels, {given[1]} poolings, padded {given[2]}: {sizes[given]}")
stated = fastai["claimed"]["unet_sizes_stated"]
text = f"{stated[0]} takes 4 poolings, of 572 pixels unpadded or 448 padded; "
text += "the data's 256, padded: 16*16*1024"
record(TWO, f'sizes {stated}, pooling "{fastai["quotes"]["poolings"]}"', False, text)

# %%
table1 = fastai["claimed"]["table1"]
lowest = min(table1["training_loss"] + table1["validation_loss"])
text = (
    f"a loss has no per cent; its table ends at epoch 5, never below {lowest}; 0.005 % is 0.00005"
)
record(TWO, f'loss "{fastai["quotes"]["loss"]}"', False, text)

minutes = sum(fastai["claimed"]["epochs"]) * np.mean(table1["seconds_per_epoch"]) / 60
mib = {s: batch_mib(1, *s) for s in ((3, (256, 256)), (9, (256, 256)), (4, (64,) * 3))}
text = f"slice {mib[3, (256, 256)]:.2f}, three slices {mib[9, (256, 256)]:.2f}, patch 64³ "
text += f"{mib[4, (64,) * 3]:.0f}, volume {batch_mib(1, 4, (240, 240, 155)):.0f} MiB"
text += " for the input alone; a network's layers follow its voxels"
record(TWO, "2-D needs less memory than 2.5-D and 3-D, and sees less", True, text)
record(TWO, "1:23 to 1:26 min an epoch, 5 + 20 epochs", True, f"{minutes:.0f} min in all: cheap")

# %% [markdown]
# Fairness again: 28 pixels with *three* poolings would fit a padded picture of 224, but then with
# 512 channels. The sizes are those of the original U-Net, so perhaps one of its four poolings got
# lost in the text. What the program did is not known.
#
# ## A loss that falls from 28.55 to 0.06
#
# The second paper's Table 1 gives a training loss of .03, 28.55, 3.41, .41, .06. It looks like
# a network that gets eight times better in each epoch. Look at the factors, then decide.

# %%
losses = {"the fastai paper": table1["training_loss"], "public notebook": notebook["training_loss"]}
BATCHES = notebook["training"]["batches"]
fade = 0.98**BATCHES
print(f"0.98 to the power of {BATCHES} is {fade:.4f}")
for source, values in losses.items():
    factors = [after / before for before, after in zip(values[1:], values[2:])]
    print(f"{source}: × {', × '.join(f'{f:.3f}' for f in factors)}")

# %% [markdown]
# fastai does not print the epoch's loss. It prints a *moving average* over batches: at each batch
# it keeps .98 of itself and takes .02 of the new. After the 106 batches of an epoch .117 of
# whatever was there is left. Nobody needs to learn anything for that: it is forgetting.
#
# Can it be undone? With bias correction, the value after $n$ batches is $a_n / (1 - 0.98^n)$, where
# $a_n = 0.98\,a_{n-1} + 0.02\,l_n$ and $a_0 = 0$. The count $n$ goes on over all epochs. So compute
# $a$ at the end of each epoch, take away what is left of the last one, and divide by what the new
# weights sum to. (Within an epoch late batches still count more. That cannot be undone.)
#
# **Exercise 3.** Write `undo_average(printed, batches, weight)`. It gets the values printed at the
# ends of epochs 1, 2, … and returns a list: each epoch's own weighted mean.


# %%
# +++ exercise 12.undo
def undo_average(printed, batches, weight=0.98):
    """Each epoch's own mean out of a moving average with bias correction."""
    # +++ solution
    fade, own, before = weight**batches, [], 0
    for epoch, value in enumerate(printed, start=1):
        a = value * (1 - fade**epoch)
        own.append((a - fade * before) / (1 - fade))
        before = a
    return own
    # +++ end


check("12.undo", undo_average)

# %%
from gliomakit.course.worked_papers import undo_average as _undo_average

undo_average = use("12.undo", undo_average, _undo_average)

own = {source: undo_average(values, BATCHES) for source, values in losses.items()}
# Each printed value was rounded, and two of them enter.
half = {"the fastai paper": 0.005, "public notebook": 0.0005}
rounding = {source: h * (1 + fade) / (1 - fade) for source, h in half.items()}
for source, values in own.items():
    print(f"{source}: {', '.join(f'{v:.3f}' for v in values)}, each ± {rounding[source]:.4f}")
plots.undone(losses, own, rounding)

# %% [markdown]
# +++ picture
# *In the picture: the training loss by epoch on a logarithmic axis, twice. Blue is what was
# printed, falling by the same factor from epoch 2 on. Orange is each epoch's own mean: at .1 to .2
# in epoch 3, and nearly flat from epoch 4.*

# %% [markdown]
# One bad start, in epoch 2. By epoch 4 it is over, and epochs 4 and 5 of the paper cannot be told
# apart: rounding is larger than their difference. (That 106 batches were the paper's too is an
# assumption; its factors fit it. And 1cycle raises the rate to its top in epoch 2 of 5, by fastai's
# default: 5e-3, as the paper says for these five. That fits too, and proves nothing.)

# %%
mine = own["the fastai paper"]
batches_implied = np.log(table1["training_loss"][2] / table1["training_loss"][1]) / np.log(0.98)
text = f"epochs 2 to 5 by themselves: {mine[1]:.1f}, {mine[2]:.2f}, {mine[3]:.3f}, {mine[4]:.3f}"
record(TWO, "training loss falls steadily from 28.55 to .06, over four epochs", False, text)
rise = mine[1] / table1["training_loss"][0]
text = f"at 5e-3, inside that range, the loss rose about {rise:,.0f}-fold in epoch 2 and came back;"
text += " whether the rate did it, one run does not tell"
record(TWO, f'optimal rates "{fastai["quotes"]["rates"]}", found by lr_find', UNKNOWN, text)
print(f"the paper's own first factor fits {batches_implied:.1f} batches an epoch")

# %% [markdown]
# ## The Dice of an empty network
#
# The blow-up left a trace. In the notebook's epoch 2 the Dice fell to .667969. That Dice is a mean
# over slices, and a slice without tumour for which nothing is predicted scores 1. We have the facts
# of the 15 patients that the notebook validates on: which slices hold tumour, and how many pixels.
# What does predicting *nothing* score?

# %%
named = figures("splits/lgg.json")["validation"]
count = sum(facts[name]["slices"] for name in named)
full = sum(len(facts[name]["tumour"]) for name in named)
pixels = sum(sum(facts[name]["tumour"].values()) for name in named)
empty_share = (count - full) / count
accuracy = 1 - pixels / (count * PIXELS)
print(f"predicting nothing: {count - full}/{count} = {empty_share:.8f}, accuracy {accuracy:.2%}")
print(f"the notebook's epoch 2: {notebook['dice_of_epoch_2']}")
agree = round(empty_share, 6) == notebook["dice_of_epoch_2"]
text = f"{count - full}/{count}, the score of an empty network"
record(CODE, f"notebook: Dice {notebook['dice_of_epoch_2']} in epoch 2", agree, text)

# %% [markdown]
# The same six digits. The network called nothing tumour, and the table shows a Dice that many would
# find decent. (The paper's own table has .76 there. That is another run; what it predicted is not
# known.) So what does .870941 mean, the notebook's last value, or the paper's "more than 87 %"?
#
# **Exercise 4.** Write `positive_range(mean, empty)`. `mean` is over all slices, `empty` is the
# share of slices without tumour. Return the lowest and the highest mean that the slices *with*
# tumour can have: the lowest if every empty slice scores 1, the highest if they score as little as
# they can. A mean Dice lies between 0 and 1.


# %%
# +++ exercise 12.positive
def positive_range(mean, empty):
    """Lowest and highest mean Dice on slices with tumour."""
    # +++ solution
    full = 1 - empty
    return max(0, (mean - empty) / full), min(1, mean / full)
    # +++ end


check("12.positive", positive_range)

# %%
from gliomakit.course.worked_papers import positive_range as _positive_range

positive_range = use("12.positive", positive_range, _positive_range)

stated = fastai["claimed"]
reported = {"paper, table": max(stated["table1"]["dice"]), "paper, text": stated["accuracy_above"]}
reported["notebook, end"] = notebook["dice_after_20_epochs"]
spans = {name: positive_range(value, empty_share) for name, value in reported.items()}
for name, (low, high) in spans.items():
    print(f"{name}: {reported[name]} over all slices is {low:.3f} to {high:.3f} where tumour is")
low, high = spans["paper, text"]
text = f"if a mean Dice over slices as empty as these, {low:.2f} to {high:.0f} where tumour is; "
text += f"the accuracy of predicting nothing is {accuracy:.2%}"
record(TWO, f'"{fastai["quotes"]["accuracy"]}"', HOLDS_IF, text)

# %% [markdown]
# For the paper that is an *if*: how empty its slices were, and how it averaged, is not known.
#
# **Try this.** Move the share of empty slices. Where would .87 be a strong result, whatever the
# empty slices score? (Only where few slices are empty. With none, the two lines are one.)


# %%
def draw_range(percent):
    across = [k / 50 for k in range(51)]
    low, high = zip(*(positive_range(mean, percent / 100) for mean in across))
    lines = {"lowest": {"slices with tumour": (across, low)}}
    lines["highest"] = {"slices with tumour": (across, high)}
    return plots.curves(lines, across=f"mean of all slices, {percent:g} % empty")


draw_range(65.0)

# %% [markdown]
# +++ picture
# *In the picture: the mean Dice on slices with tumour by the mean of all slices, if 65 % are empty.
# Two lines, the lowest and the highest that it can be, are far apart in the middle.*

# %%
from gliomakit.course.widgets import slide

slide(draw_range, "empty, %", low=0.0, high=95.0, step=5.0, start=65.0)

# %% [markdown]
# ## A copier that beats .85
#
# Next question: how was the data split? Neighbouring slices of a patient look alike. Take a method
# without a network, which never looks at an image: for a slice it copies the mask of the *nearest
# known slice of the same patient*. Guess its Dice if single slices were drawn for validation, and
# if whole patients were.


# %%
def copier(masks, known_share):
    """Five random splits by slice, in which this share of the slices is known."""
    found = []
    for seed in range(5):
        rng, pred, ref = np.random.default_rng(seed), {}, {}
        for name, volume in masks.items():
            known = rng.random(len(volume)) < known_share
            if not known.all():
                pred[name] = slicewise.nearest_slice(volume, known)[~known]
                ref[name] = volume[~known]
        found.append(slicewise.slice_scores(pred, ref))
    keys = ("per_slice", "positive", "pooled", "per_volume", "accuracy")
    return {key: np.mean([getattr(score, key) for score in found]) for key in keys}


volumes = {p.name: slices.read_patient(p) for p in slices.find_patients(embedded_slices())}
masks = {name: mask for name, (_, mask) in volumes.items()}
results = {"phantoms, by slice": copier(masks, 0.8), "phantoms, by patient": copier(masks, 0)}

# %%
folder, real_scores = data_folder(), [None] * 3
if folder is not None and (folder / "kaggle_3m").is_dir():
    found = slices.find_patients(folder)
    real = {p.name: np.stack([slices.read_mask(m) for m in p.masks]) for p in found}
    results |= {"real, by slice": copier(real, 0.8), "real, by patient": copier(real, 0)}
    real_scores = [results[f"real, by {way}"]["per_slice"] for way in ("slice", "patient")]
    real_scores.append(slicewise.slice_scores(slicewise.predict_nothing(real), real).empty)
pd.DataFrame(results).T.round(3)

# %% [markdown]
# `per_slice` is the mean over all slices, `positive` over those with tumour; `pooled` takes all
# pixels as one mask, `per_volume` each patient's. The phantoms have fewer empty slices than real
# patients, so their numbers differ: what carries over is the fall. On all 110 real patients we
# measured .855 by slice, .659 by patient (in `papers.json`; set `GLIOMAKIT_DATA` to your copy and
# the cell measures it). Split by patient, the copier has nothing to copy, and is the method that
# predicts nothing.
#
# The notebook splits by patient, as it should. In what reached us of the paper no split is given.
# A second public notebook splits by slice. Two more methods complete the picture: a threshold on
# FLAIR, and the mask of the most similar *image*.

# %%
known, new = slice_names("training"), slice_names("validation") + slice_names("test")
flair = {name: slicewise.relative(image[..., 1]) for name, (image, _) in volumes.items()}
level = slicewise.best_threshold({n: flair[n] for n in known}, {n: masks[n] for n in known})
above = slicewise.above({n: flair[n] for n in new}, level)
unseen = {n: masks[n] for n in new}
small = {name: image[:, ::4, ::4] for name, (image, _) in volumes.items()}
pool = [np.concatenate([part[n] for n in known]) for part in (small, masks)]
alike = {n: slicewise.nearest_image(small[n], *pool) for n in new}
nothing = slicewise.predict_nothing(unseen)

dull = {"nothing": nothing, "FLAIR threshold": above, "most similar image": alike}
dull = {name: slicewise.slice_scores(pred, unseen) for name, pred in dull.items()}
bars = {
    "real patients, computed": {
        "nothing, 15 patients": empty_share,
        "copier, split by slice": lgg["copy_nearest_slice"]["dice_per_slice"],
        "copier, split by patient": lgg["copy_nearest_slice"]["patient_split"],
        "most similar image, by patient": lgg["nearest_image"]["patient_split"]["dice_per_slice"],
    },
    "phantoms, computed": {f"{name}, by patient": score.per_slice for name, score in dull.items()},
    "said or shown": {f"{name}": value for name, value in reported.items()},
    "the same, on slices with tumour": spans,
}
plots.scores(bars)

# %% [markdown]
# +++ picture
# *In the picture: bars of mean Dice over slices. On real patients nothing scores .668 and the
# copier .855 under a split by slice, .659 by patient. On phantoms the threshold, which finds some
# tumour, scores less than nothing. Below, the published .81 and .87, and what they may mean on
# slices with tumour if the slices were those of the 15 patients.*

# %% [markdown]
# Look at the phantoms' bars. The threshold is the only one of the three with a pooled Dice worth
# the name, as the next cell prints, and it scores *below* predicting nothing. A mean over slices
# rewards silence. (Predicting nothing has many scores here: each is the share of empty slices of
# its patients, .668 of the 15, .659 of all 110, less on the phantoms.)

# %%
for name, score in dull.items():
    print(f"{name:18} a slice {score.per_slice:.3f}, with tumour {score.positive:.3f}, "
          f"pooled {score.pooled:.3f}, accuracy {score.accuracy:.4f}")  # fmt: skip
copied = lgg["copy_nearest_slice"]
text = f"{copied['dice_per_slice']} for a copier by slice, {copied['patient_split']} by patient"
record(TWO, "its Dice is of new patients", UNKNOWN, f"we found no split by patient; {text}")

# %% [markdown]
# ## What is announced and not shown
#
# Some claims have no number at all. They need no arithmetic, only a search: is there a figure or a
# table for it? One can be tried in eight lines: is weight decay "L2 regularisation"?


# %%
def step(optimiser, shrink, **settings):
    """A weight after one step: decay by the optimiser, against L2 in the loss."""
    weight = nn.Parameter(torch.tensor([1.0, 1.0]))
    loss = (weight * torch.tensor([1.0, 100.0])).sum() + shrink / 2 * (weight**2).sum()
    loss.backward()
    optimiser([weight], lr=0.1, **settings).step()
    return weight.detach()


sgd = step(torch.optim.SGD, 0.1) - step(torch.optim.SGD, 0, weight_decay=0.1)
adam = step(torch.optim.Adam, 0.1) - step(torch.optim.AdamW, 0, weight_decay=0.1)
apart = float(sgd.abs().max()), float(adam.abs().max())
text = f"SGD: steps {apart[0]:.0e} apart; Adam, fastai's default: {apart[1]:.3f} apart"
record(TWO, f'weight decay is "{fastai["quotes"]["decay"]}"', HOLDS_IF, f"{text}; so with SGD")

record(TWO, "compared with the Classical U-Net", UNKNOWN, "no figure of the other network")
record(
    TWO,
    f'parameters "{fastai["quotes"]["chosen"]}"',
    UNKNOWN,
    "a choice needs a second run beside it; we found none",
)
record(TWO, f'"{fastai["quotes"]["uncertainty"]}"', UNKNOWN, "0 measures of uncertainty")
text = "the masks have 2 values; no grade is predicted or scored"
record(TWO, f'"{fastai["quotes"]["stage"]}"', False, text)
text = "no run without it; the notebook keeps its encoder frozen"
record(TWO, "ResNet34 encoder, pretrained: what did it add?", UNKNOWN, text)

# %% [markdown]
# ## The same eyes on public code
#
# Code has the advantage that you can run it. Three reports from well-known repositories, all open
# when we looked. Thanks to those who wrote them down.
#
# **Which label enhances?** A BraTS notebook of MONAI's tutorials reads MSD data and takes label 2
# for the enhancing tumour (Project-MONAI/tutorials#1355). Do not argue: look. What enhances is
# bright on T1ce. (Phantoms only show that they were made by MSD's own list. The proof is a real
# case: with MSD data in `GLIOMAKIT_DATA`, the same cell looks at it.)

# %%
patients = [f.read() for f in find_cases(embedded()) if f.name in embedded_names("test")[:4]]
if folder is not None:
    try:
        patients += [case for case in (f.read() for f in find_cases(folder)[:2])
                     if case.label is not None and case.convention == "msd"]  # fmt: skip
    except GliomakitError as error:
        print(f"No real 3-D patient is read: {error.what}.")

bright_label = {2: [], 3: []}
for case in patients:
    t1ce = case.sequence("t1ce")
    level = np.median(t1ce[(case.image != 0).any(axis=0)])
    for value, seen in bright_label.items():
        if (case.label == value).any():
            seen.append(float(np.median(t1ce[case.label == value]) / level))
    ml = [metrics.volume_ml(case.label == value, case.spacing) for value in (2, 3)]
    print(f"{case.name}: label 2 {ml[0]:5.1f} mL, label 3 {ml[1]:5.1f} mL")
enhance = {value: np.mean(seen) for value, seen in bright_label.items()}
text = f"T1ce over the brain's median: label 2 {enhance[2]:.2f}, label 3 {enhance[3]:.2f}"
text += f" in {len(patients)} cases; its ET is the non-enhancing core, and shares no voxel with ET"
record(CODE, "label 2 of MSD is the enhancing tumour", bool(enhance[2] > enhance[3]), text)

# %%
case = patients[3]
swapped = np.choose(case.label, [0, 1, 3, 2])
named = {"MSD's own list": case.label, "label 2 as enhancing": swapped}
plots.readings(case, {name: to_regions(label, "msd") for name, label in named.items()})

# %% [markdown]
# +++ picture
# *In the picture: T1ce of one slice, then the label in two readings. By MSD's own list the yellow
# enhancing tumour lies where T1ce is bright. Read the other way, yellow lies where it is dark.*

# %% [markdown]
# A network trained on this reading is not broken. Whole tumour and core are right, for they
# contain both. Only the name is wrong: its "ET" Dice is that of the non-enhancing core, which
# may be easier or harder, and it cannot be set beside anybody else's ET.
#
# **A lost line.** A training loop in MONAI's research-contributions (#392) never zeroes its
# gradients. Each step then uses the sum of all gradients so far. Guess: does it crash? Does it
# learn?


# %%
def tiny_training(zero, seed, steps=40 if SIZE == "laptop" else 200):
    torch.manual_seed(seed)
    small = [nn.Conv3d(4, 8, 3, padding=1), nn.ReLU(), nn.Conv3d(8, 1, 3, padding=1)]
    model = nn.Sequential(*small)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    sampler, losses = PatchSampler(training, size=16, foreground=0.5, seed=seed), []
    for step in range(steps):
        batch = sampler.batch(8, step)
        if zero:
            optimiser.zero_grad()
        target = (batch.code > 0).float().view(8, 1, 16, 16, 16)
        loss = nn.functional.binary_cross_entropy_with_logits(model(batch.image), target)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


tiny = {(zero, seed): tiny_training(zero, seed) for zero in (True, False) for seed in (0, 1)}
last = {zero: np.mean([tiny[zero, seed][-10:] for seed in (0, 1)]) for zero in (True, False)}
text = (
    f"mean loss of the last 10 steps {last[False]:.2f} without zero_grad, {last[True]:.2f} with it"
)
record(CODE, "a loop without zero_grad trains", bool(last[False] < 1.2 * last[True]), text)
lines = {"zeroed": {}, "never zeroed": {}}
for (zero, seed), values in tiny.items():
    name = "zeroed" if zero else "never zeroed"
    lines[name][f"loss, seed {seed}"] = (range(len(values)), values)
plots.curves(lines, smooth=0.5)

# %% [markdown]
# +++ picture
# *In the picture: the training loss of the same tiny network with two seeds, a panel and a scale
# for each. With zeroed gradients it falls and stays low. Without, it falls at first, then swings.*

# %% [markdown]
# It runs without a warning, and its first steps look fine. The tutorial has another network and
# rate; what the line costs there we have not measured.
#
# **A mean that improves when tumours are missed.** HD95 needs two surfaces. Where the prediction is
# empty, MONAI's gives nan, and its mean leaves nan out (MONAI#9095). Take the threshold's results,
# and let it miss its worst cases one after another.

# %%
distance = [metrics.hd95(p, r, c.spacing) for p, r, c in zip(bright, truth, phantoms)]
order = np.argsort(distance)[::-1]
missing = {}
for k in range(5):
    pred = [p & (i not in order[:k]) for i, p in enumerate(bright)]
    hd = [metrics.hd95(p, r, c.spacing) for p, r, c in zip(pred, truth, phantoms)]
    found = [d for d, p in zip(hd, pred) if p.any()]
    scores = [metrics.dice(p, r) for p, r in zip(pred, truth)]
    missing[f"{k} missed"] = [np.mean(found), np.mean(hd), np.mean(scores), len(found)]
columns = ["HD95, nan left out", "HD95, missed = diagonal", "Dice", "cases averaged"]
hd_table = pd.DataFrame(missing, index=columns).T.round(3)
before, after = hd_table.iloc[0, 0], hd_table.iloc[-1, 0]
text = f"{before:.0f} mm with all found, {after:.0f} mm with 4 of {len(phantoms)} missed"
record(CODE, "a lower mean HD95 is better, nan left out", bool(after > before), text)
hd_table

# %% [markdown]
# No convention is right by nature. Report the number of missed cases beside the mean: then nobody
# is fooled.
#
# ## The table

# %%
pd.set_option("display.max_colwidth", None)
rows = sorted(((*key, *value) for key, value in claims.items()),
              key=lambda row: (ONE, TWO, CODE).index(row[0]))  # fmt: skip
verdicts = pd.DataFrame(rows, columns=["source", "claim", "verdict", "computed"])
verdicts

# %%
counted = pd.crosstab(verdicts["source"], verdicts["verdict"]).reindex(
    columns=VERDICTS, fill_value=0
)
counted

# %%
emit(
    f"predicting nothing scores {empty_share:.3f}; .870941 is at least "
    f"{spans['notebook, end'][0]:.3f} where there is tumour",
    nothing=empty_share,
    accuracy_of_nothing=accuracy,
    positive_low=spans["notebook, end"][0],
    tumour_low=min(implied),
    tumour_high=max(implied),
    parameters=network.parameters,
    hours=hours,
    own_epoch_3=mine[2],
    own_epoch_5=mine[4],
    copier_by_slice=results["phantoms, by slice"]["per_slice"],
    copier_by_patient=results["phantoms, by patient"]["per_slice"],
    real_by_slice=real_scores[0],
    real_by_patient=real_scores[1],
    real_empty=real_scores[2],
    patients=len(patients),
    label_2=enhance[2],
    label_3=enhance[3],
    never_zeroed=last[False],
    zeroed=last[True],
    hd_all=before,
    hd_missed=after,
    claims=len(claims),
)

# %% [markdown]
# ## A checklist for any segmentation paper
#
# Print this page.
#
# **Data.** ☐ Which data set, version, year? ☐ How many patients, not slices? ☐ Do the counts add
# up? ☐ Which number is which tissue, and how do they know? ☐ Real, or made?
#
# **Split.** ☐ By patient? ☐ Were test patients used to choose anything: rate, epoch, threshold,
# crop? ☐ Was anything cut, scaled or filled with the help of the label?
#
# **Formula.** ☐ Is the Dice written down, and is it Dice? ☐ Of which region? ☐ Is the background
# averaged in? ☐ Per slice, per patient, or pooled? ☐ What scores an empty slice? ☐ A missed
# tumour in HD95: nan, or a number?
#
# **Beside it.** ☐ What do predicting nothing, a threshold and a copier score? ☐ Spread over
# patients, seeds, n? ☐ Missed and spurious cases? ☐ Was the rival tuned as long?
#
# **Training.** ☐ Is the curve a moving average? ☐ What does the loss say of an empty patch? ☐ Rate,
# epochs, batch: as used, or as meant? ☐ Do layers, parameters and hours fit one another?
#
# **Words.** ☐ Which claim has no figure? ☐ "First", "best": among whom, on whose patients? ☐ Can I
# get the code, the split, the weights?
#
# **Then ask:** what *holds*, what holds *if*, what *does not follow*, what *cannot be known*?
#
# ## And your own result?
#
# The same questions can be put to your own masks, by program. Give it predictions and references,
# who was trained on, and FLAIR. Here it looks at the threshold on phantoms. (In a terminal:
# `gliomakit audit PRED REF --split F --images DIR`, which writes a page.)

# %%
report = audit.audit(above, unseen, training=known, images={n: flair[n] for n in unseen})
for finding in report.findings:
    print(f"[{finding.verdict}] {finding.question}\n    {finding.answer}")
head, *rows = audit.table(report)
pd.DataFrame(rows, columns=head).set_index("")

# %% [markdown]
# ## Quiz

# %% [markdown]
# +++ quiz 12.average
# A training loss is printed at the ends of epochs as 0.1, 20, 2.4, 0.28. It is a moving average
# that keeps 12 % over an epoch. What happened?
#
# - [ ] The network learned fast in epochs 3 and 4.
#   The fall by the factor 0.12 is what forgetting alone does.
# - [x] Something went wrong in epoch 2; the rest is mostly its echo.
#   Right. Undo the average to see what epochs 3 and 4 did themselves.
# - [ ] The rate was too low.
#   A loss that jumps 200-fold speaks of a rate that was too high, if of any.

# %% [markdown]
# +++ quiz 12.empty
# Of the test slices 80 % are empty. Two methods have a mean Dice per slice of 0.84. The first is
# right on every empty slice. The second has false alarms on some. Which is better where tumour is?
#
# - [ ] The first: it has no false alarms.
#   On slices with tumour it scores 0.2: it spends its 0.84 on silence.
# - [x] The second, by its mean on slices with tumour.
#   Right. It lost points on empty slices, so it must have more elsewhere.
# - [ ] They are equal: the mean is the same.
#   Equal means can hide opposite methods.

# %% [markdown]
# +++ quiz 12.review
# A table lists Dice .94 (BRATS 2013), .89 (BRATS 2015) and .96 (another set, two classes averaged).
# What may you say?
#
# - [ ] The third is best, by .02.
#   Patients, regions and averages differ; each alone can move a Dice by more.
# - [ ] Methods got worse from 2013 to 2015, then better.
#   The data got other patients. Nothing says that a method changed.
# - [x] Three numbers, and no order among them.
#   Right. An order needs one test set, one region and one formula.

# %% [markdown]
# +++ quiz 12.fair
# You find that a paper's formula for Dice is wrong. What follows?
#
# - [ ] Its results are wrong.
#   The program may have used the right one. You do not know.
# - [x] Its Dice cannot be compared until somebody says what was computed.
#   Right. That is a smaller claim than "wrong", and it stands.
# - [ ] Nothing: everyone knows what Dice is.
#   There are at least four Dice of the same masks, as this lesson shows.

# %% [markdown]
# +++ remember
# ## What to remember
#
# - Keep apart what is said, what is shown and what you compute.
# - Know the scores of nothing, of a copier and of a threshold. A mean over slices rewards silence.
# - An average may count the background, or empty slices, or a bad start long gone. Each can be
#   undone, at least to a range.
# - Dice of different patients are no ranking.
# - "Cannot be known" is a verdict too, and often the honest one.

# %% [markdown]
# +++ next
# ## Where to go next
#
# Write your own results so that this page finds nothing: lesson 07 is about that. Lesson 13 takes
# the network out of the notebook. Lessons that are not in this folder yet are still being written.
