# %% [markdown]
# +++ title
# # Preprocess: crop, normalise and split without fooling yourself
#
# ![Two panels of one axial slice with the air around the head. A blue box holds the brain, a dashed
# orange box holds the tumour. In the right panel, voxels are coloured: found, missed, and false
# alarms. Many false alarms lie outside the orange box.](../images/02_preprocess.png)
#
# Between the scanner's file and the network lie a few dull steps: cut away the air, bring the
# numbers to one scale, decide who is trained on and who is tested. Nobody reads a paper for them.
# Yet here a result can become wrong without any sign of it. No error is raised, and the score gets
# *better*.
#
# In this lesson you do each step by hand, and then you break it on purpose. You measure how much a
# broken step pays.

# %% [markdown]
# +++ objectives
# **After this lesson you can**
#
# - crop a volume to the brain, with a margin in millimetres;
# - normalise intensities over the brain alone, and say what that does not mend;
# - tell a score of the whole brain from a score inside the label's box;
# - judge what a bias field, a shift or a coarser grid does to the data;
# - split patients, not slices.

# %% [markdown]
# +++ prerequisites
# **You need** lesson 00 (the four sequences, the three regions, Dice) and NumPy: masks, slices,
# mean and standard deviation. Words of the field are in the [glossary](../glossary.md).

# %% [markdown]
# +++ minutes
# **Time**: 45 minutes to read and try. The cells compute for about 40 seconds on two CPU cores
# (CPU: 0.7 minutes; GPU: not measured yet). When they run for the first time on a machine, the
# phantoms are made first: two or three minutes more.

# %% [markdown]
# ## Set up

# %%
# +++ setup

# %%
import shutil
import time
from pathlib import Path

import numpy as np

from gliomakit import find_cases, metrics, plots, preprocess, segment, slices, weights
from gliomakit.course import choose_size, emit
from gliomakit.course.exercises import check, use
from gliomakit.errors import GliomakitError
from gliomakit.paths import data_folder
from gliomakit.phantom import embedded, make_case
from gliomakit.phantom.dataset import embedded_names
from gliomakit.preprocess import brain_mask, cached, prepare, restore, to_regions_array
from gliomakit.regions import SEQUENCES

SIZE = choose_size()

# %% [markdown]
# If `GLIOMAKIT_DATA` names a folder with real cases, the lesson works on up to four of them: those
# that have FLAIR and a reference. Otherwise it takes the eight test phantoms.


# %%
def readable(found, most):
    """Up to `most` cases that can be scored; the others are named."""
    cases = []
    for files in found:
        try:
            case = files.read()
            if case.label is None or "flair" not in case.present or not case.regions()[0].any():
                raise GliomakitError("it has no FLAIR, or no reference with a tumour")
            cases.append(case)
        except GliomakitError as error:
            print(f"Left out: {files.name}: {error.what}.")
        if len(cases) == most:
            break
    return cases


folder, cases = data_folder(), []
if folder is not None:
    try:
        cases = readable(find_cases(folder), most=4)
    except GliomakitError as error:
        print(f"None of your cases is used: {error.what}.")
own = bool(cases)

phantoms = {files.name: files for files in find_cases(embedded())}
if not own:
    cases = readable([phantoms[name] for name in embedded_names("test")], most=8)
print(f"{len(cases)} {'cases of yours' if own else 'phantoms'}: {cases[0].name} and others")

# %% [markdown]
# ## Cut away the air
#
# An exam is stored in a box that is larger than the head. These exams are *skull-stripped*: what is
# not brain was set to 0. A network would spend its time on it.
#
# Where does the brain begin? In such data: where a voxel differs from the background.
# `brain_mask` takes the largest connected piece of these, with its holes filled. The box around it
# gets a *margin*, because a mask may have lost some cortex. Say the margin in millimetres. "Five
# voxels" are 5 mm in one exam and 30 mm in another.
#
# **Exercise 1.** Write `crop_box(mask, spacing, margin)`. It returns three slices, so that
# `volume[box]` is the smallest box that holds the mask and at least `margin` mm around it. Round up
# to whole voxels. The box must end where the volume ends.


