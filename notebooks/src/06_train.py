# %% [markdown]
# +++ title
# # Train: watch, stop, go on
#
# ![Curves of three trainings, Dice on the left, loss on the right. Solid lines are phantoms that
# were trained on, dashed lines phantoms that were not. With one phantom the two lie far apart, with
# ten closer together, and with a tiny learning rate nothing rises.](../images/06_train.png)
#
# A training can go wrong for an hour before anybody notices. Nothing crashes. The loss even falls a
# little. So this lesson is less about making a network learn than about *noticing* when it does
# not, and about stopping and going on without losing anything.

# %% [markdown]
# +++ objectives
# **After this lesson you can**
#
# - write a training step, and test it on a single batch before you wait for anything;
# - say what Adam does that the first paper's equation leaves out;
# - watch a training while it runs, and read under- and overfitting from two curves;
# - kill a run, resume it, and prove that nothing was lost;
# - estimate what a training costs before you start it.

# %% [markdown]
# +++ prerequisites
# **You need** lessons 04 and 05: what the network is, and what the loss asks of it. Words of the
# field are in the [glossary](../glossary.md).

# %% [markdown]
# +++ minutes
# **Time**: 60 minutes to read and try. The cells compute for about two minutes on two CPU cores
# (CPU: under 2 minutes; GPU: not measured yet).

# %% [markdown]
# ## Set up
#
# `"paper"` is the first paper's own training, if you write `choose_size("paper", …)`. The numbers
# in the call are an estimate, for a T4 and the paper's 400 patients. The last part of this lesson
# shows where it comes from.

# %%
# +++ setup

# %%
import shutil
import time
from pathlib import Path

import pandas as pd
import torch

from gliomakit import Fit, find_cases, fit, metrics, plots, segment
from gliomakit.course import choose_size, emit
from gliomakit.course.exercises import check, use
from gliomakit.course.saved import saved, saved_file
from gliomakit.course.worked import crop_box
from gliomakit.losses import from_name
from gliomakit.model import load_model
from gliomakit.patches import PatchSampler
from gliomakit.paths import data_folder
from gliomakit.phantom import embedded
from gliomakit.phantom.dataset import embedded_names
from gliomakit.preprocess import brain_mask, prepare_all
from gliomakit.tracking import read_run, start_run
from gliomakit.tracking.callbacks import FitLog
from gliomakit.unet import UNet3d, table

SIZE = choose_size(hours=110, disk_gb=40, memory_gb=6)
RUNS = Path("runs") / "lesson06"

# %% [markdown]
# The data are the embedded phantoms at 2 mm: 24 to train on, 4 to watch by, 8 that nobody looks at
# before the end. At size `"paper"`, real patients in `GLIOMAKIT_DATA` take the place of the first
# two groups.

# %%
files = {one.name: one for one in find_cases(embedded())}
parts = {
    part: [files[name] for name in embedded_names(part)]
    for part in ("training", "validation", "test")
}

# %%
prepared_as = {"spacing": 2.0}
if SIZE == "paper" and data_folder():
    own = [one for one in find_cases(data_folder()) if one.label]
    parts |= {"validation": own[:29], "training": own[29:429]}
    prepared_as = {"clip": None}  # the paper keeps its voxels and does not clip

training = prepare_all(parts["training"], **prepared_as)
validation = prepare_all(parts["validation"], **prepared_as)
print(
    f"{len(training)} to train on, {len(validation)} to validate on, {len(parts['test'])} to test"
)

# %% [markdown]
# ## One step
#
# All of deep learning's training is one step, repeated. Cut a batch of patches. Run the network.
# Compute the loss. Derive it by every weight (`backward`). Move every weight a little against its
# gradient; that is the *optimiser's* work.
#
# Two things are easily forgotten, and neither raises an error. `backward` *adds* its gradient to
# what is already there, so somebody must clear it: `optimiser.zero_grad()`. And a validation
# switches the network to evaluation mode, so somebody must switch it back: `network.train()`.
#
# **Exercise 1.** Write `training_step(network, loss, optimiser, image, target)`. It learns once
# from the batch and returns the loss as a plain number (`.item()`).


