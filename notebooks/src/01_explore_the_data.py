# %% [markdown]
# +++ title
# # Explore the data: read a case, and look before you trust
#
# ![Three pictures of one slice of a brain on T1ce. Left, the image alone: a bright ring with a
# darker inside. In the middle the same slice with colours: an orange core inside a yellow enhancing
# ring, blue edema around both. Right, the same label read by another data set's rules: blue and
# orange have changed places.](../images/01_explore_the_data.png)
#
# Look at the picture. Both colourings come from the same file. In one, edema lies where dead tissue
# should be. No volume and no score tells you which one is right. The image does, in a second.
#
# That is why this lesson comes before any network. Most mistakes that ruin a segmentation are made
# when data are read: axes turned, sequences in the wrong order, labels with another meaning. None
# of them raises an error. The network trains, the loss falls, and the result is wrong.

# %% [markdown]
# +++ objectives
# **After this lesson you can**
#
# - open a NIfTI file and say what its shape, spacing, affine and orientation mean;
# - say what each of the four sequences shows, and why they differ;
# - turn a label of any known convention into the three regions that are scored;
# - say how rare tumour is, and why accuracy hides it;
# - find a label that was read wrongly and sequences in the wrong order.

# %% [markdown]
# +++ prerequisites
# **You need** lesson 00 and some NumPy: indexing, masks, shapes. No deep learning is used here.
# Words of the field are in the [glossary](../glossary.md).

# %% [markdown]
# +++ minutes
# **Time**: 40 minutes to read and try. The cells compute for about half a minute on two CPU cores
# (CPU: under 1 minute; GPU: not measured yet). If lesson 00 has not made the patients yet, they
# are made first: one or two minutes more.

# %% [markdown]
# ## Set up

# %%
# +++ setup

# %%
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import ipywidgets as widgets
import nibabel as nib
import numpy as np
import pandas as pd

from gliomakit import checks, find_cases, metrics, plots, regions
from gliomakit.cases import open_label
from gliomakit.course import choose_size, emit
from gliomakit.course.exercises import check, use
from gliomakit.course.widgets import Browser
from gliomakit.errors import GliomakitError
from gliomakit.paths import data_folder
from gliomakit.phantom import embedded
from gliomakit.phantom.dataset import embedded_names
from gliomakit.preprocess import brain_mask
from gliomakit.project import shipped

SIZE = choose_size()

# %% [markdown]
# ## Choose a patient
#
# The patients here are phantoms, computed from a random number. If the variable `GLIOMAKIT_DATA`
# names a folder with real cases, the first one there that has a label is taken instead, in all
# cells.
#
# Only *training* patients are looked at. It seems harmless to look at the others too, but what you
# see there guides your choices, and patients that guided a choice cannot judge the result.

# %%
PATIENT = 12  # of the phantoms: try 0 to 23 at laptop size, 0 to 3 at the others

FINE = SIZE != "laptop"  # voxels of 1 mm instead of 2 mm
every = []
if data_folder() is not None:
    try:
        every = [files for files in find_cases(data_folder()) if files.label]
        files, case = every[0], every[0].read()
    except (GliomakitError, IndexError) as error:
        every = []
        reason = getattr(error, "what", "no case there has a label")
        print(f"Of the folder in GLIOMAKIT_DATA nothing is used: {reason}.")
if not every:
    names = embedded_names("fine" if FINE else "training")
    every = [files for files in find_cases(embedded(fine=FINE)) if files.name in names]
    files = every[PATIENT % len(every)]
    case = files.read()
print(f"{case.name}, one of {len(every)} cases with a label")

# %% [markdown]
# ## A file is an array and an affine
#
# Medical images often come as **NIfTI** files, `.nii` or `.nii.gz`. Such a file is an array of
# numbers and a header. Before you use any tool, open one by hand. `nibabel` is the library that
# nearly everybody reads them with. Guess first: how many axes will the array have, and why?

