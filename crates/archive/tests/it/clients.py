"""Compares what the archive answers with what pydicom reads from the same files."""

import pathlib
import sys

import pydicom
from dicomweb_client.api import DICOMwebClient

base, token, fixtures = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
client = DICOMwebClient(base, headers={"Authorization": f"Bearer {token}"})
failures = []


def check(name, ours, theirs):
    if ours != theirs:
        failures.append(f"{name}: {ours!r} is not {theirs!r}")


def compare(path, ours, theirs):
    """Every element that pydicom reads, but pixels, group lengths and the character set, which JSON always has in UTF-8."""
    for element in theirs:
        if element.tag.element == 0 or element.tag in (0x00080005, 0x7FE00010, 0xFFFCFFFC):
            continue
        name = f"{path}/{element.tag} {element.keyword or 'private'}"
        if element.tag not in ours:
            failures.append(f"{name} is missing")
            continue
        mine = ours[element.tag]
        if element.VR == "SQ":
            check(f"{name} items", len(mine.value), len(element.value))
            for number, (a, b) in enumerate(zip(mine.value, element.value)):
                compare(f"{name}[{number}]", a, b)
        elif element.VR in ("OB", "OW", "UN", "OF", "OD"):
            check(name, bytes(mine.value or b""), bytes(element.value or b""))
        elif element.is_empty:
            check(name, mine.is_empty, True)
        elif element.VR in ("DS", "IS"):
            check(name, numbers(mine), numbers(element))
        else:
            check(f"{name} VR", mine.VR, element.VR)
            check(name, str(mine.value), str(element.value))


def numbers(element):
    """Numbers written as text: JSON has them without padding, sign and trailing zeros."""
    return [float(value) for value in (element.value if element.VM > 1 else [element.value])]


def bulk(tag, vr, uri):
    if int(tag, 16) == 0x7FE00010:
        return b""
    return client.retrieve_bulkdata(uri)[0]


check("nothing", client.search_for_studies(search_filters={"PatientID": "nobody at all"}), [])
check("studies", len(client.search_for_studies()), 4)
names = [
    "ct-head-ge-28/01.dcm",
    "ct-head-ge-28/28.dcm",
    "formats/CT1_UNC.fragmented_bot_jpeg_ls.80.dcm",
    "formats/chrH31.dcm",
    "formats/test-SR.dcm",
]
compared = 0
for name in names:
    theirs = pydicom.dcmread(fixtures / name)
    uids = [theirs.StudyInstanceUID, theirs.SeriesInstanceUID, theirs.SOPInstanceUID]
    found = client.search_for_instances(uids[0], uids[1], search_filters={"SOPInstanceUID": uids[2]})
    check(f"{name} found", [row["00080018"]["Value"] for row in found], [[uids[2]]])
    metadata = client.retrieve_instance_metadata(*uids)
    ours = pydicom.Dataset.from_json(metadata, bulk_data_uri_handler=bulk)
    compare(name, ours, theirs)
    compared += len(theirs)
    check(f"{name} character set", metadata["00080005"]["Value"], ["ISO_IR 192"])
    instance = client.retrieve_instance(*uids)
    check(f"{name} instance", instance.SOPInstanceUID, uids[2])
    if "PixelData" in theirs:
        check(f"{name} pixels", instance.PixelData, theirs.PixelData)
        if theirs.file_meta.TransferSyntaxUID.is_compressed:
            jls = (("image/jls", "1.2.840.10008.1.2.4.80"),)
            frames = client.retrieve_instance_frames(*uids, [1], media_types=jls)
            check(f"{name} frame", frames[0][:3], b"\xff\xd8\xff")
        else:
            check(f"{name} frame", client.retrieve_instance_frames(*uids, [1])[0], theirs.PixelData)

head = pydicom.dcmread(fixtures / names[0])
check("series", len(list(client.retrieve_series(head.StudyInstanceUID, head.SeriesInstanceUID))), 28)
check("metadata", len(client.retrieve_series_metadata(head.StudyInstanceUID, head.SeriesInstanceUID)), 28)
streamed = client.iter_series(head.StudyInstanceUID, head.SeriesInstanceUID)
check("streamed", sum(1 for _ in streamed), 28)
print(f"{compared} elements compared")
if failures:
    print("\n".join(failures))
    sys.exit(1)
