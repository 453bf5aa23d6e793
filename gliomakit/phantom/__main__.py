"""Make the embedded patients, if they are not there: `python -m gliomakit.phantom`."""

from . import embedded

if __name__ == "__main__":
    for fine in (False, True):
        print(embedded(fine))
