"""Stores each object twice at the same moment, over two associations with two servers: PORT PORT AE, then files on standard input."""
import sys
import threading

from pydicom.filereader import read_file_meta_info
from pynetdicom import AE, _config

# Sends the bytes of the file as they are, without decoding them.
_config.STORE_SEND_CHUNKED_DATASET = True
ports, calling = [int(port) for port in sys.argv[1:3]], sys.argv[3]
paths = [line.rstrip("\n") for line in sys.stdin]
together = threading.Barrier(len(ports))
answers: list[str] = []


def send(port: int) -> None:
    meta = read_file_meta_info(paths[0])
    entity = AE(ae_title=calling)
    entity.add_requested_context(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", port, ae_title="TELERAD")
    for path in paths:
        together.wait(timeout=60)
        status = association.send_c_store(path) if association.is_established else None
        answers.append(f"{status.Status:04X}H" if status else "none")
    association.release()


senders = [threading.Thread(target=send, args=(port,)) for port in ports]
for sender in senders:
    sender.start()
for sender in senders:
    sender.join()
for answer in sorted(set(answers)):
    print(f"{answers.count(answer)} answers {answer}")
sys.exit(0 if set(answers) == {"0000H"} else 1)
