# %% [markdown]
# +++ title
# # Neptune dashboards: keep your runs, and find the bad one
#
# ![Curves of five short trainings, one panel a metric: loss, learning rate and Dice against steps.
# Four runs learn; the loss of one, with a learning rate a thousand times too high, lies millions of
# times above theirs, and its Dice stays low.](../images/10_neptune_dashboards.png)
#
# You train a network on Monday and get a Dice of 0.81. On Thursday you get 0.78. What did you
# change? If the answer is "I think it was the learning rate", you have lost Monday.
#
# A *tracker* writes down what you did while you do it: settings, curves, pictures, how long it
# took, how it ended. A *dashboard* lays many runs beside one another, so that you can see which one
# is odd. In this lesson you do both. Then you look for two bad runs. One is easy to see. The other
# looks fine, and its record is wrong.

# %% [markdown]
# +++ objectives
# **After this lesson you can**
#
# - log a training so that nothing is lost, not even when it crashes;
# - read runs back as tables, and compare them in a dashboard;
# - find a run that went wrong, and one whose record does not say what was done;
# - say what a tracker cannot do for you.

# %% [markdown]
# +++ prerequisites
# **You need** lesson 00, and some Python: functions, dictionaries, a first look at a pandas table.
# The trainings here are short, and how they work is not the subject: lesson 06 is about that. Words
# of the field are in the [glossary](../glossary.md).

# %% [markdown]
# +++ minutes
# **Time**: 40 minutes to read and try. The cells compute for about a minute on two CPU cores
# (CPU: under 1 minute; GPU: not measured yet).

# %% [markdown]
# ## Set up

# %%
# +++ setup

# %%
import shutil
from pathlib import Path

from gliomakit import Fit, fit, metrics, plots
from gliomakit.course import choose_size, emit
from gliomakit.course.exercises import check, use
from gliomakit.paths import prepared_folder
from gliomakit.phantom.prepared import prepared_phantoms
from gliomakit.tracking import read_run, read_runs, runs_table, series, start_run
from gliomakit.tracking.callbacks import FitLog
from gliomakit.tracking.dashboard import Panel, write_page

SIZE = choose_size()
RUNS = Path("runs") / "lesson10"
shutil.rmtree(RUNS, ignore_errors=True)  # this lesson begins anew when you run it again

# %% [markdown]
# ## Write something down
#
# The course uses the API of **Neptune**, a tracker that many labs used. You start a run, give it
# settings, and append numbers to series. A series is a name with slashes, like a path.

# %%
with start_run("my first run", RUNS / "first", tags=["try"], rate=1e-3, filters=8) as run:
    for step in range(10):
        run["metrics/train/loss"].append(1 / (step + 1), step=step)
    run["remarks"] = "nothing was trained: these numbers are made up"

record = read_run(run.folder)
print(record.name, "|", record.state, "|", record.fields["parameters/rate"])
series(record, "metrics/train/loss").tail(3)

# %% [markdown]
# `with` matters. When the block ends, the run says how: *finished*, or *failed* if something was
# raised, or *interrupted* if you pressed stop. A run without an end was cut off: the power went, or
# somebody killed the process.
#
# ## Where is it?
#
# On your disk, and nowhere else. Neptune once kept runs on its own servers. In December 2025 the
# company was sold, and on March 5, 2026 the service was closed and what was left on it was deleted.
# Its program still writes to your disk ("offline"), and this course reads those files itself. Look
# at what is in them:

# %%
log = run.folder / "data-1.log"
for line in log.read_text().splitlines()[-3:]:
    print(line)

# %% [markdown]
# One line is one thing that you did, in JSON. There is no magic in it. Any program can read this in
# ten years, with or without Neptune. That is the first thing to ask of a place where results live:
# *can I still read them when the company is gone?*
#
# ## What gets lost without a word
#
# Suppose that the loss becomes NaN, "not a number". It is the one moment of a training that you
# want to see later. Neptune's own program drops NaN, in silence. It also cuts long texts, forgets
# lists, and keeps of a file only where it lay. `start_run` closes these holes: what is no number
# becomes an *event* with its path and step.

