# %% [markdown]
# +++ title
# # Open anywhere: from your kernel to somebody else's screen
#
# ![Three planes of a phantom's FLAIR with the outlines of whole tumour, core and enhancing tumour
# as the network found them: what a person sees on the page.](../images/13_open_anywhere.png)
#
# The first paper of this course has a picture of a doctor who opens a web page, sends a scan, and
# gets a segmentation back, wherever he is. Its network was trained once, on one machine. To be of
# use it had to leave that machine.
#
# Your network lives in a Python kernel. It needs PyTorch, this package, the right versions of both,
# and you. In this lesson you take these needs away one by one. At the end a person with nothing but
# a browser uses your network. You will also see what you owe that person.

# %% [markdown]
# +++ objectives
# **After this lesson you can**
#
# - write a trained network in three forms, and say who can read which;
# - prove that a copy answers as the original does, before anybody trusts it;
# - segment a case without PyTorch;
# - serve the segmenter as a page, and say what such a page must refuse;
# - say from measured seconds what a machine must have, and what a case costs.

# %% [markdown]
# +++ prerequisites
# **You need** lessons 00, 02, 03 and 07: what a segmentation is, how a scan is prepared, and how
# windows are cut and blended. Nothing about web pages is needed. Words of the field are in the
# [glossary](../glossary.md).

# %% [markdown]
# +++ minutes
# **Time**: 45 minutes to read and try. The cells compute for about a minute on two CPU cores
# (CPU: 1 minute; GPU: not measured yet).

# %% [markdown]
# ## Set up

# %%
# +++ setup

# %%
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from gliomakit import inference, plots, weights
from gliomakit.cases import find_cases, open_label
from gliomakit.course import choose_size, emit
from gliomakit.course.exercises import check, use
from gliomakit.phantom import embedded
from gliomakit.phantom.dataset import embedded_names
from gliomakit.regions import REGION_NAMES, to_regions

SIZE = choose_size()
OUT = Path("runs") / "lesson13"
OUT.mkdir(parents=True, exist_ok=True)
model = weights.load()
print(model.source.name, "|", model.settings.trained_on)

# %% [markdown]
# The network is the one that ships with the package. It was trained on phantoms alone.
#
# ## What is in the file?
#
# For years networks were passed on as *pickles*. A pickle is a small program: loading it runs it,
# and it may do what any program may do. (Newer versions of `torch.load` refuse such programs unless
# told otherwise; `pickle.load` does not.) Would you run a program from a stranger on the machine
# that holds your patients' scans?
#
# A **safetensors** file cannot run. It begins with eight bytes that say how long a table is. Then
# comes the table, as JSON. The rest is numbers. You need no library to read the table:

# %%
with open(model.source, "rb") as file:
    length = int.from_bytes(file.read(8), "little")
    table = json.loads(file.read(length))

about = json.loads(table.pop("__metadata__")["gliomakit"])
numbers = sum(int(np.prod(entry["shape"])) for entry in table.values())
print(f"{len(table)} tensors, {numbers:,} numbers; the network is a {about['network']}")
for name in ("sequences", "spacing", "patch", "threshold"):
    print(f"  {name}: {about['settings'][name]}")

# %% [markdown]
# Look at the last lines. Numbers alone are not a network that anybody can use. Which sequence comes
# first? At what spacing? From which probability on is a voxel tumour? A file that does not say it
# will be used wrongly, and nothing will complain: a network that gets T1 where it expects FLAIR
# gives an answer all the same.
#
# But this file still needs our Python class, `LightUNet3d`, which says how the numbers are put
# together. Two other forms hold the structure as well:
#
# - **torch.export** writes the network as a list of steps. PyTorch can run it without our package.
# - **ONNX** is such a list that does not belong to PyTorch. Programs in C++, in Java, on a
#   telephone or in a browser read it.
#
# ## Is the copy the same?
#
# An exporter translates. Translators err: a layer is replaced by one that rounds differently, or
# has another idea of how to pad. So the copy is asked the same questions as the original. It will
# not give the same numbers to the last digit, for sums in another order round differently. How far
# apart may they be?
#
# A *logit* is the network's raw output, before it becomes a probability. A logit of 0 is a
# probability of one half. Near there, a logit that moves by 0.0001 moves the
# probability by a quarter of that. It changes a label only where the probability lies closer than
# that to the threshold. So 0.0001 is a strict limit and an honest one.
#
# **Exercise 1.** Write `agree(one, other, limit)`. It says, with `True` or `False`, whether two
# arrays agree: they have the same shape, and no two numbers in the same place are further apart
# than `limit`. A NaN agrees with nothing. (Careful: what does `NaN > limit` give?)


