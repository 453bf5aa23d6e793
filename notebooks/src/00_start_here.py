# %% [markdown]
# +++ title
# # Start here: a glioma, found by a network
#
# ![Six grey pictures of one brain. Four small ones show the same slice as FLAIR, T1, T1ce and T2.
# Two large ones carry colours: the reference on the left, the network's answer on the right, with
# edema in blue around an orange core and yellow enhancing tumour.](../images/00_start_here.png)
#
# A glioma is a tumour of the brain that grows out of the brain's own tissue. It has no clean
# border. Before anyone can say how large it is, or whether a treatment worked, somebody has to
# decide for every point of the image: tumour, or not? That is *segmentation*. A trained reader
# does it by hand, slice after slice, and two trained readers never agree completely.
#
# In this course you teach a network to do it. You also learn the harder half: how to find out
# whether it did. In this first lesson you only watch. A network that is already trained segments
# a whole patient on your machine, in less than a minute.
#
# The patient does not exist. Every patient in this course is computed from a random number, so
# that nobody's scan has to travel with it. When you have real scans, the same cells run on them.

# %% [markdown]
# +++ objectives
# **After this lesson you can**
#
# - say what your machine can do in this course, and what it will do slowly;
# - read the four kinds of MR image that a glioma is judged by;
# - segment a patient with three lines of code, and score the result;
# - turn a segmentation into a volume in millilitres.

# %% [markdown]
# +++ prerequisites
# **You need** some Python: functions, lists, NumPy arrays. You need no medicine and no deep
# learning. Words in the field's language are explained where they first appear, and again in the
# [glossary](../glossary.md).

# %% [markdown]
# +++ minutes
# **Time**: 20 minutes to read and try. The cells compute for about half a minute on two CPU cores
# (CPU: 0.5 minutes; GPU: not measured yet). When they run for the first time on a machine, the
# patients are made first: one or two minutes more.

# %% [markdown]
# ## Set up
#
# Every lesson begins with the same cell. On your own machine it changes nothing. On Google Colab
# it installs the package and leaves everything that Colab brings as it is.

# %%
# +++ setup

# %% [markdown]
# One name, `SIZE`, decides how much the cells of a lesson compute: `"laptop"` is meant for any
# machine, `"gpu"` is taken where a CUDA card is found, and `"paper"` repeats what the published
# papers ran. You never get the last one without asking for it: write `choose_size("paper")`.

# %%
import time

from gliomakit import doctor, find_cases, metrics, plots, segment, weights
from gliomakit.course import choose_size, emit
from gliomakit.course.exercises import check, use
from gliomakit.errors import GliomakitError
from gliomakit.paths import data_folder
from gliomakit.phantom import embedded
from gliomakit.phantom.dataset import embedded_names
from gliomakit.regions import REGION_NAMES, REGIONS

SIZE = choose_size()

# %% [markdown]
# ## What can this machine do?
#
# `doctor` looks before anything runs. It names the device that will compute, how precisely it
# calculates, how much memory there is, and which of your own data it finds. At the end it says what
# will be slow here, and why. In a terminal, `gliomakit doctor` prints the same.

# %%
print(doctor.render(doctor.collect()))

# %% [markdown]
# ## A patient, four times
#
# An MR scanner does not take one picture of a head. It takes several, and each setting (a
# *sequence*) makes other things bright:
#
# - **FLAIR** shows water in the tissue. The swelling around a tumour, its *edema*, is bright; the
#   fluid in the brain's own hollows is not.
# - **T1** shows anatomy. Fat in the white matter makes it brighter than the grey matter.
# - **T1ce** is T1 after a contrast agent went into a vein. Where the tumour has broken the
#   border between blood and brain, the agent leaks out and shines.
# - **T2** shows all fluid bright, the hollows too.
#
# Guess before you run the cell: how much of this brain, in per cent, is tumour?

# %%
PATIENT = 3  # try another: 0 to 7 at laptop size, 0 to 3 at the others

FINE = SIZE != "laptop"  # voxels of 1 mm instead of 2 mm
names = embedded_names("fine" if FINE else "test")
files = {found.name: found for found in find_cases(embedded(fine=FINE))}
case = files[names[PATIENT % len(names)]].read()

reference = case.regions()  # whole tumour, tumour core, enhancing tumour
brain = (case.image != 0).any(axis=0)
print(f"{case.name}: an image of {case.image.shape}, voxels of {case.spacing} mm")
print(f"The tumour fills {reference[0].sum() / brain.sum():.1%} of the brain.")
plots.sequences(case)

# %% [markdown]
# +++ picture
# *In the picture: one axial slice, the one with the most tumour, in all four sequences. You look
# from the feet, so the patient's right (R) is on your left. Lines mark the reference: the whole
# tumour in blue, its core in orange with dashes, the enhancing tumour in yellow.*

