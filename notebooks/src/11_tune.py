# %% [markdown]
# +++ title
# # Tune: let a search choose, and know what that costs
#
# ![Two panels of runs that differ by their seed alone. Each line joins a run's Dice on validation
# and on test, both drawn from the mean of the group. The run that leads on validation is thick, and
# on test it lies below the mean of its group.](../images/11_tune.png)
#
# Rate, loss, patch, filters, schedule: somebody has to choose them. A paper often says that they
# were chosen with care, and shows the best result. The fastai paper says that its parameters were
# "well selected using Neptune".
#
# In this lesson you choose settings twice: by hand, with buttons, and by a search that tries dozens
# of them. Then you ask the question that decides whether it was worth it: how much of the winner's
# lead is skill, and how much is luck?

# %% [markdown]
# +++ objectives
# **After this lesson you can**
#
# - try settings by hand without losing track of what you did;
# - set up a search that draws rates sensibly, stops hopeless trials, survives a crash, and runs on
#   several machines at once;
# - read which settings mattered, and say how far to trust that;
# - measure the winner's curse, and report a tuned result that stands.

# %% [markdown]
# +++ prerequisites
# **You need** lesson 06 (what a training is) and lesson 10 (what a run is). Words of the field are
# in the [glossary](../glossary.md).

# %% [markdown]
# +++ minutes
# **Time**: 50 minutes to read and try, more if you play. The cells compute for less than two
# minutes on two CPU cores (CPU: under 2 minutes; GPU: not measured yet).

# %% [markdown]
# ## Set up

# %%
# +++ setup

# %%
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gliomakit import plots, tuning
from gliomakit.course import choose_size, emit
from gliomakit.course.exercises import check, use
from gliomakit.course.playground import FIXED, playground
from gliomakit.course.saved import saved
from gliomakit.metrics import bootstrap_interval
from gliomakit.paths import prepared_folder
from gliomakit.phantom.prepared import prepared_phantoms
from gliomakit.tracking import runs_table

SIZE = choose_size()
torch.set_num_threads(1)  # networks as small as these gain next to nothing from two cores
RUNS = Path("runs") / "lesson11"
shutil.rmtree(RUNS, ignore_errors=True)  # this lesson begins anew when you run it again

training = prepared_phantoms(prepared_folder(), range(10), spacing=4.0)
validation = prepared_phantoms(prepared_folder(), range(50, 53), spacing=4.0)
print(f"{len(training)} phantoms to train on, {len(validation)} to choose by")

# %% [markdown]
# The phantoms have voxels of 4 mm, and the trainings are far too short for a good network. That is
# on purpose. A search needs many trainings, and how one chooses is the same at any size.
#
# ## By hand first
#
# Here is a playground. Choose settings, press *Train*, watch the curve, press *Stop* when you have
# seen enough. The training runs in a *thread*, beside the kernel; that is why the kernel can hear
# the button. Each training is written down as a run, as in lesson 10.
#
# Before you play, write down which two settings you believe matter most.

# %%
play = playground(training, validation, RUNS / "play")
play

# %% [markdown]
# You can press the buttons from code as well. This trains twice with rates that differ by a factor
# of thirty. Guess first: which one has the higher Dice after so few steps?

# %%
STEPS = {"laptop": 40, "gpu": 200, "paper": 200}[SIZE]
for rate in (1e-3, 3e-2):
    play.set(rate=rate, steps=STEPS, intensity=False)
    play.train()
    done = play.wait()
    print(f"{done.name}: rate {rate:g}, {done.state}, Dice {done.dice:.3f}, {done.seconds:.0f} s")
by_hand = [done.dice for done in play.runs]
plots.running(play.curves(), STEPS)

# %% [markdown]
# +++ picture
# *In the picture: left the training loss, smoothed, right the Dice of the validation phantoms. The
# lines printed above say which run has which rate; your own runs of the playground are drawn too.*

