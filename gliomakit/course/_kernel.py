"""Execute one notebook in a fresh kernel of this very Python, and clean what it gives."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from ..errors import GliomakitError
from ._emit import MIME

WIDGET = "application/vnd.jupyter.widget-view+json"
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class LessonFailed(GliomakitError):
    """A cell raised, hung, or took its kernel with it. `block` tells where, on several lines."""

    def __init__(self, name: str, cell: int, source: str, reason: str):
        last = reason.strip().splitlines()[-1] if reason.strip() else "no message"
        super().__init__(f"cell {cell} failed: {last}", where=name)
        code = "\n".join(f"    {line}" for line in source.strip().splitlines()[:12])
        why = "\n".join(f"  {line}" for line in reason.strip().splitlines()[-8:])
        self.block = f"{name}, cell {cell}:\n{code}\n{why}"


class _ThisPython(KernelSpecManager):
    """Knows one kernel: the Python that runs now. An installed kernel may be of another one."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        argv.append("--log-level=ERROR")  # its remarks would stand between our lines
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


async def execute(
    notebook: NotebookNode,
    folder: Path,
    name: str = "notebook",
    settings: Mapping[str, str] | None = None,
    threads: int | None = None,
    seconds: float | None = None,
    on_cell: Callable[[], None] | None = None,
) -> None:
    """Run all cells in `folder`; the outputs are in `notebook` afterwards, also after a failure.

    settings: environment variables (GLIOMAKIT_…) on top of the present ones.
    threads:  computing threads of the kernel; None leaves the libraries their own choice.
    seconds:  limit of one cell.

    Raises `LessonFailed`.
    """
    at = {"cell": 0}

    def note(cell: NotebookNode, cell_index: int) -> None:
        at["cell"] = cell_index

    def step(cell: NotebookNode, cell_index: int, **_: object) -> None:
        if on_cell is not None:
            on_cell()

    with tempfile.TemporaryDirectory(prefix="gliomakit-") as private:
        manager = AsyncKernelManager(
            kernel_name="python3",
            kernel_spec_manager=_ThisPython(),
            connection_file=str(Path(private) / "kernel.json"),
        )
        client = NotebookClient(
            notebook,
            km=manager,
            timeout=seconds,
            startup_timeout=180,
            resources={"metadata": {"path": str(folder)}},
            record_timing=False,
            store_widget_state=False,
            coalesce_streams=True,
            on_cell_start=note,
            on_cell_complete=step,
        )
        try:
            await client.async_execute(env=_environment(Path(private), settings, threads))
        except CellExecutionError as error:
            reason = _ANSI.sub("", error.traceback)
        except CellTimeoutError:
            reason = f"did not end within {seconds:g} s"
        except (DeadKernelError, RuntimeError) as error:
            reason = f"the kernel died ({error}); often the memory is too small"
        else:
            return
        finally:
            # The client leaves a manager that it was given alone, and its kernel running.
            if manager.has_kernel:
                await manager.shutdown_kernel(now=True)
        source = notebook.cells[at["cell"]].source
        raise LessonFailed(name, at["cell"] + 1, source, reason)


def _environment(
    private: Path, settings: Mapping[str, str] | None, threads: int | None
) -> dict[str, str]:
    """The kernel's environment: this package first, no start-up files of the user's."""
    env = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}  # pictures are drawn inline
    root = str(Path(__file__).resolve().parents[2])
    env["PYTHONPATH"] = os.pathsep.join(p for p in (root, env.get("PYTHONPATH", "")) if p)
    env["IPYTHONDIR"] = str(private / "ipython")
    env["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # else a warning about frozen modules
    for key in ("GLIOMAKIT_CACHE", "GLIOMAKIT_DATA", "GLIOMAKIT_REAL_DATA"):
        if env.get(key):  # the kernel's folder is another than ours
            env[key] = str(Path(env[key]).expanduser().resolve())
    if threads is not None:
        for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            env[key] = str(threads)
    return env | dict(settings or {})


def tidy(notebook: NotebookNode, hide: Mapping[str, str] | None = None) -> NotebookNode:
    """A copy whose outputs show on any host: no bare widgets, no progress bars, no paths.

    hide: texts that no output may show, each with what stands in its place.
    """
    clean = nbformat.from_dict(notebook)
    clean.metadata.pop("widgets", None)
    clean.metadata["language_info"] = {"name": "python"}
    for cell in clean.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.outputs = [o for o in cell.outputs if not _noise(o)]
        for output in cell.outputs:
            data = output.get("data", {})
            if len(data) > 1:
                data.pop(WIDGET, None)
            for place in (output, data):
                for key in ("text", "text/plain", "text/html"):
                    if isinstance(place.get(key), str):
                        place[key] = _hidden(place[key], hide or {})
    return clean


def _noise(output: NotebookNode) -> bool:
    """Progress bars on stderr, and widgets with nothing beside them."""
    if output.output_type == "stream":
        return output.name == "stderr" and ("it/s]" in output.text or "s/it]" in output.text)
    return set(output.get("data", {"": 0})) == {WIDGET}


def _hidden(text: str, hide: Mapping[str, str]) -> str:
    for secret in sorted(hide, key=len, reverse=True):
        text = text.replace(secret, hide[secret])
    return text


def emitted(notebook: NotebookNode) -> dict[str, object]:
    """What the lesson handed over: {"figure": text or None, "figures": {…}, "exercises": {…}}."""
    found: dict[str, object] = {"figure": None, "figures": {}, "exercises": {}}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            bundle = output.get("data", {}).get(MIME)
            if bundle is None:
                continue
            found["figures"].update(bundle.get("figures", {}))
            found["figure"] = bundle.get("figure", found["figure"])
            if "exercise" in bundle:
                found["exercises"][bundle["exercise"]] = bundle["status"]
    return found
