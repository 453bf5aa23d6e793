"""Patients that never were: whole exams with a glioma, made from a seed.

    case = make_case(seed=7)             # a `Case`, as a reader would give it
    write_dataset("phantoms", cases=20)  # a data set in MSD's layout

Nothing downstream can tell a phantom from a patient's files. No phantom is a patient.
"""

from .case import PhantomCase, make_case
from .dataset import embedded, write_dataset

__all__ = ["PhantomCase", "embedded", "make_case", "write_dataset"]