# %% [markdown]
# **Try this.** Find a run that beats both, by hand, in five tries. Then look at your tries in the
# table below the curves. Did you change one thing at a time? Most people change two, win, and do
# not know which of the two it was.
#
# Trying one thing at a time has a flaw as well. Settings *interact*: the best rate of a small
# network need not be that of a large one. If you fix the rate first and the size later, you never
# see the pair that is best together.
#
# A *grid* tries all pairs. Three values for each of seven settings are 2,187 trainings. A *random
# search* draws every setting anew for each trial. In twenty trials it has seen twenty different
# rates, where a grid has seen three. If only a few settings matter, and one does not know which,
# that is much better (Bergstra and Bengio, 2012).
#
# ## How to draw a rate
#
# A rate may be anything from 0.0001 to 0.1. If you draw it evenly on that range, nine of ten draws
# lie above 0.01. But what matters for a rate is its *factor*: from 0.0001 to 0.001 is as large a
# step as from 0.01 to 0.1. Each decade should get an equal share.
#
# **Exercise 1.** Write `rate_between(share, low, high)`. `share` goes from 0, which gives `low`, to
# 1, which gives `high`. Equal parts of the share cover equal factors: half way from 2 to 8 is 4.


# %%
# +++ exercise 11.rate
def rate_between(share, low, high):
    """The rate so far from low (0) to high (1), each decade equally long."""
    # +++ solution
    return low * (high / low) ** share
    # +++ end


check("11.rate", rate_between)

# %%
from gliomakit.course.worked_tuning import rate_between as _rate_between

rate_between = use("11.rate", rate_between, _rate_between)
shares = np.random.default_rng(0).random(1000)
even = 1e-4 + shares * (1e-1 - 1e-4)
fair = np.array([rate_between(share, 1e-4, 1e-1) for share in shares])
for name, rates in {"evenly": even, "by factors": fair}.items():
    decades = [int(((rates >= 10.0**d) & (rates < 10.0 ** (d + 1))).sum()) for d in (-4, -3, -2)]
    print(f"1000 rates drawn {name}: {decades} in the three decades")

# %% [markdown]
# ## Stop what is hopeless
#
# Most trials of a search are bad, and most bad ones look bad early. So compare each with the others
# on the way: if it is worse than half of them were at the same step, stop it, and spend the time on
# another. This is the *median rule*. It can be wrong. A slow starter that would have won is
# stopped as well. And the median of one or two trials says little, so nobody is stopped before a
# few others are known.
#
# **Exercise 2.** Write `falls_behind(score, others)`. `others` are the scores that other trials had
# at the same step, in any order. Return `True` if there are at least five of them and `score` is
# below their median.


# %%
# +++ exercise 11.median
from statistics import median


def falls_behind(score, others):
    """Whether a score is below the median of at least five others of the same step."""
    # +++ solution
    return len(others) >= 5 and score < median(others)
    # +++ end


check("11.median", falls_behind)

# %% [markdown]
# ## Let a search do it
#
# **Optuna** is a library that does all this. It draws settings; after ten trials it no longer draws
# blindly, but prefers what stood out so far (its sampler is called TPE). It applies the median rule
# to the best score that a trial has had, and compares it with trials that came to their end.
# `tuning.search` connects it with `fit`: each trial is a
# short training and a run of its own.
#
# What a search may try is called its *space*. A list is a choice; a pair is a range; `"log"` draws
# as your function does.

# %%
from gliomakit.course.worked_tuning import falls_behind as _falls_behind

falls_behind = use("11.median", falls_behind, _falls_behind)
assert falls_behind(0.1, [0.2, 0.3, 0.4, 0.5, 0.6])

SPACE = {
    "rate": (1e-4, 1e-1, "log"),
    "base_filters": [4, 8],
    "loss": ["weighted-dice", "dice-ce", "cross-entropy"],
}
STEPS = {"laptop": 24, "gpu": 120, "paper": 120}[SIZE]
BASE = FIXED | {
    "network": "LightUNet3d",
    "patch": 32,
    "intensity": False,
    "steps": STEPS,
    "validate_every": STEPS // 3,
}


def ended(trial):
    score = "no score" if trial.value is None else f"Dice {trial.value:.3f}"
    print(f"trial {trial.number}: {score}, {trial.state.name.lower()}, {trial.params}")


study = tuning.search(training, validation, BASE, SPACE, RUNS / "study", trials=6, tell=ended)