# %%
image_path = next(iter(files.images.values()))
nifti = nib.load(image_path)
print("file    ", image_path.parent.name, "/", image_path.name)
print("shape   ", nifti.shape)
print("dtype   ", nifti.get_data_dtype())
print("spacing ", [float(side) for side in nifti.header.get_zooms()])
print("axes    ", nib.aff2axcodes(nifti.affine))
print(f"size     {image_path.stat().st_size / 1e6:.1f} MB on disk,", end=" ")
print(f"{np.prod(nifti.shape) * 4 / 1e6:.0f} MB in memory as float32")
print(nifti.affine)

# %% [markdown]
# Line by line:
#
# - **shape**: voxels along three axes of space. In the layout of the Medical Segmentation Decathlon
#   (MSD) a fourth axis holds the four sequences. BraTS has one file for each sequence instead.
# - **dtype**: how one number is stored. Scanners give whole numbers, mostly int16. They have no
#   unit: the same tissue may be 300 on one scanner and 900 on the next.
# - **spacing**: the sides of a voxel in mm. If there is a fourth number, it belongs to the fourth
#   axis, and here it means nothing.
# - **axes**: where each axis of the array runs to. `R` is the patient's right, `A` the front
#   (anterior), `S` the top (superior). `L`, `P` and `I` are the opposites.
# - **affine**: the 4 × 4 matrix at the end. The axes were read off it. The spacing is in it as
#   well, as the lengths of its first three columns, and should agree with the line above.
#
# The affine answers one question: *where in space is voxel (i, j, k)?* It gives millimetres to the
# patient's right, front and top, counted from the file's origin. The upper left 3 × 3 block says
# how far one step along each array axis goes, and in which direction. The last column says where
# voxel (0, 0, 0) lies.
#
# **Exercise 1.** Write `voxel_to_mm(affine, voxel)`. It returns the three millimetres, as a NumPy
# array, of a voxel with three indices. Axes of the array need not run along axes of space.


# %%
# +++ exercise 01.millimetres
def voxel_to_mm(affine, voxel):
    """Where the voxel (i, j, k) lies: mm to the right, front and top, an array of three."""
    # +++ solution
    return affine[:3, :3] @ np.asarray(voxel) + affine[:3, 3]
    # +++ end


check("01.millimetres", voxel_to_mm)

# %% [markdown]
# Now a use for it. Where does this tumour lie, seen from the middle of the brain? The label's own
# file tells. It has its own affine, and a careful reader compares the two.

# %%
voxel_to_mm = use("01.millimetres", voxel_to_mm, nib.affines.apply_affine)

label_file = nib.load(files.label)
stored_label = np.asarray(label_file.dataobj)
voxels = np.asarray(nifti.dataobj)
voxels = voxels[..., 0] if voxels.ndim == 4 else voxels  # the first sequence
print("same affine:", np.allclose(nifti.affine, label_file.affine))
tumour_centre = np.argwhere(stored_label > 0).mean(axis=0)
brain_centre = np.argwhere(voxels != voxels.flat[0]).mean(axis=0)  # a corner is no brain
away = voxel_to_mm(label_file.affine, tumour_centre) - voxel_to_mm(nifti.affine, brain_centre)
for length, (plus, minus) in zip(away, [("right", "left"), ("front", "back"), ("top", "bottom")]):
    print(f"{abs(length):4.0f} mm to the {plus if length > 0 else minus}")

# %% [markdown]
# You worked out a side of the body without looking at a picture. Without the affine you could not:
# an array does not know left from right. If a program drops the affine, a tumour may change sides,
# and a mirrored brain still looks like a brain.
#
# ## Read it once, name everything
#
# From here on the package reads. It turns every case to one orientation, right-front-top ("RAS"),
# and knows sequences by their names. For MSD's layout a file `dataset.json` gives these names.

# %%
listing = image_path.parent.parent / "dataset.json"
if files.kind == "msd":
    content = json.loads(listing.read_text(encoding="utf-8"))
    print("fourth axis:", content["modality"])
    print("label:      ", content["labels"])
for sequence, path in files.images.items():
    print(f"{sequence:6} in {path.name}")

