"""Whether two data sets say the same to pydicom: an original file, a bare data set and the transfer syntax of that one.

Group lengths, and the value representations that an implicit encoding cannot keep, do not count; values do. Of compressed pixels the
decoded samples count: pydicom's decoders have the last word.
"""
import sys
from io import BytesIO

import numpy
from pydicom import config, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import Tag
from pydicom.uid import UID

config.convert_wrong_length_to_UN = True
WORDS = ("OW", "US or SS or OW", "US or OW")


def value(element, is_little):
    if element.VR == "SQ":
        return [flat(item, is_little) for item in element.value]
    if isinstance(element.value, bytes):
        data = element.value
        if element.VR in WORDS and not is_little:
            data = b"".join(data[at : at + 2][::-1] for at in range(0, len(data), 2))
        return data.rstrip(b"\0 ")
    return str(element.value)


def flat(dataset, is_little):
    return {str(element.tag): value(element, is_little) for element in dataset if element.tag.element != 0}


original = dcmread(sys.argv[1])
syntax = UID(sys.argv[3])
with open(sys.argv[2], "rb") as file:
    written = read_dataset(BytesIO(file.read()), syntax.is_implicit_VR, syntax.is_little_endian)
left = flat(original, original.file_meta.TransferSyntaxUID.is_little_endian)
right = flat(written, syntax.is_little_endian)
# How pixels are written may differ once they are decoded, and padding behind them belongs to the bytes that rest.
written_otherwise = set()
if original.file_meta.TransferSyntaxUID.is_encapsulated:
    written.file_meta = FileMetaDataset()
    written.file_meta.TransferSyntaxUID = syntax
    if not numpy.array_equal(original.pixel_array, written.pixel_array):
        sys.exit("the pixels differ")
    names = ("PixelData", "PhotometricInterpretation", "PlanarConfiguration", "DataSetTrailingPadding")
    written_otherwise = {str(Tag(name)) for name in names}
wrong = [
    tag
    for tag in sorted((left.keys() | right.keys()) - written_otherwise)
    if left.get(tag) != right.get(tag)
    # A private element without its representation is bytes to pydicom.
    and not (isinstance(right.get(tag), bytes) != isinstance(left.get(tag), bytes) and int(tag[1:5], 16) % 2)
]
for tag in wrong:
    print(tag, repr(left.get(tag))[:80], repr(right.get(tag))[:80])
sys.exit(bool(wrong))
