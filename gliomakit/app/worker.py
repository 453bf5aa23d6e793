"""The one process that has the network: takes a job a line on stdin, says what it does on stdout.

    {"folder": …, "files": {"flair": "file1", …}, "name": …, "resample_to": …}    segment
    {"folder": …, "example": 28}                                    make a phantom's four files

Segmenting is `gliomakit segment`'s own function, so that the label is the same bit for bit. A job
is left when its folder is gone, which is how a closed tab is seen here, or holds a file `stop`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from ..cases import loose
from ..cli._common import explain
from ..cli._jobs import Job
from ..cli._segment import identity, segment_case
from ..model import Model
from ..regions import SEQUENCES
from .line import LABEL, STOP


class Stopped(Exception):
    """The person wants no result any more, or is gone."""


class Worker:
    """What the process does with its jobs. say: takes one message."""

    def __init__(
        self,
        say: Callable[[Mapping[str, object]], None],
        weights: Path | None = None,
        device: str | None = None,
    ):
        self.say, self.weights, self.device = say, weights, device
        self.model: Model | None = None

    def do(self, job: Mapping[str, object]) -> None:
        """One job to its end: the last message is a result, an error, or that it was stopped."""
        folder = Path(str(job["folder"]))
        try:
            if not folder.is_dir():
                raise Stopped
            done = self._example if "example" in job else self._segment
            self.say({"result": done(folder, job)})
        except Stopped:
            self.say({"stopped": True})
        except Exception as error:
            gone = not folder.is_dir()
            self.say({"stopped": True} if gone else {"error": explain(error)})

    def _segment(self, folder: Path, job: Mapping[str, object]) -> dict[str, object]:
        from ..weights import load

        if self.model is None:
            self.model = load(self.weights)

        def progress(done: int, total: int) -> None:
            if not folder.is_dir() or (folder / STOP).exists():
                raise Stopped
            self.say({"done": done, "of": total})

        paths = {sequence: folder / str(file) for sequence, file in job["files"].items()}
        files = loose(**paths, name=str(job["name"]))
        network = identity(self.model)
        facts = segment_case(
            Job(files, folder / LABEL),
            self.model,
            network,
            job.get("resample_to"),
            device=self.device,
            check=False,  # the page has done that already
            progress=progress,
        )
        del facts["out"]
        return facts | {"network": network}

    def _example(self, folder: Path, job: Mapping[str, object]) -> dict[str, object]:
        """A phantom at 2 mm as four files, named and stored as a scanner's would be."""
        from .._nifti import encode, write_files
        from ..phantom import make_case

        case = make_case(int(job["example"]), 2.0)
        made = {
            f"{case.name}_{name}.nii.gz": encode(volume.astype("int16"), case.grid, packed=True)
            for name, volume in zip(SEQUENCES, case.image)
        }
        if not folder.is_dir():
            raise Stopped
        write_files({folder / name: content for name, content in made.items()})
        return {"files": list(made)}


def main(arguments: list[str] | None = None) -> None:
    """Do jobs until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--device")
    given = parser.parse_args(arguments)
    out = _own_stdout()

    def say(message: Mapping[str, object]) -> None:
        print(json.dumps(message), file=out, flush=True)

    worker = Worker(say, given.weights, given.device)
    for line in sys.stdin:
        worker.do(json.loads(line))


def _own_stdout() -> TextIO:
    """stdout for messages alone: whatever else prints, prints to stderr."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return out


if __name__ == "__main__":
    main()