reference = case.regions()
brain = brain_mask(case.image)
print(f"image {case.image.shape} {case.image.dtype}, voxels of {case.spacing} mm")
print(f"stored as {case.grid.axes}; label convention: {case.convention}")

# %% [markdown]
# ## Four sequences, four questions
#
# The next picture has no marks. Search for the tumour in each panel before you read on.

# %%
plots.sequences(case, outline=False)

# %% [markdown]
# +++ picture
# *In the picture: the axial slice with the most tumour, as FLAIR, T1, T1ce and T2, without
# outlines. R marks the patient's right, which is on your left.*

# %% [markdown]
# The scanner tips the spins of water's hydrogen and listens while they settle. Two times describe
# how they settle, T1 and T2, and both are long in free fluid and shorter in tissue. A sequence is
# a choice of what to be sensitive to.
#
# - **T2**: a long T2 is bright. Fluid is bright everywhere: swelling, cysts, and also the brain's
#   own hollows (the *ventricles*). So T2 shows that something is wrong, not always what.
# - **FLAIR**: T2 again, but the signal of *free* fluid is nulled. The ventricles turn dark. Water
#   in tissue, such as **edema**, stays bright. The whole tumour is read here.
# - **T1**: a short T1 is bright. White matter is brighter than grey, and fluid is dark. The
#   tumour's core is often dark. Its main use is to stand beside the next one.
# - **T1ce**: T1 after a contrast agent. The agent shortens T1, but cannot leave healthy vessels of
#   the brain (the *blood–brain barrier*). Where the tumour has broken it the agent leaks, and there
#   the image is bright: **enhancing tumour**. What is bright on T1 already proves nothing, it may
#   be blood or fat: look whether it became brighter.
#
# Does this patient agree? For each tissue of the tumour, the cell computes how far its median lies
# above the healthy brain's, in units of the healthy brain's own spread. Guess: in which column is
# edema brightest, and which tissue changes most between T1 and T1ce?

# %%
tissues = plots.tissues(reference)  # edema, core, enhancing: they do not overlap
healthy = brain & ~reference[0]
contrast = {}
for sequence in case.present:
    image = case.sequence(sequence)
    low, middle, high = np.percentile(image[healthy], (16, 50, 84))
    contrast[sequence] = {
        tissue: (np.median(image[mask]) - middle) / ((high - low) / 2)
        for tissue, mask in tissues.items()
        if mask.any()
    }
contrast = pd.DataFrame(contrast)
contrast.round(1)

# %% [markdown]
# Edema is brightest on T2 and FLAIR, where phantom 12 has a near tie, and between T1 and T1ce the
# enhancing tumour changes most. A number near 0 says that a tissue looks like healthy brain in that
# sequence. Search for a column
# that tells all three tissues from the brain *and* from each other. You hardly find one. That is
# why four sequences are taken, and why a missing one costs something. (Rules have exceptions. Is
# the core darker than healthy brain on T1, as the list above says? Try other patients.)
#
# ## The same slice with its label, and the others
#
# Now the outlines are drawn. Below the picture is a browser: move through the head, and switch the
# outlines off where you want to check them. Which sequence would you have drawn each outline on?

# %%
plots.sequences(case)

# %% [markdown]
# +++ picture
# *In the picture: the slice from before with the reference. The whole tumour is outlined in blue,
# the tumour core in orange with dashes, the enhancing tumour in yellow.*


# %%
def show_slice(z, outline):
    return plots.sequences(case, slice=z, outline=outline)


z = widgets.IntSlider(
    value=plots.largest_slice(reference),
    max=case.image.shape[3] - 1,
    description="slice",
    continuous_update=False,
)
Browser(show_slice, z=z, outline=widgets.Checkbox(value=True, description="outlines"))

# %% [markdown]
# **Try this.** Follow the yellow outline up and down on T1ce. In how many slices is there any? Is
# the ring closed in all of them? (Mostly not. A ring in one slice is a shell in space, often with
# gaps. A reader who sees one slice at a time has to imagine the third axis. The networks of the
# first paper see it.)
#
# Here is the third axis: a viewer with three planes through one voxel, the cross. Move it with the
# sliders, and see how each plane shows where the other two lie. Choose T1ce, and narrow the
# *window* until the rim stands out. The button *largest slice* goes where there is most tumour.

