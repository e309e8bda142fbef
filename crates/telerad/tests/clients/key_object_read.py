"""Prints what pydicom reads of a Key Object Selection document, as JSON: FILE."""
import json
import sys

from pydicom import dcmread

document = dcmread(sys.argv[1])


def code(sequence):
    return f"{sequence[0].CodeValue} {sequence[0].CodingSchemeDesignator}"


def named(concept):
    found = [item for item in document.ContentSequence if "ConceptNameCodeSequence" in item]
    return next((item for item in found if code(item.ConceptNameCodeSequence) == concept), None)


template = document.ContentTemplateSequence[0]
evidence = document.CurrentRequestedProcedureEvidenceSequence
print(json.dumps({
    "class": document.SOPClassUID.name,
    "modality": document.Modality,
    "title": code(document.ConceptNameCodeSequence),
    "template": f"{template.TemplateIdentifier} {template.MappingResource}",
    "person": str(named("121008 DCM").PersonName),
    "login": named("128774 DCM").TextValue,
    "patient": [str(document.PatientName), document.PatientID],
    "images": [str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
               for item in document.ContentSequence if item.ValueType == "IMAGE"],
    "evidence": [[str(study.StudyInstanceUID), str(series.SeriesInstanceUID), str(one.ReferencedSOPInstanceUID)]
                 for study in evidence for series in study.ReferencedSeriesSequence for one in series.ReferencedSOPSequence],
}))