# %%
# +++ exercise 13.agree
def agree(one, other, limit):
    """Whether two arrays have one shape and nowhere differ by more than `limit`."""
    # +++ solution
    if one.shape != other.shape:
        return False
    return bool((np.abs(one - other) <= limit).all())
    # +++ end


# %%
check("13.agree", agree)

# %%
from gliomakit.course.worked_export import agree as packaged_agree

agree = use("13.agree", agree, packaged_agree)

# %% [markdown]
# Now write both forms. `to_torch` and `to_onnx` compare each file with the original themselves, and
# write nothing that is off. They give back the largest difference that they saw. Guess it first: is
# it nearer to 0.0001 or to 0?

# %%
from gliomakit.export import to_onnx, to_torch

forms = {"safetensors": model.source}
worst = {}
for name, write, end in (("torch.export", to_torch, "pt2"), ("ONNX", to_onnx, "onnx")):
    forms[name] = OUT / f"network.{end}"
    worst[name] = write(model, forms[name])

for name, path in forms.items():
    off = f"off by at most {worst[name]:.1e}" if name in worst else "the original"
    print(f"{name:12} {path.stat().st_size / 1e6:5.1f} MB, {off}")

# %% [markdown]
# Why do the sizes differ? The safetensors file keeps each number in two bytes, ONNX in four.
# torch.export's file also keeps the windows that it was traced with.
#
# Do not take their word for it. Load the ONNX file with **ONNX Runtime**, a program that only runs
# such files, and give both a window of numbers that neither has seen.

# %%
import onnxruntime

session = onnxruntime.InferenceSession(str(forms["ONNX"]), providers=["CPUExecutionProvider"])
sides = model.settings.window or model.settings.patch
draw = np.random.default_rng(13)
window = draw.standard_normal((1, len(model.settings.sequences), *sides)).astype(np.float32)
copied = session.run(None, {"image": window})[0]
with torch.no_grad():
    original = model.network(torch.from_numpy(window)).numpy()
for limit in (1e-4, 1e-6, 1e-9):
    print(f"agree to {limit:g}: {agree(original, copied, limit)}")

# %% [markdown]
# **Try this.** Make `other = window.copy()`, add 1 to one number of it, and give `other` to
# `session.run`. Does `agree` notice? A test that cannot fail proves nothing.
#
# ## Without PyTorch
#
# PyTorch is a workshop for making networks. Whoever only uses one can do without
# it. What is left to do
# then? All that you learned in the lessons before: crop to the brain, clip, z-score, resample,
# slide a window, blend, put back, threshold, nest. All of it is arithmetic on arrays, so NumPy and
# SciPy are enough. `gliomakit.lean` does it, in a module that you can read in ten minutes.
#
# Is PyTorch really not used? The kernel of this notebook has loaded it, so it cannot be the
# witness. Start a new process, and let it say itself whether PyTorch was loaded.

# %%
name = embedded_names("test")[0]
image = embedded() / "imagesTr" / f"{name}.nii.gz"
label = OUT / f"{name}.nii.gz"

command = [sys.executable, "-m", "gliomakit.lean", forms["ONNX"], image, label]
done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
lean = json.loads(done.stdout)
print(f"PyTorch loaded: {lean['torch']}; {lean['seconds']} s")
for region, ml in lean["volumes_ml"].items():
    print(f"  {REGION_NAMES[region]:16} {ml:6.1f} mL")

# %% [markdown]
# And the same case with PyTorch, here. How many voxels of the label will differ: none, a few, or
# one in a thousand? Guess before you run it.

# %%
case = find_cases(image)[0].read()
start = time.perf_counter()
found = inference.segment(case, model)
seconds = time.perf_counter() - start

without = to_regions(open_label(label).array, "msd")
differ = int((without != found.regions).any(axis=0).sum())
print(f"{seconds:.1f} s with PyTorch; {differ} of {case.label.size:,} voxels differ")
plots.planes(case, prediction=without)

# %% [markdown]
# +++ picture
# *In the picture: three planes of the phantom's FLAIR. Solid lines: the reference. Dotted lines:
# what ONNX Runtime and NumPy found without PyTorch.*

# %% [markdown]
# Move through the case yourself. Where do reference and prediction part?

# %%
from gliomakit.course.viewer import case_viewer

case_viewer(case, [without])

# %% [markdown]
# ## A page
#
# Who has neither Python nor a terminal has a browser. `gliomakit app` serves a page: drop one to
# four files, see them checked, press *Segment*, look, take the label away. (Under
# it is *Voilà*, which runs a notebook and shows a visitor its controls, without its code.) The
# address ends in a *token*, a long random word: who does not have it is not let in. The next cell
# starts the page, waits for its address, and knocks at the door without the token.
#
# Then it ends the page again, unless you set `KEEP` to `True`: then open the address that it
# prints, and end the page with `server.terminate()` when you have done. (The address with its token
# then stands in this notebook: clear the output before you pass it on. On Colab the address does
# not open: the machine is not yours.)