# %%
# +++ exercise 02.box
def crop_box(mask, spacing, margin=0.0):
    """Three slices: the mask's box, and at least `margin` mm around it within the volume."""
    # +++ solution
    box = []
    for axis in range(3):
        at = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        more = int(np.ceil(margin / spacing[axis]))
        low, high = at[0] - more, at[-1] + 1 + more
        box.append(slice(max(low, 0), min(high, mask.shape[axis])))
    return tuple(box)
    # +++ end


check("02.box", crop_box)

# %% [markdown]
# Now crop a large exam, one with voxels of 1 mm. Guess first: what share of the stored box is left?

# %%
from gliomakit.course.worked import crop_box as _crop_box

crop_box = use("02.box", crop_box, _crop_box)

large = cases[0]
if not own:
    fine = {files.name: files for files in find_cases(embedded(fine=True))}
    large = fine[embedded_names("fine")[1]].read()

brain = brain_mask(large.image)
whole_tumour = large.regions()[0]
brain_box = crop_box(brain, large.spacing, margin=5.0)
label_box = crop_box(whole_tumour, large.spacing, margin=5.0)
for name, box in {"brain": brain_box, "label": label_box}.items():
    sides = [f"{n * mm:.0f}" for n, mm in zip(brain[box].shape, large.spacing)]
    print(f"{name}: {' × '.join(sides)} mm, {brain[box].size / brain.size:.1%} of the stored box")

left = brain[brain_box].size / brain.size
plots.boxes(large, {"brain": brain_box, "label": label_box})

# %% [markdown]
# +++ picture
# *In the picture: a whole slice with its air. The blue box was found from the image alone. The
# dashed orange box was found from the reference.*

# %% [markdown]
# The orange box looks tempting. It is far smaller, and all that matters lies in it. But to draw it
# you need the reference, and a new patient has none. Keep that in mind; we come back to it.
#
# ## One scale for all
#
# MR intensities have no unit. The same tissue may be 80 on one scanner and 900 on the next. A
# network that sees both as they are learns scanners. So each sequence of each patient is brought
# to mean 0 and standard deviation 1: its *z-score*. The question is, over which voxels?
#
# **Exercise 2.** Write `z_score(volume, brain)`. Mean and standard deviation come from the voxels
# of the brain alone. Outside the brain the result is 0. The volume may hold whole numbers.


# %%
# +++ exercise 02.zscore
def z_score(volume, brain):
    """`volume` with mean 0 and standard deviation 1 in the brain, and 0 outside."""
    # +++ solution
    values = volume[brain].astype(float)
    scaled = (volume - values.mean()) / values.std()
    return np.where(brain, scaled, 0.0)
    # +++ end


check("02.zscore", z_score)

# %%
z_score = use("02.zscore", z_score, preprocess.z_score)

stored, with_air, brain_only = {}, {}, {}
for case in cases:
    flair, inside = case.sequence("flair"), brain_mask(case.image)
    stored[case.name] = flair[inside]
    with_air[case.name] = z_score(flair, np.ones_like(inside))[inside]
    brain_only[case.name] = z_score(flair, inside)[inside]
    print(
        f"{case.name}: mean of the brain {stored[case.name].mean():6.0f} as stored, "
        f"{with_air[case.name].mean():.2f} z-scored with air"
    )
plots.histograms(
    {"as stored": stored, "z-score with the air": with_air, "z-score of the brain": brain_only}
)

# %% [markdown]
# +++ picture
# *In the picture: how often each FLAIR intensity occurs in the brain, one line a patient. As
# stored, the curves have nothing in common. With the air they share a scale, though not a place.
# Over the brain alone their means are at 0.*

# %% [markdown]
# In the middle panel most voxels that decide about the scale are air. So a patient's numbers depend
# on how large a box somebody stored. Test it: put the same head into a larger box.

