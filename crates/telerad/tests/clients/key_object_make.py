"""Makes a Key Object Selection document as a workstation of another maker does: OUT NAME then one IMAGE file or more."""
import datetime
import sys

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, KeyObjectSelectionDocumentStorage, generate_uid

out, name, *files = sys.argv[1:]
images = [dcmread(file, stop_before_pixels=True) for file in files]


def item(**values):
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def code(value, meaning):
    return Sequence([item(CodeValue=value, CodingSchemeDesignator="DCM", CodeMeaning=meaning)])


def reference(image):
    return item(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)


def content(relationship, kind, **values):
    return item(RelationshipType=relationship, ValueType=kind, **values)


document = Dataset()
document.file_meta = FileMetaDataset()
document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
document.SOPClassUID = KeyObjectSelectionDocumentStorage
document.SOPInstanceUID = generate_uid()
for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID",
                "StudyDescription", "AccessionNumber", "ReferringPhysicianName"):
    setattr(document, keyword, images[0].get(keyword, ""))
document.Modality = "KO"
document.SeriesInstanceUID = generate_uid()
# Before every series of images, as some workstations number them.
document.SeriesNumber = 0
document.InstanceNumber = 1
document.Manufacturer = "Another maker"
document.ReferencedPerformedProcedureStepSequence = Sequence()
now = datetime.datetime(2024, 3, 2, 14, 3, 1)
document.ContentDate, document.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
series = [item(SeriesInstanceUID=images[0].SeriesInstanceUID, ReferencedSOPSequence=Sequence(map(reference, images)))]
document.CurrentRequestedProcedureEvidenceSequence = Sequence(
    [item(StudyInstanceUID=images[0].StudyInstanceUID, ReferencedSeriesSequence=Sequence(series))])
document.ValueType = "CONTAINER"
document.ConceptNameCodeSequence = code("113000", "Of Interest")
document.ContinuityOfContent = "SEPARATE"
document.ContentTemplateSequence = Sequence([item(MappingResource="DCMR", TemplateIdentifier="2010")])
document.ContentSequence = Sequence([
    content("HAS OBS CONTEXT", "CODE", ConceptNameCodeSequence=code("121005", "Observer Type"),
            ConceptCodeSequence=code("121006", "Person")),
    content("HAS OBS CONTEXT", "PNAME", ConceptNameCodeSequence=code("121008", "Person Observer Name"), PersonName=name),
    *[content("CONTAINS", "IMAGE", ReferencedSOPSequence=Sequence([reference(image)])) for image in images],
])
document.save_as(out, enforce_file_format=True)
