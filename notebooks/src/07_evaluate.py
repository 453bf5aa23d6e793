# %% [markdown]
# +++ title
# # Evaluate: report a result that stands
#
# ![Six views of a brain as a grey shadow with a tumour in it: a blue whole tumour, seen through to
# an orange core and yellow enhancing tumour. Above the reference, below a network's prediction,
# each from the front, from the right and from above. The predicted core has extra
# pieces.](../images/07_evaluate.png)
#
# The first paper of this course reports 95 %. Of what? Measured how, on whom, with what left out?
# Each such choice moves the number, and most of them move it up.
#
# A result *stands* if somebody else, with the same patients and the same files, would get it again,
# and if it still means what it seems to say. In this lesson you make one: from the trained network
# to a page of numbers that you need not defend, for everything is on it.

# %% [markdown]
# +++ objectives
# **After this lesson you can**
#
# - make a table of measures, patient by patient, and say what each is blind to;
# - state what an empty region counts, and show what another rule would do;
# - put an interval beside a mean, from patients and not from voxels;
# - say whether a probability means what it says, and where a network is unsure;
# - read "95 %" and ask the right questions.

# %% [markdown]
# +++ prerequisites
# **You need** lesson 00 and NumPy. Lesson 06 trained one of the two networks; you need not have run
# it. Words of the field are in the [glossary](../glossary.md).

# %% [markdown]
# +++ minutes
# **Time**: 60 minutes to read and try. The cells compute for about a minute on two CPU cores
# (CPU: under 2 minutes; GPU: not measured yet). If no lesson has made the patients yet, they are
# made first: one or two minutes more.

# %% [markdown]
# ## Set up

# %%
# +++ setup

# %%
import hashlib
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from gliomakit import __version__, find_cases, metrics, plots, segment, weights
from gliomakit.course import choose_size, emit
from gliomakit.course.exercises import check, use
from gliomakit.course.saved import saved_file
from gliomakit.errors import GliomakitError
from gliomakit.inference import postprocess
from gliomakit.model import load_model
from gliomakit.paths import data_folder
from gliomakit.phantom import embedded
from gliomakit.phantom.dataset import embedded_names
from gliomakit.preprocess import brain_mask
from gliomakit.regions import REGIONS, nest

SIZE = choose_size()

# %% [markdown]
# If `GLIOMAKIT_DATA` names a folder with real cases, up to eight of them that have a reference are
# scored. Otherwise it is the eight test phantoms.


# %%
def readable(found, most):
    """Up to `most` cases that have a reference; the others are named."""
    cases = []
    for files in found:
        try:
            case = files.read()
            if case.label is None:
                raise GliomakitError("it has no reference")
            cases.append(case)
        except GliomakitError as error:
            print(f"Left out: {files.name}: {error.what}.")
        if len(cases) == most:
            break
    return cases


phantoms = {files.name: files for files in find_cases(embedded())}
cases, own = [], False
if data_folder() is not None:
    try:
        cases = readable(find_cases(data_folder()), most=8)
        own = bool(cases)
    except GliomakitError as error:
        print(f"None of your cases is used: {error.what}.")
if not own:
    cases = readable([phantoms[name] for name in embedded_names("test")], most=8)
print(f"{len(cases)} {'cases of yours' if own else 'test phantoms'}: {cases[0].name} and others")

# %% [markdown]
# Two networks are scored together, and a report must say which did what. The **whole tumour** (WT)
# comes from the network that lesson 06 trained. The **tumour core** (TC) and the **enhancing
# tumour** (ET) come from the one that ships with the package. Both were trained on phantoms.

# %%
WEIGHTS = {"WT": saved_file("06_wt.safetensors"), "TC and ET": weights.SHIPPED}
wt_network, shipped = (load_model(path) for path in WEIGHTS.values())

# %% [markdown]
# ## Validation chooses, the test is used once
#
# A network gives probabilities. From which one on is a voxel tumour? And do you drop small pieces,
# those below a tenth of the largest? You have to choose, and each choice made on the test patients
# makes their score a little too good. So *validation* patients choose: four phantoms that no
# report counts (at laptop size three, to save time). The rule is written down first: the best mean
# Dice among ten choices, five thresholds with and without small pieces.
#
# The network sees the **whole volume**, in overlapping windows, and is scored on all of it. A score
# of patches would leave out what it makes of the rest of the head. At laptop size the windows
# overlap by a quarter only, and no mirror images are averaged. That may cost a little Dice, so the
# report says it.