# %%
from gliomakit.course.viewer import case_viewer

case_viewer(case)

# %% [markdown]
# ## From label to regions
#
# A label gives every voxel one number. What is *scored* are three nested regions: **whole tumour**
# (WT) is edema, core and enhancing tumour together; **tumour core** (TC) is that without edema;
# **enhancing tumour** (ET) is the innermost. Regions overlap, so they need three masks, not one.
#
# Mind the words: *core* is a tissue, without the enhancing part. *Tumour core* (TC) is a region,
# core and enhancing tumour together. In the pictures filled colours are tissues (edema blue, core
# orange, enhancing yellow), and outlines are regions (WT blue, TC orange, ET yellow).
#
# Why nested? Because that is what is asked. How much brain is affected: WT. What does a surgeon aim
# at: mostly TC. Where has the border between blood and brain broken down: ET.
#
# Which number means what? That differs between data sets:

# %%
table = {
    name: {
        "edema": known.edema,
        "core": known.core,
        "enhancing": known.enhancing,
        "cavity": known.cavity,
    }
    for name, known in regions.CONVENTIONS.items()
}
pd.DataFrame(table).T.astype(object).fillna("–")

# %% [markdown]
# `brats2017` is the rule from 2017 to 2021, `brats2015` that of 2012 to 2015. The oldest has two
# numbers for the core: 1 is dead tissue, 3 is solid tumour that does not enhance. A *cavity* is
# where a surgeon has already taken tumour out. It is in none of the regions.
#
# **Exercise 2.** Write `nested_regions(label, convention)`. The convention is one of the objects
# above, with `.edema` (a number), `.core` (a tuple of numbers), `.enhancing` and `.cavity`. Return
# WT, TC and ET, in this order, as one bool array of shape (3, x, y, z).


# %%
# +++ exercise 01.nested
def nested_regions(label, convention):
    """WT, TC and ET of a label, bool (3, x, y, z)."""
    # +++ solution
    et = label == convention.enhancing
    tc = et | np.isin(label, convention.core)
    wt = tc | (label == convention.edema)
    return np.stack([wt, tc, et])
    # +++ end


check("01.nested", nested_regions)

# %%
nested_regions = use("01.nested", nested_regions, regions.to_regions)

own_regions = nested_regions(case.label, regions.CONVENTIONS[case.convention])
region_ml = {
    region: metrics.volume_ml(mask, case.spacing)
    for region, mask in zip(regions.REGIONS, own_regions)
}
for region, size in region_ml.items():
    print(f"{regions.REGION_NAMES[region]:17} {size:6.1f} mL")

# %% [markdown]
# ## How large are tumours?
#
# One patient is an example. Here are the volumes of up to 24. Before you run the cell, guess how
# many times larger the largest is than the smallest, and how many have no enhancing tumour.

# %%
volumes = {}
for one in every[:24]:
    found = open_label(one.label, one.convention, one.hint)  # the label alone: no image is read
    masks = regions.to_regions(found.array, found.convention)
    volumes[one.name] = [metrics.volume_ml(mask, found.grid.spacing) for mask in masks]
in_ml = pd.DataFrame(volumes, index=regions.REGIONS).T
print(in_ml.describe().loc[["min", "50%", "max"]].round(1))
without_et = int((in_ml["et"] == 0).sum())
print(f"{without_et} of {len(in_ml)} have no enhancing tumour")
plots.volumes(volumes)

# %% [markdown]
# +++ picture
# *In the picture: one bar a patient, the largest tumour on the left. Blue is the whole tumour, in
# it orange the tumour core, in that yellow what enhances. "no ET" marks patients without enhancing
# tumour.*

