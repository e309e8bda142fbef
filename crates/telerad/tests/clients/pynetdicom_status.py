"""Sends each file's data set as it is with pynetdicom, and prints what the other side says: HOST PORT, then lines `AE FILE` on standard
input; for each a line of JSON with status and comment."""
import json
import sys

from pydicom.filereader import read_file_meta_info
from pynetdicom import AE, _config

# Sends the bytes of the file as they are, without decoding them.
_config.STORE_SEND_CHUNKED_DATASET = True
host, port = sys.argv[1], int(sys.argv[2])
for line in sys.stdin:
    calling, path = line.rstrip("\n").split("\t")
    meta = read_file_meta_info(path)
    entity = AE(ae_title=calling)
    entity.add_requested_context(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
    association = entity.associate(host, port, ae_title="TELERAD")
    if not association.is_established:
        sys.exit(f"{path}: no association")
    status = association.send_c_store(path)
    association.release()
    print(json.dumps({"status": status.get("Status"), "comment": status.get("ErrorComment", "")}))