# %%
HOW = {"mirror": False, "overlap": 0.25} if SIZE == "laptop" else {}  # {}: as the files say
CHOICES = [(t, share) for t in (0.3, 0.4, 0.5, 0.6, 0.7) for share in (0.0, 0.1)]


def whole_tumour(case):
    """The probability of whole tumour in each voxel."""
    return segment(case, wt_network, **HOW).probability[0]


def by_choice(probability, reference):
    """The Dice of each choice: a threshold, and how small a piece may be beside the largest."""
    scores = []
    for threshold, share in CHOICES:
        mask = np.stack([probability >= threshold] + 2 * [np.zeros(reference.shape, bool)])
        kept = postprocess(mask, voxel_ml=1.0, min_wt_share=share)[0]
        scores.append(metrics.dice(kept, reference))
    return scores


few = 3 if SIZE == "laptop" else 4
validation = readable([phantoms[name] for name in embedded_names("validation")], most=few)
curves = [by_choice(whole_tumour(case), case.regions()[0]) for case in validation]
CHOSEN = int(np.mean(curves, axis=0).argmax())
THRESHOLD, SHARE = CHOICES[CHOSEN]
print(
    f"{len(validation)} validation phantoms choose: threshold {THRESHOLD}, pieces below {SHARE} of "
    "the largest dropped"
)

# %% [markdown]
# Now the test, in one cell. What comes after may look at the result as long as it likes. It may not
# change a threshold, a network or a patient.

# %%
used = replace(wt_network.settings, threshold=THRESHOLD, min_wt_share=SHARE)
wt_network = replace(wt_network, settings=used)


def predict(case):
    """Probabilities and masks (3, x, y, z): WT of lesson 06's network, TC and ET of the shipped."""
    whole, inner = (segment(case, network, **HOW) for network in (wt_network, shipped))
    probability = np.stack([whole.probability[0], *inner.probability[1:]])
    return probability, np.stack([whole.regions[0], *inner.regions[1:]])


start = time.perf_counter()
reference = {case.name: case.regions() for case in cases}
probability, predicted = {}, {}
for case in cases:
    probability[case.name], predicted[case.name] = predict(case)
print(f"{len(cases)} cases segmented in {time.perf_counter() - start:.0f} s")

# %% [markdown]
# What would the other way have brought? Let the test choose for itself, only to see the
# difference, and forget it again. Guess its sign first.

# %%
by_test = np.mean([by_choice(probability[n][0], reference[n][0]) for n in reference], axis=0)
print(f"chosen by validation, {CHOICES[CHOSEN]}: mean Dice {by_test[CHOSEN]:.4f} on the test")
print(f"chosen by the test, {CHOICES[by_test.argmax()]}: {by_test.max():.4f}")

# %% [markdown]
# It cannot be worse, and it was not earned. With ten choices the gain is small, or none. With
# hundreds, each made by a look at the test, it is not.
#
# What does a threshold do to one patient? Here is a validation phantom, which may be looked at as
# often as you like. Move the threshold, and drop small pieces. Do Dice and HD95 like the same
# values?

# %%
from gliomakit.course.explorers import threshold_explorer

threshold_explorer(validation[0], predict(validation[0])[0])

# %% [markdown]
# Was the test really used once? Not in this course. Lessons 00 and 02 showed you some of these
# phantoms, lesson 06 printed this very network's Dice of all eight, and the shipped network's card
# says that its figures on them were seen before its thresholds were set. That is common, and mostly
# not said. Say it.
#
# ## One row a patient and region
#
# Each voxel is one of four: tumour in both masks (tp), in the prediction alone (fp), in the
# reference alone (fn), in neither (tn). From these:
#
# - **sensitivity** tp / (tp + fn): how much of the tumour was found. Blind to false alarms.
# - **PPV** tp / (tp + fp): how much of the prediction is right. Blind to what was missed.
# - **Dice** 2 tp / (2 tp + fp + fn): between the two, and always nearer to the lower one.
# - **Jaccard** tp / (tp + fp + fn): Dice again, on another scale: D / (2 − D).
# - **specificity** tn / (tn + fp): near 1 for everybody, because of all the air.
# - **HD95**, in mm: for each point of one surface, how far is the other? Of these distances the
#   95th percentile. It sees far false alarms, but not how much is wrong.