# %% [markdown]
# The two ends of this picture make trouble later. A mean over patients treats the smallest tumour
# like the largest. And for a patient without ET the usual score asks "how well was nothing found?"
# Lesson 07 comes back to both.
#
# ## Rare by the numbers
#
# The picture at the top fills your eye with tumour. A network gets voxels, and most of them are
# something else.
#
# **Exercise 3.** Write `tissue_shares(label, brain)`. `brain` is a mask. Return a dictionary: for
# each number that the label has *in the brain*, its share of the brain's voxels, between 0 and 1.
# Healthy brain is number 0.


# %%
# +++ exercise 01.shares
def tissue_shares(label, brain):
    """Of each number that the label has in the brain, its share of the brain's voxels."""
    # +++ solution
    inside = label[brain]
    return {int(value): float((inside == value).mean()) for value in np.unique(inside)}
    # +++ end


check("01.shares", tissue_shares)

# %%
tissue_shares = use("01.shares", tissue_shares, regions.shares)

known = regions.CONVENTIONS[case.convention]
found_shares = tissue_shares(case.label, brain)
for value, share in found_shares.items():
    print(f"{value}  {known.tissue(value) if value else 'healthy brain':14} {share:7.2%}")

nothing = np.zeros_like(case.label)  # a "network" that never finds anything
right_in_brain = float((nothing == case.label)[brain].mean())
right_in_file = float((nothing == case.label).mean())
empty_dice = metrics.dice(nothing > 0, reference[0])
print(f"Finding nothing is right in {right_in_brain:.1%} of the brain,", end=" ")
print(f"{right_in_file:.1%} of the file. Its Dice is {empty_dice:g}.")

# %% [markdown]
# This is **class imbalance**. Accuracy, the share of voxels that are right, is high for a network
# that has learned nothing, and it rises when you add air around the head. So a paper that reports
# accuracy for a segmentation has told you little. It also explains choices in later lessons: why
# patches are not cut just anywhere (03), and why the loss is a weighted Dice (05).
#
# **Try this.** Set `PATIENT = 21`, the smallest tumour of the phantoms, and run from there. How
# accurate is finding nothing now? (Nearly perfectly so. The smaller the tumour, the better it is to
# be blind, as far as accuracy knows.)
#
# ## The trap: a label with its numbers swapped
#
# Somebody hands you a label file, without its data set. Its numbers are 0, 1, 2, 3. The next cell
# asks the package which convention that is.

# %%
stored = regions.convert(case.label, case.convention, "msd")  # a phantom's label is that already
values = sorted(regions.distinct(stored))
fits = regions.fitting(values)
print(f"numbers {values} fit: {', '.join(fits)}")

# %% [markdown]
# It cannot say, and refuses to guess. (A number may be missing from a label, for a tumour need not
# have all tissues. A number too many may not.) Other programs guess in silence. In MSD's data 1 is
# edema and 2 is core. In BraTS's it is the other way round. Read it both ways, and measure. To have
# a Dice as
# well, take a second reader whose outlines lie one voxel aside, read by the same rule.

# %%
second = np.roll(stored, 1, axis=0)
readings = {}
for name in ("msd", "brats2023"):
    readings[f"read as {name}"] = regions.to_regions(stored, name)
    others = regions.to_regions(second, name)
    print(f"read as {name}")
    for region, mask, other in zip(regions.REGIONS, readings[f"read as {name}"], others):
        size, score = metrics.volume_ml(mask, case.spacing), metrics.dice(other, mask)
        print(f"   {region.upper()}  {size:6.1f} mL   Dice of the second reader {score:.2f}")

# %% [markdown]
# WT and ET do not change at all: exchanging 1 and 2 leaves both as they are. TC changes, but is
# either value impossible? The second TC has the lower Dice only because it is a thin shell, where
# one voxel costs more. Without the other reading beside it, that number would alarm nobody. A
# network trained on such labels learns to paint edema as core, and a test set read by the same rule
# praises it for that.
#
# So look. On T1ce, the enhancing rim is bright. What lies *inside* the rim is core. What lies
# *around* it is edema.

# %%
plots.readings(case, readings)