# %%
case = cases[0]
flair, inside = case.sequence("flair"), brain_mask(case.image)
tumour = case.regions()[0]
for air in (0, 10, 20):
    wide, mask, where = (np.pad(array, air) for array in (flair, inside, tumour))
    by_all = z_score(wide, np.ones_like(mask))[where].mean()
    by_brain = z_score(wide, mask)[where].mean()
    print(f"{air:2} voxels more air: tumour at {by_all:.2f} with air, {by_brain:.2f} without")

# %% [markdown]
# Nothing in the head has changed, yet the tumour "shines" more and more. Over the brain alone it
# stays where it was.
#
# Z-scores do not make tissues equal. A large bright tumour raises the mean and the spread, and so
# its own z-score falls. Nor do they survive a very bright vessel or an artefact: a few voxels
# stretch the scale. That is why `prepare` first clips at percentiles 0.5 and 99.5 of the brain.
#
# ## Prepare once, keep it
#
# `prepare` does all this: brain, box, clipping, resampling if you ask, z-score. `cached` does the
# same from files and keeps the result on disk. The danger of every cache is an old result under a
# new setting. Here the key of an entry is made of the files' bytes *and* of all settings.

# %%
CACHE = Path("runs") / "lesson02"
shutil.rmtree(CACHE, ignore_errors=True)

files = phantoms[embedded_names("test")[1]]
for clip in ((0.5, 99.5), (0.5, 99.5), None):
    start = time.perf_counter()
    prepared = cached(files, CACHE, clip=clip)
    entries = len(list(CACHE.glob("*/manifest.json")))
    seconds = time.perf_counter() - start
    top = prepared.image[0].max()
    print(f"clip {clip}: {seconds:.3f} s, {entries} entries, FLAIR up to {top:.1f}")

# %% [markdown]
# The second call read what the first had kept. The third asked for no clipping, and got an entry of
# its own: there the brightest voxels lie further out.
#
# ## The label's box
#
# Now to the tempting box. Take the simplest method that there is: a voxel is tumour if its FLAIR
# z-score is above a threshold. Choose the threshold on four validation phantoms. Then score the
# *same* predictions in two ways: over the whole volume, and inside the box of the reference.
#
# Guess before you run: can the score in the box be lower than the other? Write down why.


# %%
def flair_and_tumour(case):
    """FLAIR as the network would see it, and the whole tumour, at 2 mm."""
    prepared = prepare(case, spacing=2.0)
    return prepared.image[0], to_regions_array(prepared.regions)[0]


def two_scores(predicted, tumour, margin=0.0):
    """Dice over the whole volume, and inside the box of the reference; voxels of 2 mm."""
    box = crop_box(tumour, (2.0, 2.0, 2.0), margin)
    return metrics.dice(predicted, tumour), metrics.dice(predicted[box], tumour[box])


validation = readable([phantoms[name] for name in embedded_names("validation")], most=4)
choosing = [flair_and_tumour(case) for case in validation]
testing = [flair_and_tumour(case) for case in cases]

thresholds = np.arange(0.0, 3.01, 0.125)
scores = np.array(
    [[two_scores(flair > t, tumour) for t in thresholds] for flair, tumour in choosing]
).mean(axis=0)
plots.curves(
    {
        "scored everywhere": {"mean Dice by threshold": (thresholds, scores[:, 0])},
        "scored in the label's box": {"mean Dice by threshold": (thresholds, scores[:, 1])},
    },
    across="threshold of the z-score",
)

# %% [markdown]
# +++ picture
# *In the picture: the mean Dice of the validation phantoms for thresholds from 0 to 3, scored in
# two ways. The curve of the label's box lies above the other, most of all at low thresholds.*

# %%
best_everywhere, best_in_box = (float(thresholds[scores[:, k].argmax()]) for k in (0, 1))
found = np.array([two_scores(flair > best_in_box, tumour) for flair, tumour in testing])
everywhere, in_box = found.mean(axis=0)
honest = np.mean([two_scores(flair > best_everywhere, tumour)[0] for flair, tumour in testing])