# %%
with start_run("a broken one", RUNS / "first", layers=[16, 32, 64]) as run:
    for step, loss in enumerate([0.9, 0.5, float("nan"), float("nan")]):
        run["metrics/train/loss"].append(loss, step=step)

broken = read_run(run.folder)
print(broken.fields["parameters/layers"])
print(broken.events)
print(broken.series["metrics/train/loss"].values)

# %% [markdown]
# A curve with gaps raises a small question that everybody answers somehow: which step was the best?
# Python's `max` gives a strange answer when there is a NaN among the numbers, for every comparison
# with NaN is false.
#
# **Exercise 1.** Write `best_step(steps, values)`. It returns the step with the highest value,
# leaving out values that are no numbers. Where two are equally high, it returns the earlier one. If
# there is no number at all, it returns `None`.


# %%
# +++ exercise 10.best
import math


def best_step(steps, values):
    """The step of the highest finite value; the first of equals; None if there is none."""
    # +++ solution
    pairs = [(value, step) for step, value in zip(steps, values) if math.isfinite(value)]
    if not pairs:
        return None
    highest = max(value for value, _ in pairs)
    return next(step for value, step in pairs if value == highest)
    # +++ end


check("10.best", best_step)

# %%
from gliomakit.tracking.tables import best_step as _best_step

best_step = use("10.best", best_step, _best_step)
found = broken.series["metrics/train/loss"]
print("best step:", best_step(found.steps, found.values))

# %% [markdown]
# ## A handful of real runs
#
# Now five trainings, each a few seconds long. They are far too short for a good network, and that
# does not matter: you compare them with one another. The cases are phantoms with voxels of 4 mm.
#
# One of the five has a learning rate that is a thousand times too high. All five carry a note that
# somebody typed by hand: `noted_rate`. Guess which run will have the best Dice before you run the
# cell.

# %%
EACH = {
    "network": "LightUNet3d",  # small and quick; lesson 04 builds the paper's
    "base_filters": 8,
    "regions": ("wt",),  # the whole tumour only
    "patch": 32,
    "validate_every": 20,
    "alone": 0.0,
    "drop": 0.0,  # no sequence is left out
}
STEPS = 60 if SIZE == "laptop" else 400  # try more, if you have the time

training = prepared_phantoms(prepared_folder(), range(10), spacing=4.0)
validation = prepared_phantoms(prepared_folder(), range(50, 53), spacing=4.0)
print(f"{len(training)} phantoms to train on, {len(validation)} to validate on")

# %%
plans = {
    "steady": {"rate": 3e-2, "noted_rate": 3e-2},
    "careful": {"rate": 3e-3, "noted_rate": 3e-3},
    "hot": {"rate": 30.0, "noted_rate": 30.0},
    "copied": {"rate": 2e-2, "noted_rate": 1e-1},
    "wide": {"rate": 3e-2, "noted_rate": 3e-2, "base_filters": 12},
}
for name, plan in plans.items():
    plan = dict(plan)
    noted = plan.pop("noted_rate")
    settings = Fit(**(EACH | plan), steps=STEPS)
    with start_run(name, RUNS, tags=["lesson 10"], noted_rate=noted) as run:
        log = FitLog(run, training, validation)
        fitted = fit(training, validation, settings, callback=log, progress=False)
    print(f"{name:8} Dice {fitted.dice['wt']:.3f}")

# %% [markdown]
# `FitLog` is a callback: `fit` tells it what happens, and it writes that down. For fastai, lesson
# 08 uses `NeptuneLog` from the same module in the same way.
#
# ## Read them back
#
# `runs_table` reads all runs below a folder. One row is one run. A series shows its last value.

# %%
chosen = ["name", "state", "parameters/rate", "parameters/noted_rate", "metrics/valid/dice_wt"]
table = runs_table(RUNS)
table = table[table["tags"] == "lesson 10"]
table[chosen].set_index("name").round(4)