# %% [markdown]
# +++ picture
# *In the picture: the slice on T1ce, alone and with both readings in colour. Edema is blue, core
# orange, enhancing tumour yellow. One reading puts blue inside the bright rim.*

# %% [markdown]
# One look is enough. The reading that puts edema inside the rim is wrong. Once you know what to
# look for, a program can look too. `gliomakit check` in a terminal, `checks.check` in Python,
# examines a case before any network sees it:

# %%
swapped = replace(case, label=stored, convention="brats2023")
swapped_found = [finding for finding in checks.check(swapped) if finding.code == "convention"]
for finding in swapped_found:
    print(finding)

# %% [markdown]
# It uses the same two facts: edema lies outside, and enhancing tumour is the brightest on T1ce.
# Where a tumour has one tissue only, there is nothing to compare, and it says nothing. Silence is
# not a proof.
#
# ## The other trap: sequences in another order
#
# MSD's order is FLAIR, T1, T1ce, T2. (Its files call T1ce `t1gd`, for gadolinium, the agent's
# metal.) BraTS has no order at all, only file names, so every script that packs its files into one
# makes up an order. In public threads this is the most frequent
# silent error. Make it yourself: the next cell writes your case with an order that `dataset.json`
# does not know of, and reads it back.

# %%
WRITTEN = ("t2", "t1", "t1ce", "flair")  # the order in the file; try another


def pack(folder, order):
    """Write the case as an MSD data set that claims FLAIR, T1, T1ce, T2."""
    image = np.stack([case.image[regions.SEQUENCES.index(name)] for name in order], axis=-1)
    nib.save(nib.Nifti1Image(image, case.affine), folder / "packed.nii")
    claim = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
    content = {"modality": claim, "training": [], "test": ["./packed.nii"]}
    (folder / "dataset.json").write_text(json.dumps(content))


with tempfile.TemporaryDirectory() as folder:
    pack(Path(folder), WRITTEN)
    packed = find_cases(folder)[0].read()
plots.sequences(packed, regions=reference, outline=False)

# %% [markdown]
# +++ picture
# *In the picture: the same slice, read without complaint. The names above the panels are what the
# file claims. Two of the four panels do not show what their names say.*

# %% [markdown]
# Which two? Look at the ventricles and at the fluid around the brain. Then ask:

# %%
order_found = [finding for finding in checks.check(packed) if finding.code == "exchanged"]
for finding in order_found:
    print(finding)

# %% [markdown]
# A network never complains. It was trained to find edema in the first channel, gets a T2 there, and
# segments something.
#
# **Try this.** Exchange T1 and T1ce: `WRITTEN = ("flair", "t1ce", "t1", "t2")`. Do you see it? Does
# `check`? (That is the hardest pair, for both show the same anatomy. Only the contrast agent tells
# them apart, in the rim and in the vessels. In a patient without enhancing tumour it is harder
# still. `check` speaks only when it is sure.)

# %%
emit(
    f"{case.name}: whole tumour {region_ml['wt']:.0f} mL; finding nothing is right in "
    f"{right_in_brain:.1%} of the brain; both traps found: "
    f"{'yes' if swapped_found and order_found else 'no'}",
    **{f"{region}_ml": size for region, size in region_ml.items()},
    tc_swapped_ml=metrics.volume_ml(readings["read as brats2023"][1], case.spacing),
    accuracy_of_nothing=right_in_brain,
    dice_of_nothing=empty_dice,
    edema_on_flair=contrast.to_dict().get("flair", {}).get("edema"),
    conventions=fits,
    label_found=bool(swapped_found),
    order_found=bool(order_found),
    patients=len(in_ml),
    without_et=without_et,
)

# %% [markdown]
# ## Which data, and how many
#
# Last, the data sets of this course and of the two papers. The numbers are not typed here: the cell
# reads them from the facts that come with the package.

