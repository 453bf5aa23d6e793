"""The page: what a person does arrives here as messages, what he sees is one dict, `state`.

`state` goes to the browser only. It is never read here: a browser may send back what it likes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import anywidget
import ipywidgets as widgets
import traitlets

from ..cases import Case, open_label
from ..checks import Finding
from ..errors import GliomakitError
from ..regions import SEQUENCE_NAMES, SEQUENCES, to_regions
from . import intake
from .line import LABEL, Line
from .report import CAUTION, report, slicer_table, snap_table, volumes
from .sheet import pdf_report

HERE = Path(__file__).parent

EXAMPLES = (28, 29, 33)
"""Seeds of phantoms that are given as examples: test patients of the embedded set."""

FILES, BUSY, DONE = "files", "busy", "done"
"""What a page is at: files come and go; a job waits or runs; there is a result."""


class Page(anywidget.AnyWidget):
    """The controls. `box` is the whole page: the controls, and the viewer below them."""

    _esm = (HERE / "page.js").read_text("utf-8")
    _css = (HERE / "page.css").read_text("utf-8")
    state = traitlets.Dict().tag(sync=True)

    def __init__(self):
        super().__init__()
        self.viewer = widgets.VBox()
        self.box = widgets.VBox([self, self.viewer])
        self.line = Line(self._from_thread())
        self.intake = intake.Intake(self.line.folder)
        self.resample_to: str | None = None
        self._fresh()
        self.on_msg(self._heard)
        self._tell()

    def _fresh(self) -> None:
        """No case, no result."""
        self.at, self.doing, self.progress = FILES, "", None
        self.problem, self.apart = "", False
        self.case: Case | None = None
        self.findings: list[Finding] = []
        self.facts: dict = {}
        self.regions = None
        for child in self.viewer.children:
            child.close()
        self.viewer.children = ()

    def _tell(self) -> None:
        """Show what is."""
        case = self.case
        self.state = {
            "at": self.at,
            "doing": self.doing,
            "progress": self.progress,
            "problem": self.problem,
            "files": [
                {"id": f.id, "name": f.name, "mb": f.size / 1e6, "got": f.got / f.size,
                 "sequence": f.sequence or ""}
                for f in self.intake.files.values()
            ],
            "sequences": [[name, SEQUENCE_NAMES[name]] for name in SEQUENCES],
            "apart": self.apart,
            "resample_to": self.resample_to or "",
            "case": case and f"{case.name}: {' × '.join(map(str, case.grid.shape))} voxels of "
            f"{' × '.join(f'{mm:.3g}' for mm in case.grid.spacing)} mm; "
            f"{', '.join(SEQUENCE_NAMES[s] for s in case.present)}",
            "findings": [[finding.level, str(finding)] for finding in self.findings],
            "volumes": volumes(self.facts) if self.facts else [],
            "warnings": [warning["text"] for warning in self.facts.get("warnings", ())],
            "seconds": self.facts.get("seconds"),
            "examples": [f"phantom {seed}" for seed in EXAMPLES],
            "caution": CAUTION,
            "limits": {"files": intake.FILES, "bytes": intake.BYTES, "piece": intake.PIECE},
        }  # fmt: skip

    # ---- what the person does ------------------------------------------------------------------

    def _heard(self, _: object, content: object, buffers: Sequence[memoryview]) -> None:
        known = {
            "begin": self._begin, "piece": self._piece, "drop": self._drop, "again": self._again,
            "sequence": self._sequence, "onto": self._onto, "example": self._example,
            "segment": self._segment, "stop": self._stop, "get": self._get,
        }  # fmt: skip
        try:
            known[content["kind"]](content, buffers)
        except GliomakitError as error:
            self.problem = self.intake.words(error)
            self._tell()
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            pass  # no message of our page

    def _changing(self) -> None:
        """Files may change now: what was found of the old ones is void."""
        if self.at == BUSY:
            raise GliomakitError("a job is being done", todo="stop it first")
        self._fresh()

    def _begin(self, content: Mapping, _: object) -> None:
        key = content["key"]
        try:
            self._changing()
            upload = self.intake.begin(content["name"], int(content["size"]))
        except GliomakitError:
            self.send({"kind": "refused", "key": key})
            raise
        self.send({"kind": "go", "key": key, "id": upload.id})
        self._tell()

    def _piece(self, content: Mapping, buffers: Sequence[memoryview]) -> None:
        number = int(content["id"])
        try:
            upload = self.intake.piece(number, int(content["offset"]), buffers[0])
        except GliomakitError as error:
            self.send({"kind": "refused", "id": number})
            where = getattr(error, "where", None)
            raise _renamed(error, content, where) from error
        self.send({"kind": "more", "id": number, "offset": upload.got})
        if upload.whole:
            self._look()
        else:
            self._tell()

    def _drop(self, content: Mapping, _: object) -> None:
        number = int(content["id"])
        self._changing()
        self.intake.drop(number)
        self._look()

    def _again(self, *_: object) -> None:
        self._changing()
        self.intake.clear()
        self.resample_to = None
        self._tell()

    def _sequence(self, content: Mapping, _: object) -> None:
        one, name = self.intake.files[int(content["id"])], content["value"]
        self._changing()
        one.sequence = name if name in SEQUENCES else None
        self._look()

    def _onto(self, content: Mapping, _: object) -> None:
        self._changing()
        self.resample_to = content["value"] if content["value"] in SEQUENCES else None
        self._look()

    def _example(self, content: Mapping, _: object) -> None:
        seed = EXAMPLES[int(content["number"])]
        self._again()
        self._job(f"making phantom {seed}", example=seed)

    def _segment(self, *_: object) -> None:
        if self.at != FILES or self.case is None:
            return
        files = self.intake.case_files()
        paths = {sequence: path.name for sequence, path in files.images.items()}
        name, onto = self.intake.case_name, self.resample_to
        self._job("segmenting", files=paths, name=name, resample_to=onto)

    def _stop(self, *_: object) -> None:
        if self.at == BUSY:
            self.line.send(stop=True)

    def _get(self, content: Mapping, _: object) -> None:
        if self.at != DONE:
            return
        name, made = self._offers()[content["what"]]
        self.send({"kind": "file", "name": name}, [made()])

    def _offers(self) -> dict[str, tuple[str, Callable[[], bytes]]]:
        """What can be taken away: the file's name, and what makes its bytes."""
        folder, name, known = self.line.folder, self.case.name, self.facts["convention"]
        beside = folder / LABEL.replace(".nii.gz", ".json")

        told = json.loads(beside.read_text("utf-8")) | {"label": f"{name}_seg.nii.gz"}

        said = [str(f) for f in self.findings if f.level == "warning"]
        content = self.case, self.regions, told, said

        return {
            "label": (f"{name}_seg.nii.gz", (folder / LABEL).read_bytes),
            "facts": (f"{name}_seg.json", lambda: (json.dumps(told, indent=1) + "\n").encode()),
            "report": (f"{name}_report.html", lambda: report(*content).encode()),
            "pdf": (f"{name}_report.pdf", lambda: pdf_report(*content)),
            "slicer": (f"{name}_seg.ctbl", lambda: slicer_table(known).encode()),
            "snap": (f"{name}_itksnap.txt", lambda: snap_table(known).encode()),
        }

    # ---- what follows ------------------------------------------------------------------------

    def _job(self, doing: str, **job: object) -> None:
        self.line.send(job=job)
        self.at, self.doing, self.problem, self.progress = BUSY, doing, "", None
        self._tell()

    def _look(self) -> None:
        """Read and check the files, once all have come."""
        self._fresh()
        if not self.intake.ready:
            self._tell()
            return
        self.doing = "checking the files"
        self._tell()
        try:
            files = self.intake.case_files()
            if self.resample_to not in files.images:
                self.resample_to = None
            different = self.intake.grids()
            self.apart = bool(different)
            if different and self.resample_to is None:
                names = ", ".join(SEQUENCE_NAMES[name] for name in different)
                first = SEQUENCE_NAMES[next(iter(files.images))]
                raise GliomakitError(
                    f"{names}: not on the grid of {first} ({next(iter(different.values()))})",
                    todo="are they of one patient and one exam? If so, choose the grid to bring "
                    "all to; if not, remove what does not belong",
                )
            if not different:
                self.resample_to = None
            self.case, self.findings = self.intake.read(self.resample_to)
        except (GliomakitError, MemoryError, OSError) as error:
            self.problem = self.intake.words(str(error) or "there is not enough memory")
        self.doing = ""
        self._tell()

    def _from_thread(self) -> Callable[[dict], None]:
        """The desk speaks in a thread; all that changes the page happens where messages do."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._answered
        return partial(loop.call_soon_threadsafe, self._answered)

    def _answered(self, message: Mapping) -> None:
        if "ahead" in message:
            self.progress = {"ahead": message["ahead"]}
        elif "done" in message:
            self.progress = {"done": message["done"], "of": message["of"]}
        elif "files" in message.get("result", ()):
            self.at = FILES
            for name in message["result"]["files"]:
                self.intake.adopt(self.line.folder / name)
            self._look()
        elif "result" in message:
            self._finish(message["result"])
        else:
            self.at, self.doing, self.progress = FILES, "", None
            gone = "the server has ended; reload this page" if "gone" in message else ""
            self.problem = self.intake.words(message.get("error", gone))
        self._tell()

    def _finish(self, facts: dict) -> None:
        from ..course.viewer import CaseViewer

        self.facts, self.at, self.doing, self.progress = facts, DONE, "", None
        label = open_label(self.line.folder / LABEL, facts["convention"])
        self.regions = to_regions(label.array, label.convention)
        shown = CaseViewer([self.case], [self.regions])
        # There is one case, and nobody has a reference of it.
        for control in (shown.names, *shown.buttons[:2], shown.controls["reference"]):
            control.layout.display = "none"
        self.viewer.children = (shown.box,)


def _renamed(error: GliomakitError, content: Mapping, where: object) -> GliomakitError:
    """The error of a file that is forgotten already, under the name that the browser gave it."""
    name = intake.shown(content.get("name"))
    return GliomakitError(error.what, where=name if where is not None else None, todo=error.todo)
