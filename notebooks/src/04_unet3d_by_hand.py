# %% [markdown]
# +++ title
# # A 3-D U-Net by hand: account for every parameter
#
# ![A U-Net drawn as a U of coloured boxes: blue ones step down from side 64 to side 16, orange ones
# lie at the bottom with side 8, green ones climb back to side 64, and three dashed arrows cross
# over. Bars below show that most parameters lie near the bottom and most work at the right
# end.](../images/04_unet3d_by_hand.png)
#
# The first paper of this course trains a 3-D U-Net. It shows the network in a figure and describes
# it in a page of words. Could you build it from that? Would it be the same one?
#
# There is a way to find out. A network is a list of layers, and each layer has a number of
# parameters that you can compute with a pencil. If two people count the same sum, they have most
# likely built the same network. In this lesson you build the network line by line, and you count
# it. The count then tells you things that the picture does not: where the parameters sit, where the
# work is done, how far a voxel sees, and where the paper's words do not fit what was built.

# %% [markdown]
# +++ objectives
# **After this lesson you can**
#
# - write a 3-D U-Net in PyTorch, and say the shape of the array after every line;
# - compute its parameters, its work and its memory before you run anything;
# - compute how far an output voxel sees, and check that with a gradient;
# - use a count to test what a paper says about its network.

# %% [markdown]
# +++ prerequisites
# **You need** lesson 00, and Python with a first look at PyTorch: what a tensor is, and that a
# layer is called like a function. No patient is needed here: all images are noise, because shapes
# and counts do not depend on what is in an image. Words of the field are in the
# [glossary](../glossary.md).

# %% [markdown]
# +++ minutes
# **Time**: 50 minutes to read and try. The cells compute for about half a minute on two CPU cores
# (CPU: under 1 minute; GPU: not measured yet).

# %% [markdown]
# ## Set up

# %%
# +++ setup

# %%
import time

import torch
from IPython.display import Markdown
from torch import nn
from torch.nn import functional as F

from gliomakit import arithmetic, plots
from gliomakit.course import choose_size, emit
from gliomakit.course.exercises import check, use
from gliomakit.device import pick_device
from gliomakit.unet import UNet3d, count_parameters, table

SIZE = choose_size()
DEVICE = pick_device()
FILTERS = {"laptop": 4, "gpu": 16, "paper": 32}[SIZE]  # the paper's network begins with 32
torch.manual_seed(0)
image = torch.randn(1, 4, 64, 64, 64, device=DEVICE)
print("one patch, four sequences:", tuple(image.shape))

# %% [markdown]
# The network that you *run* has 4 filters in its first layer, so that any machine can run it. The
# paper's has 32. The network that you *count* will be the paper's. It tells tumour from background
# and no more, so it ends in two classes.
#
# ## One convolution
#
# A 3-D convolution slides a small cube of weights, its *kernel*, over the image. At each place it
# multiplies what lies under the cube with the weights, adds it all up, and adds one more number,
# the *bias*. That gives one voxel of one output *channel*. A channel is one whole volume of
# numbers: the image enters with four of them, its four sequences.
#
# The cube reaches through **all** channels that enter. Each channel that leaves has its own cube
# and its own bias. That sentence is all you need for the first exercise.
#
# **Exercise 1.** Write `conv_parameters(kernel, entering, leaving, bias)`. The kernel is a cube
# with that side. `bias` says whether there is one.


# %%
# +++ exercise 04.parameters
def conv_parameters(kernel, entering, leaving, bias=True):
    """Number of parameters of a 3-D convolution with a cubic kernel."""
    # +++ solution
    weights = kernel**3 * entering * leaving
    return weights + leaving if bias else weights
    # +++ end


check("04.parameters", conv_parameters)

# %%
conv_parameters = use("04.parameters", conv_parameters, arithmetic.conv_parameters)
layer = nn.Conv3d(4, 32, 3, padding=1)
print("PyTorch:", count_parameters(layer), "| yours:", conv_parameters(3, 4, 32))