# %%
sources = json.loads(shipped("sources.json").read_text(encoding="utf-8"))
paper = json.loads(shipped("papers.json").read_text(encoding="utf-8"))["shaukat2022"]
msd, lgg = sources["msd"]["cases"], sources["lgg"]["cases"]
split = paper["claimed"]["split"]
everyone = msd["labelled"] + msd["unlabelled"]
print(sources["msd"]["title"])
print(f"  {everyone} = {msd['labelled']} with a label + {msd['unlabelled']} without")
print(f"  the first paper splits {split}, {sum(split.values())} in all")
print(f"{sources['lgg']['title']}: {lgg['labelled']} patients, {lgg['slices']} slices")
print("Phantoms:", {part: len(embedded_names(part)) for part in ("training", "validation", "test")})

emit(all_cases=everyone, labelled=msd["labelled"], split=list(split.values()))

# %% [markdown]
# The first paper speaks of 750 patients. Only 484 of them have a public label, and its split of 400
# to train, 29 to validate and 55 to test adds up to just these. The other 266 are the Decathlon's
# own test set: you can segment them, but you cannot score them yourself. So the paper's result
# rests on 55 patients.
#
# The second paper's data are slices, not volumes, with one mask for the whole tumour. A patient has
# many slices, which look alike. Lesson 02 shows what happens if you forget that when you split.

# %% [markdown]
# ## Quiz

# %% [markdown]
# +++ quiz 01.sequence
# A region is bright on T1ce. What do you look at before you call it enhancing?
#
# - [ ] T2: enhancing tumour is dark there.
#   It is often bright there, like most of the tumour. That does not decide.
# - [x] T1: what was bright before the contrast agent came is not enhancing.
#   Right. The difference between the two is what the agent did.
# - [ ] Nothing else: bright on T1ce means enhancing.
#   Blood and fat are bright without any contrast agent, and vessels are bright with it.

# %% [markdown]
# +++ quiz 01.affine
# You flip an image array along its first axis and keep the affine as it was. What have you done?
#
# - [ ] Nothing: the voxels are the same.
#   Each voxel now claims to lie where its mirror image was.
# - [x] You moved the tumour to the other side of the head.
#   Right. And nothing shows it: a mirrored brain looks like a brain.
# - [ ] You changed the spacing.
#   The spacing is in the affine, which you kept.

# %% [markdown]
# +++ quiz 01.accuracy
# A paper reports 99 % accuracy for tumour segmentation on whole volumes. What do you conclude?
#
# - [ ] The network is very good.
#   A network that finds nothing reaches about that too: most voxels are air and healthy brain.
# - [ ] The network is useless.
#   You cannot know that either.
# - [x] Not much, until I know the score of finding nothing.
#   Right. Compare with the simplest rival, or ask for the Dice of the tumour.

# %% [markdown]
# +++ quiz 01.convention
# A label has the numbers 0, 1, 2 and 3. Which of these settles what they mean?
#
# - [ ] The volumes: the number with most voxels is edema.
#   In 13 of the 24 phantoms here it is not: core, or what enhances, is larger than the edema. (In
#   real gliomas edema is the largest part more often.)
# - [ ] A high Dice between two labels of this kind.
#   If both are read by the same wrong rule, they agree all the same.
# - [x] Its `dataset.json` or file names, confirmed by a look at T1ce.
#   Right: the names say what was meant, and the image shows whether it is so.

# %% [markdown]
# +++ remember
# ## What to remember
#
# - A file is an array and an affine. Without the affine there is no left and right, and no
#   millimetre.
# - FLAIR shows edema, T1ce against T1 shows what enhances, T2 shows all fluid.
# - The same label numbers mean other tissues in other data sets. Names say what was meant, the
#   image says whether it is so.
# - Tumour is rare. Know the score of finding nothing before you praise any other.
# - Wrong channel order raises no error. Check each new data set before you train, and look at it.
# - Count what has a label: 484 of 750, and 55 of these are the paper's test.

# %% [markdown]
# +++ next
# ## Where to go next
#
# Lesson 02 crops, normalises and splits these cases, and shows how a careless split fools you. Do
# you have scans of your own? `gliomakit check` looks at any folder, and `docs/from-your-scanner.md`
# says what to do about what it finds. Lessons that are not in this folder yet are still being
# written.
