"""One file: what is read, what is refused, how it is written. Oracles: nibabel, SimpleITK."""

import errno
import gzip
import itertools
import os
import struct
import subprocess
import sys
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from gliomakit import _nifti
from gliomakit._grid import Grid, resample
from gliomakit._nifti import encode, open_nifti, write_files
from gliomakit.errors import GliomakitError

DIM, DATATYPE, VOX_OFFSET, SLOPE, QFORM_CODE, SROW = 40, 70, 108, 112, 252, 280
"""Byte positions in a NIfTI-1 header."""


def raw(array=None, affine=None, kind=nib.Nifti1Image):
    """The bytes of a file, written by nibabel."""
    if array is None:
        array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    return kind(array, np.eye(4) if affine is None else affine).to_bytes()


def patched(place, form, *values):
    data = bytearray(raw())
    struct.pack_into(f"<{form}", data, place, *values)
    return bytes(data)


def put(folder, content, name="a.nii.gz", pack=True):
    path = folder / name
    path.write_bytes(gzip.compress(content) if pack else content)
    return path


def refusal(path):
    """The one line with which a file is refused."""
    with pytest.raises(GliomakitError) as caught:
        open_nifti(path).voxels()
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "\n" not in text
    return text


# ---- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", ">i2", "u2", "i4", "i8", "f4", ">f8"])
@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_reads_what_nibabel_reads(dtype, pack, kind, tmp_path):
    array = np.random.default_rng(0).integers(0, 100, (3, 4, 5)).astype(dtype)
    header = kind.header_class(endianness=">" if dtype[0] == ">" else "<")
    header.set_data_dtype(array.dtype)
    path = put(tmp_path, kind(array, np.diag([-1, 2, 3, 1]), header).to_bytes(), pack=pack)
    nifti = open_nifti(path)
    assert np.array_equal(nifti.voxels(), array)
    assert np.array_equal(nifti.grid.affine, np.diag([-1, 2, 3, 1]))
    assert nifti.shape == (3, 4, 5)


def test_header_scaling(tmp_path):
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    data = bytearray(image.to_bytes())
    struct.pack_into("<2f", data, SLOPE, 0.5, -3)
    path = put(tmp_path, bytes(data), "a.nii", pack=False)
    assert np.allclose(open_nifti(path).voxels(), nib.load(path).get_fdata())
    assert open_nifti(path).voxels().max() == 23 * 0.5 - 3


def test_content_decides_not_the_name(tmp_path):
    for name, pack in (("a.nii", True), ("b.nii.gz", False), ("c", True)):
        assert open_nifti(put(tmp_path, raw(), name, pack)).voxels().sum() == 276


def test_streams_in_a_row_and_bytes_after_the_end(tmp_path):
    data = raw()
    packed = gzip.compress(data[:360]) + gzip.compress(data[360:])
    for tail in (b"", bytes(512), b"garbage"):
        path = put(tmp_path, packed + tail, pack=False)
        assert open_nifti(path).voxels().sum() == 276
    assert open_nifti(put(tmp_path, data + b"more", "b.nii", pack=False)).voxels().sum() == 276


def test_trailing_axes_of_one_are_dropped(tmp_path):
    array = np.ones((2, 3, 4, 1, 1), np.int16)
    assert open_nifti(put(tmp_path, raw(array))).shape == (2, 3, 4)
    assert open_nifti(put(tmp_path, raw(np.ones((2, 3, 1, 4), np.int16)))).shape == (2, 3, 1, 4)


# ---- bad files ---------------------------------------------------------------------------------


def test_missing_folder_and_device(tmp_path):
    assert "there is no such file" in refusal(tmp_path / "none.nii.gz")
    assert "is a folder" in refusal(tmp_path)
    assert "is not a file" in refusal(type(tmp_path)("/dev/null"))
    (tmp_path / "file").touch()
    assert "cannot be read" in refusal(tmp_path / "file" / "a.nii")


@pytest.mark.parametrize("keep", [0, 1, 12, 20, 100, 2000, -9, -8, -4, -1])
def test_cut_off_packed(keep, tmp_path):
    noise = np.random.default_rng(0).integers(0, 30000, (10, 10, 20)).astype(np.int16)
    path = put(tmp_path, gzip.compress(raw(noise))[:keep], pack=False)
    text = refusal(path)
    assert any(word in text for word in ("cut off", "is empty", "not a NIfTI", "damaged")), text
    if keep > 400 or keep < 0:
        assert "cut off" in text