print(f"best threshold: {best_everywhere:g} scored everywhere, {best_in_box:g} in the box")
print(f"{len(cases)} test cases at {best_in_box:g}: Dice {in_box:.3f} in the box,")
print(f"    {everywhere:.3f} everywhere; gain of looking away {in_box - everywhere:+.3f}")
print(f"the same cases at {best_everywhere:g}: Dice {honest:.3f} everywhere")

# %% [markdown]
# Not one prediction was changed. Inside the box every tumour voxel is still there, found or missed.
# Only false alarms can lie outside, and they are what the box forgives. So the Dice in the box is
# never lower. The size of the gain depends on the method: on how many false alarms it has far from
# the tumour.
#
# The mean hides who gains. Small tumours do: their box is small, and most of the head lies outside.
#
# There is a second damage. Whoever *chooses* by the score in the box chooses another threshold: a
# lower one, for false alarms cost little there. A new patient has no box, and they all come back.
# That is the difference between the second and the last line above.
#
# Is the choice always worse? No. On a few patients a threshold that was chosen by the wrong score
# may even do better, by luck. But it was chosen for another task, and you learn that too late.

# %%
SHOWN = 2  # which case: a small tumour; 1 is a large one

case = cases[SHOWN % len(cases)]
prepared = prepare(case, spacing=2.0)
reference = case.regions()[0]
case_boxes = {
    "brain": crop_box(brain_mask(case.image), case.spacing, 5.0),
    "label": crop_box(reference, case.spacing),
}


def show(threshold):
    """The prediction of one threshold, brought back to the case's own grid."""
    predicted = restore(prepared.image[0] > threshold, prepared.frame)
    return plots.boxes(case, case_boxes, reference, predicted)


show(best_in_box)

# %% [markdown]
# +++ picture
# *In the picture: one slice with the box of the brain and the dashed box of the label. On the
# right, what was found (green), missed (yellow) and falsely predicted (red-brown). A score inside
# the dashed box sees none of the false alarms outside it.*

# %% [markdown]
# **Try this.** Move the threshold. Where are the false alarms, inside the dashed box or outside?
# Which normal parts of the brain are taken for tumour first?

# %%
from gliomakit.course.widgets import slide

slide(show, "threshold", low=0.0, high=3.0, step=0.25, start=best_in_box)

# %% [markdown]
# And a good network? Run the shipped one on two cases and score it in both ways.

# %%
model, gaps = weights.load(), []
for case in cases[1:3] or cases:
    tumour, predicted = case.regions()[0], segment(case, model).regions[0]
    box = crop_box(tumour, case.spacing)
    full, boxed = metrics.dice(predicted, tumour), metrics.dice(predicted[box], tumour[box])
    gaps.append(boxed - full)
    print(f"{case.name}: Dice {full:.4f} everywhere, {boxed:.4f} in the box, gain {gaps[-1]:+.4f}")

# %%
emit(
    f"scoring in the label's box adds {in_box - everywhere:.2f} Dice to a threshold, "
    f"{np.mean(gaps):.4f} to the network",
    left=left,
    dice_everywhere=everywhere,
    dice_in_box=in_box,
    dice_honest=honest,
    threshold_everywhere=best_everywhere,
    threshold_in_box=best_in_box,
    gap_network=float(np.mean(gaps)),
)

# %% [markdown]
# A method with few false alarms far away gains little: the box helps those who have most to hide.
# The first paper of this course crops "to a region primarily containing the brain and tumor". Its
# text does not say how that region is found for a patient of the test set, so nobody can tell how
# much of its mean Dice of .956 this explains, if any. If you write such a sentence, say: *from the
# image alone*.
#
# ## The bias field
#
# Coils hear what is near them better. So a *bias field* lies over the image: white matter on one
# side is brighter than on the other. The usual correction is **N4**. It looks for a smooth field
# that makes the histogram sharper. How right is it? On a patient nobody knows. A phantom knows its
# true field.
#
# N4 is in SimpleITK, which you may not have. The image is shrunk first: a smooth field needs few
# voxels.

# %%
BIASED, SEQUENCE = 26, SEQUENCES.index("t1")  # BIASED is the seed of a phantom