# %%
# +++ exercise 06.step
def training_step(network, loss, optimiser, image, target):
    """Learn once from one batch; its loss, as a number."""
    # +++ solution
    network.train()
    optimiser.zero_grad()
    value = loss(network(image), target)
    value.backward()
    optimiser.step()
    return value.item()
    # +++ end


check("06.step", training_step)

# %% [markdown]
# ## The cheapest test there is
#
# Before you train on everything, train on **one batch**, again and again. A network with three
# hundred thousand weights can learn two patches by heart. If its loss does not fall to almost 0,
# there is a mistake in your loop, and you have found it in seconds.
#
# Take a batch with one patch that holds tumour and one that does not.

# %%
sampler = PatchSampler(training, size=16, foreground=0.5, seed=0)
for number in range(100):
    batch = sampler.batch(2, number)
    tumour = (batch.code > 0).flatten(1).float().mean(1)
    if tumour.min() == 0 and tumour.max() > 0.1:
        break
image, target = batch.image.cpu(), (batch.code > 0).long().cpu()
print(f"share of tumour in the two patches: {tumour[0]:.0%} and {tumour[1]:.0%}")

# %% [markdown]
# Here is the whole loop. Three runs: your step; the same step without `zero_grad`, as it stands in
# a well-known public notebook; and your step with the paper's loss, whose odd behaviour you met in
# lesson 05. Guess where each one ends.

# %%
from gliomakit.course.worked_training import training_step as _training_step

training_step = use("06.step", training_step, _training_step)


def forgetful_step(network, loss, optimiser, image, target):
    value = loss(network(image), target)
    value.backward()
    optimiser.step()
    return value.item()


def overfit(step, loss_name, steps=60):
    torch.manual_seed(0)
    network = UNet3d(base_filters=4, norm="instance")  # two classes: background and tumour
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    loss = from_name(loss_name)
    return [step(network, loss, optimiser, image, target) for _ in range(steps)]


one_batch = {
    "your step": overfit(training_step, "weighted-dice"),
    "without zero_grad": overfit(forgetful_step, "weighted-dice"),
    "the paper's loss": overfit(training_step, "weighted-dice-paper"),
}
for title, losses in one_batch.items():
    print(f"{title:18} begins at {losses[0]:.3f}, ends at {losses[-1]:.4f}")
plots.curves(
    {title: {"loss of one batch": (range(60), v)} for title, v in one_batch.items()},
    logarithmic=True,
)

# %% [markdown]
# +++ picture
# *In the picture: the loss of one batch over sixty steps, on a logarithmic axis. Your step goes
# down to almost nothing. Without `zero_grad` the curve falls at first, then swings and does not
# settle. The paper's loss ends at a half.*

# %% [markdown]
# The forgetful loop is the dangerous one. It does not crash, and its loss falls. In a long training
# you would blame the data. But each of its steps goes along the sum of *all* gradients so far, the
# oldest as strong as the newest. It overshoots, and cannot settle.
#
# The paper's loss ends at a half because one of the two patches has no tumour: that patch costs 1,
# whatever is said. So the test found the flaw of a loss as well. The lesson goes on with
# `weighted-dice`: squared areas as in equation 2, an absent class left out.
#
# **Try this.** Set `foreground=1.0` in the sampler and drop the condition on the empty patch. Where
# does the paper's loss end now? (Near 0, like yours: without empty patches the two agree.)
#
# ## What Adam does
#
# The optimiser of the paper is *Adam*. It keeps two running means for every weight: $m$, of the
# gradient, and $v$, of its square. Equation 3 runs both into one line. Apart, they read
#
# $$m_t = \beta_1 m_{t-1} + (1 - \beta_1) g_t \qquad v_t = \beta_2 v_{t-1} + (1 - \beta_2) g_t^2$$
#
# That is where the paper stops. Two things are missing: what to do with them, and the **bias
# correction**. Both means begin at 0. After the first step $m$ is only a tenth of the gradient, and
# $v$ a thousandth of its square. So divide by what is missing:
#
# $$\hat m = \frac{m_t}{1 - \beta_1^t} \qquad \hat v = \frac{v_t}{1 - \beta_2^t} \qquad
# w_t = w_{t-1} - \text{rate} \cdot \frac{\hat m}{\sqrt{\hat v} + \varepsilon}$$
#
# **Exercise 2.** Write `adam_step(weight, gradient, m, v, t, rate)`. `t` counts from 1. Return the
# new weight, the new `m` and the new `v`, as new tensors.


