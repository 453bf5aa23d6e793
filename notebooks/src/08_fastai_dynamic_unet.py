# %% [markdown]
# +++ title
# # The Dynamic U-Net in fastai: use it, and see when it learns nothing
#
# ![Four short trainings by epoch. One lies on a dashed line all the way: a Dice per slice of a
# half, per volume of nought, and a small loss. It predicts
# nothing.](../images/08_fastai_dynamic_unet.png)
#
# The second paper of this course ("the fastai paper", as its name did not reach us) segments
# gliomas slice by slice, with a network that fastai builds in one line. That line hides what was
# built, at which rate each part learns, and whether it learned anything.
#
# You rebuild that system with fastai's own calls and open what it made. Then you learn to see a
# network that predicts nothing, although its score looks decent.

# %% [markdown]
# +++ objectives
# **After this lesson you can**
#
# - feed slices and masks to fastai, and split them by patient;
# - say what `DynamicUnet` builds, and how;
# - choose learning rates, one for each group of layers;
# - tell weight decay from L2, and say why it matters with Adam;
# - see that a network is empty, from volumes and not from a mean over slices.

# %% [markdown]
# +++ prerequisites
# **You need** lesson 00, and some PyTorch; no fastai. Lesson 04 explains a U-Net from the ground
# up, lesson 05 losses. Words of the field are in the [glossary](../glossary.md).

# %% [markdown]
# +++ minutes
# **Time**: 60 minutes to read and try. The cells compute for about two minutes on two CPU cores
# (CPU: under 3 minutes; GPU: not measured yet).

# %% [markdown]
# ## Set up
#
# fastai needs torchvision. Where PyTorch and torchvision come from different builds, its import
# stops; `import_torchvision` mends that, and does nothing elsewhere.

# %%
# +++ setup

# %%
import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from gliomakit import plots, slices
from gliomakit.course import choose_size, emit
from gliomakit.course.exercises import check, use
from gliomakit.course.saved import saved
from gliomakit.encoders import best_start, load_encoder, new_encoder
from gliomakit.errors import GliomakitError
from gliomakit.paths import data_folder
from gliomakit.phantom.slices import embedded_slices, slice_names
from gliomakit.project import shipped
from gliomakit.slicewise import predict_nothing, slice_scores
from gliomakit.tracking import start_run
from gliomakit.tracking.callbacks import NeptuneLog
from gliomakit.tracking.tables import series

# %%
slices.import_torchvision()
from fastai.callback.hook import dummy_eval, hook_outputs, model_sizes
from fastai.vision.all import (
    DataBlock,
    Dice,
    ImageBlock,
    IndexSplitter,
    IntToFloatTensor,
    MaskBlock,
    Normalize,
    PILImage,
    PILMask,
    RandomSplitter,
    Resize,
    aug_transforms,
    even_mults,
    imagenet_stats,
    load_learner,
    resnet34,
    set_seed,
    unet_learner,
)

# %%
SIZE = choose_size(hours=0.6)
PLANS = {  # pixels a side, training slices, validation patients, batch, epochs and rate of both
    "laptop": (64, 96, 4, 8, (2, 1), 2e-3),
    "gpu": (128, 1000, 15, 16, (5, 5), 5e-3),
    "paper": (256, 10**6, 15, 32, (5, 20), 5e-3),
}
SIDE, MOST, HELD, BATCH, EPOCHS, RATE = PLANS[SIZE]
RUNS = Path("runs") / "lesson08"
shutil.rmtree(RUNS, ignore_errors=True)  # this lesson begins anew when you run it again

# %% [markdown]
# ## Slices instead of volumes
#
# The paper's data are the *LGG* slices: of each patient some dozens of images of 256 × 256 pixels.
# An image has three channels, like a photograph, but they are sequences: T1 before contrast, FLAIR,
# T1 after contrast. Beside each lies a mask of what is abnormal on FLAIR.
#
# Phantoms in the same layout come with the course. If `GLIOMAKIT_DATA` names a folder with
# `kaggle_3m` in it, the same cells run on the real slices.

# %%
own = data_folder()
folder = own if own and (own / "kaggle_3m").is_dir() else embedded_slices()
patients = {patient.name: patient for patient in slices.find_patients(folder)}
one = next(iter(patients.values()))

print(f"{len(patients)} patients, {sum(map(len, patients.values()))} slices; the first has:")
for path in (*one.images[:2], one.masks[0]):
    print("  ", path.relative_to(folder).as_posix(), Image.open(path).size, Image.open(path).mode)