# %% [markdown]
# The study is a file in that folder. If the kernel dies, call the same line again: all trials that
# had ended are kept, and only the one under way is lost. (To try it here, put a `#` before
# `shutil.rmtree` in the set-up first: that line begins the lesson anew.) And nothing says that only
# one process may use the file. Here are two, each started with the same few lines. They could run
# on two machines that see the same folder. Each asks the study what to try next, and tells it what
# came out.

# %%
WORKER = f"""
import sys
import torch
from gliomakit import tuning
from gliomakit.paths import prepared_folder
from gliomakit.phantom.prepared import prepared_phantoms

torch.set_num_threads(1)
training = prepared_phantoms(prepared_folder(), range(10), spacing=4.0)
validation = prepared_phantoms(prepared_folder(), range(50, 53), spacing=4.0)
study = {str((RUNS / "study").resolve())!r}
tell = lambda trial: print(f"worker {{sys.argv[1]}} did trial {{trial.number}}")
tuning.search(training, validation, {BASE!r}, {SPACE!r}, study, trials=12,
              seed=int(sys.argv[1]), tell=tell)
"""
command = [sys.executable, "-c", WORKER]
pipe, env = subprocess.PIPE, os.environ | {"OMP_NUM_THREADS": "1"}
workers = [
    subprocess.Popen([*command, n], stdout=pipe, stderr=pipe, text=True, env=env) for n in "12"
]
for worker in workers:
    said, problem = worker.communicate()
    print(said if worker.returncode == 0 else problem[-500:], end="")

# %%
study = tuning.open_study(RUNS / "study")
table = runs_table(RUNS / "study" / "runs")
print(f"{len(study.trials)} trials in the study, {len(table)} runs on the disk")
scores = [np.nan if t.value is None else t.value for t in study.trials]
live_stopped = [t.state.name == "PRUNED" for t in study.trials]
plots.searched(scores, live_stopped)

# %% [markdown]
# +++ picture
# *In the picture: the Dice of each trial in its order. A cross is a trial that was stopped early,
# with its last score. The line is the best so far.*

# %% [markdown]
# There may be one trial more than was asked for: when the twelfth ended, the other process was
# still at its own. With two processes and two free cores a search takes about half the time. It is
# also no longer repeatable: what one of them tries depends on what the other has finished by then.
# That is a price. So write down the seed, the number of processes, and all trials, not only the
# best.
#
# ## A longer search
#
# A dozen trials say little. `make tune-runs` did a longer search, on one core, with more settings
# and longer trials. After that it did something that hardly any paper does. It trained the winner's
# settings again with other seeds, and also the settings that the playground begins with. And it
# scored every one of these networks on phantoms that no choice had seen. Guess: by how much does
# the search beat the hand?
#
# Two settings are new in the space: `foreground` is the share of patches that are put around tumour
# (lesson 03), `intensity` says whether brightness is changed at random.

# %%
kept = saved("11_study")
space = {k: tuple(v) if k in kept["ranges"] else v for k, v in kept["space"].items()}
study = tuning.from_rows(kept["trials"], space)
winner = tuning.best(study)
ways = [row["state"] for row in kept["trials"]]
print(f"`{kept['command']}`: {kept['cpu_seconds'] / 60:.0f} minutes, on {kept['machine']}")
print({way: ways.count(way) for way in sorted(set(ways))})
print(f"the best is trial {winner.number}, validation Dice {winner.value:.3f}")
rows = {"by hand": kept["hand"], "the winner": winner.params}
pd.DataFrame(rows).T.map(lambda v: f"{v:.3g}" if isinstance(v, float) else v)

# %%
trials = kept["trials"]
values = [np.nan if row["value"] is None else row["value"] for row in trials]
plots.searched(values, [row["state"] == "pruned" for row in trials])

# %% [markdown]
# +++ picture
# *In the picture: the longer search. Crosses are trials that the median rule stopped.*

# %% [markdown]
# ## What mattered?
#
# Draw one line a trial, through its settings to its score. Lines that end high are bright. Where
# they come together on an axis, that setting may have mattered. Or the search had stopped trying
# anything else there: see whether dim lines went elsewhere. Where bright ones are spread, it
# mattered little, or not alone.

# %%
rows = {
    f"trial {row['number']}": row["params"] | {"Dice": row["value"]}
    for row in trials
    if row["state"] == "complete"
}
looks = plots.shaded({name: row["Dice"] for name, row in rows.items()})
plots.parallel(rows, [*space, "Dice"], looks, logarithmic=["rate"])