phantom = make_case(seed=BIASED, spacing=2.0)
inside = brain_mask(phantom.image)
true = phantom.bias[SEQUENCE] / phantom.bias[SEQUENCE][inside].mean()


def estimate_bias(volume, inside, shrink=3):
    """N4's field, with mean 1 in the brain; None where SimpleITK is not installed."""
    try:
        import SimpleITK as sitk
    except ImportError:
        print("SimpleITK is not installed, so N4 is left out: pip install SimpleITK")
        return None
    image = sitk.GetImageFromArray(volume)
    mask = sitk.GetImageFromArray(inside.astype(np.uint8))
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([20, 20, 20])
    n4.Execute(sitk.Shrink(image, [shrink] * 3), sitk.Shrink(mask, [shrink] * 3))
    field = np.exp(sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image)))
    return field / field[inside].mean()


# %%
start = time.perf_counter()
estimated = estimate_bias(phantom.image[SEQUENCE], inside)
shown, before = {"true": true}, true[inside].std()
print(f"the true field varies by {before:.1%} (standard deviation in the brain)")
if estimated is not None:
    left_over = true / estimated
    after = left_over[inside].std()
    print(f"after N4 {after:.1%} are left, in {time.perf_counter() - start:.1f} s")
    shown |= {"N4's estimate": estimated, "what is left": left_over}
    emit(bias_before=before, bias_after=after)
plots.fields(phantom, "t1", shown, inside)

# %% [markdown]
# +++ picture
# *In the picture: T1, then the factor by which it was multiplied, N4's estimate of it, and true
# over estimated, each in percent above or below 1. Blue is darker, yellow is brighter. If N4 were
# perfect, the last panel would be grey all over.*

# %% [markdown]
# **Try this.** Set `BIASED = 25` and run both cells again. Its field is faint. How much is left
# after N4? (More than was there before. N4 cannot tell a field from anatomy that is smooth, and
# where the field is faint, its error is larger than its gain. So look at images before you correct
# all of them by habit. The shipped network takes them without N4.)
#
# ## What registration is for
#
# The four sequences are taken one after another. The patient moves in between, and their grids
# differ. A network stacks the four: it believes that voxel (80, 90, 60) is one place in all.
# *Registration* makes that true. It moves one image until both agree best.
#
# What is "agree" between T1 and T2, where bright in one is dark in the other? Not equality. One
# asks how well the one lets you *predict* the other: *mutual information*. Shift one image on
# purpose, and look where the measure has its top.


# %%
def mutual_information(one, other, bins=32):
    """How much one image tells of the other, in bits."""
    joint = np.histogram2d(one, other, bins)[0]
    joint /= joint.sum()
    alone = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    some = joint > 0
    return float((joint[some] * np.log2(joint[some] / alone[some])).sum())


prepared = prepare(cases[0], spacing=2.0)
pair = ("t1", "t2") if {"t1", "t2"} <= set(prepared.present) else prepared.present[:2]
fixed, moving = (prepared.image[SEQUENCES.index(sequence)] for sequence in (pair[0], pair[-1]))
shifts = np.arange(-8, 9)
agreement = [
    mutual_information(fixed[prepared.brain], np.roll(moving, shift, axis=0)[prepared.brain])
    for shift in shifts
]
top = int(2 * shifts[int(np.argmax(agreement))])
print(f"top at a shift of {top} mm")
curve = {"moved along x": {"mutual information, bits": (2 * shifts, agreement)}}
plots.curves(curve, across="shift, mm")

# %% [markdown]
# +++ picture
# *In the picture: mutual information of two sequences while one is moved along x. The curve has a
# single sharp top where the two lie on each other.*

# %% [markdown]
# A program such as SimpleITK, ANTs or FSL climbs that hill in six directions: three shifts, three
# turns. MSD's and BraTS's cases are registered already. A scanner's own files are not: their
# sequences have different grids, and `gliomakit check` says so. `--resample-to` brings them onto
# one grid. It trusts the scanner's coordinates and corrects no movement.
#
# ## What resampling does to small regions
#
# This course's networks are fed 2 mm voxels, for eight times fewer of them are eight times cheaper.
# (Most published ones take 1 mm.) What does that cost? Bring a *perfect* segmentation to a coarser
# grid and back, and score it. No network that works there can be expected to do much better.