# %%
import urllib.error
import urllib.request
from importlib.util import find_spec

KEEP = False


def knock(address):
    """What the server says to someone who comes to this address."""
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            return "a login page" if "login" in answer.url else "the segmenter"
    except urllib.error.HTTPError as error:
        return f"no ({error.code})"


told = "not tried: Voilà or anywidget is not installed here"
if find_spec("voila") and find_spec("anywidget"):
    server = subprocess.Popen(
        [sys.executable, "-m", "gliomakit", "app", "--no-open"], stdout=subprocess.PIPE, text=True
    )
    address = server.stdout.readline().strip()
    told = knock(address.partition("?token=")[0])
    print(address if KEEP else f"{address.partition('?')[0]}?token=…")
    if not KEEP:
        server.terminate()
        server.wait()
print("without the token:", told)

# %% [markdown]
# `127.0.0.1` is the machine itself: no other machine can come to that address. With
# `gliomakit app --host 0.0.0.0` others can, and then the token is all that stands between them and
# your machine. It travels in the clear. So it is better to put a server that speaks HTTPS in front,
# on the same machine, and to leave the page itself at `127.0.0.1`: then nobody can go round it.
#
# A rented machine has no Python of yours. `Containerfile`, at the root of the repository, writes
# down what to put on it: a named Python, PyTorch for CPUs, this package with its weights, a user
# who is not root, and the command that starts the page. No patient is in it, and no token: the
# token comes from `GLIOMAKIT_TOKEN` when the container starts.
#
# ## What a page must refuse
#
# On your own machine a damaged file is your problem. On a page that others use it is everybody's.
# Some of what ours was tested with:
#
# - a file of 2 GB: refused by its size before a byte is read;
# - a *zip bomb*: a small packed file that unpacks to more than the memory holds. The header is read
#   first, it says how many voxels there are, and unpacking stops there;
# - a name like `../../etc/passwd`, or one with a script in it: names are shown, as text, and never
#   used. On the disk the files have names of ours;
# - files that do not lie on one grid: the page says so and asks. (Two patients on the same grid, as
#   after registration to an atlas, it cannot tell apart: that is left to the person who looks);
# - a tab that is closed in the middle: its process ends, its job leaves the queue, its files go;
# - ten people at once: each has a process of their own for reading and looking. *One* process has
#   the network and works through a queue, for two segmentations at once on two cores only slow each
#   other down.
#
# Two more things a page owes to whoever uses it. It should keep nothing: here each page has a
# folder that goes when the page goes. And it should say what it is not. A network that has seen
# phantoms only must not decide anything about a person, and nothing on a screen shows that unless
# somebody writes it there.
#
# ## What does it take?
#
# Somebody asks: can we put this on a rented machine? The answer has three numbers: memory, seconds,
# money. The seconds you have just measured. Memory can be measured as well. On Linux a process's
# own status says how much it ever held:

# %%
probe = (
    "import sys; from gliomakit.lean import main; main(sys.argv[1:]); "
    "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
)
if not Path("/proc/self/status").exists():
    memory_mb = None
    print("not measured: only Linux has such a status")
else:
    words = [sys.executable, "-c", probe, forms["ONNX"], image, label]
    said = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=True).stdout
    memory_mb = int(said.split()[-1]) * 1024 / 1e6  # Linux counts in units of 1024 bytes
    print(f"one case without PyTorch: {memory_mb:.0f} MB at most, {lean['seconds']} s")

# %% [markdown]
# A machine is shared by those who look and the one process that computes. Those who look wait, look
# and think: they need memory, and hardly any time.
#
# **Exercise 2.** Write `people_at_once(memory_mb, worker_mb, page_mb, spare)`. It returns how many
# pages fit: a share `spare` of the machine's memory is left to the system, `worker_mb` goes to the
# process that segments, and each page needs `page_mb`. A whole number, never below 0.