# %% [markdown]
# +++ picture
# *In the picture: a line for each trial that came to its end, from its rate on the left to its Dice
# on the right. The better, the brighter and thicker; the best is dashed. The rate's axis is by
# factors. Three numbers stand on an axis: the point in the middle of base_filters is 8.*

# %% [markdown]
# One would like a number: so much of the differences is due to the rate, so much to the loss. Such
# numbers are called *importances*, and Optuna has more than one way to compute them. *fANOVA* fits
# a forest of decision trees to the trials, and takes apart how much the forest's guess varies with
# each setting. *PED-ANOVA* asks in which settings the best tenth of the trials (here a few) differs
# from all of them. Will they agree?

# %%
importances = {by: tuning.importance(study, by) for by in ("fanova", "ped-anova")}
plots.importance(importances)

# %% [markdown]
# +++ picture
# *In the picture: each setting's share by two methods. Plain bars are fANOVA, hatched ones
# PED-ANOVA.*

# %% [markdown]
# They answer different questions, and both answer from few trials, which the search did not draw
# evenly: where it found good scores it looked more closely. Importances tell you where to look
# next. They are no result. (Here they do not even agree on the first place.) They hold for *this*
# space: had the rate been searched from 0.01 to
# 0.02 only, it would probably hardly matter.
#
# One thing was never asked. A larger patch and more filters cost more, and steps were the same for
# all. So a setting can win because more work went into it. Look at the seconds.

# %%
found = pd.DataFrame(
    {"patch": row["params"]["patch"], "seconds": row["seconds"], "Dice": row["value"]}
    for row in trials
    if row["state"] == "complete"
)
found.groupby("patch").agg(["mean", "max"]).round(3)

# %% [markdown]
# A trial with the larger patch takes longer. Do not read the column of mean Dice as what the patch
# does: once the search had found good settings, it tried them mostly with the larger patch. That is
# why the importances above give the patch next to nothing.
#
# Lesson 09 compared networks at the same price. A search can be held to that as well: give each
# trial a purse of work instead of a number of steps, or let the score be Dice for a minute.
#
# ## The winner's curse
#
# Now to luck. Train the same settings with other seeds, and the Dice differs. Take the best of
# twelve such runs. It is no better than the others; it was lucky. Yet its score lies above their
# mean. How far, on average?
#
# **Exercise 3.** Write `expected_lead(scores, tries)`. `scores` are results of equally good runs.
# Draw `tries` of them with replacement, take the best, and subtract the mean of all `scores`.
# Return the average of that over many draws. (NumPy can draw a whole table at once:
# `np.random.default_rng(0).choice(scores, (10_000, tries))`.)


# %%
# +++ exercise 11.lead
def expected_lead(scores, tries):
    """How far the best of so many draws lies above the mean of all, on average."""
    # +++ solution
    draws = np.random.default_rng(0).choice(scores, (10_000, tries))
    return draws.max(axis=1).mean() - np.mean(scores)
    # +++ end


check("11.lead", expected_lead)

# %%
from gliomakit.course.worked_tuning import expected_lead as _expected_lead

expected_lead = use("11.lead", expected_lead, _expected_lead)
means = {
    title: {part: [float(np.mean(run[part])) for run in runs] for part in ("validation", "test")}
    for title, runs in kept["repeats"].items()
}
for title, both in means.items():
    scores = both["validation"]
    print(f"{title}: mean {np.mean(scores):.3f}, from {min(scores):.3f} to {max(scores):.3f}")
    for tries in (2, 5, 20, 40):
        print(f"  best of {tries:2} equal runs: {expected_lead(scores, tries):+.3f} by luck alone")

# %% [markdown]
# So if you try forty settings that are all equally good, you will find one that is "better" by
# about the last of these numbers. Nobody lied. Nobody made a mistake, except the one who reports
# it.
#
# What becomes of that lead on patients that had no part in the choice? The same runs were scored on
# test phantoms.

# %%
plots.luck({title: (both["validation"], both["test"]) for title, both in means.items()})