# %%
coarse, ceiling, reference = {"as stored": large.regions()}, {}, large.regions()
for mm in (2.0, 4.0):
    prepared = prepare(large, spacing=mm)
    back = restore(to_regions_array(prepared.regions), prepared.frame)
    coarse[f"through {mm:g} mm"] = back
    ceiling[mm] = [metrics.dice(b, r) for b, r in zip(back, reference)]
    sizes = [metrics.volume_ml(b, large.spacing) for b in back]
    words = [f"{n} {d:.3f} ({v:.1f} mL)" for n, d, v in zip(("WT", "TC", "ET"), ceiling[mm], sizes)]
    print(f"{mm:g} mm: Dice {', '.join(words)}")
sizes = [metrics.volume_ml(r, large.spacing) for r in reference]
print("stored: " + ", ".join(f"{n} {v:.1f} mL" for n, v in zip(("WT", "TC", "ET"), sizes)))
emit(wt_at_2mm=ceiling[2.0][0], et_at_2mm=ceiling[2.0][2], et_at_4mm=ceiling[4.0][2])
plots.variants(large, coarse)

# %% [markdown]
# +++ picture
# *In the picture: one tumour as it was stored, and after a trip through 2 mm and 4 mm. The outline
# of the whole hardly changes. The thin yellow rim is still there at 2 mm, though moved a little. At
# 4 mm it breaks up.*

# %% [markdown]
# The whole tumour loses little. A thin enhancing rim loses much at 4 mm, for a coarse voxel belongs
# to a region only if the region fills half of it. Always know this ceiling before you blame a
# network.
#
# ## Split patients, not slices
#
# Neighbouring slices of one brain are nearly the same picture. Put slice 40 into training and slice
# 41 into validation, and the network has seen the answer. How much does that pay? Try a "method"
# that learns nothing: it copies the mask of the nearest training slice of the same patient. If
# there is none, it predicts nothing.
#
# **Exercise 3.** Write `split_by_patient(slices, share, seed)`. `slices` is a list of pairs
# `(patient, number)`. Return two lists of pairs, training and validation. Each patient is whole in
# one of them. `share` of the patients (rounded, at least one) go to validation. The same patients
# and the same seed give the same split, whatever the order of `slices`, and in every kernel.


# %%
# +++ exercise 02.split
import random


def split_by_patient(slices, share, seed):
    """Training and validation pairs; no patient is in both."""
    # +++ solution
    patients = sorted({patient for patient, _ in slices})
    count = max(round(share * len(patients)), 1)
    kept = set(random.Random(seed).sample(patients, count))
    training = [pair for pair in slices if pair[0] not in kept]
    return training, [pair for pair in slices if pair[0] in kept]
    # +++ end


check("02.split", split_by_patient)

# %%
split_by_patient = use("02.split", split_by_patient, slices.split_by_patient)

masks = {}
for case, (_, tumour) in zip(validation + cases, choosing + testing):
    masks |= {(case.name, z): tumour[:, :, z] for z in range(0, tumour.shape[2], 3)}  # 6 mm apart


def copied(training, held_out):
    """Mean Dice of copying the nearest training slice of the same patient."""
    scores = []
    for patient, z in held_out:
        near = [other for name, other in training if name == patient]
        source = min(near, key=lambda other: abs(other - z)) if near else None
        guess = masks[patient, source] if near else np.zeros_like(masks[patient, z])
        scores.append(metrics.dice(guess, masks[patient, z]))
    return float(np.mean(scores))


# %%
pairs = list(masks)
by_slice, by_patient = [], []
for seed in range(5):
    order = np.random.default_rng(seed).permutation(len(pairs))
    cut = len(pairs) // 4
    by_slice.append(copied([pairs[i] for i in order[cut:]], [pairs[i] for i in order[:cut]]))
    by_patient.append(copied(*split_by_patient(pairs, 0.25, seed)))