# %%
# +++ exercise 06.adam
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def adam_step(weight, gradient, m, v, t, rate):
    """The weight after Adam's step t, and both moments for the next one."""
    # +++ solution
    m = BETA1 * m + (1 - BETA1) * gradient
    v = BETA2 * v + (1 - BETA2) * gradient**2
    mean, square = m / (1 - BETA1**t), v / (1 - BETA2**t)
    return weight - rate * mean / (square.sqrt() + EPSILON), m, v
    # +++ end


check("06.adam", adam_step)

# %% [markdown]
# Does the correction matter? Let the gradient be the same at every step. Then a good optimiser
# should make equal steps. Guess: how long is the first step without the correction, in units of the
# rate?

# %%
from gliomakit.course.worked_training import adam_step as _adam_step

adam_step = use("06.adam", adam_step, _adam_step)

GRADIENT, LAST = 0.002, 300
weight = m = v = torch.zeros(1, dtype=torch.float64)
gradient = torch.full_like(weight, GRADIENT)
lengths = {"with bias correction": [], "without": []}
for t in range(1, LAST + 1):
    moved, m, v = adam_step(weight, gradient, m, v, t, rate=1.0)
    lengths["with bias correction"].append(float(weight - moved))
    lengths["without"].append(float(m / (v.sqrt() + 1e-8)))
    weight = moved
for title, values in lengths.items():
    print(f"{title:20} first step {values[0]:.2f}, longest {max(values):.2f} times the rate")
plots.curves({k: {"step / rate": (range(1, LAST + 1), v)} for k, v in lengths.items()})

# %% [markdown]
# +++ picture
# *In the picture: the length of Adam's steps, in units of the rate, when the gradient is always the
# same. With the correction it is 1 throughout. Without it the steps are several times too long, and
# after 300 steps still twice.*

# %% [markdown]
# **Try this.** Make `GRADIENT` a thousand times larger. What changes? (Nothing. Adam divides the
# size of the gradient away. So the *rate* alone says how far a weight moves in a step, and that is
# why the same rates work for very different losses.)
#
# ## How the rate falls
#
# The worked example that the paper follows begins at 5e-4 and multiplies by 0.95 every 5 epochs. An
# *epoch* is a fixed number of steps, in the paper 800: 400 patients, 16 patches each, 8 in a batch.
#
# **Exercise 3.** Write `paper_rate(step, epoch, first)`. `step` counts from 0, `epoch` is the
# number of steps in an epoch, `first` the rate at the beginning.