# %% [markdown]
# fastai asks a function for each image's mask. **Exercise 1.** Write `mask_path(image)`. `image` is
# a `Path`, and so is what you return: the mask's file in the same folder. See that slice 10 works
# as well as slice 1, and that a folder's name stays as it is, whatever is in it.


# %%
# +++ exercise 08.mask
def mask_path(image):
    """The mask beside an image: `…_12.tif` has `…_12_mask.tif`."""
    # +++ solution
    return image.with_name(f"{image.stem}_mask{image.suffix}")
    # +++ end


check("08.mask", mask_path)

# %%
mask_path = use("08.mask", mask_path, slices.mask_of)
pairs = [pair for p in patients.values() for pair in zip(p.images, p.masks)]
print(f"{sum(mask_path(image) == mask for image, mask in pairs)} of {len(pairs)} masks found")

# %% [markdown]
# ## The first trap: 255 is not a class
#
# The masks hold 0 and 255. To a loss, a mask's values are the *numbers of classes*, and we have two
# of them: 0 and 1. What happens if you hand the mask over as it is?

# %%
full = max(one.masks, key=lambda path: int(slices.read_mask(path).sum()))
target = torch.from_numpy(np.array(PILMask.create(full))).long()[None]
print("values:", target.unique().tolist())
try:
    torch.nn.functional.cross_entropy(torch.zeros(1, 2, *target.shape[1:]), target)
except IndexError as error:
    print("cross-entropy says:", error)

# %% [markdown]
# That is the lucky case, because it stops. (On a GPU the same mistake ends in a message that names
# neither mask nor class.) fastai divides images by 255 and masks by 1. The cure is its own:
# `IntToFloatTensor(div_mask=255)`. With masks that hold 0 and 1 already, the same cure would divide
# everything to 0, in silence. So look at the values first.
#
# ## The second trap: the split
#
# Neighbouring slices are nearly the same picture. A random split by slice puts one of them into
# training and the other into validation. Two public notebooks on these data differ in this: one
# splits by patient, the other by slice. We split by patient, and then we check.

# %%
named = json.loads(shipped("splits/lgg.json").read_text(encoding="utf-8"))["validation"]
held = [name for name in (*named, *slice_names("validation")) if name in patients]
rest = [name for name in patients if name not in (*held, *slice_names("test"))]
if not held or not rest:  # other patients than ours: a quarter of them
    rest, held = slices.split_by_patient([(n, n) for n in patients], share=0.25, seed=0)
    rest, held = [n for n, _ in rest], [n for n, _ in held]
held = held[:HELD]


def evenly(paths, most):
    """At most so many, from the first to the last."""
    return [paths[int(i)] for i in np.linspace(0, len(paths) - 1, min(most, len(paths)))]


