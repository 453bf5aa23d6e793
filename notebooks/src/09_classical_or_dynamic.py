# %% [markdown]
# +++ title
# # Classical or Dynamic? A comparison at the same price
#
# ![Dice of each test patient for five networks that cost the same to train, on phantoms and on
# real slices, with the mean and its interval.](../images/09_classical_or_dynamic.png)
#
# "Our network is better than a U-Net." Hardly a paper leaves this sentence out. Better at which
# price, on which patients, and by more than luck? The fastai paper announces such a comparison,
# Dynamic against Classical U-Net, and gives no figure for it.
#
# You make the comparison here. You write the classical network by hand, count what each network
# costs, train them for the same amount of work, and test the difference patient by patient.

# %% [markdown]
# +++ objectives
# **After this lesson you can**
#
# - write the classical two-dimensional U-Net, and account for its size;
# - count the work of a training, and give two networks the same;
# - test a difference on paired patients, and say what three seeds add;
# - say what two, two and a half and three dimensions trade.

# %% [markdown]
# +++ prerequisites
# **You need** lesson 08, for the slices and the Dynamic U-Net. Lessons 04 and 07 help. Words of the
# field are in the [glossary](../glossary.md).

# %% [markdown]
# +++ minutes
# **Time**: 50 minutes to read and try. The cells compute for one to two minutes on two CPU cores
# (CPU: under 3 minutes; GPU: not measured yet).

# %% [markdown]
# ## Set up

# %%
# +++ setup

# %%
import json
import time

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from gliomakit import plots, slices
from gliomakit.course import choose_size, emit
from gliomakit.course.exercises import check, use
from gliomakit.course.saved import saved
from gliomakit.encoders import best_start, load_encoder
from gliomakit.metrics import bootstrap_interval
from gliomakit.paths import data_folder
from gliomakit.phantom.slices import embedded_slices, slice_names
from gliomakit.project import shipped
from gliomakit.slicefit import fit_stacks, predict_stack, read_stack, training_gmac
from gliomakit.slicewise import paired, predict_nothing, slice_scores
from gliomakit.unet import ClassicalUNet, UNet3d, count_parameters

# %%
SIZE = choose_size(hours=1.0)
PLANS = {"laptop": (64, 250), "gpu": (128, 30_000), "paper": (256, 500_000)}
SIDE, GMAC = PLANS[SIZE]  # pixels a side; billions of multiply-adds for each training
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

# %% [markdown]
# ## The classical one, by hand
#
# Ronneberger's U-Net of 2015 is the ancestor of all others in this course. Going down there are
# four levels. Each has two 3 × 3 convolutions with a ReLU behind each, and then a pooling that
# halves the sides. Channels double from level to level: 64, 128, 256, 512, and 1024 at the bottom.
# Going up, a transposed convolution doubles the sides and halves the channels, the features kept on
# the way down are laid beside, and two convolutions follow.
#
# So one block occurs nine times. **Exercise 1.** Write `double(entering, leaving)`. It returns a
# module: two 3 × 3 convolutions with a ReLU behind each, from `entering` to `leaving` channels. The
# sides stay as they are. (The original had no padding, and its image shrank from 572 to 388 pixels.
# Nearly everybody pads today.)