# %% [markdown]
# ## Three layers that change the side
#
# A kernel of side 3 does not fit around a voxel at the border. *Padding* of 1 lays a rim of zeros
# around the image; then the side stays. Without padding each convolution takes two voxels off.
#
# *Max pooling* takes the largest of each 2 × 2 × 2 voxels: it steps by 2 (its *stride*) and halves
# the side. A *transposed convolution* goes the other way, without undoing the pooling. With side 2
# and step 2 it makes a cube of 2 × 2 × 2 voxels out of each voxel, with weights that are learned.
#
# How large is the output in general? Count the places where the kernel can stand. On a padded side
# of `side + 2 * padding` its first voxel can stand at 0, at `stride`, at twice the stride, and so
# on, as long as its last voxel is still inside. For the transposed layer, run it backward: cubes of
# side `kernel` are laid down at steps of `stride`, and the padding is then cut off both ends.
#
# **Exercise 2.** Write `side_after(kind, side, kernel, stride, padding)`. `kind` is `"conv"`,
# `"pool"` or `"up"`. Return a whole number.


# %%
# +++ exercise 04.side
def side_after(kind, side, kernel, stride=1, padding=0):
    """Side in voxels after a convolution, a pooling, or a transposed convolution ("up")."""
    # +++ solution
    if kind == "up":
        return (side - 1) * stride + kernel - 2 * padding
    return (side + 2 * padding - kernel) // stride + 1
    # +++ end


check("04.side", side_after)

# %%
side_after = use("04.side", side_after, arithmetic.side_after)
side = 64
for kind, kernel, stride, padding in [("conv", 3, 1, 1), ("pool", 2, 2, 0), ("up", 2, 2, 0)]:
    print(f"{kind:5} {side} -> {side_after(kind, side, kernel, stride, padding)}")
    side = side_after(kind, side, kernel, stride, padding)

# %% [markdown]
# ## Going down
#
# Now the network. The paper calls its blocks `en1` to `en3` (encoders) and `de4` to `de1`
# (decoders). Each has two 3³ convolutions. In an encoder, batch norm stands after the first: it
# shifts and scales each channel so that its values have mean 0 and variance 1 over the batch, and
# learns two numbers a channel. ReLU, which sets negative numbers to 0, has nothing to learn.
#
# Guess each shape before you run the cell.

# %%
filters = FILTERS
layers = nn.ModuleDict()
layers["en1_conv1"] = nn.Conv3d(4, filters, 3, padding=1)
layers["en1_bn"] = nn.BatchNorm3d(filters)
layers["en1_conv2"] = nn.Conv3d(filters, 2 * filters, 3, padding=1)
layers.to(DEVICE)


def show(name, x):
    print(f"{name:22} {x.shape[1]:4} channels, side {x.shape[2]}")
    return x


with torch.no_grad():
    x = show("image", image)
    x = show("en1_conv1", layers["en1_conv1"](x))
    x = show("en1_bn, ReLU", F.relu(layers["en1_bn"](x)))
    en1 = show("en1_conv2, ReLU", F.relu(layers["en1_conv2"](x)))
    below1 = show("pool", F.max_pool3d(en1, 2))

# %% [markdown]
# Keep `en1`: it comes back later. The second and third encoders are the same with more channels.
# Each doubles them in its second convolution, *before* the pooling.

# %%
for name, entering in (("en2", 2 * filters), ("en3", 4 * filters)):
    layers[f"{name}_conv1"] = nn.Conv3d(entering, entering, 3, padding=1)
    layers[f"{name}_bn"] = nn.BatchNorm3d(entering)
    layers[f"{name}_conv2"] = nn.Conv3d(entering, 2 * entering, 3, padding=1)
layers.to(DEVICE)

with torch.no_grad():
    x = show("en2_conv1", layers["en2_conv1"](below1))
    x = show("en2_bn, ReLU", F.relu(layers["en2_bn"](x)))
    en2 = show("en2_conv2, ReLU", F.relu(layers["en2_conv2"](x)))
    below2 = show("pool", F.max_pool3d(en2, 2))
    x = show("en3_conv1", layers["en3_conv1"](below2))
    x = show("en3_bn, ReLU", F.relu(layers["en3_bn"](x)))
    en3 = show("en3_conv2, ReLU", F.relu(layers["en3_conv2"](x)))
    below3 = show("pool", F.max_pool3d(en3, 2))

# %% [markdown]
# ## The bottom
#
# At side 8 a voxel stands for 8 × 8 × 8 voxels of the image. There are many channels, so the
# network can say much about *what* is there. It can no longer say *where* exactly. From here on
# there is no batch norm.