@pytest.mark.parametrize("keep", [0, 100, 347, 360, -1])
def test_cut_off_plain(keep, tmp_path):
    text = refusal(put(tmp_path, raw()[:keep], "a.nii", pack=False))
    assert ("cut off" in text) == (keep in (360, -1))


@pytest.mark.parametrize("place", [15, 60, -6])
def test_damaged_stream(place, tmp_path):
    noise = np.random.default_rng(0).integers(0, 30000, (10, 10, 20)).astype(np.int16)
    data = bytearray(gzip.compress(raw(noise)))
    data[place] ^= 0xFF
    assert "its compressed data is damaged" in refusal(put(tmp_path, bytes(data), pack=False))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html>404 Not Found</html>", "a web page (HTML): the download failed"),
        (b"\n  <Error>AccessDenied</Error>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid 1", "but text"),
        (b"", "it is empty"),
        (bytes(352), "is not a NIfTI file"),
        (bytes(128) + b"DICM" + bytes(300), "DICOM; convert the series with dcm2niix"),
        (b"NRRD0004\n", "but NRRD"),
        (b"ObjectType = Image\n", "MetaImage (.mha)"),
        (b"PK\x03\x04" + bytes(30), "a zip archive"),
        (raw()[:344] + b"ni1\0" + bytes(500), ".hdr/.img pair"),
        (bytes(range(256)) * 3, "is not a NIfTI file"),
    ],
)
@pytest.mark.parametrize("pack", [True, False])
def test_other_files_under_the_name(content, words, pack, tmp_path):
    assert words in refusal(put(tmp_path, content, pack=pack))


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize(
    "dim",
    [(3, 30000, 30000, 30000), (3, 10000, 10000, 10000), (4, 512, 512, 512, 9), (3, 600, 600, 600)],
)
def test_a_header_that_claims_terabytes_allocates_nothing(dim, pack, tmp_path):
    path = put(tmp_path, patched(DIM, f"{len(dim)}h", *dim), pack=pack)
    tracemalloc.start()
    text = refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "its header claims" in text and "cannot hold" in text and peak < 1 << 20


def test_a_stream_that_unpacks_to_more_than_its_header_says(tmp_path):
    path = put(tmp_path, raw() + bytes(1 << 26))
    tracemalloc.start()
    assert "holds more voxels than its header says" in refusal(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 23
    tracemalloc.stop()


def test_too_large_for_the_memory(tmp_path, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(_nifti, "_unpacked", full)
    assert "not enough memory for its 400 bytes" in refusal(put(tmp_path, raw()))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (patched(DIM, "4h", 3, 2, -3, 4), "impossible sides: 2 x -3 x 4"),
        (patched(DIM, "4h", 3, 2, 0, 4), "impossible sides: 2 x 0 x 4"),
        (patched(DIM, "3h", 2, 2, 3), "is 2-D (2 x 3)"),
        (patched(DIM, "h", 0), "claims 0 axes"),
        (patched(DIM, "h", 9), "claims"),
        (patched(DATATYPE, "h", 128), "type RGB"),
        (patched(DATATYPE, "h", 2304), "type RGBA"),
        (patched(DATATYPE, "h", 32), "type complex64"),
        (patched(DATATYPE, "h", 77), "unknown voxel type 77"),
        (patched(DATATYPE, "h", 0), "not one number each"),
        (patched(VOX_OFFSET, "f", 0), "cannot begin at byte 0"),
        (patched(VOX_OFFSET, "f", float("nan")), "cannot begin at byte nan"),
        (patched(VOX_OFFSET, "f", 1e30), "cannot begin at byte 1e+30"),
        (patched(VOX_OFFSET, "f", 1e9), "cannot hold"),
        (patched(SLOPE, "2f", 1, float("nan")), "its header is damaged"),
        (patched(SROW + 28, "f", float("nan")), "its affine is damaged"),
        (patched(SROW + 28, "f", float("inf")), "its affine is damaged"),
        (patched(SROW, "8f", 1, 0, 0, 0, 1, 0, 0, 0), "its affine is damaged"),
        (patched(SROW, "4f", 0, 0, 0, 0), "its affine is damaged"),
        (patched(SROW, "4f", 1e9, 0, 0, 0), "its affine is damaged"),
        (patched(SROW, "4f", 1e-9, 0, 0, 0), "its affine is damaged"),
    ],
)
@pytest.mark.parametrize("pack", [True, False])
def test_a_header_that_cannot_be_true(content, words, pack, tmp_path):
    assert words in refusal(put(tmp_path, content, pack=pack))


