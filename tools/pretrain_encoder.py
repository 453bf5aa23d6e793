"""Pretrain ResNet34's encoder on phantom slices: a start for lesson 08 without a download.

    make encoder                                        # some minutes on two cores
    make encoder ARGS="--patients 60 --steps 600"       # longer
    make encoder ARGS="--patients 1 --steps 2 --out build/try.safetensors"

The encoder learns which cells of 4 × 4 pixels hold tumour, on slices of 64² pixels of phantoms that
no lesson shows. Ends by writing runs/encoder.safetensors (85 MB; git ignores it).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gliomakit._checkpoint import write
from gliomakit._workers import cores, parallel
from gliomakit.encoders import encoder_file, pretrain
from gliomakit.phantom.dataset import VERSION
from gliomakit.phantom.slices import make_slices

FIRST = 300
"""Seed of the first patient: none of the embedded ones is from here on."""

SIDE = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=16)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--out", type=Path, default=encoder_file())
    arguments = parser.parse_args()
    begun = time.monotonic()
    seeds = range(FIRST, FIRST + arguments.patients)
    found = parallel(make_slices, [(seed, SIDE) for seed in seeds], cores())
    exams = [exam for _, exam in sorted(tqdm(found, "phantoms", len(seeds)), key=lambda f: f[0])]
    images = np.concatenate([image for image, _ in exams])
    masks = np.concatenate([mask for _, mask in exams])
    print(f"{len(images)} slices of {len(seeds)} phantoms, {time.monotonic() - begun:.0f} s")
    losses = []
    with tqdm(total=arguments.steps, desc="steps") as bar:

        def say(step: int, loss: float) -> None:
            losses.append(loss)
            bar.update()

        state = pretrain(images, masks, arguments.steps, arguments.batch, say=say)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write(
        arguments.out,
        state,
        {
            "patients": len(seeds),
            "steps": arguments.steps,
            "side": SIDE,
            "phantom": VERSION,
            "loss": losses[-1],
        },
    )
    print(
        f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.0f} MB, loss {losses[0]:.3f} to "
        f"{np.mean(losses[-10:]):.3f}, {time.monotonic() - begun:.0f} s"
    )


if __name__ == "__main__":
    main()