# %%
layers["de4_conv1"] = nn.Conv3d(8 * filters, 8 * filters, 3, padding=1)
layers["de4_conv2"] = nn.Conv3d(8 * filters, 16 * filters, 3, padding=1)
layers["de4_up"] = nn.ConvTranspose3d(16 * filters, 16 * filters, 2, stride=2)
layers.to(DEVICE)

with torch.no_grad():
    x = show("de4_conv1, ReLU", F.relu(layers["de4_conv1"](below3)))
    x = show("de4_conv2, ReLU", F.relu(layers["de4_conv2"](x)))
    above3 = show("de4_up", layers["de4_up"](x))

# %% [markdown]
# ## Going up
#
# Here comes the idea that made the U-Net. `above3` knows *what*. `en3`, from the way down, has the
# same side and still knows *where*. Lay the two beside one another, channel upon channel
# (`torch.cat`), and let the next convolution mix them. The bridge is called a *skip*.
#
# Guess: with how many channels does `de3_conv1` begin?

# %%
layers["de3_conv1"] = nn.Conv3d(8 * filters + 16 * filters, 8 * filters, 3, padding=1)
layers["de3_conv2"] = nn.Conv3d(8 * filters, 8 * filters, 3, padding=1)
layers["de3_up"] = nn.ConvTranspose3d(8 * filters, 8 * filters, 2, stride=2)
layers.to(DEVICE)

with torch.no_grad():
    x = show("en3 beside above3", torch.cat([en3, above3], dim=1))
    x = show("de3_conv1, ReLU", F.relu(layers["de3_conv1"](x)))
    x = show("de3_conv2, ReLU", F.relu(layers["de3_conv2"](x)))
    above2 = show("de3_up", layers["de3_up"](x))

# %% [markdown]
# Twice more. The last layer has a kernel of side 1: it looks at one voxel at a time, and turns its
# channels into two numbers, one for each class. Such raw numbers are *logits*; softmax makes
# probabilities of them.

# %%
layers["de2_conv1"] = nn.Conv3d(4 * filters + 8 * filters, 4 * filters, 3, padding=1)
layers["de2_conv2"] = nn.Conv3d(4 * filters, 4 * filters, 3, padding=1)
layers["de2_up"] = nn.ConvTranspose3d(4 * filters, 4 * filters, 2, stride=2)
layers["de1_conv1"] = nn.Conv3d(2 * filters + 4 * filters, 2 * filters, 3, padding=1)
layers["de1_conv2"] = nn.Conv3d(2 * filters, 2 * filters, 3, padding=1)
layers["de1_out"] = nn.Conv3d(2 * filters, 2, 1)
layers.to(DEVICE)

with torch.no_grad():
    x = show("en2 beside above2", torch.cat([en2, above2], dim=1))
    x = show("de2_conv1, ReLU", F.relu(layers["de2_conv1"](x)))
    x = show("de2_conv2, ReLU", F.relu(layers["de2_conv2"](x)))
    above1 = show("de2_up", layers["de2_up"](x))
    x = show("en1 beside above1", torch.cat([en1, above1], dim=1))
    x = show("de1_conv1, ReLU", F.relu(layers["de1_conv1"](x)))
    x = show("de1_conv2, ReLU", F.relu(layers["de1_conv2"](x)))
    logits = show("de1_out", layers["de1_out"](x))

# %% [markdown]
# ## The same, as a class
#
# To train a network you want one object that you can call. Nothing here is new: the table of
# channels at the top, the two loops below, are the lines that you have just run.