# %% [markdown]
# An image is a stack of little boxes called *voxels*, here counted along x, y and z. Its first
# axis says which sequence. The reference has three regions, and they lie inside each other like
# Russian dolls. The **whole tumour** is everything. The **tumour core** is the whole tumour without
# its edema. The **enhancing tumour** is the part of the core that shines on T1ce.
#
# Is a sequence cut off, blurred or noisy, or was a piece of skull left on? Our patients have such
# flaws on purpose. Real exams have them too.

# %% [markdown]
# ## Three lines
#
# Load the network that comes with the package, give it the patient, look at the answer. The
# network was trained on computed patients only. It has never seen this one, and it does not get
# the reference.

# %%
start = time.perf_counter()
model = weights.load()
found = segment(case, model)
seconds = time.perf_counter() - start

print(f"Segmented in {seconds:.1f} s.")
plots.compare(case, reference, found.regions)

# %% [markdown]
# +++ picture
# *In the picture: the four sequences, small and without marks; then the reference and the network's
# prediction on FLAIR, with edema in blue, core in orange and enhancing tumour in yellow.*

# %% [markdown]
# Look at the borders first. Where do the two disagree? It is rarely in the middle of a tumour.
#
# ## How good is that?
#
# "They look alike" is no result. The usual number is the *Dice coefficient*: twice the voxels that
# both call tumour, divided by all voxels of the one plus all voxels of the other. It is 1 when they
# agree in every voxel and 0 when they share none.

# %%
scores = {
    region: metrics.dice(found.regions[index], reference[index])
    for index, region in enumerate(REGIONS)
}
for region, score in scores.items():
    print(f"{REGION_NAMES[region]:17} Dice {score:.3f}")

# %%
emit(
    f"whole tumour Dice {scores['wt']:.2f}, segmented in {seconds:.0f} s",
    patient=case.name,
    seconds=seconds,
    **{f"dice_{region}": score for region, score in scores.items()},
)

# %% [markdown]
# The last cell hands these numbers to whoever runs the course by machine: `gliomakit course`
# prints them in a table, and a test fails when they are bad. You find such a cell in each lesson.
#
# One patient is one patient. A number like this means little until it stands beside others, with
# its spread, on patients that had no part in any choice. Lesson 07 does that.
#
# **Try this.** Set `PATIENT` to another number and run the cells from there. Which region gets the
# lowest Dice most often? (Mostly the smallest one: the same thin line of wrong voxels weighs more
# in a small region than in a large one. And a patient may have no enhancing tumour, or no tumour
# at all. Then the Dice is 1 if the network finds none either, and 0 if it finds a single voxel.)

# %% [markdown]
# ## On a real patient, if you have one
#
# Name a folder in the variable `GLIOMAKIT_DATA` before you start Jupyter, and this cell takes the
# first patient in it. It may be a data set of the Medical Segmentation Decathlon or a folder of
# BraTS cases. Nothing is uploaded. Without such a folder the cell says so, and you miss nothing. A
# reference whose numbers it cannot understand is left out: the network does not need it.

# %%
folder, own = data_folder(), None
if folder is None:
    print("GLIOMAKIT_DATA names no folder: there is no scan of yours to segment.")
else:
    try:
        first = find_cases(folder)[0]
        try:
            own = first.read()
        except GliomakitError as error:
            own = first.read(label=False)  # fails as well if the images are at fault
            print(f"Its reference is left out: {error.what}.")
        own_found = segment(own, model)
        print(f"{own.name}: {own.image.shape[1:]} voxels of {own.spacing} mm")
    except GliomakitError as error:
        own = None
        print(f"There is no scan to segment: {error.where or folder}: {error.what}.")

# %%
if own is None:
    picture = None
elif own.label is None:
    picture = plots.sequences(own, regions=own_found.regions)
else:
    picture = plots.compare(own, own.regions(), own_found.regions)
    emit(own_dice_wt=metrics.dice(own_found.regions[0], own.regions()[0]))
picture

# %% [markdown]
# +++ picture
# *In the picture, if there is one: your own patient. With a reference it is drawn as above;
# without one you see the four sequences and the outlines that the network found.*

# %% [markdown]
# ## From voxels to millilitres
#
# A doctor does not ask for Dice. One of the first questions is: how large is it, and is it larger
# than last time? A segmentation answers that, if you count with care. The file says how large one
# voxel is: its *spacing*, three lengths in millimetres. A thousand cubic millimetres are one
# millilitre.
#
# **Exercise 1.** Write `volume_ml(label, spacing)`. It gets a label, in which 0 is background and
# every other number is tumour, and the spacing. It returns the tumour's volume in mL. Voxels need
# not be cubes.

# %%
# +++ exercise 00.volume
import numpy as np