# %%
records = [record for record in read_runs(RUNS) if "lesson 10" in record.tags]
shown = ("metrics/train/loss", "metrics/train/rate", "metrics/valid/dice_wt")
curves = {
    record.name: {
        path: (record.series[path].steps, record.series[path].values)
        for path in shown
        if path in record.series
    }
    for record in records
}
plots.curves(curves, smooth=0.6, logarithmic=True)

# %% [markdown]
# +++ picture
# *In the picture: three panels for five runs. Left, the loss of each training step; the thin lines
# are what was measured, the thick ones are smoothed. In the middle the learning rate that was used.
# Right, the mean Dice of the validation patients. All three axes are logarithmic.*

# %% [markdown]
# The first bad run is easy, once the axis is logarithmic. The loss of "hot" lies millions of times
# above the others. (On a plain axis they would all lie flat on the ground.) It did not crash, and
# it did not warn you. Toward the end its loss even fell: the schedule had made the rate small
# again.
#
# Its Dice is not 0. So does it find *something*? Compare it with the two laziest answers that there
# are: nothing is tumour, and all of the brain is tumour.

# %%
lazy = {
    "nothing": [metrics.dice(case.brain & False, case.regions > 0) for case in validation],
    "everything": [metrics.dice(case.brain, case.regions > 0) for case in validation],
}
for answer, scores in lazy.items():
    print(f"{answer} is tumour: mean Dice {sum(scores) / len(scores):.3f}")

# %% [markdown]
# Know these two numbers for any data that you work on. A run that ends near one of them has learned
# next to nothing. Lesson 08 meets the first one again in a published table.
#
# **Try this.** Set `smooth=0.0`, then `0.98`. What does strong smoothing hide? (A short disaster: a
# spike of a few steps all but vanishes. So keep the raw curve in view.)
#
# ## The record that lies
#
# The second bad run looks well. Only its note is wrong: it says 0.1, and the optimiser used
# something else. This is not made up for the lesson. A public notebook that is close to the second
# paper of this course logs a rate of `1e-2`, and trains with `2e-3`. Whoever repeats the record
# gets another result.
#
# A number that a person types is an intention. A number that the training logs is a fact. So log
# the rate from the optimiser, at each step, and compare.
#
# **Exercise 2.** Write `rate_differs(noted, used)`. `noted` is one number. `used` is the series of
# rates, one a step; with a one-cycle schedule it rises to its top and falls. Return `True` if the
# top of `used` differs from `noted` by more than 5 % of `noted`.


# %%
# +++ exercise 10.rate
def rate_differs(noted, used):
    """Whether the highest rate that was used is another than the one that was noted."""
    # +++ solution
    return abs(max(used) - noted) > 0.05 * noted
    # +++ end


check("10.rate", rate_differs)

# %%
from gliomakit.tracking.tables import rate_differs as _rate_differs

rate_differs = use("10.rate", rate_differs, _rate_differs)
suspects = [
    record.name
    for record in records
    if rate_differs(
        record.fields["parameters/noted_rate"], record.series["metrics/train/rate"].values
    )
]
print("The record differs from what was done:", ", ".join(suspects) or "nowhere")

# %% [markdown]
# ## A dashboard
#
# Here you do the same by hand. Tick the runs that you want to see. Sort, filter, move the
# smoothing. *Side by side* marks with ≠ what differs. *Parameters* draws one line a run through its
# settings to its score: lines that end high show where good settings lie.

# %%
panel = Panel(RUNS)
panel

# %% [markdown]
# A saved notebook cannot show the panel alive; run the cell. You can also write the runs to a page.
# It is one file: no account, no network. It opens on a telephone, and you can mail it.

# %%
page = write_page(RUNS, RUNS / "dashboard.html")
print(f"{page}: {page.stat().st_size / 1e6:.2f} MB")

# %% [markdown]
# In a terminal, `gliomakit dashboard runs` does the same for all your runs, also while they train,
# and `gliomakit dashboard runs --serve` shows the panel in a browser, alive, without a notebook.
#
# Do you know TensorBoard? The same runs can be written for it. Set `TENSORBOARD` to `True` to see
# them here. It starts a small server on your machine, which goes on until you shut the kernel down.

# %%
from gliomakit.tracking import to_tensorboard

TENSORBOARD = False

