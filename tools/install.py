"""Make `.venv` and install the project into it: what `make course` and `make test` begin with.

    python tools/install.py [EXTRA…]      default: course test

Needs nothing but a Python that is in range. A second run does nothing, until pyproject.toml or
constraints.txt change or another extra is asked for. TORCH=cpu takes PyTorch's CPU builds from
PyTorch's own index, which are far smaller than the usual ones for Linux; where that index cannot be
reached, the usual build is installed.

Written so that an old Python 3, too, can run it and say what it lacks.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request

OLDEST, NEWEST = (3, 11), (3, 14)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# Room for the downloads and what is unpacked from them. On Linux PyTorch brings CUDA's libraries.
NEEDED_GB = {"cpu": 4, "": 8 if sys.platform.startswith("linux") else 4}

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Fault(Exception):
    """A reason not to go on, in one line."""


def check_python(version):
    """Raise `Fault` unless this version of Python is one that the project supports."""
    if OLDEST <= tuple(version[:2]) <= NEWEST:
        return
    raise Fault(
        "Python {}.{} does not fit; install one of {}.{} to {}.{}, or name it: "
        "make course PYTHON=python3.12".format(*(tuple(version[:2]) + OLDEST + NEWEST))
    )


def digest(root):
    """What the installation depends on, as one number."""
    sha = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        with open(os.path.join(root, name), "rb") as file:
            sha.update(file.read())
    return sha.hexdigest()


def stamp_file(venv):
    return os.path.join(venv, "gliomakit-installed.json")


def read_stamp(venv):
    """What the last installation that came to its end left: digest, extras, torch."""
    try:
        with open(stamp_file(venv), encoding="utf-8") as file:
            stamp = json.load(file)
        return {"digest": stamp["digest"], "extras": stamp["extras"], "torch": stamp["torch"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {"digest": "", "extras": [], "torch": ""}


def write_stamp(venv, stamp):
    """Written last, and renamed into place: a killed installation leaves none."""
    part = stamp_file(venv) + ".part"
    with open(part, "w", encoding="utf-8") as file:
        json.dump(stamp, file)
    os.replace(part, stamp_file(venv))


def venv_python(venv):
    """The environment's own Python."""
    if os.name == "nt":
        return os.path.join(venv, "Scripts", "python.exe")
    return os.path.join(venv, "bin", "python")


def works(venv):
    """Is there an environment with a Python in range, and pip in it?"""
    ask = "import sys, pip; print(sys.version_info[0], sys.version_info[1])"
    try:
        said = subprocess.check_output([venv_python(venv), "-c", ask], stderr=subprocess.DEVNULL)
        version = tuple(int(n) for n in said.split())
    except (OSError, subprocess.CalledProcessError, ValueError):
        return False
    return OLDEST <= version <= NEWEST


def make_venv(venv):
    """A new environment; what stood in its place (broken, or of another Python) is removed."""
    if os.path.isdir(venv):
        shutil.rmtree(venv)
    if subprocess.call([sys.executable, "-m", "venv", venv]):
        shutil.rmtree(venv, ignore_errors=True)
        raise Fault(
            f"{sys.executable} cannot make a virtual environment; on Debian and Ubuntu: "
            "apt install python3-venv"
        )


def check_room(root, flavour):
    """Raise `Fault` if the disk has too little room."""
    needed = NEEDED_GB[flavour]
    free = shutil.disk_usage(root).free / 1e9
    if free < needed:
        raise Fault(
            "{:.1f} GB are free, the installation needs {} GB at most; make room{}".format(
                free, needed, "" if flavour else ", or take the CPU builds: make course TORCH=cpu"
            )
        )


def reachable(url):
    """Does the address answer within ten seconds?"""
    try:
        urllib.request.urlopen(url + "/torch/", timeout=10).close()
        return True
    except (OSError, ValueError):
        return False


def pip(venv, *arguments):
    """Run pip in the environment; its own words go to the terminal, few when nobody watches."""
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    command = [venv_python(venv), "-m", "pip", "install", "--disable-pip-version-check"] + quiet
    if subprocess.call(command + list(arguments), cwd=ROOT):
        raise Fault(
            "pip could not install; its reason stands above. Check the network and run this again: "
            "what was downloaded is kept"
        )


def pin(root, name):
    """The line of constraints.txt that pins a package.

    The CPU builds are installed by it before anything else, so that pip leaves them in place.
    """
    with open(os.path.join(root, "constraints.txt"), encoding="utf-8") as file:
        for line in file:
            if line.startswith(name + "=="):
                return line.split("#")[0].strip()
    raise Fault(f"constraints.txt does not pin {name}")


def install(extras, flavour, root=ROOT, say=print):
    """Bring `.venv` up to date; returns False if nothing was to be done.

    extras:  which parts of the project, added to those that are there.
    flavour: "cpu" or "" for whatever is there, else the usual build.
    """
    check_python(sys.version_info)
    if flavour not in NEEDED_GB:
        raise Fault(f"TORCH={flavour} is not known; use TORCH=cpu, or leave it out")
    venv = os.path.join(root, ".venv")
    stamp, number = read_stamp(venv), digest(root)
    fresh = not works(venv)
    if fresh:
        check_room(root, flavour)
        make_venv(venv)
        stamp = {"digest": "", "extras": [], "torch": ""}
    wanted = flavour == "cpu" and stamp["torch"] != "cpu"
    switch = wanted and reachable(CPU_INDEX)
    if wanted and not switch:
        say(f"{CPU_INDEX} cannot be reached: PyTorch is the usual build")
    if stamp["digest"] == number and set(extras) <= set(stamp["extras"]) and not switch:
        return False
    extras = sorted(set(extras) | set(stamp["extras"]))
    say(f"installing gliomakit[{','.join(extras)}] into .venv: some minutes, once")
    if switch:
        pair = [pin(root, "torch"), pin(root, "torchvision")]
        replace = [] if fresh else ["--force-reinstall"]
        pip(venv, "--no-deps", "--index-url", CPU_INDEX, *replace, *pair)
    pip(venv, "--constraint", "constraints.txt", "--editable", f".[{','.join(extras)}]")
    torch = "cpu" if switch else stamp["torch"]
    write_stamp(venv, {"digest": number, "extras": extras, "torch": torch})
    return True


def main(arguments):
    try:
        install(arguments or ["course", "test"], os.environ.get("TORCH", "").strip().lower())
    except Fault as fault:
        sys.stderr.write(f"gliomakit: error: {fault}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("gliomakit: interrupted; run it again to go on\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