# %%
# +++ exercise 13.people
def people_at_once(memory_mb, worker_mb, page_mb, spare):
    """How many pages fit into a machine's memory."""
    # +++ solution
    free = memory_mb * (1 - spare) - worker_mb
    return max(int(free // page_mb), 0)
    # +++ end


# %%
check("13.people", people_at_once)

# %%
from gliomakit.course.worked_export import people_at_once as packaged_people

people_at_once = use("13.people", people_at_once, packaged_people)
for gigabytes in (1, 2, 4, 8):
    print(f"{gigabytes} GB: {people_at_once(1000 * gigabytes, 600, 150, 0.2)} pages at once")

# %% [markdown]
# The 600 and the 150 are assumptions of this cell, for cases of this size. Put your own there:
# `gliomakit check` estimates a case's memory.
#
# Now money. A machine is paid by the hour, also while nobody uses it. If it is busy a twentieth of
# the time, each case pays for twenty times its own seconds. People forget this one most often.
#
# **Exercise 3.** Write `price_per_case(seconds, price_per_hour, busy)`. `busy` is the share of the
# time in which the machine computes, above 0 and up to 1. Return what one case costs.


# %%
# +++ exercise 13.price
def price_per_case(seconds, price_per_hour, busy):
    """What one case costs on a machine that is busy for a share of the time."""
    # +++ solution
    return seconds / 3600 * price_per_hour / busy
    # +++ end


# %%
check("13.price", price_per_case)

# %%
from gliomakit.course.worked_export import price_per_case as packaged_price

price_per_case = use("13.price", price_per_case, packaged_price)
PRICE = 0.10  # an hour of a small machine; look up what yours costs

prices = {
    busy: price_per_case(max(seconds, lean["seconds"]), PRICE, busy) for busy in (1.0, 0.05, 0.001)
}
for busy, price in prices.items():
    print(f"busy {busy:6.1%} of the time: {100 * price:8.4f} cents a case")

# %% [markdown]
# **Try this.** With a number of cases a day, `busy` is `cases * seconds / 86400`. Take 100 cases a
# day: what does one cost here, and on a machine with a GPU that costs twenty times as much and
# needs a tenth of the seconds? At how many cases a day is the small machine busy all the time? Only
# from there on can the other one pay.
#
# Often the cheapest machine for a network of this size is the one that the person has already. A
# scan that never leaves the hospital needs no contract about where it went. That is why this page
# runs on a laptop as well as on a server: *anywhere* includes here.

# %%
same = agree(original, copied, 1e-4)
emit(
    f"ONNX off by {worst['ONNX']:.1e}, {differ} voxels differ, without the token: {told}",
    onnx=worst["ONNX"],
    torch_export=worst["torch.export"],
    agree=same,
    torch_loaded=lean["torch"],
    differ=differ,
    memory_mb=memory_mb,
    cents=100 * prices[0.05],
    door=told,
)

# %% [markdown]
# ## Quiz

# %% [markdown]
# +++ quiz 13.pickle
# A colleague mails you weights as a pickle. Why hesitate?
#
# - [ ] Pickles are larger than safetensors.
#   Both are about as large as the numbers in them.
# - [x] Loading a pickle can run any program that is in it.
#   Right. Ask for safetensors, or ONNX: they hold numbers and steps, nothing that acts.
# - [ ] Pickles round the numbers.
#   They do not. What they do is worse.

# %% [markdown]
# +++ quiz 13.nan
# The copy gives NaN in one voxel. A test asks `(abs(a - b) > limit).any()` and finds `False`. Why?
#
# - [ ] The difference is below the limit.
#   The difference is NaN, which is below nothing.
# - [ ] NaN counts as zero.
#   It does not: a sum with NaN is NaN.
# - [x] Every comparison with NaN is false, so the test does not see it.
#   Right. Ask whether all are within the limit, instead of whether any is outside.

# %% [markdown]
# +++ quiz 13.worker
# Ten people press *Segment* at the same time on a machine with two cores. What is best?
#
# - [ ] Ten processes with a network each.
#   They would share two cores, need ten times the memory, and all finish last.
# - [x] One process that takes them in turn, and a queue that everybody can see.
#   Right. The first gets his answer early, and each knows where he stands.
# - [ ] Tell nine of them to come back later.
#   They would all press again.

# %% [markdown]
# +++ quiz 13.token
# Your page listens on all addresses and asks for a token. What does the token not protect from?
#
# - [ ] People who guess addresses.
#   It protects from them: they would have to guess the token, too.
# - [x] Somebody who reads the traffic, as long as it is not encrypted.
#   Right. The token travels with it. HTTPS in front is what helps.
# - [ ] Other users of the same machine.
#   They need the token as well.

# %% [markdown]
# +++ remember
# ## What to remember
#
# - Weights are half of a network. The other half is how to use them: put it in the same file.
# - A copy is worth what its comparison with the original is worth. NaN must fail it.
# - Using a network needs far less than making one.
# - Names, sizes and headers come from strangers. Look at them before you act on them.
# - A page should keep nothing, and say what it is not.
# - On a machine that is rarely busy, a case mostly pays for the time in which nobody uses it.

# %% [markdown]
# +++ next
# ## Where to go next
#
# Lesson 12 asks what a result is worth; ask it of your page's. Lesson 07 measures where the network
# fails: whoever uses the page should know. Lessons that are not in this folder yet are still being
# written.