# %%
# +++ exercise 09.block
def double(entering, leaving):
    """Two padded 3 × 3 convolutions, each with a ReLU behind it."""
    # +++ solution
    return nn.Sequential(
        nn.Conv2d(entering, leaving, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(leaving, leaving, 3, padding=1),
        nn.ReLU(),
    )
    # +++ end


check("09.block", double)

# %%
from gliomakit.course.worked_networks import double as _double

double = use("09.block", double, _double)


class Classical(nn.Module):
    """Ronneberger's U-Net, padded: three channels to two classes."""

    def __init__(self, filters=64, dropout=0.5):
        super().__init__()
        a, b, c, d, bottom = (filters * 2**level for level in range(5))
        self.down = nn.ModuleList([double(3, a), double(a, b), double(b, c), double(c, d)])
        self.bottom = double(d, bottom)
        self.larger = nn.ModuleList(nn.ConvTranspose2d(2 * k, k, 2, stride=2) for k in (d, c, b, a))
        self.up = nn.ModuleList(double(2 * k, k) for k in (d, c, b, a))
        self.drop = nn.Dropout(dropout)
        self.last = nn.Conv2d(a, 2, 1)

    def forward(self, image):
        x, skips = image, []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        skips[-1] = self.drop(skips[-1])
        x = self.drop(self.bottom(F.max_pool2d(skips[-1], 2)))
        for larger, block in zip(self.larger, self.up):
            x = block(torch.cat([skips.pop(), larger(x)], dim=1))
        return self.last(x)


# %% [markdown]
# *Dropout* sets a share of the numbers to 0 while the network trains, others each time, and scales
# up the rest, so that their sum stays about the same. The network then cannot lean on a single
# number. It stands at the end of the way down and has no parameters.
#
# Does it fit together? Send an image through it, and compare the count with the package's network,
# which was built from a table of channels. What do you expect at the bottom for 256 pixels: how
# many rows, how many channels?

# %%
image = torch.zeros(1, 3, 256, 256)
network = Classical().eval()
with torch.no_grad():
    x = image
    for block in network.down:
        x = F.max_pool2d(block(x), 2)
    print("at the bottom:", tuple(network.bottom(x).shape[1:]))
    print("out:", tuple(network(image).shape[1:]))
mine = sum(p.numel() for p in network.parameters())
print(f"{mine:,} parameters; the package's has {count_parameters(ClassicalUNet()):,}")
for filters in (64, 32, 16):
    print(f"  {filters} channels at the top: {count_parameters(ClassicalUNet(3, 2, filters)):,}")

# %% [markdown]
# Half as many channels make a quarter of the parameters. The fastai paper gives sizes of
# 28 × 28 × 1024 and pools "3 times". Those 28 pixels belong to the unpadded original, and it pools
# four times. From 256 padded pixels you get what you see above.
#
# ## What does a network cost?
#
# "We trained both for 20 epochs" sounds fair. It is not, if one network works ten times as hard in
# each of them. A dear network should be better; the question is if it is better *for its price*.
# The price is not the parameters either. A weight at the top of the U is used at each of the
# 65,536 pixels, a weight at the bottom only at 256 of them.
#
# So count *multiply-adds*: one multiplication by a weight, and the addition of the product to a
# sum. All that is worth counting happens in convolutions.
#
# **Exercise 2.** Write `multiply_adds(kernel, entering, leaving, rows, columns)` for one
# convolution. `rows` and `columns` are those of its output. Leave the bias out.


# %%
# +++ exercise 09.macs
def multiply_adds(kernel, entering, leaving, rows, columns):
    """Multiply-adds of a 2-D convolution whose output has `rows` × `columns` pixels."""
    # +++ solution
    return kernel**2 * entering * leaving * rows * columns
    # +++ end


check("09.macs", multiply_adds)

# %%
from gliomakit.course.worked_networks import multiply_adds as _multiply_adds

multiply_adds = use("09.macs", multiply_adds, _multiply_adds)
top = multiply_adds(3, 64, 64, 256, 256)
bottom = multiply_adds(3, 1024, 1024, 16, 16)
print(f"second convolution at the top:    {top / 1e9:.2f} GMAC with {9 * 64**2:,} weights")
print(f"second convolution at the bottom: {bottom / 1e9:.2f} GMAC with {9 * 1024**2:,} weights")

# %% [markdown]
# The same work, with 256 times as many weights. That is the beauty of the U: each level costs about
# as much as the next.
#
# A training step goes forward and back, and the way back costs about twice the way forward. PyTorch
# counts both while they run (`FlopCounterMode`); `training_gmac` asks it. These are the networks
# that we compare. `best_start` looks which start the Dynamic U-Net can have here, as in lesson 08.

# %%
slices.import_torchvision()
from fastai.vision.learner import create_unet_model
from torchvision.models import resnet34

start = best_start()
print(f"Start: {start.name}. {start.why}.")


def dynamic():
    """fastai's U-Net on ResNet34, from the best start that there is."""
    network = create_unet_model(
        resnet34, n_out=2, img_size=(SIDE, SIDE), pretrained=start.name == "imagenet"
    )
    if start.name == "phantoms":
        load_encoder(network)
    return network


NETWORKS = {
    "Dynamic": dynamic,
    "Classical, 16 channels": lambda: ClassicalUNet(3, 2, 16),
    "3-D, 8 channels": lambda: UNet3d(3, 2, 8, norm="instance"),
}
ALL = NETWORKS | {"Classical, 64 channels": lambda: ClassicalUNet(3, 2, 64)}
DEPTH = 32  # slices that a 3-D network sees at once
rows = {}
for name, make in ALL.items():
    network, deep = make(), DEPTH if name.startswith("3-D") else 1
    shape = (1, 3, SIDE, SIDE) if deep == 1 else (1, 3, SIDE, SIDE, deep)
    cost = training_gmac(network, shape) / deep
    rows[name] = [f"{count_parameters(network):,}", f"{cost:.2f}", round(GMAC / cost)]
pd.DataFrame(rows, index=["parameters", "GMAC to train on a slice", f"slices for {GMAC} GMAC"]).T

# %% [markdown]
# Look at the last column. For the same work the narrow classical network sees about ten times as
# many slices as the Dynamic one. Which will be worth more: many slices, or a large network, partly
# trained already if a start was found? (We train the package's classical network. It has your
# convolutions, but no dropout: so short a training hardly overfits. It begins with weights drawn as
# Ronneberger asks: wide enough that a signal neither fades nor grows on its way through so many
# layers.)
#
# The three-dimensional network is the first paper's, made narrow. It gets the same slices, laid on
# each other, at most 32 at a time. A patient with fewer gets empty ones added; they cost work and
# count as seen.
#
# ## The rules
#
# A comparison is fair if everything but the network is the same. Here these are the same:
#
# - the patients, split by patient: those who train, those who are scored;
# - the slices at the same size, with the same kinds of random changes;
# - the loss (cross-entropy, mean over pixels), the optimiser, the schedule;
# - the work: so many multiply-adds, however many steps that makes;
# - the evaluator: Dice of each patient's whole volume, at 256 × 256 pixels, where the reference was
#   drawn.
#
# Some things cannot be the same. A step is four slices for a flat network, and one stack for a deep
# one. Each network normalises in its own way, or not at all. (With `GLIOMAKIT_DATA`, slices of
# 256 × 256 pixels are wanted.)

# %%
own = data_folder()
folder = own if own and (own / "kaggle_3m").is_dir() else embedded_slices()
patients = {patient.name: patient for patient in slices.find_patients(folder)}
named = json.loads(shipped("splits/lgg.json").read_text(encoding="utf-8"))["validation"]
held = [name for name in (*named, *slice_names("test")) if name in patients]
rest = [name for name in patients if name not in (*held, *slice_names("validation"))]
if not held or not rest:  # other patients than ours: a quarter of them
    parts = slices.split_by_patient([(n, n) for n in patients], share=0.25, seed=0)
    rest, held = ([n for n, _ in part] for part in parts)
slices.check_split(*([p for n in part for p in patients[n].images] for part in (rest, held)))

training = {name: read_stack(patients[name], SIDE) for name in rest}
scored = {name: read_stack(patients[name], SIDE) for name in held}
reference = {name: stack.reference for name, stack in scored.items()}
print(f"{len(training)} patients with {sum(map(len, training.values()))} slices to train on")
print(f"{len(scored)} patients with {sum(map(len, scored.values()))} slices to score")

# %% [markdown]
# ## One small race
#
# At laptop size the purse is small, and this is one seed. Guess before you run: who finds anything
# at all?

# %%
predicted, spent, curves = {}, {}, {}
for name, make in NETWORKS.items():
    torch.manual_seed(0)
    network = make().to(DEVICE)
    begun = time.perf_counter()
    done = fit_stacks(network, training, gmac=GMAC, seed=0, rate=1e-3)
    spent[name] = (done.steps, done.slices, f"{time.perf_counter() - begun:.0f}")
    found = {patient: predict_stack(network, stack) for patient, stack in scored.items()}
    predicted[name] = {patient: p > 0.5 for patient, p in found.items()}
    share = np.linspace(0, 100, len(done.losses))
    curves[name] = {"training loss": (share, done.losses)}
predicted["nothing"] = predict_nothing(reference)
KINDS = ("per_volume", "positive", "pooled", "per_slice")
scores = {name: slice_scores(found, reference) for name, found in predicted.items()}

rows = {
    name: [*spent.get(name, ("", "", "")), *(f"{getattr(s, kind):.3f}" for kind in KINDS)]
    for name, s in scores.items()
}
pd.DataFrame(rows, index=["steps", "slices seen", "seconds", *KINDS]).T

# %%
plots.curves(curves, across="share of the work, in %", logarithmic=["training loss"])

# %% [markdown]
# +++ picture
# *In the picture: the loss of each step, by how much of the work was done; the axis of the loss is
# logarithmic. A network that is dear takes few steps, and ends while others still go down.*

# %% [markdown]
# Compare each row with "nothing". At this price a network may be just at the point where it has
# learned that most of a head is not tumour. Do not conclude from one seed, one rate and a purse
# that is nearly empty. What can be learned from it is how much "the same epochs" would have hidden.
#
# **Try this.** Give `PLANS["laptop"]` four times the work and run from there on. Does the order
# change?
#
# ## The long race
#
# `make results` ran the long form: larger purses, a rate chosen for each network on validation
# phantoms, three seeds, and beside the phantoms 40 real patients of the LGG set. 25 of them train;
# the 15 that the public notebook names are scored. Real slices carry no spacing. So an HD95 in
# millimetres or a volume in millilitres is *not given*, whatever a program may print.

# %%
kept = saved("09_networks")
about = kept["about"]
minutes = sum(row["cpu_seconds"] for row in kept["rows"].values()) / 60
print(f"`{about['command']}`: {minutes:.0f} minutes of one core, on {about['machine']}")
print(f"slices of {about['side']} × {about['side']}; GMAC for each training: {about['gmac']}")
print("best rates of", about["rates"], "by network:", kept["best_rates"])
print("not measured:", ", ".join(about["not_measured"]) or "nothing")

TITLES = {"phantoms": "phantoms", "lgg": "real slices"}
RACE = about["networks"]  # others in the file had another amount of work


def by_patient(data, network):
    """Each patient's Dice, the mean over seeds; and each seed's mean over patients."""
    rows = [r for r in kept["rows"].values() if (r["data"], r["network"]) == (data, network)]
    means = {n: float(np.mean([r["volumes"][n] for r in rows])) for n in rows[0]["volumes"]}
    return means, [row["per_volume"] for row in rows]


measured = [(r["data"], r["network"]) for r in kept["rows"].values() if r["data"] in TITLES]
DICE = {pair: by_patient(*pair) for pair in dict.fromkeys(measured)}
rows = {}
for (data, network), (dice, seeds) in DICE.items():
    low, high = bootstrap_interval(list(dice.values()))
    rows[TITLES[data], network] = [
        f"{np.mean(seeds):.3f}",
        f"{low:.3f} to {high:.3f}",
        " ".join(f"{s:.3f}" for s in seeds),
        len(dice),
    ]
for data, found in kept["baselines"].items():
    for name, row in found.items():
        dice = f"{row['per_volume']:.3f}"
        rows[TITLES[data], f"({name})"] = [dice, "", "", len(row["volumes"])]
pd.DataFrame(rows, index=["Dice per volume", "95 % interval", "seeds", "patients"]).T

# %%
groups = {title: {} for title in TITLES.values()}
for (data, network), (dice, _) in DICE.items():
    if network in RACE:
        groups[TITLES[data]][network] = list(dice.values())
plots.compared({title: found for title, found in groups.items() if found})

# %% [markdown]
# +++ picture
# *In the picture: a pale point for each patient who was scored, the mean over three seeds. The
# diamond is the mean over patients, the bar its interval. On the left phantoms, on the right real
# patients.*

# %% [markdown]
# The interval is a bootstrap: draw as many patients as there are, with replacement, 2000 times. In
# 95 % of the draws the mean lies inside.
#
# Two things vary here, and a table must not mix them. Another *seed* gives another network: compare
# the numbers in the column "seeds". Other *patients* give another mean: that is the interval. Three
# seeds show how much luck is in a training. They do not make 15 patients into 45.
#
# The two small networks have the best means on both kinds of patients, the flat one before the
# deep one. They are cheap for a slice, so they saw the most slices; the wide ones ended after some
# dozens of steps. The race cannot tell whether the many slices or the small size did it. The start
# from phantoms is no clear help, and the work of its pretraining is not even in the price.
#
# Now look at the seeds of the deep network on real slices. Two of its three trainings gave the
# best networks of all. The third found nothing: it is empty. Had you trained once, you would have
# written "the best" or "useless", and known neither. (The empty one's loss began high and did not
# come far down. Was it the rate, the highest of those that were tried? Lesson 08 says what to look
# at.)
#
# Look at the methods in brackets as well. On phantoms a threshold of FLAIR, one number chosen on
# the training patients, stands beside the wide networks. On real slices it falls below all of
# them. So in this respect our phantoms are easier than patients. Copying the nearest slice, which
# a split by slice allows, has a higher mean than every network. It uses the patient's own other
# masks and is scored on a fifth of the slices: it is a warning and no competitor (lesson 12).
#
# Be careful with the rates. Where the best is an end of the three that were tried, a better one may
# lie outside. They were chosen on four phantoms, with one seed, for a smaller purse.
#
# One row is no member of the race: "fastai's recipe" is lesson 08's system with the paper's rate
# and five epochs, on fewer slices of each patient. Its work was not the same.
#
# ## Is one better than the other?
#
# Suppose that the intervals of two networks overlap. Are they equally good? That does not follow.
# Both were scored on the *same* patients, and some patients are hard for everybody. Take the
# difference within each patient, and this common part falls away.
#
# **Exercise 3.** Write `differences(first, second)`. Each argument is a dict from a patient's name
# to its Dice, and their orders may differ. Return a list: for each patient the first score less the
# second.


# %%
# +++ exercise 09.paired
def differences(first, second):
    """For each patient, by name, the first score less the second."""
    # +++ solution
    return [first[name] - second[name] for name in sorted(first)]
    # +++ end


check("09.paired", differences)

# %%
from gliomakit.course.worked_networks import differences as _differences

differences = use("09.paired", differences, _differences)
rows, best = {}, {}
for data, title in TITLES.items():
    found = {n: DICE[data, n][0] for n in RACE if (data, n) in DICE}
    if not found:
        continue
    best[data] = max(found, key=lambda network: np.mean(list(found[network].values())))
    for network, dice in found.items():
        if network != best[data]:
            apart = differences(dice, found[best[data]])
            test = paired(dice, found[best[data]])
            low, high = bootstrap_interval(apart)
            bounds, equal = f"{low:+.3f} to {high:+.3f}", sum(one == 0 for one in apart)
            better = f"{test.better} of {len(apart)}, {equal} equal"
            rows[title, network] = [f"{np.mean(apart):+.3f}", bounds, better, f"{test.p:.2g}"]
print("best mean:", {TITLES[data]: network for data, network in best.items()})
pd.DataFrame(rows, index=["difference", "95 % interval", "better in", "p"]).T

# %% [markdown]
# `p` is Wilcoxon's signed-rank test on these differences. If neither network were better, how often
# would chance alone make them as one-sided as these? Patients in whom both find nothing are equal,
# and the test leaves them out. Read p last. The interval says *how much*, and "better in" says *for
# how many patients*. With several comparisons against one winner, some small p is no surprise: the
# winner was chosen after the race.
#
# ## What it costs to use

# %%
names = {"parameters": "parameters", "rate": "rate", "slices": "slices seen", "steps": "steps"}
names |= {"memory_mb": "MB to train", "ms_a_slice": "ms a slice"}
rows = {}
data = "lgg" if any(where == "lgg" for where, _ in DICE) else "phantoms"
for row in kept["rows"].values():
    if row["data"] == data and row["seed"] == 0:
        rows[row["network"]] = [str(row.get(key, "")) for key in names]
pd.DataFrame(rows, index=list(names.values())).T

# %% [markdown]
# ## Two, two and a half, three dimensions
#
# The fastai paper argues for two dimensions: less memory, simpler networks, pretrained encoders.
# All three are true. What is lost is the *context* between slices. After contrast, a bright spot
# that goes on above and below may be a vessel; one that grows and ends is rather a tumour. Somebody
# who sees one slice cannot know.
#
# It can show in the result, as predictions that flicker from slice to slice. Count the empty slices
# between the first and the last in which something was found. Which network will have most?


# %%
def gaps(volume):
    """Empty slices between the first and the last that hold something."""
    full = np.flatnonzero(volume.any((1, 2)))
    return int(full[-1] - full[0] + 1 - len(full)) if len(full) else 0


for name, found in {"reference": reference, **predicted}.items():
    print(f"{name:24} gaps: {sum(gaps(volume) for volume in found.values())}")

patient = max(reference, key=lambda name: reference[name].sum())
areas = {
    who: {"pixels called tumour": (range(1, len(v[patient]) + 1), v[patient].sum((1, 2)))}
    for who, v in {"reference": reference, **predicted}.items()
    if who != "nothing"
}
plots.curves(areas, across="number of the slice")

# %% [markdown]
# +++ picture
# *In the picture: the patient with the largest tumour, from the lowest slice to the highest: how
# many pixels are tumour by the reference and by each network.*

# %% [markdown]
# A network that finds nothing has no gaps either: read them beside the Dice.
#
# *Two and a half dimensions* are a compromise: a flat network whose channels are a slice and its
# neighbours. What does that cost?

# %%
flat, thick = ClassicalUNet(3, 2, 64), ClassicalUNet(9, 2, 64)
more = count_parameters(thick) - count_parameters(flat)
print(f"{more:,} parameters more, of {count_parameters(flat):,}")
work = [training_gmac(net, (1, n, SIDE, SIDE)) for net, n in ((flat, 3), (thick, 9))]
print(f"{work[1] / work[0] - 1:.1%} more work")

# %% [markdown]
# Nearly nothing: only the first layer grows. (With a pretrained encoder you pay otherwise. Its
# first layer knows three channels, see lesson 08's third trap.) It sees one slice up and one down,
# and still says each slice by itself.
#
# Three dimensions have the whole context. With as many channels they need far more memory, for a
# whole block at once. They work best where the distance of slices is known and alike; ours is not.
# A patient is *one* example instead of some dozens of slices. And for them there is no ImageNet.
#
# What does the long race say? That at this price small networks that have seen many slices have
# better means than wide ones that have seen few. Between flat and deep it does not decide: on real
# slices the deep one is better, or empty, by the luck of a seed. What does it not say? Anything
# about a hundred times the work, about ImageNet's weights, or about 256 pixels a side. There the
# order may be another, and the fastai paper's claim stays what it was: possible, and not shown.

# %%
real = {network: dice for (where, network), (dice, _) in DICE.items() if where == "lgg"}
emit(
    "; ".join(f"{TITLES[d]}: best at the same cost {n}" for d, n in best.items()),
    parameters=mine,
    package_parameters=count_parameters(ClassicalUNet()),
    balance=bottom / top,
    more_parameters=more,
    live=[s.per_volume for s in scores.values()],  # in the order of the race, "nothing" last
    networks=len({network for _, network in DICE}),
    real_patients=len(next(iter(real.values()))) if real else 0,
    compared_on=list(best),
)

# %% [markdown]
# ## Quiz

# %% [markdown]
# +++ quiz 09.price
# Network A has ten times B's parameters, and for a slice half its multiply-adds. Both are trained
# for 20 epochs on the same slices. Which of them had more work spent on it?
#
# - [ ] A, it has more parameters.
#   Parameters are weights; what counts is how often each is used.
# - [x] B: work is multiply-adds, whatever the parameters are.
#   Right. A weight at the bottom of a U works at few pixels, one at the top at many.
# - [ ] Neither: the epochs are the same.
#   An epoch is a number of slices. What a slice costs differs.

# %% [markdown]
# +++ quiz 09.overlap
# Two networks, the same 15 patients. Their intervals overlap, and yet one is better in all 15. What
# do you write?
#
# - [ ] That there is no difference, as the intervals overlap.
#   The intervals hold what patients have in common: hard ones are hard for both.
# - [x] The mean difference within patients, with its interval, and 15 of 15.
#   Right. On the same patients the difference is taken patient by patient.
# - [ ] The better mean alone.
#   Without an interval nobody can tell it from luck.

# %% [markdown]
# +++ quiz 09.seeds
# You train each network with three seeds, and score 15 patients. How many patients stand behind the
# interval?
#
# - [ ] 45.
#   The same patient three times is still one patient.
# - [x] 15; the seeds show the luck of a training.
#   Right. Take each patient's mean over seeds, then the interval over patients.
# - [ ] 3.
#   Seeds are no patients. They vary another thing.

# %% [markdown]
# +++ quiz 09.spacing
# A program prints an HD95 of 4.2 mm for slices from TIFF files without spacing. What do you know?
#
# - [x] Nothing in millimetres: it assumed a size of pixel that nobody gave it.
#   Right. Without a spacing, millimetres are not given.
# - [ ] That the result is good.
#   Perhaps, or a bad one: it depends on how large a pixel is.
# - [ ] That it is right if the slices have 256 × 256 pixels.
#   How many pixels there are does not say how large one is.

# %% [markdown]
# +++ remember
# ## What to remember
#
# - Compare at the same price: multiply-adds of the whole training, not epochs, not parameters.
# - Everything but the network stays the same, as far as it can: patients, slices, loss, evaluator.
# - Same patients: differences within patients, an interval, how many are better. Then p.
# - Seeds and patients are two kinds of luck.
# - Flat networks see no neighbours. Deep ones see them, and pay in memory and examples.

# %% [markdown]
# +++ next
# ## Where to go next
#
# Lesson 12 reads both papers with these eyes. Lesson 10 shows where to keep so many runs. Lessons
# that are not in this folder yet are still being written.
