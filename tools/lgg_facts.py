"""Write what is known of the LGG slices without their pixels: data/lgg_slices.json.

    python tools/lgg_facts.py FOLDER      # FOLDER holds kaggle_3m

Of each patient: how many slices, which of them hold tumour and how many pixels of it, and which
channels are copies of FLAIR because the sequence was not taken. Lesson 12 computes with these facts
where the data set itself is not at hand.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from gliomakit.slices import CHANNELS, SlicePatient, find_patients, read_patient

TARGET = Path(__file__).parents[1] / "data" / "lgg_slices.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    patients = {patient.name: facts(patient) for patient in find_patients(arguments.folder)}
    about = {
        "data": "LGG MRI Segmentation (Buda and others), 110 patients, 3929 slices in all",
        "command": "python tools/lgg_facts.py FOLDER",
        "patients_here": len(patients),
        "pixels_of_a_slice": 256 * 256,
    }
    lines = ",\n  ".join(f"{json.dumps(name)}: {json.dumps(p)}" for name, p in patients.items())
    arguments.out.write_text(
        f'{{"about": {json.dumps(about, indent=1)},\n"patients": {{\n  {lines}\n}}}}\n',
        encoding="utf-8",
    )
    print(f"{arguments.out}: {len(patients)} patients, {arguments.out.stat().st_size / 1e3:.0f} kB")


def facts(patient: SlicePatient) -> dict[str, object]:
    """slices, tumour (numbers of the slices that hold some -> pixels), missing channels."""
    images, masks = read_patient(patient)
    pixels = masks.sum((1, 2))
    copies = [CHANNELS[i] for i in (0, 2) if np.array_equal(images[..., i], images[..., 1])]
    return {
        "slices": len(patient),
        "tumour": {str(n + 1): int(pixels[n]) for n in np.flatnonzero(pixels)},
        "missing": copies,
    }


if __name__ == "__main__":
    main()