events = to_tensorboard(RUNS)
print(f"{len(list(events.iterdir()))} runs for TensorBoard in {events}")
if TENSORBOARD:
    from IPython import get_ipython

    get_ipython().run_line_magic("load_ext", "tensorboard")
    get_ipython().run_line_magic("tensorboard", f"--logdir {events}")

# %%
scores = {
    record.name: max(record.series["metrics/valid/dice_wt"].values, default=0)
    for record in records
    if "metrics/valid/dice_wt" in record.series
}
best = max(scores, key=scores.get) if scores else "none"
emit(
    f"{len(records)} runs, best {best}, wrong record: {', '.join(suspects) or 'none'}",
    runs=len(records),
    best=best,
    suspects=suspects,
    hot_dice=scores.get("hot", 0.0),
    best_dice=scores.get(best, 0.0),
)

# %% [markdown]
# ## Choose, and know what you chose on
#
# The second paper of this course says that its parameters were chosen with Neptune. It is what
# trackers are for: look at many runs, take the best. Here that would be the run with the highest
# Dice on three validation patients. Two warnings belong to it.
#
# *The best of many is partly luck.* Give five runs the same settings and other seeds: their scores
# differ. The best of five looks better than a repetition of it will. The more runs you compare, the
# more luck there is in the winner. Lesson 11 measures how much.
#
# *What you chose on cannot judge you.* The validation patients helped to choose. A result that you
# report needs patients that had no part in any choice. A tracker does not know which patients those
# are. It shows you the test score after each run, if you log it there, and you will choose by it
# without noticing.
#
# There is more that a tracker cannot do. It records a wrong metric as faithfully as a right one. It
# does not see that a patient stands in training and validation. It cannot tell that two runs used
# different data under one name, unless you log a digest of the data, as `FitLog` does.
#
# And it does not outlive its company, unless your files do. Keep runs where you keep data: on a
# disk that you back up, in a format that you can read.

# %% [markdown]
# ## Quiz

# %% [markdown]
# +++ quiz 10.nan
# The loss of a run became NaN at step 500. The tracker shows a smooth curve that ends there. What
# most likely happened to the NaN?
#
# - [ ] The network recovered.
#   Weights that are NaN stay NaN. A curve that ends is no sign of recovery.
# - [x] The tracker dropped values that are no numbers.
#   Right. A gap looks like an end. That is why such values are kept as events here.
# - [ ] The training was stopped by the tracker.
#   Trackers do not stop trainings. Look at the run's state: finished, failed, interrupted, cut off.

# %% [markdown]
# +++ quiz 10.record
# A record says "rate 1e-2". Which of these would convince you that it is the rate that was used?
#
# - [ ] The same number stands in the run's name.
#   A person typed both. They agree with each other, not with the optimiser.
# - [ ] The result is good.
#   A good result can come from another rate than the one that was noted.
# - [x] A series of rates, logged from the optimiser at every step, whose top is 1e-2.
#   Right: that is what was done, not what was meant.

# %% [markdown]
# +++ quiz 10.choice
# You compare 30 runs on the validation patients, and report the best run's score on them. What is
# wrong?
#
# - [ ] Nothing: validation patients were not trained on.
#   The network did not learn from them, but you did: you chose by them.
# - [ ] 30 runs are too few.
#   More runs make it worse: there is more luck in the best of many.
# - [x] The score is too good: the choice was made on the same patients.
#   Right. Report the chosen run on patients that had no part in the choice.

# %% [markdown]
# +++ remember
# ## What to remember
#
# - Log what was done, not what was meant: the rate from the optimiser, a digest of the data.
# - A run should say how it ended. One that does not was cut off.
# - NaN is news. See that your tracker keeps it.
# - Know the scores of the lazy answers, nothing and everything. A run that ends there is empty.
# - What helped to choose cannot judge. No tracker protects you from that.
# - Results live where you can read them without the company that made the program.

# %% [markdown]
# +++ next
# ## Where to go next
#
# Lesson 11 lets a search choose, and measures how much of its gain is luck. Lesson 08 logs fastai's
# trainings in the same way. Lessons that are not in this folder yet are still being written.