# %%
scores = {
    case.name: metrics.evaluate_case(predicted[case.name], reference[case.name], case.spacing)
    for case in cases
}
MEASURES = ["dice", "jaccard", "sensitivity", "ppv", "specificity", "hd95_mm", "lesion_dice"]
rows = {
    (name, region.upper()): found[region] for name, found in scores.items() for region in REGIONS
}
table = pd.DataFrame(rows).T[[*MEASURES, "volume_ml", "reference_ml"]].astype(float)
table.round(3)

# %% [markdown]
# Read a row before you read a mean. Is PPV far below sensitivity? Then the network finds too much.
# Is Dice good and HD95 bad? Then look for a piece far away. `lesion_dice` comes later.
#
# ## A mean, and what an empty mask counts
#
# How many numbers can a mean hide? A patient may have no enhancing tumour. Then Dice is 0 / 0, if
# the network finds none either. A tumour may be missed. There is no right answer, only a rule that
# is *stated*. Ours is the rule of BraTS: both empty is 1, one empty is 0, and nobody is left out.
#
# **Exercise 1.** Write `mean_dice(pairs)`. It gets a list of (prediction, reference), one pair of
# bool arrays a patient, and returns the mean over *patients* by this rule.


# %%
# +++ exercise 07.summary
def mean_dice(pairs):
    """The mean of the patients' Dice: both masks empty counts 1, one empty 0."""
    # +++ solution
    scores = []
    for predicted, reference in pairs:
        sizes = predicted.sum() + reference.sum()
        shared = (predicted & reference).sum()
        scores.append(2 * shared / sizes if sizes else 1.0)
    return sum(scores) / len(scores)
    # +++ end


check("07.summary", mean_dice)

# %%
from gliomakit.course.worked import mean_dice as _mean_dice

mean_dice = use("07.summary", mean_dice, _mean_dice)


def pairs(index):
    """(prediction, reference) of one region for each case."""
    return [(predicted[name][index], reference[name][index]) for name in predicted]


def pooled(pairs):
    """Dice of all voxels of all patients together."""
    total = [metrics.counts(p, r) for p, r in pairs]
    tp, fp, fn = (sum(getattr(c, key) for c in total) for key in ("tp", "fp", "fn"))
    return 2 * tp / (2 * tp + fp + fn)


means = {region: mean_dice(pairs(index)) for index, region in enumerate(REGIONS)}
for index, region in enumerate(REGIONS):
    print(
        f"{region.upper()}: mean of patients {means[region]:.3f}, pooled {pooled(pairs(index)):.3f}"
    )

# %% [markdown]
# The second number adds up the voxels of all patients first. Large tumours decide it: here that
# lowers WT and TC and lifts ET. (Lesson 06 had another mean for the same network and patients: no
# overlap, another threshold, no pieces dropped.) Both are called "Dice" in papers. Say which.
#
# ## How far could chance have moved it?
#
# With other patients of the same kind the mean would be another one. How different? The *bootstrap*
# asks the patients that you have: draw as many as there are, with replacement, so that some come
# twice and some not at all. Take the mean. Do that 2000 times. The middle 95 % of these means are
# the interval.
#
# **Exercise 2.** Write `bootstrap_interval(values, level, draws, seed)`. It returns the lower and
# the upper bound of the mean.


# %%
# +++ exercise 07.bootstrap
def bootstrap_interval(values, level=0.95, draws=2000, seed=0):
    """The bounds of the mean of `values`, one value a patient."""
    # +++ solution
    values = np.asarray(values, float)
    generator = np.random.default_rng(seed)
    chosen = generator.integers(len(values), size=(draws, len(values)))
    means = values[chosen].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
    # +++ end


check("07.bootstrap", bootstrap_interval)

# %% [markdown]
# Guess before you run: is the interval of eight patients ± 0.01 wide, or ± 0.1?

# %%
bootstrap_interval = use("07.bootstrap", bootstrap_interval, metrics.bootstrap_interval)

SHOWN = {"Dice": "dice", "lesion-wise Dice": "lesion_dice", "HD95, mm": "hd95_mm"}
values = {
    title: {r: [found[r][key] for found in scores.values()] for r in REGIONS}
    for title, key in SHOWN.items()
}
intervals = {
    title: {r: bootstrap_interval(v) for r, v in of.items()} for title, of in values.items()
}
for region, (low, high) in intervals["Dice"].items():
    print(f"{region.upper()} Dice {means[region]:.3f} (95 % interval {low:.3f} to {high:.3f})")

