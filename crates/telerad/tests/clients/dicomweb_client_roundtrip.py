"""Stores each file with dicomweb-client and reads it back: BASE then lines `CENTRE TOKEN FILE OUT` on standard input.

The retrieved file is written to OUT by way of the client's own session, so that its bytes are those of the answer.
"""
import re
import sys

from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session
from pydicom import dcmread

base = sys.argv[1]
failed = 0
for line in sys.stdin:
    centre, token, path, out = line.rstrip("\n").split("\t")
    session = create_session()
    session.headers["Authorization"] = f"Bearer {token}"
    client = DICOMwebClient(url=base, session=session)
    data_set = dcmread(path, force=True)
    study, series, instance = (
        str(data_set.StudyInstanceUID), str(data_set.SeriesInstanceUID), str(data_set.SOPInstanceUID))
    with open(path, "rb") as file:
        content = file.read()
    boundary = "boundary-of-a-test"
    body = (f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n").encode() + content + f"\r\n--{boundary}--\r\n".encode()
    answer = session.post(f"{base}/studies", data=body, headers={
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}', "Accept": "application/dicom+json"})
    if answer.status_code != 200:
        print(f"{path}: store answered {answer.status_code} {answer.text[:300]}")
        failed += 1
        continue
    found = client.search_for_instances(study, series, search_filters={"SOPInstanceUID": instance})
    if len(found) != 1 or found[0]["00080018"]["Value"][0] != instance:
        print(f"{path}: {len(found)} instances found")
        failed += 1
        continue
    metadata = client.retrieve_instance_metadata(study, series, instance)
    if metadata["00080018"]["Value"][0] != instance:
        print(f"{path}: metadata of another instance")
        failed += 1
        continue
    retrieved = client.retrieve_instance(study, series, instance, media_types=(("application/dicom", "*"),))
    if str(retrieved.SOPInstanceUID) != instance:
        print(f"{path}: another instance was retrieved")
        failed += 1
        continue
    raw = session.get(f"{base}/studies/{study}/series/{series}/instances/{instance}", headers={
        "Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'})
    mark = re.search(r'boundary="?([^";]+)', raw.headers["Content-Type"]).group(1).encode()
    part = raw.content.split(b"--" + mark)[1]
    with open(out, "wb") as file:
        file.write(part.split(b"\r\n\r\n", 1)[1][:-2])
sys.exit(1 if failed else 0)