# %%
class HandUNet(nn.Module):
    """The first paper's 3-D U-Net."""

    def __init__(self, channels=4, classes=2, filters=32):
        super().__init__()
        f = filters
        blocks = {
            "en1": (channels, f, 2 * f),
            "en2": (2 * f, 2 * f, 4 * f),
            "en3": (4 * f, 4 * f, 8 * f),
            "de4": (8 * f, 8 * f, 16 * f),
            "de3": (8 * f + 16 * f, 8 * f, 8 * f),
            "de2": (4 * f + 8 * f, 4 * f, 4 * f),
            "de1": (2 * f + 4 * f, 2 * f, 2 * f),
        }
        for name, (entering, middle, leaving) in blocks.items():
            self.add_module(f"{name}_conv1", nn.Conv3d(entering, middle, 3, padding=1))
            if name.startswith("en"):
                self.add_module(f"{name}_bn", nn.BatchNorm3d(middle))
            self.add_module(f"{name}_conv2", nn.Conv3d(middle, leaving, 3, padding=1))
            if name in ("de4", "de3", "de2"):
                self.add_module(f"{name}_up", nn.ConvTranspose3d(leaving, leaving, 2, stride=2))
        self.de1_out = nn.Conv3d(2 * f, classes, 1)

    def pair(self, name, x):
        layer = dict(self.named_children())
        x = layer[f"{name}_conv1"](x)
        if name.startswith("en"):
            x = layer[f"{name}_bn"](x)
        return F.relu(layer[f"{name}_conv2"](F.relu(x)))

    def forward(self, image):
        x, skips = image, []
        for name in ("en1", "en2", "en3"):
            skips.append(self.pair(name, x))
            x = F.max_pool3d(skips[-1], 2)
        for name in ("de4", "de3", "de2"):
            x = getattr(self, f"{name}_up")(self.pair(name, x))
            x = torch.cat([skips.pop(), x], dim=1)
        return self.de1_out(self.pair("de1", x))


# %% [markdown]
# Is it the same network? Give all three the same weights: your lines, your class, and `UNet3d`, the
# package's. If they are one network, the same image gives the same logits.

# %%
mine = HandUNet(filters=FILTERS).to(DEVICE)
theirs = UNet3d(base_filters=FILTERS).to(DEVICE)
mine.load_state_dict(layers.state_dict())
theirs.load_state_dict(layers.state_dict())
with torch.no_grad():
    by_class, by_package = mine(image), theirs(image)

off = max(float((logits - other).abs().max()) for other in (by_class, by_package))
print(f"largest difference {off:.1e}, logits up to {logits.abs().max():.2f}")
same = torch.allclose(logits, by_class, atol=1e-4)
same = same and torch.allclose(logits, by_package, atol=1e-4)
print("The three are one network." if same else "They differ: look at the layers' order.")

# %% [markdown]
# `load_state_dict` copies by name, and it refuses if a name or a shape does not fit. That is half
# of the proof. The equal logits are the other half: two networks can have the same parameters and
# use them in another order.
#
# ## Count it
#
# Now the paper's 32 filters. PyTorch has a device named `"meta"`, on which a tensor has a shape and
# nothing else. Nothing is computed and no memory is needed, so any laptop can count any network.
# `table` runs a network there and writes down each layer as it passes.

# %%
with torch.device("meta"):
    paper = HandUNet(filters=32)
rows = table(paper, side=64)
Markdown(str(rows))

# %% [markdown]
# A *GMAC* is a thousand million multiplications, each with its addition. The rule for it is short:
# each weight meets each voxel of the output once. (In a transposed convolution it is each voxel of
# the *input*.) So the work of a layer is its weights times its voxels.
#
# Do not believe the table. Check it with your own two functions.

# %%
account, side = [], 64
for name, layer in paper.named_children():
    kernel = getattr(layer, "kernel_size", (0,))[0]
    if kernel == 0:
        parameters, work = 2 * layer.num_features, 0.0  # batch norm: a scale and a shift a channel
    else:
        parameters = conv_parameters(kernel, layer.in_channels, layer.out_channels)
        if name.endswith("conv1") and name[:3] in ("en2", "en3", "de4"):
            side = side_after("pool", side, 2, 2)
        work = layer.weight.numel() * side**3 / 1e9
        if name.endswith("up"):
            side = side_after("up", side, 2, 2)
    account.append((name, side, parameters, work))

right = [
    (row.layer, row.side, row.parameters) == line[:3] and abs((row.gmac or 0) - line[3]) < 1e-9
    for row, line in zip(rows, account)
]
print(f"{sum(right)} of {len(rows)} layers agree")
print(
    f"{sum(line[2] for line in account):,} parameters, {sum(line[3] for line in account):.1f} GMAC"
)

# %%
plots.account(rows)

# %% [markdown]
# +++ picture
# *In the picture: on top the layers as they run, from left to right. The height of a box is the
# side of what the layer gives, the number above it the channels, pale boxes are transposed
# convolutions, dashed arrows are the skips. Below each layer stand its parameters and its work.*

# %% [markdown]
# The two rows of bars peak in different places. Most parameters sit at the bottom and one step
# above it, where there are many channels: they cost space on the disk. Most work is done at the
# top, where there are many voxels: it costs time.

