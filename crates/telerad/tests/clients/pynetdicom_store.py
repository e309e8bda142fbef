"""Stores each file with pynetdicom, in its own transfer syntax: HOST PORT then lines `AE FILE` on standard input."""
import sys

from pydicom import dcmread
from pydicom.filereader import read_file_meta_info
from pynetdicom import AE, _config

# Sends the bytes of the file as they are, without decoding them.
_config.STORE_SEND_CHUNKED_DATASET = True
host, port = sys.argv[1], int(sys.argv[2])
failed = 0
for line in sys.stdin:
    calling, path = line.rstrip("\n").split("\t")
    meta = read_file_meta_info(path)
    entity = AE(ae_title=calling)
    entity.add_requested_context(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
    association = entity.associate(host, port, ae_title="TELERAD")
    if not association.is_established:
        print(f"{path}: no association")
        failed += 1
        continue
    status = association.send_c_store(path)
    association.release()
    if not status or status.Status != 0x0000:
        print(f"{path}: status {status.Status if status else None:#06x}")
        failed += 1
sys.exit(1 if failed else 0)