each = -(-MOST // len(rest))
training = [path for name in rest for path in evenly(patients[name].images, each)]
validation = [path for name in held for path in patients[name].images]
slices.check_split(training, validation)
print(f"{len(training)} slices of {len(rest)} patients to train on, {len(validation)} of {held}")

everything = training + validation
by_slice = [[everything[i] for i in part] for part in RandomSplitter(seed=42)(everything)]
try:
    slices.check_split(*by_slice)
except GliomakitError as error:
    print("RandomSplitter:", error)

# %% [markdown]
# Of a validation patient we take *all* slices, for a volume has no gaps.
#
# ## A `DataBlock`
#
# A `DataBlock` says in five lines what a training needs: what goes in and what comes out
# (`blocks`), where the target is (`get_y`), who is held back (`splitter`), and two kinds of change:
# slice by slice (`item_tfms`), and on a whole batch (`batch_tfms`). If an image is turned, what
# must happen to its mask?

# %%
block = DataBlock(
    blocks=(ImageBlock, MaskBlock(codes=["background", "tumour"])),
    get_y=slices.mask_of,
    splitter=IndexSplitter(range(len(training), len(everything))),
    item_tfms=Resize(SIDE, method="squish"),
    batch_tfms=[
        IntToFloatTensor(div_mask=255),
        *aug_transforms(),  # mirrored, turned, zoomed, warped, brighter or darker
        Normalize.from_stats(*imagenet_stats),
    ],
)
set_seed(0, reproducible=True)
dls = block.dataloaders(everything, bs=BATCH, num_workers=0, path=RUNS)
image, mask = dls.one_batch()
print(tuple(image.shape), image.dtype, "|", tuple(mask.shape), mask.unique().tolist())
dls.show_batch(max_n=6, nrows=2, cmap="inferno", vmin=0, vmax=1)
plots.adopted("Six training slices with their masks laid over them, as fastai shows a batch")

# %% [markdown]
# +++ picture
# *In the picture: six slices as the network gets them, changed at random. The colours are the three
# channels; where FLAIR (green) is missing in a part, as in some phantoms, the brain looks purple.
# The mask is laid over, bright where it is 1. Masks were turned with their images: `MaskBlock` sees
# to that, without mixing 0 and 1 on the way.*

# %% [markdown]
# We gave `slices.mask_of` and not your function, although it does the same. A trained learner will
# be written to a file, and there its functions stand by *name*. Another program can import
# `gliomakit.slices.mask_of`; it cannot import what you defined in this notebook.
#
# ## Where to begin
#
# The paper's encoder is a ResNet34 that has seen ImageNet, a million photographs. Its weights have
# to be downloaded. If that fails here, the next best is an encoder that has seen phantom slices
# (the command `make encoder` trains one in some minutes). If there is none, we begin with random
# weights.
#
# `unet_learner` gives a `Learner`: data, network, loss and optimiser in one object.

# %%
start = best_start()
print(f"Start: {start.name}. {start.why}.")

learn = unet_learner(
    dls,
    resnet34,
    pretrained=start.name == "imagenet",
    normalize=False,  # it stands in the DataBlock already
    metrics=Dice(),
    wd=0.1,
    path=RUNS,
)
if start.name == "phantoms":
    load_encoder(learn.model)

parameters = sum(p.numel() for p in learn.model.parameters())
print(f"{parameters / 1e6:.1f} million parameters; loss: {learn.loss_func}")
for name, change in (("frozen", learn.freeze), ("unfrozen", learn.unfreeze)):
    change()
    free = sum(p.numel() for p in learn.model.parameters() if p.requires_grad)
    print(f"{name}: {free / 1e6:.1f} million of them may change")
held_still = start.name != "random"
if held_still:
    learn.freeze()

# %% [markdown]
# *Frozen* means that the encoder keeps its weights and only the way up learns. It makes sense only
# where the encoder knows something already. And it is not quite true: fastai goes on training the
# batch norms of a frozen encoder, since your images are not photographs.
#
# ## Open it
#
# Nobody wrote down a decoder for ResNet34. `DynamicUnet` makes one, in three moves:
#
# 1. It sends a *dummy input*, one image of noise, through the encoder and notes each layer's size.
# 2. Where the size is halved, it puts a *hook* on the layer before: a small function that keeps
#    what came out there. These are the skips.
# 3. From the bottom up it adds one block for each hook: enlarge, lay the kept features beside, two
#    convolutions. The channels come from what the dummy left.
#
# At the end the input image itself is laid beside, for the last fine lines. Now look: how many
# hooks do you expect for an encoder that goes down to 1/32 of the side?

# %%
layers = list(learn.model.layers)
print("encoder, 256²:", [tuple(s[1:]) for s in model_sizes(learn.model[0], size=(256, 256))])

with hook_outputs(layers) as hooks:
    dummy_eval(learn.model, (SIDE, SIDE))
    sizes = [tuple(hook.stored.shape[1:]) for hook in hooks]
rows = [
    (type(layer).__name__, size, sum(p.numel() for p in layer.parameters()))
    for layer, size in zip(layers, sizes)
]
skips = [tuple(hook.stored.shape[1:]) for hook in learn.model.sfs]
print("kept by hooks, from the bottom up:", skips)
pd.DataFrame(rows, columns=["part", "channels, rows, columns", "parameters"])

# %% [markdown]
# Four hooks: ResNet34 halves five times, and the first halving has only the image above it. The
# paper names sizes of 28 × 28 × 1024 and 56 × 56 × 512. Those are the original U-Net's of 2015,
# which had no padding and began with 572 pixels. With 256 pixels they do not occur here.
#
# ## The third trap: a fourth channel
#
# BraTS has four sequences. Suppose that you have images with four channels and say `n_in=4`, with a
# pretrained encoder that knows three. No error comes. What does fastai do with the fourth?

# %%
from fastai.vision.learner import _update_first_layer

encoder = new_encoder().eval()
_update_first_layer(encoder, n_in=4, pretrained=True)
four = torch.rand(1, 4, 64, 64)
other = four.clone()
other[:, 3] = 100 * torch.rand(64, 64)
with torch.no_grad():
    unseen = bool((encoder(four) == encoder(other)).all())
largest = float(encoder[0].weight[:, 3].detach().abs().max())
print("weights of the fourth channel, largest:", largest)
print("another fourth channel, the same features:", unseen)

RUNS.mkdir(parents=True, exist_ok=True)
Image.fromarray((four[0] * 255).byte().permute(1, 2, 0).numpy(), "RGBA").save(RUNS / "four.png")
print("PILImage opens four channels as", PILImage.create(RUNS / "four.png").mode)

# %% [markdown]
# Its weights are set to zero. Unfrozen, they may grow. *Frozen, they stay zero for ever*: the
# encoder never sees your fourth sequence. (The image that is laid beside at the end still has it.)
# And with images from files you do not even come so far: `PILImage` opens them as RGB and drops the
# fourth channel. fastai's own normalisation is left out too if the channels are not three. All
# this happens without a word.
#
# ## How fast to learn
#
# The *learning rate* says how far a step goes. `lr_find` tries many: it takes one step at a tiny
# rate, the next at a larger one, and so on. Then it puts the weights back. Whatever a learner does,
# it notes in `learn.recorder`. (`no_bar` and `no_logging` only keep its printing out of the page.)

# %%
set_seed(0, reproducible=True)
with learn.no_bar(), learn.no_logging():
    found = learn.lr_find(start_lr=1e-5, end_lr=1.0, num_it=14, show_plot=False)
tried, losses = np.array(learn.recorder.lrs), np.array(learn.recorder.losses)
print(f"{len(tried)} steps; fastai suggests {found.valley:.1e}")
plots.curves(
    {"lr_find": {"loss": (np.log10(tried), losses)}},
    across="logarithm of the rate",
    logarithmic=True,
)

# %% [markdown]
# +++ picture
# *In the picture: the smoothed loss of each try, by the logarithm of its rate (−3 is 0.001). One
# looks for the steepest way down, well before it turns up.*

# %% [markdown]
# Take a suggestion from so few steps with salt: with a hundred steps it becomes useful. The paper
# calls rates of 2e-3 to 6e-3 best, and trains at 5e-3.
#
# Is 5e-3 much? It depends on what the loss *adds up*. Cross-entropy can be the mean over all pixels
# of a batch, or their sum. The sum's gradient is larger by the number of pixels. How much further
# does one step go, with plain gradient descent and with Adam?

# %%
pixels = mask.numel()
rows = {}
for name, kind, more in [
    ("plain descent", torch.optim.SGD, {}),
    ("Adam, eps 1e-8", torch.optim.Adam, {"eps": 1e-8}),
    ("Adam, eps 1e-5", torch.optim.Adam, {"eps": 1e-5}),
]:
    for reduction in ("mean", "sum"):
        weight = torch.full((2,), 0.1, dtype=torch.float64, requires_grad=True)
        optimiser = kind([weight], lr=1e-3, **more)
        slope = torch.tensor([1e-6, 1e-3]) * (pixels if reduction == "sum" else 1)
        (weight * slope).sum().backward()
        optimiser.step()
        rows[name, reduction] = (0.1 - weight).abs().detach().tolist()
print(f"{pixels:,} pixels a batch")
pd.DataFrame(rows, index=["gradient 1e-6", "gradient 1e-3"]).T.map("{:.1e}".format)

# %% [markdown]
# With plain descent a sum needs a rate that is smaller by the number of pixels. Adam divides each
# gradient by its own size, so both go equally far, if its small constant `eps` is small *beside the
# gradient*. fastai's is 1e-5, PyTorch's 1e-8. Are a mean's gradients larger than 1e-5? Measure.

# %%
learn.model.train()
loss = learn.loss_func(learn.model(image), mask)
loss.backward()
free = [p for p in learn.model.parameters() if p.grad is not None]
gradients = torch.cat([p.grad.abs().flatten() for p in free])
learn.model.zero_grad()
below_eps = float((gradients < 1e-5).float().mean())
print(f"loss {loss.item():.3f}; {below_eps:.0%} of the gradients are smaller than 1e-5")

# %% [markdown]
# For these, fastai's Adam takes a smaller step than the rate says. The loss falls in training and
# gradients fall with it; with a sum they would not be small beside 1e-5. So a rate from somebody
# else's table is worth something only together with their loss, their reduction and their
# optimiser.
#
# ## Not all layers at one rate
#
# The first layers of a pretrained encoder see edges and spots, which every image has. They need
# little change. So let them learn slowly, and the new layers fast: *discriminative rates*. fastai
# splits the network into three groups. `slice(low, high)` gives the first group the low rate, the
# last the high one, and multiplies by the same factor on the way.
#
# **Exercise 2.** Write `rates(low, high, groups)`: the list of rates. A single group gets the
# higher one.


# %%
# +++ exercise 08.rates
def rates(low, high, groups):
    """One rate a group, from low to high, each by the same factor higher."""
    # +++ solution
    if groups == 1:
        return [high]
    factor = (high / low) ** (1 / (groups - 1))
    return [low * factor**i for i in range(groups)]
    # +++ end


check("08.rates", rates)

# %%
from gliomakit.course.worked_unet import rates as _rates

rates = use("08.rates", rates, _rates)
print("yours: ", [f"{rate:.1e}" for rate in rates(5e-5, 5e-3, 3)])
print("fastai:", [f"{rate:.1e}" for rate in even_mults(5e-5, 5e-3, 3)])
learn.create_opt()
for asked in (slice(5e-5, 5e-3), slice(2e-3), 5e-3):
    learn.opt.set_hyper("lr", asked)
    print(f"{asked!s:28}", [f"{group['lr']:.1e}" for group in learn.opt.hypers])

# %% [markdown]
# Look at `slice(2e-3)` with one number: all groups but the last get a *tenth*. The public notebook
# that is nearest to the paper trains its second part that way, and its log says `lr: 1e-2`. With a
# frozen encoder only the last group counts anyway.
#
# ## Train
#
# `fit_one_cycle` raises the rate from 1/25 of the given one, then lets it fall to almost nothing.
# The paper's first training is five epochs at 5e-3. At laptop size it is two at 2e-3. `NeptuneLog`
# writes down what really happened (lesson 10).

# %%
learn.freeze() if held_still else learn.unfreeze()
set_seed(0, reproducible=True)
if torch.cuda.is_available():
    learn.to_fp16()
words = {"start": start.name, "side": SIDE, "loss": "cross-entropy, mean over pixels"}
with start_run("first", RUNS / "runs", tags=["lesson 08"], **words) as run:
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(EPOCHS[0], RATE, cbs=NeptuneLog(run, figures=0))

names = learn.recorder.metric_names[1:-1]
pd.DataFrame(learn.recorder.values, columns=names).round(4)

# %% [markdown]
# The second training of the paper has 20 epochs. Here the encoder is let go first, at
# discriminative rates. (The notebook kept it frozen throughout. To do the same, leave out
# `unfreeze`. Random weights were free all along.)

# %%
learn.unfreeze()
with start_run("second", RUNS / "runs", tags=["lesson 08"], **words) as run:
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(EPOCHS[1], slice(2e-4, 2e-3), cbs=NeptuneLog(run, figures=0))

logged = series(run.folder, "metrics/train/loss")["value"]
print(f"training loss that fastai prints: {learn.recorder.values[-1][0]:.3f}")
print(f"logged: {logged.iloc[0]:.3f} to {logged.iloc[-1]:.3f}, mean {logged.mean():.3f}")

# %% [markdown]
# What fastai prints is no mean of an epoch. It is a moving average, in which each older batch
# counts 0.98 times as much. Now the paper's table: its training loss goes .03, 28.55, 3.41, 0.41,
# 0.06 in five epochs. How much would *one* bad moment fade in an epoch of 106 batches, if nothing
# else happened?

# %%
table = [28.55, 3.41, 0.41, 0.06]
print("fading alone:", round(0.98**106, 3))
print("the table:   ", [round(after / before, 3) for before, after in zip(table, table[1:])])

# %% [markdown]
# Nearly the same. The 106 batches are those of the public notebook; that the paper's run had as
# many is not proven. The fall looks like learning, and most of it may be forgetting.
#
# ## Look, then count in volumes

# %%
with learn.no_bar():
    learn.show_results(max_n=3, cmap="inferno", vmin=0, vmax=1)
plots.adopted("Three validation slices: on the left with the reference, on the right as predicted")

# %% [markdown]
# +++ picture
# *In the picture: three validation slices. On the left the reference is laid over, on the right
# what the network says. Are there slices without tumour among them? There a network that says
# nothing is right.*

# %% [markdown]
# Three slices prove nothing. Predict all, put each patient's slices back into one volume in the
# order of their *numbers* (in a listing, `_10` comes before `_2`), and score. Beside it stands the
# laziest answer: no tumour anywhere. Guess its Dice per slice before you look.

# %%
with learn.no_bar():
    probability, reference = learn.get_preds(dl=learn.dls.valid)
paths = list(learn.dls.valid.items)
predicted = slices.stack(paths, list(np.asarray(probability[:, 1]) > 0.5))
truth = slices.stack(paths, list(np.asarray(reference) > 0))
scores = {
    "network": slice_scores(predicted, truth),
    "nothing": slice_scores(predict_nothing(truth), truth),
}
COLUMNS = ("per_slice", "positive", "pooled", "per_volume", "accuracy")
called, true = (sum(int(v.sum()) for v in some.values()) for some in (predicted, truth))
print(f"{called} pixels are called tumour, {true} are. " + ("" if called else "It is empty."))
pd.DataFrame({n: {c: getattr(s, c) for c in COLUMNS} for n, s in scores.items()}).T.round(4)

# %%
name = max(truth, key=scores["network"].volumes.get)
areas = {
    who: {"pixels called tumour": (range(1, len(v[name]) + 1), v[name].sum((1, 2)))}
    for who, v in {"reference": truth, "network": predicted}.items()
}
print(f"{name}: Dice of the volume {scores['network'].volumes[name]:.3f}")
plots.curves(areas, across="number of the slice")

# %% [markdown]
# +++ picture
# *In the picture: the validation patient with the best Dice, from the lowest slice to the highest.
# How many pixels are tumour, by the reference and by the network. A network that is empty lies on
# the ground.*

# %% [markdown]
# `per_slice` is the mean over slices, where an empty slice with an empty answer counts as 1.
# `positive` is the same over slices with tumour. `pooled` takes all pixels as one mask: that is
# what fastai's `Dice` reports. `per_volume` is the mean over patients. Four numbers, all called
# Dice. (All of them are at the network's size of image here. A result to report is brought back to
# the full size first.)
#
# Only the first rewards saying nothing. It can even punish a network that looks: one that finds
# half of each tumour, and besides puts a few pixels into slices without any, may stand *below
# nothing* by slices, and far above it by volumes. Compare your two rows. (Yours will differ from
# your neighbour's: so little training ends differently on each machine.)
#
# And on the real slices?

# %%
facts = json.loads(shipped("lgg_slices.json").read_text(encoding="utf-8"))["patients"]
count = sum(facts[n]["slices"] for n in named)
without = count - sum(len(facts[n]["tumour"]) for n in named)
print(f"{len(named)} patients: {without} of {count} slices have no tumour, {without / count:.5f}")

# %% [markdown]
# A public notebook of March 2020, close to the paper, validated on these 15 patients (on GitHub:
# `Conformist101/BrainMRI_Scan_FastAI_segmentation`). Its second epoch has a Dice of 0.667969. That
# is this number to the last digit: after that epoch, at a rate of 5e-3, the network predicted
# *nothing at all*. The paper's own table has 0.76 there, and 0.81 in three of five epochs. If its
# patients are the same, 0.81 stands 0.14 above an empty network.
#
# ## A rate that is too high
#
# How does a network become empty? A step that is far too long throws the weights about. The loss
# shoots up. What comes down fastest afterwards is one answer for all pixels, and for cross-entropy
# that is "background" (lesson 05). Even that answer has a loss that looks small: give every pixel
# the share of tumour as its probability, and you have the loss of knowing nothing.
#
# These runs were made by `make slice-runs`, on the phantoms. "hot" begins like "random", at a
# hundred times the rate.

# %%
kept = saved("08_runs")
about, runs = kept["about"], kept["runs"]
print(f"`{about['command']}` on {about['machine']}, fastai {about['versions']['fastai']}")
print(f"{about['training']} training slices, {len(about['validation'])} validation patients")
print("predicting nothing:", about["nothing"])
share = 1 - about["nothing"]["accuracy"]
unknowing = float(-share * np.log(share) - (1 - share) * np.log(1 - share))
print(f"loss of knowing nothing: {unknowing:.3f}")

PLANNED = ["phantoms, frozen", "phantoms, unfrozen", "random", "hot", "20 epochs"]
PLANNED += ["imagenet, frozen", "imagenet, unfrozen"]
SHOWN = ("per_slice", "pooled", "per_volume", "found", "training_loss", "validation_loss")
rows = {}
for name in PLANNED:
    run = runs.get(name)
    last = [f"{run[column][-1]:.3g}" for column in SHOWN] if run else [""] * len(SHOWN)
    rows[name] = [run["rate"] if run else "not measured", *last]
pd.DataFrame(rows, index=["highest rates", *SHOWN]).T

# %%
TITLES = {"per_slice": "Dice per slice", "per_volume": "Dice per volume"}
TITLES |= {"validation_loss": "validation loss"}
short = {name: run for name, run in runs.items() if len(run["epoch"]) <= 5}
lines = {n: {TITLES[key]: (r["epoch"], r[key]) for key in TITLES} for n, r in short.items()}
ends = [1, max(max(run["epoch"]) for run in short.values())]
nothing = about["nothing"] | {"validation_loss": unknowing}
lines["nothing"] = {title: (ends, [nothing[key]] * 2) for key, title in TITLES.items()}
looks = {name: plots.look(i + 7 * (name == "nothing")) for i, name in enumerate(lines)}
plots.curves(lines, across="epoch", logarithmic=["validation loss"], looks=looks)

# %% [markdown]
# +++ picture
# *In the picture: the saved runs of five epochs. On the left Dice per slice, in the middle Dice per
# volume, on the right the validation loss, on a logarithmic axis. The dashed line is the laziest
# answer, and the loss of knowing nothing: on the left it stands high, in the middle on the ground,
# on the right low. In both panels of Dice "hot" lies under it all the way.*

# %% [markdown]
# Compare each run with "nothing" in *both* panels of Dice. "hot" is empty in every epoch, to the
# last digit. What had happened?

# %%
hot = runs["hot"]
print("training loss, smoothed, at the first steps:", hot["losses"][:4])
print("training loss by epoch:  ", [f"{loss:.1e}" for loss in hot["training_loss"]])
print("validation loss by epoch:", hot["validation_loss"])
weight = [0.98**n / (1 - 0.98**n) for n in (8, 40)]  # of an early step, after 8 and 40 steps
print(f"the bad step, fading: {weight[1] / weight[0]:.3f}")
print(f"training loss, last over first: {hot['training_loss'][-1] / hot['training_loss'][0]:.3f}")

# %% [markdown]
# One step did it, the first one, at a 25th of the highest rate. All that the printed training loss
# shows after it is how the moving average forgets. The validation loss is counted anew each time.
# It looks harmless, and is no better than that of knowing nothing.
#
# An empty answer alone does not prove that the rate was too high. "random", at 5e-3, is empty too
# from its second epoch on. Yet in the fourth its validation loss is well below that of knowing
# nothing: some pixels got a higher probability than others, none above a half. Was the rate too
# high, or were forty steps too few? One run cannot tell. Nor does the loss alone: "phantoms,
# unfrozen" ends near the loss of knowing nothing, and yet finds some tumour. So look at three
# things: single steps, the loss beside that of knowing nothing, and Dice per volume.
#
# The runs that began with an encoder from phantoms find tumour. With one run each they cannot rank
# starts, rates, or frozen against unfrozen. "20 epochs" has the lowest training loss, and a
# validation loss near that of knowing nothing: it seems to have learned its 64 slices by heart
# (lesson 06).
#
# **Try this.** Go back to the first training, give `fit_one_cycle` a rate of `0.5`, and run on.
# Which of the scores tell you that something went wrong, and which hide it?
#
# ## Weight decay, and what it is called
#
# The paper names its weight decay "L2 regularisation". With plain gradient descent they are the
# same. With Adam they are not:
#
# - *L2* adds decay × weight to the gradient. Adam then divides by the gradient's size, the decay
#   with it.
# - *Decoupled* decay (AdamW) leaves the gradient alone, and takes rate × decay × weight off the
#   weight itself.
#
# **Exercise 3.** Write `first_step(weight, gradient, rate, decay, decoupled)`: the weights after
# Adam's *first* step. There the step is simply rate × g / (|g| + 1e-8).


# %%
# +++ exercise 08.decay
def first_step(weight, gradient, rate, decay, decoupled):
    """Adam's first step from `weight`, with decoupled decay or with L2."""
    # +++ solution
    if not decoupled:
        gradient = gradient + decay * weight
    step = rate * gradient / (gradient.abs() + 1e-8)
    if decoupled:
        step = step + rate * decay * weight
    return weight - step
    # +++ end


check("08.decay", first_step)

# %%
from gliomakit.course.worked_unet import first_step as _first_step

first_step = use("08.decay", first_step, _first_step)
weight = torch.tensor([1.0, 1.0, 1.0])
gradient = torch.tensor([1.0, 0.01, 0.0])
for decoupled, kind in ((True, torch.optim.AdamW), (False, torch.optim.Adam)):
    parameter = weight.clone().requires_grad_()
    parameter.grad = gradient.clone()
    kind([parameter], lr=0.01, weight_decay=0.1).step()
    mine = first_step(weight, gradient, 0.01, 0.1, decoupled)
    print(f"{kind.__name__:6}", parameter.detach().numpy().round(4), "yours", mine.numpy().round(4))

# %% [markdown]
# Look at the third weight, whose gradient is 0. L2 moves it by a full step, whatever the decay is:
# ten times less decay would move it as far. Decoupled, it shrinks by a thousandth, as you asked.
# fastai's `Adam` is decoupled by default, so what ran in the paper was probably not L2.
#
# ## Half precision
#
# *Mixed precision* computes most of a step in numbers of 16 bits, and keeps the weights in 32. On a
# GPU that is faster and needs less memory. Small gradients would vanish in 16 bits, so the loss is
# multiplied by a large number before the way back, and the gradients are divided by it after. In
# fastai it is one word, `learn.to_fp16()`. The cell of the first training says it where there is a
# GPU.
#
# ## Keep it
#
# `export` writes the learner with its network and transforms, `load_learner` reads it. Both use
# *pickle*: such a file can run any program while it is loaded. So load only what you wrote
# yourself, as here a minute ago. To pass weights on, write a *state dict* as safetensors: numbers,
# and nothing that could run.

# %%
from safetensors.torch import load_file, save_file

learn.export("unet.pkl")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # fastai says the same about pickle
    again = load_learner(RUNS / "unet.pkl")
(RUNS / "unet.pkl").unlink()
tail = again.dls.test_dl(validation[:2], bs=2, num_workers=0)
with again.no_bar():
    second, _ = again.get_preds(dl=tail)
apart = float((second - probability[:2]).abs().max())
print(f"loaded: the largest difference in two slices is {apart:.0e}")

save_file(learn.model.state_dict(), RUNS / "unet.safetensors")
learn.model.load_state_dict(load_file(RUNS / "unet.safetensors"))
print(f"unet.safetensors: {(RUNS / 'unet.safetensors').stat().st_size / 1e6:.0f} MB")

# %%
live, nothing = scores["network"], scores["nothing"]
emptied = runs["hot"]
emit(
    f"{start.name} start: Dice per slice {live.per_slice:.3f} (nothing: {nothing.per_slice:.3f}), "
    f"per volume {live.per_volume:.3f} (nothing: {nothing.per_volume:.3f})",
    start=start.name,
    parameters=parameters,
    skips=len(skips),
    fourth_unseen=unseen,
    below_eps=below_eps,
    per_slice=live.per_slice,
    per_volume=live.per_volume,
    nothing_per_slice=nothing.per_slice,
    nothing_per_volume=nothing.per_volume,
    real_nothing=without / count,
    emptied_per_slice=emptied["per_slice"][-1],
    emptied_per_volume=emptied["per_volume"][-1],
    saved_runs=len(runs),
    reloaded=apart,
)

# %% [markdown]
# ## Quiz

# %% [markdown]
# +++ quiz 08.empty
# A table says: Dice 0.67, accuracy 99 %, loss small. Two thirds of the slices hold no tumour. What
# do you ask for first?
#
# - [ ] More epochs.
#   Perhaps later. First find out whether it finds anything at all.
# - [x] Dice per volume, or over the slices with tumour.
#   Right. Predicting nothing has all three of these figures, and a Dice per volume of 0.
# - [ ] Another seed.
#   An empty network with another seed is as empty.

# %% [markdown]
# +++ quiz 08.channel
# Four sequences, `n_in=4`, a pretrained and frozen encoder. The training runs, and the result
# hardly differs from three sequences. Why?
#
# - [ ] The fourth sequence holds nothing new.
#   That may be, but this training cannot tell.
# - [x] Its weights in the first layer are zero, and frozen.
#   Right. The encoder never saw it. Unfreeze, or begin the fourth with weights of its own.
# - [ ] fastai raises an error in that case.
#   It does not. That is what makes it a trap.

# %% [markdown]
# +++ quiz 08.sum
# You change a loss from the mean over pixels to their sum, and keep the rate. With plain gradient
# descent, what happens?
#
# - [ ] Nothing: the minimum is the same.
#   The minimum is, but the steps are not.
# - [x] Steps become as many times longer as there are pixels, and the training blows up.
#   Right. Adam hides this, as long as its eps is small beside the gradients.
# - [ ] Training becomes slower.
#   The other way about.

# %% [markdown]
# +++ quiz 08.pickle
# A colleague sends you `model.pkl`, exported by fastai. What is the safe thing to do?
#
# - [ ] Load it on a machine without a GPU.
#   A program that runs while it is loaded needs no GPU.
# - [ ] Look at its size, then load it.
#   The size says nothing about what it does.
# - [x] Ask for the state dict as safetensors, and build the network yourself.
#   Right. That file holds numbers only.

# %% [markdown]
# +++ remember
# ## What to remember
#
# - Look at a mask's values before a loss does. Split by patient, and check the split.
# - `DynamicUnet` sends a dummy through the encoder, hooks it where sizes change, and builds the way
#   up from what it found.
# - A fourth channel begins at zero, and frozen it stays there.
# - A rate belongs to a loss, a reduction and an optimiser. Early layers need less of it.
# - Weight decay is L2 only without Adam.
# - Know what predicting nothing scores. Score volumes, not slices alone.
# - A pickle is a program. Load only your own.

# %% [markdown]
# +++ next
# ## Where to go next
#
# Lesson 09 compares this network with a classical U-Net, fairly. Lesson 12 goes through the paper's
# claims one by one. Lessons that are not in this folder yet are still being written.