# %%
deep = sum(row.parameters for row in rows if row.layer[:3] in ("de4", "de3")) / rows.parameters
top = sum(row.gmac or 0 for row in rows if row.side == 64 and not row.layer.endswith("up"))
print(f"{deep:.0%} of the parameters lie in de4 and de3")
dearest = max(rows, key=lambda row: row.gmac or 0)
print(f"{top / rows.gmac:.0%} of the work is done at side 64")
print(f"{dearest.gmac / rows.gmac:.0%} of it all in {dearest.layer} alone")

# %% [markdown]
# **Try this.** Make `paper` with `filters=16` and run the cells from there. By what factor do the
# parameters fall, and the work? (By nearly 4, both: a layer's weights grow with channels that enter
# *times* channels that leave. Only the first and the last layer grow more slowly.)
#
# ## From work to hours
#
# Training runs each patch forward, then backward. The backward pass costs about twice the forward
# pass, so that is three times in all. A MAC is two operations. MathWorks' worked example, which the
# paper follows, takes 400 patients, 16 patches each, for 100 epochs. Half of a K80, the paper's
# card, can do at most 4.4 · 10¹² operations a second. Let us grant it half of that. And this
# machine? The cell runs the small network forward and backward once, and measures.

# %%
operations = 2 * 3 * rows.gmac * 1e9
total = operations * 400 * 16 * 100
print(f"{operations / 1e12:.3f} · 10¹² operations a patch, {total / 1e18:.2f} · 10¹⁸ in all")
print(f"half a K80 at half its best: {total / (4.4e12 * 0.5) / 3600:.0f} hours")

small = torch.randn(1, 4, 32, 32, 32, device=DEVICE)
mine(small).mean().backward()  # the first time is never typical
start = time.perf_counter()
mine(image).mean().backward()
float(mine.de1_out.bias.grad.sum())  # waits until the device has finished
seconds = time.perf_counter() - start
speed = 2 * 3 * table(mine).gmac * 1e9 / seconds
print(
    f"this machine: {speed / 1e9:.0f} · 10⁹ operations a second, {total / speed / 86400:,.0f} days"
)

# %% [markdown]
# The last line is rough: a wider network uses a machine better than a narrow one. Even so you can
# see why the course trains smaller networks on a laptop.
#
# ## How far does a voxel see?
#
# An output voxel is computed from a part of the image, its *receptive field*. Whatever lies outside
# cannot change it. To find the field, walk back from the output and carry a range of voxels along:
#
# - through a *convolution* with kernel 3, one voxel is added at either end;
# - through a *pooling*, voxel `i` came from the voxels `2 * i` and `2 * i + 1`;
# - through a *transposed convolution*, voxel `i` came from the single voxel `i // 2`.
#
# **Exercise 3.** Write `seen_range(path, voxel)`. `path` lists the layers in the order in which
# they run, as words: `"conv"`, `"pool"`, `"up"`. Return the first and the last input voxel, along
# one axis. A range may reach beyond the image: there lies only padding.


# %%
# +++ exercise 04.seen
def seen_range(path, voxel):
    """First and last input voxel that output voxel `voxel` depends on."""
    # +++ solution
    first = last = voxel
    for kind in reversed(path):
        if kind == "conv":
            first, last = first - 1, last + 1
        elif kind == "pool":
            first, last = 2 * first, 2 * last + 1
        elif kind == "up":
            first, last = first // 2, last // 2
    return first, last
    # +++ end


check("04.seen", seen_range)

# %%
seen_range = use("04.seen", seen_range, arithmetic.seen_range)
pair = ["conv", "conv"]
path = [*pair, "pool"] * 3 + [*pair, "up"] * 3 + pair
for voxel in range(64, 72):
    first, last = seen_range(path, voxel)
    print(f"voxel {voxel} sees {first} to {last}: {last - first + 1} voxels")

# %% [markdown]
# Two things are worth a pause. Neighbours do not see equally far: it depends on where a voxel lies
# in the grid of the poolings. And every field is **wider than the patch of 64**. So during training
# no voxel ever sees all that it could see, and on the patch's face about half of its view is
# padding. That is one reason why the package lets its windows overlap when it segments a patient,
# and trusts the middle of each window most.
#
# Now look at it. The gradient of one output voxel says how much each input voxel would change it.
# Where it is zero, nothing is seen. The image is a slab of 128 × 128 × 16, because you look at one
# slice. Batch norm is switched to its fixed averages (`eval`).