def test_a_qform_that_is_no_rotation(tmp_path):
    data = bytearray(raw())
    struct.pack_into("<2h3f", data, QFORM_CODE, 1, 0, 3, 3, 3)  # no sform; b, c, d
    assert "its header is damaged" in refusal(put(tmp_path, bytes(data)))


@given(st.lists(st.tuples(st.integers(0, 347), st.integers(0, 255)), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_any_header_is_read_or_refused(tmp_path_factory, changes):
    data = bytearray(raw())
    for place, value in changes:
        data[place] = value
    path = put(tmp_path_factory.getbasetemp(), bytes(data), "fuzz.nii.gz")
    try:
        nifti = open_nifti(path)
        nifti.grid.ras.difference(nifti.grid)
        nifti.voxels()
    except GliomakitError as error:
        assert str(error).startswith(str(path))


# ---- grids -------------------------------------------------------------------------------------


def orientations():
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            yield order, signs


def oriented(order, signs, tilt=0.0):
    """An affine whose stored axes run along `order` with `signs`, a little oblique."""
    affine = np.eye(4)
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ (np.eye(3)[:, order] * signs * [1.0, 2.0, 3.0])
    affine[:3, 3] = 5, -7, 11
    return affine


@pytest.mark.parametrize("tilt", [0.0, 0.2])
def test_all_orientations_go_to_ras_as_nibabel_does_and_back(tilt):
    array = np.random.default_rng(1).integers(0, 9, (3, 4, 5))
    for order, signs in orientations():
        affine = oriented(order, signs, tilt)
        canonical = nib.as_closest_canonical(nib.Nifti1Image(array.astype(np.int16), affine))
        grid = Grid(array.shape, affine)
        assert np.array_equal(grid.to_ras(array), canonical.dataobj)
        assert np.allclose(grid.ras.affine, canonical.affine) and grid.ras.axes == "RAS"
        assert grid.ras.shape == canonical.shape
        assert np.array_equal(grid.from_ras(grid.to_ras(array)), array)
        assert grid.difference(grid.ras) is None and grid.ras.difference(grid) is None


def test_difference_says_what_differs():
    grid = Grid((4, 5, 6), oriented((0, 1, 2), (-1, -1, 1)))
    assert "4 x 5 x 6 and 4 x 5 x 7" in grid.difference(Grid((4, 5, 7), grid.affine))
    moved = grid.affine.copy()
    moved[0, 3] += 1
    assert "1 mm apart" in grid.difference(Grid(grid.shape, moved))
    moved[0, 3] -= 1 - 1e-4  # a header's rounding
    assert grid.difference(Grid(grid.shape, moved)) is None
    flipped = Grid(grid.shape, grid.affine * [[-1], [1], [1], [1]])
    assert "affines differ" in grid.difference(flipped)


def test_resample_is_simpleitks():
    rng = np.random.default_rng(2)
    source = Grid((12, 13, 14), np.diag([1.0, 1.5, 2.0, 1]))
    affine = np.diag([0.8, 1.1, 1.7, 1])
    affine[:3, 3] = -3.17, 2.23, 3.31
    target = Grid((19, 10, 18), affine)
    array = rng.normal(size=source.shape).astype(np.float32)
    array[::11, ::12, ::13] = 0  # the corners: both fill with 0
    image = sitk.GetImageFromArray(array.transpose(2, 1, 0))
    image.SetSpacing(source.spacing)
    frame = sitk.Image(*target.shape, sitk.sitkFloat32)
    frame.SetSpacing(target.spacing)
    frame.SetOrigin(affine[:3, 3].tolist())
    for nearest, method in ((False, sitk.sitkLinear), (True, sitk.sitkNearestNeighbor)):
        expected = sitk.GetArrayFromImage(sitk.Resample(image, frame, sitk.Transform(), method))
        found = resample(array, source, target, nearest)
        assert found.dtype == np.float32 and found.shape == target.shape
        assert np.allclose(found, expected.transpose(2, 1, 0), atol=1e-4)


def test_resample_fills_with_the_background_and_keeps_the_border():
    array = np.full((6, 6, 6), -0.7, np.float32)
    array[2:4, 2:4, 2:4] = 1
    grid = Grid(array.shape, np.eye(4))
    assert np.array_equal(resample(array, grid, grid), array)
    nudged = Grid(array.shape, np.eye(4) + 1e-9 * (np.arange(4) == 3))
    assert np.allclose(resample(array, grid, nudged), array)
    larger = Grid((9, 9, 9), np.eye(4))
    assert np.allclose(resample(array, grid, larger)[6:], -0.7)
    label = (array > 0).astype(np.uint8)
    assert resample(label, grid, larger, nearest=True).sum() == 8


# ---- writing -----------------------------------------------------------------------------------


def test_all_orientations_are_written_bit_for_bit(tmp_path):
    rng = np.random.default_rng(3)
    for n, (order, signs) in enumerate(orientations()):
        array = rng.integers(0, 5, (3, 4, 5)).astype(np.uint8)
        image = nib.Nifti1Image(array, oriented(order, signs, 0.1))
        image.set_qform(image.affine, code=2)
        image.set_sform(image.affine, code=4)
        image.to_filename(tmp_path / "in.nii.gz")
        nifti = open_nifti(tmp_path / "in.nii.gz")
        ras = nifti.grid.to_ras(nifti.voxels())
        out = tmp_path / f"{n}.nii.gz"
        write_files({out: encode(nifti.grid.from_ras(ras), nifti.grid, packed=True)})
        written, header = nib.load(out), nib.load(out).header
        assert np.array_equal(written.dataobj, array) and written.get_data_dtype() == np.uint8
        for name in _nifti.GEOMETRY:
            assert np.array_equal(header[name], image.header[name]), name
        got = sitk.ReadImage(out)
        assert np.array_equal(sitk.GetArrayFromImage(got).transpose(2, 1, 0), array)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("codes", [(0, 1), (1, 0), (0, 0), (1, 3)])
def test_sform_and_qform_are_kept(kind, codes, tmp_path):
    image = kind(np.ones((3, 4, 5, 4), np.int16), oriented((1, 0, 2), (-1, 1, -1)))
    image.set_qform(image.affine, code=codes[0])
    image.set_sform(image.affine, code=codes[1])
    path = put(tmp_path, image.to_bytes())
    grid = open_nifti(path).grid
    out = put(tmp_path, encode(np.ones(grid.shape, np.uint8), grid, False), "out.nii", False)
    for name in _nifti.GEOMETRY:
        if name != "pixdim":
            assert np.allclose(nib.load(out).header[name], nib.load(path).header[name]), name
    assert np.allclose(nib.load(out).affine, nib.load(path).affine, atol=1e-6)
    assert open_nifti(out).grid.difference(grid) is None


def test_a_grid_made_in_memory_has_both_forms(tmp_path):
    grid = Grid((3, 4, 5), oriented((2, 0, 1), (1, -1, 1)))
    path = put(tmp_path, encode(np.ones(grid.shape, np.uint8), grid, True), pack=False)
    image = nib.load(path)
    assert np.allclose(image.get_sform(), grid.affine) and np.allclose(
        image.get_qform(), grid.affine
    )
    assert image.header.get_xyzt_units()[0] == "mm"
    assert sitk.ReadImage(path).GetSize() == (3, 4, 5)


def test_the_same_label_gives_the_same_bytes():
    grid = Grid((3, 4, 5), np.eye(4))
    array = np.ones(grid.shape, np.uint8)
    assert encode(array, grid, True) == encode(array, grid, True)


def test_write_files_makes_folders_and_replaces(tmp_path):
    first, second = tmp_path / "new" / "a", tmp_path / "b"
    second.write_bytes(b"old")
    write_files({first: b"1", second: b"2"})
    assert first.read_bytes() == b"1" and second.read_bytes() == b"2"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "b", "new"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_failed_write_leaves_nothing(failing, code, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    (tmp_path / "b").write_bytes(b"old")
    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(GliomakitError, match=f"cannot be written: {os.strerror(code)}"):
        write_files({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert [p.name for p in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b").read_bytes() == b"old"


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(GliomakitError, match="cannot be written"):
        write_files({tmp_path / "file" / "a": b"1"})
    if hasattr(os, "geteuid") and os.geteuid():  # the superuser may write everywhere
        tmp_path.chmod(0o500)
        with pytest.raises(GliomakitError, match="cannot be written: Permission denied"):
            write_files({tmp_path / "a": b"1"})
        tmp_path.chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="limits on file size are POSIX")
def test_a_full_disk_leaves_no_half_file(tmp_path):
    script = """if True:
        import resource, sys
        from pathlib import Path
        from gliomakit._nifti import write_files
        from gliomakit.errors import GliomakitError
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_files({Path(sys.argv[1]) / "b": b"{}", Path(sys.argv[1]) / "a": bytes(5000)})
        except GliomakitError as error:
            print(error)
    """
    (tmp_path / "a").write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "cannot be written" in done.stdout and str(tmp_path / "a") in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"