for name, found in {"slices": by_slice, "patients": by_patient}.items():
    spread = f"5 seeds, {min(found):.3f} to {max(found):.3f}"
    print(f"split by {name}: Dice {np.mean(found):.3f} ({spread})")
emit(copy_by_slice=float(np.mean(by_slice)), copy_by_patient=float(np.mean(by_patient)))

# %% [markdown]
# Nothing was learned in either case. Under the patient split the method has nothing to copy, and
# its score is that of predicting nothing: the share of slices without tumour, which count as 1.
# All that the slice split adds is leaked. On the real slices of *LGG MRI Segmentation* (the
# second paper's data, all 110 patients), the same trick was measured to reach .855 by slices and
# .659 by patients, means of five random splits; lesson 12 comes back to it. A network trained
# on a slice split can do this too, and its score says little about the next patient.
#
# The leak has cousins. Two exams of one patient are one patient. A mean and a spread that were
# computed over *all* patients carry the test set into training; here each patient is scaled by its
# own. And a threshold that was chosen on the test cases has seen them.

# %% [markdown]
# ## Quiz

# %% [markdown]
# +++ quiz 02.air
# Two hospitals store the same head, one in a box with twice as much air. You z-score each file over
# all its voxels. What happens to the tumour's values?
#
# - [ ] They are equal, for the head is.
#   Mean and spread come from all voxels, and there are more zeros in one file.
# - [x] They differ: the more air, the further from 0 they lie.
#   Right. The air pulls the mean down and decides the spread. Take the brain's voxels.
# - [ ] They differ, but a network will learn to undo it.
#   It would have to guess the size of a box that it does not see.

# %% [markdown]
# +++ quiz 02.inside
# The same prediction is scored over the whole volume and inside the reference's box. Which pair is
# impossible?
#
# - [ ] Dice .80 everywhere, .80 in the box.
#   Possible: there is no false alarm outside the box.
# - [ ] Dice .60 everywhere, .85 in the box.
#   Possible: many false alarms lie outside.
# - [x] Dice .85 everywhere, .80 in the box.
#   Right. The box holds all of the tumour, so leaving out the rest can only remove false alarms.

# %% [markdown]
# +++ quiz 02.leak
# Which of these leaks from the test patients into the training?
#
# - [ ] Cropping each test patient to the brain found in its own image.
#   That uses nothing but the image, which every new patient has.
# - [x] Choosing the z-score threshold by the best mean Dice on the test patients.
#   Right. The choice has seen their references, so their score is no test any more.
# - [ ] Z-scoring each test patient by the mean of its own brain.
#   That needs neither a reference nor another patient.

# %% [markdown]
# +++ quiz 02.grid
# A network works at 4 mm and reaches a Dice of .45 for enhancing tumour. What do you look at first?
#
# - [ ] The learning rate.
#   Perhaps later. First ask what a perfect answer would reach on that grid.
# - [x] The Dice of the reference itself after a trip through 4 mm and back.
#   Right. If that is not far from .45, the grid is the limit, not the network.
# - [ ] The Dice of the whole tumour.
#   It suffers least from coarse voxels and says little about thin regions.

# %% [markdown]
# +++ remember
# ## What to remember
#
# - Crop to the brain, found from the image alone, with a margin in mm.
# - Scale over the brain, not over the air. It gives a common scale, not equal tissues.
# - A Dice inside the label's box is never lower, and it makes you choose for another task.
# - Bias correction is an estimate. Registration makes one voxel one place.
# - Each grid has a ceiling. Small regions hit it first.
# - Split patients. Whatever saw the test set is no test.

# %% [markdown]
# +++ next
# ## Where to go next
#
# Lesson 03 cuts prepared volumes into patches, for the whole does not fit into memory. Lesson 07
# scores with everything that belongs to a result. Lessons 08 and 09 split slices, by patient.
# Lessons that are not in this folder yet are still being written.