# %%
VOXEL = (64, 64, 8)
slab = torch.randn(1, 4, 128, 128, 16, device=DEVICE, requires_grad=True)
seeing = UNet3d(base_filters=FILTERS).to(DEVICE)  # He initialisation: signals keep their size


def gradient_of(network):
    """Absolute gradient of one output voxel: the largest of the four sequences."""
    (found,) = torch.autograd.grad(network(slab)[0, 1][VOXEL], slab)
    return found[0].abs().amax(0).cpu().numpy()


gradient = gradient_of(seeing.eval())
computed = seen_range(path, VOXEL[0])
seen = gradient.max(axis=(1, 2)).nonzero()[0]
print(f"computed: {computed[0]} to {computed[1]}, not zero: {seen.min()} to {seen.max()}")
plots.receptive(gradient, VOXEL, [computed, computed])

# %% [markdown]
# +++ picture
# *In the picture: left, the gradient in the slice through the voxel, on a logarithmic scale. The
# orange box is what you computed, the dashed blue one a training patch around the voxel. Right, the
# largest gradient at each x, as a share of the largest of all.*

# %% [markdown]
# The box fits to the voxel. Inside it, not all voxels count alike: one at the edge has a small
# share of the weight of one in the middle. Many paths through the network lead from the middle to
# the output, and few from the edge. How large is the part that matters? Move the slider: it hides
# what lies below a share of the largest gradient.

# %%
from gliomakit.course.widgets import slide

BOX = [computed, computed]


def draw_share(power):
    return plots.receptive(gradient, VOXEL, BOX, floor=10**power)


slide(draw_share, "share, 10 to the", low=-4, high=-0.5, step=0.25, start=-2)

# %% [markdown]
# A saved notebook cannot move its slider. This is what it shows at one tenth.

# %%
plots.receptive(gradient, VOXEL, BOX, floor=0.1)

# %% [markdown]
# +++ picture
# *In the picture: the same gradient and the same boxes, with all that is smaller than a tenth of
# the largest left out. What is left is much smaller than the patch.*

# %% [markdown]
# One more look, with batch norm as it works in training. It computes mean and variance over the
# whole batch. What does that do to the field? Guess first.

# %%
wide = gradient_of(seeing.train())
outside = wide.copy()
outside[computed[0] : computed[1] + 1, computed[0] : computed[1] + 1] = 0
count = wide.size - (computed[1] - computed[0] + 1) ** 2 * wide.shape[2]
print(f"outside the box, {(outside > 0).sum() / count:.0%} of the voxels have a gradient,")
print(f"at most {outside.max() / wide.max():.1e} of the largest")

# %% [markdown]
# A mean over all voxels depends on all voxels. So with batch norm in training, or with instance
# norm at any time, an output voxel sees the whole patch, if only a little. A computed receptive
# field holds for the convolutions alone.
#
# ## Memory
#
# To go backward, training must keep much of what it computed going forward. How much? Count for one
# level with `c` channels after its first convolution. Kept are: what enters and what leaves batch
# norm (`c` each, the second after ReLU), the second convolution's output (`2c`), the skip and what
# came up laid side by side (`6c`), and the outputs of two more convolutions (`2c` each). That is
# `14c` numbers a voxel, 4 bytes each. The pooling keeps its output, and in 8 bytes where each
# maximum was.


# %%
def estimate_mb(voxels, filters, batch=1):
    """MB that the paper's network keeps for its backward pass, in a patch of so many voxels."""
    kept = 0
    for level in range(3):
        c, here = filters * 2**level, voxels / 8**level
        kept += 14 * c * here * 4
        kept += 2 * c * (here / 8) * (4 + 8)  # pooling: values and places
    kept += (8 + 16) * filters * (voxels / 8**3) * 4  # de4
    return batch * kept / 1e6


# %% [markdown]
# And measured? PyTorch can call a function of ours whenever it keeps a tensor. `saved_bytes` adds
# them up, each piece of memory once.

# %%
BATCHES = (1, 2, 4)
SIDES = (16, 24, 32, 48) if SIZE == "laptop" else (16, 32, 48, 64)
measured = {}
for batch in BATCHES:
    mb = []
    for side in SIDES:
        patch = torch.zeros(batch, 4, side, side, side, device=DEVICE)
        mb.append(arithmetic.saved_bytes(mine, patch) / 1e6)
        guess = estimate_mb(side**3, FILTERS, batch)
        print(f"batch {batch}, side {side}: {mb[-1]:7.2f} MB measured, {guess:7.2f} estimated")
    measured[f"batch {batch}"] = {"MB kept, against the patch's side": (SIDES, mb)}
