"""Asks the archive for objects and frames in other transfer syntaxes, and compares what pydicom and pylibjpeg decode from them with what they
decode from the files that were stored. The archive decodes nothing here; they do."""

import io
import pathlib
import sys

import numpy
import pydicom
import requests
from pydicom.pixels import pixel_array

base, report = sys.argv[1], sys.argv[2] == "report"
NATIVE, JPEG_LS, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.5"
LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
# Broken on purpose: its pixel element is written as in another transfer syntax than its file meta says.
LEFT_OUT = ("SC_rgb_jpeg.dcm",)
# Bytes in big endian words, of which frames cannot be cut: sent as a whole alone.
WHOLE_ONLY = ("SC_rgb_small_odd_big_endian.dcm", "liver_expb_1frame.dcm")
session = requests.Session()
failures, lines = [], []


def instance(data):
    return f"{base}/studies/{data.StudyInstanceUID}/series/{data.SeriesInstanceUID}/instances/{data.SOPInstanceUID}"


def compare(name, ours, theirs, tolerance):
    if ours.shape != theirs.shape:
        failures.append(f"{name}: {ours.shape} is not {theirs.shape}")
        return "shape"
    difference = numpy.abs(ours.astype("int64") - theirs.astype("int64")).max() if theirs.size else 0
    if difference > tolerance:
        failures.append(f"{name}: differs by {difference}")
    return f"±{difference}"


def check_header(name, ours, theirs, target):
    """What has nothing to do with pixels stays."""
    if str(ours.file_meta.TransferSyntaxUID) != target:
        failures.append(f"{name}: is {ours.file_meta.TransferSyntaxUID}")
    for element in theirs:
        if element.tag.group in (0x0028, 0x7FE0, 0xFFFC, 0xFFFA) or element.tag.element == 0:
            continue
        if element.tag not in ours:
            failures.append(f"{name}: {element.tag} is missing")
        elif str(ours[element.tag].value) != str(element.value):
            failures.append(f"{name}: {element.tag} is {ours[element.tag].value!r}, not {element.value!r}")


def check(path):
    theirs = pydicom.dcmread(path, force=True)
    syntax = str(theirs.file_meta.TransferSyntaxUID)
    try:
        pixels = pixel_array(theirs)
    except Exception as error:
        lines.append(f"{path.name}: {syntax}: pydicom: {str(error)[:80]}")
        return
    # Decoders of JPEG that loses may differ in the last bits, and more where colours are spread over their neighbours.
    lossy = syntax in LOSSY
    tolerance = 0 if not lossy else (2 if theirs.SamplesPerPixel == 1 else 24)
    seen = [syntax, f"{theirs.BitsAllocated}/{theirs.BitsStored} {theirs.PhotometricInterpretation}"]
    for target in (NATIVE, JPEG_LS, RLE):
        name = f"{path.name} as {target}"
        answer = session.get(instance(theirs), headers={"Accept": f"application/dicom; transfer-syntax={target}"})
        if answer.status_code != 200:
            seen.append(f"{target}: {answer.status_code}")
            if answer.status_code not in (406, 422) or target == NATIVE:
                failures.append(f"{name}: {answer.status_code} {answer.text[:200]}")
            continue
        ours = pydicom.dcmread(io.BytesIO(answer.content))
        check_header(name, ours, theirs, target)
        if lossy and ours.get("LossyImageCompression") != "01":
            failures.append(f"{name}: does not say that something was lost")
        if ours.PhotometricInterpretation.startswith("YBR") and not theirs.PhotometricInterpretation.startswith("YBR"):
            failures.append(f"{name}: is {ours.PhotometricInterpretation}")
        seen.append(f"{target}: {compare(name, pixel_array(ours), pixels, tolerance)}")
        if target == NATIVE and path.name not in WHOLE_ONLY:
            check_frame(path, theirs, ours, target)
    lines.append(f"{path.name}: {', '.join(seen)}")


def check_frame(path, theirs, ours, target):
    """A frame alone has the bytes that it has in its object."""
    accept = f'multipart/related; type="application/octet-stream"; transfer-syntax={target}'
    number = int(theirs.get("NumberOfFrames", 1) or 1)
    answer = session.get(f"{instance(theirs)}/frames/{number}", headers={"Accept": accept})
    if answer.status_code != 200:
        failures.append(f"{path.name} frame {number}: {answer.status_code} {answer.text[:200]}")
        return
    body = answer.content.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
    frame = len(body)
    expected = ours.PixelData[frame * (number - 1) : frame * number]
    if theirs.BitsAllocated != 1 and body != expected:
        failures.append(f"{path.name} frame {number}: is not what the object holds")


for line in sys.stdin.read().splitlines():
    token, path = line.split(" ", 1)
    session.headers["Authorization"] = f"Bearer {token}"
    if pathlib.Path(path).name not in LEFT_OUT:
        check(pathlib.Path(path))
print("\n".join(lines))
print(f"{len(lines)} files, {len(failures)} failures", file=sys.stderr)
print("\n".join(failures), file=sys.stderr)
sys.exit(1 if failures and not report else 0)
