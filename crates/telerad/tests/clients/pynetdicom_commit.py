"""Asks for storage commitment with pynetdicom: JSON on standard input says how, JSON on standard output what came.

`host`, `port`, `calling`, `transaction`, `references` (class and instance), and `mode`:
`same` waits for the report on the association that asked; `new` on one that the server opens to the port `listen` (of `bind`); `ask` does not wait;
`hear` opens an association without asking and waits on it; `listen` only waits for an association that the server opens.
With `tls` (files `certificate`, `key`, `authority`) the association that the server opens is over TLS with certificates on both sides.
"""
import json
import ssl
import sys
import threading

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

# How long a report may take, in seconds.
PATIENCE = 80
order = json.load(sys.stdin)
told = threading.Event()
result = {}


def items(dataset, keyword):
    return [
        [item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID, item.get("FailureReason")]
        for item in dataset.get(keyword, [])
    ]


def heard(event):
    information = event.event_information
    certificate = getattr(event.assoc.dul.socket.socket, "getpeercert", lambda: None)()
    # A report may come twice: a client knows its own by the Transaction UID.
    if mode != "hear" and information.TransactionUID != order["transaction"]:
        return 0x0000, None
    result.update(
        event_type=event.event_type,
        transaction=information.TransactionUID,
        committed=items(information, "ReferencedSOPSequence"),
        failed=items(information, "FailedSOPSequence"),
        called_by=dict(pair for name in certificate["subject"] for pair in name).get("commonName") if certificate else None,
        as_scu=event.assoc.is_requestor or event.assoc.accepted_contexts[0].as_scu,
    )
    return 0x0000, None


def answered(_):
    if "event_type" in result:
        told.set()


def listener_tls(files):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files["authority"])
    context.load_cert_chain(files["certificate"], files["key"])
    context.verify_mode = ssl.CERT_REQUIRED
    return context


mode = order["mode"]
# Who releases the association before its answer is sent has not been told, and is told again.
handlers = [(evt.EVT_N_EVENT_REPORT, heard), (evt.EVT_DIMSE_SENT, answered)]
entity = AE(ae_title=order["calling"])
entity.add_requested_context(StorageCommitmentPushModel)
server = None
if mode in ("new", "listen"):
    listening = AE(ae_title=order["calling"])
    listening.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    context = listener_tls(order["tls"]) if "tls" in order else None
    server = listening.start_server(
        (order.get("bind", "127.0.0.1"), order["listen"]), block=False, evt_handlers=handlers, ssl_context=context
    )

if mode != "listen":
    association = entity.associate(
        order["host"], order["port"], ae_title="TELERAD", evt_handlers=handlers if mode in ("same", "hear") else []
    )
    result["established"] = association.is_established
    if association.is_established and mode != "hear":
        request = Dataset()
        request.TransactionUID = order["transaction"]
        request.ReferencedSOPSequence = []
        for sop_class, sop_instance in order["references"]:
            item = Dataset()
            item.ReferencedSOPClassUID = sop_class
            item.ReferencedSOPInstanceUID = sop_instance
            request.ReferencedSOPSequence.append(item)
        status, _ = association.send_n_action(
            request, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )
        result["status"] = status.Status if status else None
    if mode in ("same", "hear") and association.is_established:
        told.wait(PATIENCE)
    if association.is_established:
        association.release()
if mode in ("new", "listen"):
    told.wait(PATIENCE)
    server.shutdown()
json.dump(result, sys.stdout)