plots.curves(measured, logarithmic=True, across="side of the patch in voxels")

# %% [markdown]
# +++ picture
# *In the picture: MB that the small network keeps for its backward pass, against the patch's side
# in voxels, one line for each batch size. The vertical axis is logarithmic.*

# %% [markdown]
# The batch counts once, the side three times: double the side, and memory grows eightfold. Now the
# paper's network, which your machine need not hold.

# %%
patch_mb = estimate_mb(64**3, 32)
with torch.device("meta"):
    meta_mb = arithmetic.saved_bytes(paper, torch.zeros(1, 4, 64, 64, 64)) / 1e6
print(f"one patch of 64³: {patch_mb:.0f} MB estimated, {meta_mb:.0f} MB on the meta device")
print(f"the paper's batch of 8: {8 * patch_mb / 1000:.1f} GB")
print(f"a whole patient, 240 × 240 × 160: {estimate_mb(240 * 240 * 160, 32) / 1000:.0f} GB")
print(f"weights, gradients and Adam's two averages: {4 * 4 * rows.parameters / 1e9:.2f} GB")

# %% [markdown]
# So nineteen million parameters are not what fills a card. What fills it are the arrays in between.
# By this count a batch of 8 fits on half a K80 with its 12 GB. A whole patient does not, and that
# is why lesson 03 cuts patches. The true peak is somewhat higher than these numbers: gradients and
# the workspace of the convolutions come on top. (Lesson 03 adds up what the layers give, and no
# more. Here the joined arrays and the places of the maxima are counted too, and a GiB is 1.07 GB.)
#
# ## Count another one
#
# The first 3-D U-Net is by Çiçek and others (2016). Their paper gives a count: 19,069,955. Can you
# arrive at it? Its channels are those that you have just built, with these differences: 3 channels
# enter, 3 classes leave, and the transposed convolutions have **no** bias. Their number counts no
# parameters of batch norm. (It has no padding either. Does that matter for the count?)
#
# **Exercise 4.** Write `cicek_layers()`. It returns a list of all convolutions, the transposed ones
# among them, each as `(kernel, entering, leaving, bias)`. Your first function does the counting.


# %%
# +++ exercise 04.cicek
def cicek_layers():
    """The convolutions of Çiçek's 3-D U-Net: (kernel, entering, leaving, bias)."""
    # +++ solution
    f = 32
    pairs = [(3, f, 2 * f), (2 * f, 2 * f, 4 * f), (4 * f, 4 * f, 8 * f), (8 * f, 8 * f, 16 * f)]
    pairs += [(24 * f, 8 * f, 8 * f), (12 * f, 4 * f, 4 * f), (6 * f, 2 * f, 2 * f)]
    found = [(3, a, b, True) for a, b, _ in pairs] + [(3, b, c, True) for _, b, c in pairs]
    found += [(2, c, c, False) for c in (16 * f, 8 * f, 4 * f)]
    return [*found, (1, 2 * f, 3, True)]
    # +++ end


check("04.cicek", cicek_layers)

# %%
cicek_layers = use("04.cicek", cicek_layers, arithmetic.cicek_layers)
cicek_count = sum(conv_parameters(*layer) for layer in cicek_layers())
print(f"{len(cicek_layers())} layers, {cicek_count:,} parameters; their paper says 19,069,955")

# %% [markdown]
# Padding does not matter: it has no parameters. A published number, met to the last digit, settles
# questions that words leave open: which layers have a bias, and what was counted. That is worth
# doing for any network you rebuild.
#
# ## What the count says about the words
#
# The first paper's text can now be put to the test. The cell prints what each block does, and how
# many parameters there are with batch norm in more places or none. Four statements of the text
# stand below.

# %%
for name in ("en1", "en2", "en3", "de4", "de3", "de2", "de1"):
    first, second = (next(r for r in rows if r.layer == f"{name}_conv{i}") for i in (1, 2))
    entering = paper.get_submodule(first.layer).in_channels
    print(
        f"{name}: side {first.side:2}, channels {entering} -> {first.channels} -> {second.channels}"
    )