# %% [markdown]
# +++ picture
# *In the picture: each line is one run. Within a panel all have the same settings and differ by
# their seed. On the left its Dice on validation, on the right on test, both from the mean of the
# panel. The thick one was the best on validation. In the right panel that is not the
# network that won the search: that is the first of the twelve, and another seed beat it.*

# %% [markdown]
# On validation the thick run leads: it was chosen for that. On test its lead is gone in both
# panels, and it even ends below the mean of its own group. (The leads by luck above cannot exceed
# the lead of the best of the dozen runs that were drawn from. Forty real runs might show more.)
#
# Look at the right panel again. The lines cross: seeds that do well on validation do worse on test.
# Chance alone would rarely do that. What is different about the patients?

# %%
for part, volumes in kept["wt_ml"].items():
    print(f"{part}: median of the tumours {np.median(volumes):.0f} mL; {sorted(volumes)}")
rows = {f"{ml} mL": {} for ml in kept["wt_ml"]["validation"]}
for title, runs in kept["repeats"].items():
    for row, dice in zip(rows.values(), np.mean([run["validation"] for run in runs], axis=0)):
        row[title] = dice
runs = kept["repeats"]["the winner"]
sizes = {part: np.array(ml) for part, ml in kept["wt_ml"].items()}
small = [np.array(run["validation"])[sizes["validation"] < 50].mean() for run in runs]
large = [np.array(run["test"])[sizes["test"] > 100].mean() for run in runs]
print(f"small on validation against large on test: r = {np.corrcoef(small, large)[0, 1]:.2f}")
pd.DataFrame(rows).T.round(3)

# %% [markdown]
# Half of the validation phantoms have small tumours. A false alarm costs a small tumour much of its
# Dice, and a large one little. A seed that is good on the small ones is worse on large ones: the
# line printed above says so, where -1 would be a strict opposite. So the search favoured networks
# that are careful with the word tumour, and most of its gain is on those two phantoms. Among the
# test phantoms large tumours are the rule. That is the second way to be fooled: four patients
# choose what suits four patients.
#
# ## What the search really gained
#
# Three numbers can be reported for a search. The first is what papers often print: the winner's
# score on validation. The second is the mean of its settings over new seeds, on the same patients;
# the winner's luck with its seed is gone. The third is the mean over seeds on patients that chose
# nothing.

# %%
hand, tuned = means["by hand"], means["the winner"]
claimed = winner.value - np.mean(hand["validation"])
# the winner's first training is the network that won: its seed is not a new one
repeated = np.mean(tuned["validation"][1:]) - np.mean(hand["validation"])
print(f"on validation, the winner itself:     {claimed:+.3f}")
print(f"on validation, the winner's settings: {repeated:+.3f}, the mean over seeds")


def by_patient(title):
    """Each test phantom's Dice, the mean over seeds."""
    runs = [run for run in kept["repeats"][title] if run["seed"] != winner.number]
    return np.mean([run["test"] for run in runs], axis=0)


gains = by_patient("the winner") - by_patient("by hand")
low, high = bootstrap_interval(gains)
print(f"on test, the winner's settings:       {gains.mean():+.3f}, 95 %: {low:+.3f} to {high:+.3f}")
print(f"better for {int((gains > 0).sum())} of {len(gains)} test phantoms")
print(f"the median gain of a phantom is {np.median(gains):+.3f}")
print(f"the first gain is {claimed / gains.mean():.1f} times the last")

# %% [markdown]
# The first number is several times the last. A part of the difference is the winner's luck with its
# seed: that is gone in the second line. Most of the rest comes from the patients that chose. The
# search did find better settings; the 95 % interval of the last line says how far that mean could
# move with other test patients *of this kind*. It knows nothing of other seeds, or of what a second
# search would have found.
#
# And the network that won? You would have kept exactly that one, for it has the highest score.

# %%
kept_one = tuned["test"][0]  # the winner's first training is the network that won
print(f"test Dice of the network that won the search: {kept_one:.3f}")
print(f"test Dice by hand, mean over seeds:           {np.mean(hand['test']):.3f}")