# %%
# +++ exercise 06.schedule
def paper_rate(step, epoch, first):
    """The rate of a step: times 0.95 every 5 epochs."""
    # +++ solution
    return first * 0.95 ** (step // epoch // 5)
    # +++ end


check("06.schedule", paper_rate)

# %% [markdown]
# *One-cycle* is another plan: rise to a high rate in the first quarter, then fall to almost
# nothing. The rise is gentle while Adam's means are young; the fall lets the weights settle.
#
# Which is better? `make training-runs` compared them on phantoms of 4 mm: 200 steps, counted as 100
# epochs of two steps. To be fair, it tried both plans at the paper's rate *and* at ten times as
# much, and each with two seeds. Guess what matters most: the plan, the rate, or the seed?

# %%
from gliomakit.course.worked_training import paper_rate as _paper_rate

paper_rate = use("06.schedule", paper_rate, _paper_rate)
print(f"the paper's last rate: {paper_rate(79_999, 800, 5e-4):.2e} of 5e-4")

kept = saved("06_runs")["schedules"]
print(f"`make training-runs`: {kept['seconds']} s on {kept['machine']}; {kept['versions']}")
compared = {}
for run in kept["runs"]:
    plan = "staircase" if run["schedule"] == "step" else run["schedule"]
    title = f"{plan}, {run['rate']:g}"
    compared.setdefault(title, []).append(run)
for title, runs in compared.items():
    print(f"{title:18} Dice at the end: " + " and ".join(f"{r['dice'][-1]:.3f}" for r in runs))

# %%
drawn = {}
for title, (first, second) in compared.items():
    plan = Fit(**(kept["settings"] | {k: first[k] for k in ("schedule", "rate", "epoch")}))
    steps = range(plan.steps)
    mean = [(a + b) / 2 for a, b in zip(first["dice"], second["dice"])]
    drawn[title] = {
        "learning rate": (steps, [plan.rate_at(step) for step in steps]),
        "Dice, mean of two seeds": (first["step"], mean),
    }
plots.curves(drawn)

# %% [markdown]
# +++ picture
# *In the picture: left, the mean Dice of the validation phantoms; right, the learning rate of the
# four runs, step by step. The staircases are the paper's schedule.*

# %% [markdown]
# The rate, by far. Ten times the paper's rate at least doubles the Dice, with either plan. Between
# the plans there is less to see: at the high rate each is ahead with one seed, at the low one the
# staircase is ahead with both, perhaps because it spends more steps at its full rate.
#
# So is 5e-4 a bad choice? These runs cannot say. They have 200 steps, the paper has 80,000, and a
# low rate needs time. What they do say: "plan A beats plan B" means little until each has been
# tried at several rates, and with more than one seed.
#
# Here are both plans with sliders, a constant rate beside them, and on the right what `lr_find`
# would say: a short trial that raises the rate until the loss explodes (lesson 08 uses it; the
# curve here is a toy's). How far to the left of the explosion does each of its rules stay?

# %%
from gliomakit.course.explorers import rate_explorer

rate_explorer()

# %% [markdown]
# ## Train, and watch
#
# Now the real thing, with `fit`. It does your step many times, on random patches, and scores whole
# volumes now and then. It tells a *callback* what happens: any function that takes an event's name
# and some values. You give it two. `FitLog` writes everything down (lesson 10). The other one
# redraws the curves, so that you can stop a run that goes wrong.

# %%
from IPython.display import display


def history_curves(rows, last=20):
    """Loss and Dice so far; the loss also as a mean over the last steps."""
    learned = [row for row in rows if row.get("loss") is not None]
    scored = [row for row in rows if "dice_wt" in row]
    steps, losses = [row["step"] for row in learned], [row["loss"] for row in learned]
    means = [sum(losses[max(0, i - last) : i]) / min(i, last) for i in range(1, len(losses) + 1)]
    drawn = {
        "each step": {"loss": (steps, losses)},
        f"mean of {last} steps": {"loss": (steps, means)},
    }
    if scored:
        dice = [row["step"] for row in scored], [row["dice_wt"] for row in scored]
        drawn["validation"] = {"Dice": dice}
    return plots.curves(drawn)


class Watch:
    """A callback that redraws the curves every few seconds."""

    def __init__(self, seconds=3.0):
        self.rows, self.seconds, self.drawn, self.shown = [], seconds, 0.0, None

    def __call__(self, event, **info):
        if event in ("step", "validation"):
            self.rows.append(info)
        if event == "end":
            self.rows = info["history"]
        if self.rows and (event == "end" or time.monotonic() > self.drawn + self.seconds):
            picture, self.drawn = history_curves(self.rows), time.monotonic()
            if self.shown is None:
                self.shown = display(picture, display_id=True)
            else:
                self.shown.update(picture)


# %% [markdown]
# On a laptop this is a small network for less than a minute. It is the package's `LightUNet3d`: the
# same U, but its first layer halves the side at once, so that a step costs a fraction. (The paper's
# `UNet3d` needs a minute for a hundred patches here. You meet it again below, trained for longer.)
# Which Dice do you expect from a minute?

# %%
COMMON = {
    "output": "classes",
    "regions": ("wt",),
    "loss": "weighted-dice",
    "alone": 0.0,
    "drop": 0.0,  # no sequence is left out
    "optimiser": "adam",
    "weight_decay": 0.0,
}
PLANS = {
    "laptop": {
        "network": "LightUNet3d",
        "base_filters": 8,
        "intensity": False,
        "steps": 120,
        "rate": 5e-3,
        "average": 0.95,
        "validate_every": 40,
    },
    "gpu": {"base_filters": 16, "patch": 64, "batch": 4, "steps": 1500, "validate_every": 250},
}
if SIZE == "paper":
    settings = Fit.paper(cases=len(training))  # its own loss included
else:
    settings = Fit(**(COMMON | PLANS[SIZE]), overlap=0.0)
steps = f"{settings.steps:,} steps of {settings.batch} patches of {settings.size[0]}³"
print(f"{steps}, rate {settings.rate:g}, {settings.schedule}, {settings.optimiser}")

# %%
OUT = RUNS / f"fit_{SIZE}"
if SIZE != "paper":
    shutil.rmtree(OUT, ignore_errors=True)  # this cell begins anew when you run it again

with start_run(f"lesson 06, {SIZE}", RUNS / "log", tags=["lesson 06"]) as run:
    log, watch = FitLog(run, training, validation, figures=0), Watch()

    def both(event, **info):
        log(event, **info)
        watch(event, **info)

    fitted = fit(
        training, validation, settings, out=OUT, resume=True, callback=both, progress=False
    )

# %% [markdown]
# +++ picture
# *In the picture: left, the mean Dice of the validation phantoms; right, the loss of
# each training step, which jumps from batch to batch, and its mean over twenty steps.*

# %% [markdown]
# The loss of one step says little: once the first fall is over, an easy batch and a hard one differ
# by more than the mean still falls. Look at the mean, and at the Dice. What the log kept besides
# are the two curves that explain trouble: the rate that was really used, and the norm of the
# gradient.

# %%
record = read_run(run.folder)
print(record.name, "|", record.state, "|", record.fields["fit/seconds"], "s")
shown = ("metrics/train/rate", "metrics/train/gradient")
logged = {path: record.series[path] for path in shown if path in record.series}
plots.curves({"live": {path: (one.steps, one.values) for path, one in logged.items()}})

# %% [markdown]
# +++ picture
# *In the picture: the norm of the gradient before clipping, and the learning rate, for each step as
# they were logged.*

# %% [markdown]
# ## Pull the plug
#
# Runs die: a session ends, a laptop sleeps, somebody needs the GPU. `fit` writes a *checkpoint* now
# and then, one file with everything the next step depends on. What belongs in it? The weights, and
# also Adam's two means for each of them, the number of the step, and the state of the random
# numbers.
#
# Try it for real, with a tiny network. A callback raises `KeyboardInterrupt` after step 7. That is
# as rude as it sounds: nothing is tidied up. The last checkpoint was at step 4. Then resume. A
# third run is never stopped. Will the weights be the same? Nearly, or exactly?

# %%
TINY = COMMON | {"base_filters": 4, "patch": 16, "steps": 12, "checkpoint_every": 4}
shutil.rmtree(RUNS / "tiny", ignore_errors=True)


def tiny(name, **more):
    folder = RUNS / "tiny" / name
    return fit(training, (), Fit(**TINY), folder, "cpu", progress=False, **more)


def pull_the_plug(event, **info):
    if event == "step" and info["step"] == 7:
        raise KeyboardInterrupt


resumed_at = []
try:
    tiny("killed", callback=pull_the_plug)
except KeyboardInterrupt:
    print("killed; left in the folder:", sorted(p.name for p in (RUNS / "tiny/killed").iterdir()))

resumed = tiny(
    "killed",
    resume=True,
    callback=lambda event, **info: event == "start" and resumed_at.append(info["step"]),
)
straight = tiny("straight")
equal = [
    torch.equal(a, b)
    for a, b in zip(
        resumed.model.network.state_dict().values(), straight.model.network.state_dict().values()
    )
]
same_bits = all(equal)
print(f"resumed after step {resumed_at[0]}")
print(f"{sum(equal)} of {len(equal)} tensors are equal, bit by bit")

# %% [markdown]
# Exactly. Steps 5 to 7 were done again, on the same patches, because the patches are a function of
# seed and step. That is worth more than comfort: if a resumed run differs from a straight one, you
# never know which of the two you publish. (It holds on a CPU with the same number of threads. GPUs
# add in changing order, and differ in the last digits.)
#
# **Try this.** Resume with another `rate` in `TINY`, but without deleting the folder. (`fit`
# refuses and names what differs. A checkpoint of another experiment is the easiest way to fool
# yourself.)
#
# ## Two ways to fail, on purpose
#
# A run can fail to learn, or it can learn the wrong thing. You tell the two apart by scoring *seen*
# phantoms, which were trained on, and *unseen* ones, side by side. `make training-runs` did it for
# three runs: a rate of 1e-5; one phantom only, never flipped or turned; and ten phantoms with
# everything as it should be. Before you look: which run has the best Dice on seen phantoms?

# %%
kept = saved("06_runs")["fits"]
ends = {
    title: {"seen": found["training dice"][-1], "unseen": found["validation dice"][-1]}
    for title, found in kept["runs"].items()
}
fits = pd.DataFrame(ends).T
fits["gap"] = fits["seen"] - fits["unseen"]
fits.round(3)

# %%
SHOWN = {"dice": "Dice of whole phantoms", "loss": "loss of the same 32 patches"}
drawn, looks = {}, {}
for number, (title, found) in enumerate(kept["runs"].items()):
    for group, part, look in (("seen", "training", 0), ("unseen", "validation", 7)):
        name = f"{title}, {group}"
        looks[name] = plots.look(number + look)
        drawn[name] = {
            words: (found["step"], found[f"{part} {what}"]) for what, words in SHOWN.items()
        }
plots.curves(drawn, looks=looks)

# %% [markdown]
# +++ picture
# *In the picture: three runs, in three colours. Solid lines are phantoms that were trained on,
# dashed lines phantoms that were not. Left their Dice, right their loss on patches that are the
# same each time.*

# %% [markdown]
# - **Underfitting** (rate 1e-5): seen and unseen are both bad. The network has hardly moved.
# - **Overfitting** (one phantom): the best Dice of all on what it has seen, and a poor one on the
#   rest. Look at its dashed lines: the unseen loss stops falling at step 90 and creeps up, while
#   the seen loss still falls. From there on, training makes the network no better, rather worse.
# - **Ten phantoms**, flipped and turned: less on the seen, more on the unseen, and both still rise.
#   Which of the two remedies did more, these runs cannot say. More patients cost most, flips
#   nothing.
#
# One trap is left. Ten phantoms have a gap too; is all of it overfitting? Look at the run that
# learned nothing: its unseen loss is higher from the start. The unseen phantoms score lower even
# then, perhaps because their tumours are smaller.
# A gap between different patients is part learning by heart, part the draw of the patients.
#
# ## For those who cannot wait
#
# A minute is short. `make training-runs` trained a `UNet3d` of 6 filters for longer, on the same 24
# phantoms. It is saved beside the lessons. A whole volume is segmented piece by piece, in cubes
# that are called windows; the 4 validation phantoms chose how large they are. Now, at the very end,
# you may look at the 8 test phantoms: no choice about this network was made by them.

# %%
kept = saved("06_runs")["network"]
minutes = f"{kept['fit_seconds'] / 60:.0f} minutes on {kept['machine']}"
print(f"{kept['settings']['steps']:,} steps in {minutes} ({kept['note']})")
print("mean Dice of the validation phantoms by the side of the windows:", kept["windows"])
network = load_model(saved_file("06_wt.safetensors"))


def wt_dice(model, name):
    case = files[name].read()
    found = segment(case, model, overlap=0.0)
    return case, found.regions[0], metrics.dice(found.regions[0], case.regions()[0])


names = embedded_names("test")
test_dice = [wt_dice(network, name)[2] for name in names]
pd.Series(test_dice, names, name="WT Dice").round(3)

# %%
saved_mean, live_mean = sum(test_dice) / len(test_dice), fitted.dice["wt"]
print(f"live network,  {len(validation)} validation phantoms: mean WT Dice {live_mean:.3f}")
at_best = max(kept["windows"].values())
print(f"saved network, {kept['validation']} validation phantoms: {at_best:.3f}")
print(f"saved network, {len(test_dice)} test phantoms: {saved_mean:.3f}")

worst = names[min(range(len(names)), key=test_dice.__getitem__)]
case, found, score = wt_dice(network, worst)
print(f"the worst is {worst}, with {score:.3f}")
brain = crop_box(brain_mask(case.image), case.spacing, 5.0)
plots.boxes(case, {"brain": brain}, case.regions()[0], found)

# %% [markdown]
# +++ picture
# *In the picture: the test phantom on which the saved network does worst. Left its FLAIR; right
# what was found, what was missed, and false alarms.*

# %% [markdown]
# Always look at the worst case. A mean hides it. (In windows of 32 voxels, as large as its training
# patches, this network found tumour in healthy tissue of one of them, up to the straight edge of a
# window, with a Dice of .22.) And do not be proud of the number: phantoms are
# easier than patients, and nothing here says how the network does in a clinic.
#
# ## What the paper's run costs
#
# Lesson 04 counted the work: multiplications, each with its addition, for one patch. Backward costs
# twice as much again. Times 640,000 patches, that is the whole training. How long it takes depends
# on the card's *peak*, which is on its data sheet, and on the *share* of it that a real program
# reaches, which is not. The share is an assumption. Move it.

# %%
with torch.device("meta"):
    gmac = table(UNet3d(), side=64).gmac
flop = 2 * 3 * gmac * 1e9 * 400 * 16 * 100
print(f"{flop / 1e18:.2f} EFLOP, that is {flop / 1e18:.2f} · 10¹⁸ operations")

PEAKS = {  # operations a second, from the makers' data sheets
    "half a K80, fp32": 4.4e12,
    "T4, fp32": 8.1e12,
    "T4, fp16": 65e12,
    "H100 SXM, bf16": 989e12,
}


def hours(peak, share):
    return flop / (peak * share) / 3600


def draw_hours(percent):
    """Hours by epochs at one share, and hours of 100 epochs by share."""
    epochs, shares = range(10, 101, 10), range(5, 101, 5)
    drawn = {}
    for card, peak in PEAKS.items():
        whole = hours(peak, percent / 100)
        drawn[card] = {
            f"hours by epochs, at {percent:g} %": (epochs, [whole * n / 100 for n in epochs]),
            "hours of 100 epochs, by share in %": (shares, [hours(peak, n / 100) for n in shares]),
        }
    return plots.curves(drawn, logarithmic=True, across="epochs, or share in %")


for card, peak in PEAKS.items():
    print(f"{card:18} {hours(peak, 0.5):6.1f} h at 50 %, {hours(peak, 0.1):6.1f} h at 10 %")
draw_hours(30.0)

# %% [markdown]
# +++ picture
# *In the picture: hours of four cards; the vertical axes are logarithmic. Left against epochs, if
# each reaches 30 % of its peak. Right against the share that it reaches.*

# %%
from gliomakit.course.widgets import slide

slide(draw_hours, "share, %", low=5.0, high=100.0, step=5.0, start=50.0)

# %% [markdown]
# At half of the peak, half a K80 needs about 120 hours. The paper's title says "cloud"; this is
# what you would rent. Small networks and small batches reach a smaller share, and fast cards starve
# first: reading and cutting patches may then be the slowest part. Measure a hundred steps, and
# multiply. That beats any formula.
#
# Whoever has sessions of a few hours needs the plug and the checkpoint. At size `"paper"` the cells
# above do just that: set `RUNS` to a folder that outlives the session (on Colab, one on your
# Drive), run them again in each session, and the run goes on from its last checkpoint.

# %%
emit(
    f"saved network: WT Dice {saved_mean:.3f} on 8 test phantoms; live: {live_mean:.3f} on 4",
    saved_dice=saved_mean,
    live_dice=live_mean,
    one_batch=one_batch["your step"][-1],
    forgetful=one_batch["without zero_grad"][-1],
    paper_floor=one_batch["the paper's loss"][-1],
    first_step=lengths["with bias correction"][0],
    first_step_uncorrected=lengths["without"][0],
    resumed_equal=same_bits,
    resumed_at=resumed_at[0],
    gap_overfit=float(fits["gap"]["one phantom"]),
    gap_ten=float(fits["gap"]["ten phantoms"]),
    seen_underfit=float(fits["seen"]["rate 1e-5"]),
    eflop=flop / 1e18,
    hours_k80=hours(4.4e12, 0.5),
)

# %% [markdown]
# ## Quiz

# %% [markdown]
# +++ quiz 06.floor
# You train on one batch of four patches, again and again. The loss falls to 0.12 within fifty steps
# and then jitters around it. What do you do?
#
# - [ ] Train longer, and on all patients: more data will help.
#   If two minutes cannot teach it four patches, hours cannot teach it four hundred patients.
# - [x] Look for a mistake in the loop or the loss: one batch must be learned by heart.
#   Right: a gradient that is not cleared, a rate too high, a loss with a floor.
# - [ ] Be glad: it has not overfitted.
#   Here overfitting is what you want. It is a test of the loop.

# %% [markdown]
# +++ quiz 06.gap
# Training loss and validation loss are both high, close together, and hardly fall. What is it?
#
# - [ ] Overfitting: use more augmentation.
#   Overfitting shows as a gap between the two. Augmentation would make learning harder still.
# - [x] Underfitting: the rate, the network, or the number of steps is too small, or there is a bug.
#   Right. Try the one-batch test first.
# - [ ] Nothing: the two agree, so the network generalises.
#   It generalises what little it knows.

# %% [markdown]
# +++ quiz 06.state
# Somebody saves only the network's weights every hour, and after a crash goes on from them, with a
# new Adam. What is lost?
#
# - [ ] Nothing: the weights are the network.
#   They are the network, but not the training.
# - [x] Adam's means, the step that the schedule stands at, and which patches come next.
#   Right. The run goes on, but it is another run: nobody can repeat it.
# - [ ] The loss curve only.
#   The curve is the least of it.

# %% [markdown]
# +++ quiz 06.peak
# A T4's data sheet says 65 · 10¹² operations a second in fp16. You estimate 13 hours at 30 %. The
# first hundred steps show that it will take 60. What is most likely?
#
# - [ ] The data sheet lies.
#   It gives the peak of one kind of operation, all day long, on data that are already there.
# - [ ] The operations were counted wrong.
#   Possible, but the count agrees with a table that you checked by hand in lesson 04.
# - [x] The share is lower than 30 %: small patches, waiting for data, work that is not fp16.
#   Right. The share is what you assumed. Measure it early.

# %% [markdown]
# +++ remember
# ## What to remember
#
# - One batch first. Its loss must go to nearly 0, in seconds.
# - Clear the gradient, and switch back to training mode. Nothing reminds you.
# - Adam makes steps as long as the rate, from the first one on, thanks to the bias correction.
# - Compare plans at several rates and with several seeds, or you compare luck.
# - Two curves, seen and unseen: both bad is underfitting, a gap is overfitting.
# - A checkpoint holds everything the next step depends on. Test it: kill a run, and compare bits.
# - Estimate the cost before you start, and measure a hundred steps.

# %% [markdown]
# +++ next
# ## Where to go next
#
# Lesson 07 is about the number that you report: metrics, and what a mean hides. Lesson 11 searches
# for settings and measures how much of the gain is luck. Lessons that are not in this folder yet
# are still being written.