print("batch norm nowhere, as in the paper, after each block's first convolution, after all:")
for norm in ("none", "paper", "first", "batch"):
    with torch.device("meta"):
        network = UNet3d(norm=norm)
    print(f"batch norm {norm!r}: {count_parameters(network):,} parameters")

# %% [markdown]
# - *"Four decoder modules."* The first of them, `de4`, has the smallest side and gets no skip. It
#   is the bottom. Three modules go up.
# - *Decoders "halve the number of feature maps".* `de4` does not: its second convolution doubles
#   them, 256 to 512. Built with a halving there, the sum would be another.
# - *"Leaky ReLU"* stands in one list of layers, *ReLU* in the description. Here a count is
#   helpless: neither has a parameter. The text contradicts itself, and we follow the description.
# - *Batch norm* is described in the encoders only. Had it been put into every block, the counts
#   above would tell. A difference of 1,408 in nineteen million is small, and it is exact.
#
# None of this makes the paper's result wrong. It makes it harder to repeat. The text that reached
# us gives no sum of parameters. That one number would have decided two of the four, the halving and
# the batch norm. Print it when you write.

# %%
emit(
    f"{rows.parameters:,} parameters, {rows.gmac:.1f} GMAC, field {computed[1] - computed[0] + 1}",
    parameters=rows.parameters,
    gmac=rows.gmac,
    agree=sum(right),
    same=same,
    cicek=cicek_count,
    field=computed[1] - computed[0] + 1,
    seen=int(seen.max() - seen.min() + 1),
    patch_mb=patch_mb,
    measured_over_estimated=mb[-1] / guess,
)

# %% [markdown]
# ## Quiz

# %% [markdown]
# +++ quiz 04.work
# You want the paper's network to run faster and may remove channels in one block only. Where?
#
# - [ ] In `de4`, which has the most channels.
#   It has many parameters and little work: at side 8 each weight meets only 512 voxels.
# - [ ] In `en1`, the first block.
#   It has many voxels, but four channels enter it. Look at the lowest row of bars.
# - [x] In `de1`, the last block.
#   Right. It has the most voxels, and 192 channels enter it because of the skip.

# %% [markdown]
# +++ quiz 04.field
# You add a fourth pooling with its blocks. The patch stays at 64. What happens to the view?
#
# - [ ] Each voxel sees more of the patient during training. It cannot: nothing outside the patch
#   enters the network. The field was wider than the patch already.
# - [x] The computed field grows, but in training it still ends at the patch's border.
#   Right. A wider field needs a larger patch, or coarser voxels, to be of use.
# - [ ] Nothing, for the field depends on the number of filters.
#   Filters change how much is said about a place, not how far a voxel sees.

# %% [markdown]
# +++ quiz 04.memory
# Out of memory in training. Which change saves most?
#
# - [ ] Half the batch.
#   That halves what is kept. It is a good first try, but not the largest saving here.
# - [x] Half the side of the patch.
#   Right: an eighth is left. The price is that each voxel sees less around it.
# - [ ] Half the channels at the bottom.
#   The bottom has few voxels, so it keeps next to nothing, though most parameters lie near it.

# %% [markdown]
# +++ quiz 04.proof
# Your network and a paper's have equal numbers of parameters. What is still open?
#
# - [ ] Nothing: it is the same network.
#   ReLU, leaky ReLU, pooling, padding and the order of layers leave no trace in the sum.
# - [x] Everything that has no parameters.
#   Right. Equal sums are a strong hint about channels, biases and norms, and silent on the rest.
# - [ ] The number of channels, which cannot be seen from a sum.
#   Other channels almost always give another sum. It is the rest that stays open.

# %% [markdown]
# +++ remember
# ## What to remember
#
# - Parameters: kernel³ · entering · leaving, and a bias a channel that leaves.
# - Parameters sit where channels are many. Work is done, and memory filled, where voxels are many.
# - A skip costs: the dearest layer is dear because of what was laid beside.
# - Walk back from the output to find what it sees. Then check with a gradient.
# - Memory grows with the third power of the patch's side.
# - Publish the sum of parameters. Check the sum of what you rebuild.

# %% [markdown]
# +++ next
# ## Where to go next
#
# Lesson 05 gives this network something to learn by: the weighted Dice loss. Lesson 06 trains it.
# Lesson 12 puts further claims of the paper to the test. Lessons that are not in this folder yet
# are still being written.