def volume_ml(label, spacing):
    """Volume in mL of all voxels of `label` that are not 0; `spacing` in mm."""
    # +++ solution
    voxels = np.count_nonzero(label)
    return voxels * np.prod(spacing) / 1000
    # +++ end


check("00.volume", volume_ml)

# %% [markdown]
# The checker calls your function with small labels whose answer is known. It does not only say
# "wrong": it says what it believes you did. From here on the lesson uses your function if it
# passed, and the package's own if it did not.

# %%
volume_ml = use("00.volume", volume_ml, metrics.volume_ml)

for index, region in enumerate(REGIONS):
    wanted = volume_ml(reference[index], case.spacing)
    got = volume_ml(found.regions[index], case.spacing)
    print(f"{REGION_NAMES[region]:17} reference {wanted:6.1f} mL, network {got:6.1f} mL")

# %% [markdown]
# **Try this.** Shift the prediction by ten voxels before you measure it:
# `np.roll(found.regions[0], 10, axis=0)`. Its volume stays what it was. What does its Dice do? (It
# falls. A right volume does not mean a right place. No single number tells you everything, and that
# is a theme of this course.)

# %% [markdown]
# ## Quiz
#
# Run the cell below a question and click. Or think first, then open the fold.

# %% [markdown]
# +++ quiz 00.regions
# A voxel belongs to the whole tumour, but not to the tumour core. What is it?
#
# - [ ] Enhancing tumour.
#   Enhancing tumour lies in all three regions: it is the innermost doll.
# - [x] Edema.
#   Right: the core is the whole tumour without its edema.
# - [ ] Healthy brain.
#   Healthy brain is in none of the regions, so not in the whole tumour either.
# - [ ] Necrosis.
#   Dead tissue in the middle counts as core, although it does not shine on T1ce.

# %% [markdown]
# +++ quiz 00.dice
# Reference and prediction have 100 voxels each. They share 50. What is the Dice coefficient?
#
# - [ ] 0.33
#   That is 50 shared voxels over the 150 that either one has: the Jaccard index, a stricter cousin.
# - [x] 0.50
#   Right: 2 · 50 / (100 + 100).
# - [ ] 0.25
#   That is 50 / 200. Dice counts the shared voxels twice, for they are in both.
# - [ ] 1.00, for the volumes are equal
#   Equal volumes say nothing about the place. Dice looks at voxels that both share.

# %% [markdown]
# +++ quiz 00.trust
# The network has a Dice of 0.9 on this computed patient. What do you know about real patients?
#
# - [ ] It will reach about 0.9 there too.
#   You cannot know. Real scanners, real tumours and real readers differ from what was computed.
# - [ ] Nothing at all, so such a network is useless.
#   That is too strict. It is a reason to measure on real patients. The model's card, which comes
#   with the package, gives such figures.
# - [x] That the method works where training and test are alike; the rest has to be measured.
#   Right. One patient of the same kind as the training shows that the machinery works, no more.

# %% [markdown]
# +++ remember
# ## What to remember
#
# - A glioma is judged by four sequences. Each one shows something that the others hide.
# - Three nested regions are scored: whole tumour, tumour core, enhancing tumour.
# - Dice measures shared voxels. It is hard on small regions and blind to what an error means.
# - Volume is voxels times spacing. A right volume may lie in the wrong place.
# - gliomakit is for teaching and research. It is **not a medical device**: decide nothing about a
#   person with it.

# %% [markdown]
# +++ next
# ## Where to go next
#
# | lesson | you leave able to |
# |---|---|
# | 00 Start here | *this lesson* |
# | 01 Explore the data | read a case from its files, and say what each sequence shows |
# | 02 Preprocess | crop, normalise and split without fooling yourself |
# | 03 Patches | feed volumes that do not fit into memory |
# | 04 A 3-D U-Net by hand | write the network and account for every parameter |
# | 05 The weighted Dice loss | derive, implement and distrust a loss |
# | 06 Train | train, watch, stop, resume |
# | 07 Evaluate | report a result that stands |
# | 08 The Dynamic U-Net in fastai | train on slices, with an encoder that has seen other pictures |
# | 09 Classical or dynamic | compare networks fairly |
# | 10 Neptune dashboards | keep track of runs, and find the bad one |
# | 11 Tune | choose settings by search, and know what that costs |
# | 12 Read the papers | check what a paper claims against what it shows |
# | 13 Open anywhere | take the network out of the notebook and into a browser |
#
# Two published papers run through the course. One trains a 3-D U-Net on whole patients (lessons 01
# to 07), the other a 2-D network from fastai on slices (08 and 09). You rebuild both, and in lesson
# 12 you read them with what you measured in your hand.
#
# Lessons that are not in this folder yet are still being written.