total = [metrics.counts(p, r) for p, r in pairs(0)]
voxels = sum(c.tp + c.fn for c in total)
share = sum(c.tp for c in total) / voxels
half = 1.96 * (share * (1 - share) / voxels) ** 0.5
print(f"sensitivity {share:.3f}, over {voxels:,} voxels as if each were a patient: ± {half:.4f}")
plots.box_plot(values, intervals)

# %% [markdown]
# +++ picture
# *In the picture: Dice, lesion-wise Dice and HD95 of the three regions. Each white point is a
# patient. The box holds the middle half, the diamond is the mean with its interval. Patients
# differ by more than the interval is wide.*

# %% [markdown]
# The last printed line is a mistake that looks like care. Voxels of one tumour are right or wrong
# together; you have not asked more *patients* by counting more voxels. Patients are what you draw.
# (And the guess? Look at the lines: WT's interval is narrow, ET's several times as wide.)
#
# The paper's Fig. 11 is a box plot of this kind, without points. Eight points are no box: show
# them. And below about ten patients such an interval is too narrow itself.
#
# ## Look at the best, the middle and the worst
#
# Papers show a good case. The reader needs three, chosen by a rule and not by taste: order the
# patients by their Dice, and take the first, the middle and the last.

# %%
ranked = sorted(cases, key=lambda case: -scores[case.name]["wt"]["dice"])
best, median, worst = ranked[0], ranked[len(ranked) // 2], ranked[-1]
plots.compare(worst, reference[worst.name], nest(predicted[worst.name]))

# %% [markdown]
# +++ picture
# *In the picture: the patient with the lowest Dice of the whole tumour, four sequences, then truth
# beside prediction on FLAIR (the paper's Fig. 10 shows such pairs), with edema in blue, core in
# orange, enhancing tumour in yellow.*


# %%
def draw_rank(rank):
    """Truth beside prediction of the patient of that rank, 1 is the best."""
    case = ranked[int(rank) - 1]
    shown = {
        f"{case.name}: reference": reference[case.name],
        f"prediction, WT Dice {scores[case.name]['wt']['dice']:.3f}": nest(predicted[case.name]),
    }
    return plots.variants(case, shown, sequence="flair" if "flair" in case.present else None)


draw_rank(len(ranked) // 2 + 1)

# %% [markdown]
# +++ picture
# *In the picture: the tumour of the patient in the middle of the ranking, reference on the left and
# prediction on the right.*

# %% [markdown]
# **Try this.** Move through all of them. Does size explain the order? (Not here: the worst is one
# of the largest. In general it does in part. The same thin line of wrong voxels is a smaller share
# of a large tumour, so Dice forgives it more, and a method can look better by having been tested on
# larger tumours.)

# %%
from gliomakit.course.widgets import slide

slide(draw_rank, "rank", low=1, high=len(ranked), step=1, start=1)

# %% [markdown]
# And in three planes: the cross goes where you want to know what was missed. The button *next case*
# steps from the best to the worst of the three.

# %%
from gliomakit.course.viewer import case_viewer

three = [best, median, worst]
case_viewer(three, [nest(predicted[case.name]) for case in three])

# %% [markdown]
# One slice is one slice. The paper's Fig. 9 turns a labelled volume in space. The surfaces below
# are made by *marching cubes*: a mesh of triangles between voxels in and out of the mask.

# %%
turned = {"reference": reference[median.name], "prediction": nest(predicted[median.name])}
plots.angles(turned, median.spacing, brain_mask(median.image))

# %% [markdown]
# +++ picture
# *In the picture: the middle patient's tumour in the shadow of the brain, from the front, from the
# right and from above; reference in the first row, prediction in the second. Blue is the whole
# tumour, seen through to the orange core and the yellow enhancing tumour.*

# %% [markdown]
# Such a picture convinces and measures nothing: you cannot see depth, or what lies behind. It is
# good for one thing. Are there pieces that do not belong? `view_3d(median)` from
# `gliomakit.course.view3d` turns under the mouse (`pip install 'gliomakit[view3d]'`).
#
# ## Lesion by lesion
#
# A patient has a large tumour and a small second one. The network misses the small one. Dice hardly
# moves, but for the patient it is the news. So BraTS since 2023 scores *lesions*: each connected
# piece of the reference gets its own Dice with the predicted pieces that touch it. A predicted
# piece that touches none counts 0. The mean is the **lesion-wise Dice**.
#
# **Exercise 3.** Write `lesion_dice(prediction, reference)` for two bool volumes.
# `ndimage.label(mask, np.ones((3, 3, 3)))` numbers the pieces, joined over corners too, and says
# how many there are. Use all voxels of a piece that touches, also
# those outside the lesion; it may touch two. Both masks empty
# is 1.


# %%
# +++ exercise 07.lesion
def lesion_dice(prediction, reference):
    """The mean Dice over the reference's lesions and the false alarms, which count 0."""
    # +++ solution
    lesions, n = ndimage.label(reference, np.ones((3, 3, 3)))
    pieces, n_pieces = ndimage.label(prediction, np.ones((3, 3, 3)))
    scores, used = [], set()
    for number in range(1, n + 1):
        lesion = lesions == number
        touching = set(pieces[lesion]) - {0}
        used |= touching
        scores.append(metrics.dice(np.isin(pieces, list(touching)), lesion))
    scores += [0.0] * (n_pieces - len(used))
    return float(np.mean(scores)) if scores else 1.0
    # +++ end


check("07.lesion", lesion_dice)

# %%
from gliomakit.course.worked import lesion_dice as _lesion_dice

lesion_dice = use("07.lesion", lesion_dice, _lesion_dice)

rows = {}
for case in cases:
    p, r = predicted[case.name][1], reference[case.name][1]
    found = metrics.lesions(p, r, case.spacing)
    rows[case.name] = {
        "Dice": metrics.dice(p, r),
        "yours": lesion_dice(p, r),
        "the package's": found.mean,
        "lesions": len(found.dice),
        "false alarms": found.spurious,
    }
pd.DataFrame(rows).T.round(3)

# %% [markdown]
# The table is of the tumour core. Yours and the package's may differ, though both are "lesion-wise
# Dice". The package does as BraTS does: it joins pieces that are a few millimetres apart, and
# leaves out reference lesions of 0.05 mL or less. These two constants are part of the number.
#
# The measure has a flaw of its own. Take a *perfect* prediction, the reference itself, and add one
# wrong voxel, far from all tumour. Guess both scores.

# %%
perfect = reference[best.name][0]
speck = perfect.copy()
speck[2, 2, 2] = True
one_voxel = metrics.lesion_dice(speck, perfect, best.spacing)
print(f"one voxel too much: Dice {metrics.dice(speck, perfect):.5f}, lesion-wise {one_voxel:.3f}")

# %% [markdown]
# A false alarm of one voxel weighs as much as the tumour. So small pieces are dropped before the
# score, and how small is one more constant: chosen by validation, as above, and said.
#
# ## What an empty mask does to HD95
#
# There is no distance to nothing. In MONAI, a common library, a missed tumour gets nan, and its
# mean leaves nan out. BraTS and this package take the diagonal of the volume instead. Does it
# matter? Let the network miss tumours: its worst first, then the next.

# %%
distances = np.sort([found["tc"]["hd95_mm"] for found in scores.values()])
diagonal = metrics.diagonal_mm(cases[0].image.shape[1:], cases[0].spacing)
missed = np.arange(max(1, len(distances) - 1))
dropped = [distances[: len(distances) - k].mean() for k in missed]
counted = [(distances[: len(distances) - k].sum() + k * diagonal) / len(distances) for k in missed]
for k in missed[:4]:
    print(f"{k} missed: mean HD95 {dropped[k]:5.1f} mm without them, {counted[k]:5.1f} mm with")
title = "mean HD95 in mm, by tumours missed"
rules = {"left out": dropped, "count the diagonal": counted}
lines = {rule: {title: (missed, mean)} for rule, mean in rules.items()}
plots.curves(lines, logarithmic=True, across="tumours missed")

# %% [markdown]
# +++ picture
# *In the picture: the mean HD95 of the tumour core while more and more tumours are missed, on a
# logarithmic axis. With missed tumours left out it falls, with the diagonal it rises.*

# %% [markdown]
# Left out, the network *improves* with each tumour that it fails to find. It would be best if it
# found the easiest alone. If you meet a good mean HD95, ask for n.
#
# The same with Dice, where the reference is empty. Patients without enhancing tumour decide their
# score by one voxel. All eight test phantoms have some, so two of the training group who have none
# are added; the shipped network has seen neither. (Of your own cases, those without any are taken.)

# %%
none = [case for case in cases if not reference[case.name][2].any()]
if not own:
    for name in embedded_names("training"):
        if len(none) < 2 and not (case := phantoms[name].read()).regions()[2].any():
            none.append(case)
others = [found["et"]["dice"] for name, found in scores.items() if reference[name][2].any()]
quiet = [not segment(case, shipped, **HOW).regions[2].any() for case in none]
counts = {"both empty 1, one empty 0": quiet, "both empty 0": [0] * len(none), "left out": []}
policy = {rule: float(np.mean([*others, *added])) for rule, added in counts.items()}
print(f"{len(none)} cases without ET; in {sum(quiet)} of them the network found none")
for rule, mean in policy.items():
    print(f"{rule:26} mean Dice of ET {mean:.3f}")

# %% [markdown]
# Three rules, three results, and not one voxel differs.
#
# ## Two HD95 for the same masks
#
# Where is a surface? MONAI and this package say: at the centres of the mask's outermost voxels,
# each counted once. The package *surface-distance* says: between voxels inside and outside, each
# piece weighted by its area. Here is the second in a few lines, with the area estimated.


# %%
def hd95_by_area(prediction, reference, spacing):
    """HD95 of surfaces that lie between the voxels, weighted by area (estimated)."""
    found = []
    halves = [
        ndimage.uniform_filter(np.pad(m, 1).astype(float), 2) for m in (prediction, reference)
    ]
    for one, other in (halves, halves[::-1]):
        on, there = ((m > 1e-6) & (m < 1 - 1e-6) for m in (one, other))
        distance = ndimage.distance_transform_edt(~there, sampling=spacing)[on]
        area = np.sqrt(sum(ndimage.sobel(one, axis)[on] ** 2 for axis in range(3)))
        order = distance.argsort()
        share = area[order].cumsum() / area.sum()
        found.append(distance[order][np.searchsorted(share, 0.95)])
    return float(max(found))


def boxed(*masks):
    """The masks, cut to the box that holds them all."""
    (box,) = ndimage.find_objects(np.any(masks, axis=0).astype(int))
    return [mask[box] for mask in masks]


both = {}
for case in cases:
    p, r = boxed(predicted[case.name][0], reference[case.name][0])
    if p.any() and r.any():
        centres, between = (f(p, r, case.spacing) for f in (metrics.hd95, hd95_by_area))
        both[case.name] = {"centres of voxels": centres, "between voxels, by area": between}
two_ways = pd.DataFrame(both).T
differ = int((two_ways.diff(axis=1).iloc[:, -1].abs() > 0.05).sum())
two_ways.loc["mean"] = two_ways.mean()
print(f"WT, HD95 in mm; {differ} of {len(both)} differ by more than 0.05 mm")
two_ways.round(2)

# %% [markdown]
# Neither is wrong. But between two papers with two programs, a difference of this size is none.
# Name the program and its version.
#
# ## Does a probability mean what it says?
#
# Of all voxels that are called tumour with 0.7, are 70 % tumour? Sort voxels by what was said, and
# count what is there: a *reliability diagram*. The mean distance from the diagonal is the *expected
# calibration error*, ECE. Which voxels are asked? Far from the tumour all is easy, and a million
# easy voxels make any network look honest. So take those within 10 mm of the whole tumour, as
# either mask has it.

# %%
near, inside = {}, {}
for case in cases:
    around = predicted[case.name][0] | reference[case.name][0]
    near[case.name] = ndimage.distance_transform_edt(~around, sampling=case.spacing) <= 10
    inside[case.name] = np.ones_like(around)


def reliability(index, where):
    """The table of one region, over the chosen voxels of all cases."""
    said = [probability[name][index][where[name]] for name in where]
    true = [reference[name][index][where[name]] for name in where]
    return metrics.calibration(np.concatenate(said), np.concatenate(true))


tables = {region: reliability(index, near) for index, region in enumerate(REGIONS)}
everywhere = reliability(0, inside)["ece"]
print(f"WT: ECE {tables['wt']['ece']:.4f} near the tumour, {everywhere:.4f} in the whole volume")
plots.reliability(tables)

# %% [markdown]
# +++ picture
# *In the picture: for each region, the share of voxels that are tumour against the probability that
# was given, and below how many voxels stand behind each point, on a logarithmic axis. On the dashed
# line a probability means what it says; below it the network promises too much.*

# %% [markdown]
# The ECE weighs each point by its voxels, and most stand in the first one. So ET has a small ECE
# and a curve that is badly bent: look at both. Below the line a network promises too much, as here
# for ET, and for TC where it is surest; above it too little, as for WT, which fits the low
# threshold that validation chose.
#
# The second paper says that its method "helps to overcome the uncertainty", and measures none. Here
# is one way. A probability near a half is a network that does not know. The *entropy* puts that
# into bits: 0 where it is sure, 1 at a half.


# %%
def entropy(p):
    """How unsure a probability is, in bits."""
    p = np.clip(p.astype(float), 1e-7, 1 - 1e-7)
    return -(p * np.log2(p) + (1 - p) * np.log2(1 - p))


wrong = {name: predicted[name][0] != reference[name][0] for name in predicted}
at_errors = np.concatenate([entropy(probability[name][0][wrong[name]]) for name in wrong])
elsewhere = np.concatenate([entropy(probability[n][0][near[n] & ~wrong[n]]) for n in wrong])
sure_and_wrong = float((at_errors < 0.3).mean())
print(f"mean entropy where wrong {at_errors.mean():.2f} bits, where right {elsewhere.mean():.2f}")
print(f"{sure_and_wrong:.0%} of all errors have less than 0.3 bits: wrong, and sure of it")
plots.uncertainty(
    worst, entropy(probability[worst.name][0]), predicted[worst.name][0], reference[worst.name][0]
)

# %% [markdown]
# +++ picture
# *In the picture: FLAIR of the worst patient, then the entropy of the whole tumour's probability as
# colours, then what was found (green), missed (yellow) and a false alarm (red-brown). The bright
# lines follow the border of the prediction.*

# %% [markdown]
# The map says: look at the border. A reader knew that. Its use is measured by the errors that it
# does *not* show, those where the network is sure. No map made of the network's own probability can
# show what the network does not know.
#
# ## What the background does to "95 %"
#
# The first paper trains two classes, tumour and background, and reports .95583 as the average Dice.
# The average of what? MathWorks' example, which it follows closely, takes the mean over both
# classes, and the paper's Fig. 11 speaks of "the classes". It is probable that background is in it.
#
# **Exercise 4.** Write `tumour_dice(mean, background)`: the mean of two Dice and the background's
# are given. What is the tumour's?


# %%
# +++ exercise 07.background
def tumour_dice(mean, background):
    """The tumour's Dice, from the mean of tumour's and background's and the background's."""
    # +++ solution
    return 2 * mean - background
    # +++ end


check("07.background", tumour_dice)

# %%
from gliomakit.course.worked import tumour_dice as _tumour_dice

tumour_dice = use("07.background", tumour_dice, _tumour_dice)

for given in (0.995, 0.997, 0.999):
    print(f".95583 with a background of {given}: tumour {tumour_dice(0.95583, given):.4f}")

behind = [metrics.dice(~p, ~r) for p, r in pairs(0)]
tumour = means["wt"]
with_background = (tumour + np.mean(behind)) / 2
nothing = np.mean([metrics.dice(np.ones_like(r), ~r) for _, r in pairs(0)]) / 2
print(f"ours: tumour {tumour:.3f}, background {np.mean(behind):.4f}, mean {with_background:.3f}")
print(f"a network that never finds anything: {nothing:.3f}")

# %% [markdown]
# Same masks, and a better number. The background's Dice depends on how much air you score: a wider
# crop lifts it. And who finds nothing at all gets nearly a half.
#
# ## The page that stands
#
# All that a stranger needs, on one page: who was scored and who chose, the files, the rules, n, the
# mean with its interval, and every patient's row in a file.

# %%
folder = Path("runs") / "lesson07"
folder.mkdir(parents=True, exist_ok=True)
table.to_csv(folder / "cases.csv", index_label=["case", "region"])

summary = metrics.summarise(list(scores.values()))
print(f"{len(cases)} {'own cases' if own else 'test phantoms'}, whole volumes")
print(f"windows: {HOW or 'as the files say'}")
for regions, path in WEIGHTS.items():
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    print(f"{regions}: {path.name}, sha256 {digest}")
print(f"WT threshold {THRESHOLD}, pieces from {SHARE} of the largest on,", end=" ")
print(f"chosen on {len(validation)} validation phantoms")
given = shipped.settings.threshold
print(f"TC and ET thresholds {given[1]:g}, {given[2]:g}, as the file says; gliomakit {__version__}")
print("both empty: Dice 1, HD95 0; one empty: Dice 0, HD95 the volume's diagonal;")
print("HD95 between centres of voxels; lesions joined and left out as BraTS does (lesion_dice)")
if not own:
    print("these phantoms were seen before: in lessons, and when the shipped thresholds were set")
for region, found in summary.items():
    low, high = intervals["Dice"][region]
    print(f"{region.upper()}: Dice {found['dice']:.3f} ({low:.3f} to {high:.3f}), ", end="")
    print(f"lesion-wise {found['lesion_dice']:.3f}, HD95 {found['hd95_mm']:.1f} mm, ", end="")
    print(
        f"n {found['n']}, missed {found['missed']}, found where there is none {found['spurious']}"
    )
print(f"per patient: {folder / 'cases.csv'}; best {best.name}, worst {worst.name}")

# %%
emit(
    f"WT Dice {means['wt']:.3f} ({intervals['Dice']['wt'][0]:.3f} to "
    f"{intervals['Dice']['wt'][1]:.3f}, n = {len(cases)}); with background {with_background:.3f}",
    n=len(cases),
    threshold=THRESHOLD,
    **{f"dice_{region}": mean for region, mean in means.items()},
    low_wt=intervals["Dice"]["wt"][0],
    high_wt=intervals["Dice"]["wt"][1],
    lesion_tc=summary["tc"]["lesion_dice"],
    one_voxel=one_voxel,
    hd95_none_missed=dropped[0],
    hd95_two_left_out=dropped[min(2, len(dropped) - 1)],
    hd95_two_counted=counted[min(2, len(counted) - 1)],
    et_left_out=policy["left out"],
    et_policy=policy["both empty 1, one empty 0"],
    two_definitions=differ,
    ece_near=tables["wt"]["ece"],
    ece_everywhere=everywhere,
    entropy_wrong=float(at_errors.mean()),
    entropy_right=float(elsewhere.mean()),
    sure_and_wrong=sure_and_wrong,
    with_background=with_background,
    paper_low=tumour_dice(0.95583, 0.999),
    paper_high=tumour_dice(0.95583, 0.995),
)

# %% [markdown]
# ## Quiz

# %% [markdown]
# +++ quiz 07.nan
# A new method has a mean HD95 of 5 mm on 100 patients, the old one 7 mm. What do you ask first?
#
# - [ ] Whether the difference is significant.
#   Later. First the two means must be over the same patients.
# - [x] How many tumours each missed, and what a miss counts.
#   Right. If misses are left out, the method that gives up on hard patients looks better.
# - [ ] Nothing: lower is better.
#   A network that finds only the easiest tumour has the lowest HD95 of all.

# %% [markdown]
# +++ quiz 07.interval
# Somebody reports Dice 0.91 ± 0.0004, from 8 patients with 2 million voxels. What happened?
#
# - [x] Voxels were taken for patients.
#   Right. Draw patients: voxels of one patient are right or wrong together.
# - [ ] Many voxels, so the result is precise.
#   Precise for these eight patients. It says nothing of the next one.
# - [ ] The network is very stable.
#   Stability over patients is just what this number does not contain.

# %% [markdown]
# +++ quiz 07.mean
# A paper's mean Dice over tumour and background is 0.95, and its background has 0.99. The tumour?
#
# - [ ] 0.95
#   That is the mean of the two.
# - [x] 0.91
#   Right: 2 · 0.95 − 0.99.
# - [ ] 0.97
#   That lies between them; a mean of two has one of them below it.

# %% [markdown]
# +++ quiz 07.once
# You see the test result, raise the threshold, and score the same patients again: better by 0.01.
# Which number do you report as the test result?
#
# - [ ] The second. It is the network that will be used.
#   It was chosen by these patients, so they no longer judge it.
# - [x] The first; and the second only with the words how it came about.
#   Right. To judge the new threshold you need patients that had no part in choosing it.
# - [ ] The mean of both.
#   A mean of a clean number and another is not clean.

# %% [markdown]
# +++ remember
# ## What to remember
#
# - Whole volumes, every patient a row, and the row in a file.
# - Validation chooses, the test is used once. If it was seen before, say so.
# - An empty mask needs a rule. State it, with n, missed and spurious.
# - The interval comes from patients. Show the points.
# - Each measure is blind to something. Give two that are blind to different things.
# - Best, middle and worst, by a rule. A picture of the best is advertising.
# - Tumour and background are never averaged.

# %% [markdown]
# +++ next
# ## Where to go next
#
# Lesson 08 trains another kind of network, on slices, and lesson 09 compares the two: with the
# rules of this lesson. Lessons that are not in this folder yet are still being written.