# %% [markdown]
# So choose *settings* by a search, not a network. And if you can, let each trial be the mean of two
# or three seeds, on more patients than four.
#
# **Try this.** Choose the winner by *three* validation phantoms instead of four: in a new cell,
# `[np.argmax([np.mean(run["validation"][:n]) for run in runs]) for n in (3, 4)]`. Does another seed
# win? With few patients it is the patients that choose.
#
# ## What stands in the paper
#
# The fastai paper says that its parameters were "well selected using Neptune", and that this "helps
# to overcome the uncertainty". Its table has five rows, one an epoch, and its text claims a higher
# Dice than any of them (lesson 12). It names optimal rates of 2e-03 to 6e-03. It does not say how
# many settings were tried, by which patients the choice was made, or how much a repetition differs.
# It may all have been done well. A reader cannot know, and cannot repeat it.
#
# A tracker does not overcome uncertainty. It *shows* it, if one trains more than once. This is what
# a tuned result needs beside it:
#
# 1. the space, and why it has these borders;
# 2. how many trials, which were stopped or failed, what they cost;
# 3. the patients that chose, and others that judge;
# 4. new seeds of the chosen settings, and of what it is compared with;
# 5. as much tuning for the rival as for your own.
#
# Leaving out the last one is the easiest way to win, and the least honest. Look at the hand-made
# settings above again: they had no search at all.

# %%
emit(
    f"search {claimed:+.3f} claimed on validation, {gains.mean():+.3f} on test",
    live_trials=len(runs_table(RUNS / "study" / "runs")),
    by_hand=by_hand,
    trials=len(trials),
    stopped=ways.count("pruned"),
    claimed=claimed,
    repeated=repeated,
    gain=float(gains.mean()),
    gain_low=float(low),
    lead_of_40=float(expected_lead(hand["validation"], 40)),
    left_on_test=[
        float(both["test"][int(np.argmax(both["validation"]))] - np.mean(both["test"]))
        for both in means.values()
    ],
    kept_one=kept_one - float(np.mean(hand["test"])),
    importances_agree=next(iter(importances["fanova"])) == next(iter(importances["ped-anova"])),
)

# %% [markdown]
# ## Quiz

# %% [markdown]
# +++ quiz 11.grid
# You can afford 25 trials for five settings, and believe that one or two of them matter. A grid or
# a random search?
#
# - [ ] A grid: it is complete.
#   Two values for each of five settings are 32 trials already.
# - [x] Random: it tries 25 different values of whatever matters.
#   Right. And what does not matter costs nothing.
# - [ ] One setting after the other, keeping the best of each.
#   Settings interact: the best rate for one size need not be the best for another.

# %% [markdown]
# +++ quiz 11.best
# Forty trials, the best has a validation Dice of 0.70. What do you expect if you train its settings
# again with another seed, on the same patients?
#
# - [x] Less than 0.70 on average.
#   Right. The seed's luck does not come again; the settings stay.
# - [ ] 0.70 on average.
#   It was chosen *because* it came out high. A part of that was luck.
# - [ ] More, for now we know the settings.
#   Knowing them changes nothing about the training.

# %% [markdown]
# +++ quiz 11.stop
# The median rule stopped trial 17 after a third of its steps. What do you know about it?
#
# - [ ] Its settings are bad.
#   They were slow. A schedule that warms up looks bad early and may end well.
# - [x] At that step it was below the median of the trials that had come to their end.
#   Right, and no more than that.
# - [ ] It would have ended below the median.
#   Often, but nobody has seen it.

# %% [markdown]
# +++ quiz 11.test
# You take the three best trials, score them on the test patients, and report the best of the three.
# What is the test score now?
#
# - [ ] An honest estimate: test patients were never trained on.
#   They have chosen among three. That is a choice, if a small one.
# - [ ] Too low.
#   If anything it is too high.
# - [x] A second validation score: the test patients have chosen.
#   Right. Choose first, by validation; then open the test set once.

# %% [markdown]
# +++ remember
# ## What to remember
#
# - Draw rates by factors, all settings at once, and stop what falls behind.
# - A search is a file: resumable, shared, with every trial as a run.
# - Importances say where to look next, and hold for this space only.
# - The best of many leads by luck, even if all are equal. Measure it with new seeds.
# - Choose by some patients, report on others, and tune the rival as long as your own.

# %% [markdown]
# +++ next
# ## Where to go next
#
# Lesson 07 says how to report the final score. Lesson 12 reads two papers with these eyes. Lessons
# that are not in this folder yet are still being written.
