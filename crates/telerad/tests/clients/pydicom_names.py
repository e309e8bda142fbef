"""Prints what pydicom reads of each file on standard input: a line of JSON with names and texts, of several values the first."""
import json
import sys

from pydicom import dcmread
from pydicom.multival import MultiValue

for line in sys.stdin:
    data_set = dcmread(line.rstrip("\n"))

    def first(keyword):
        value = data_set.get(keyword)
        return (value[0] if isinstance(value, MultiValue) else value) or ""

    name = first("PatientName")
    groups = [name.alphabetic, name.ideographic, name.phonetic] if name else ["", "", ""]
    print(json.dumps({"name": [str(group) for group in groups], "description": str(first("StudyDescription")).strip()}))
