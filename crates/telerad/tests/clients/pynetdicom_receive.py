"""Receives with pynetdicom as it is told to: JSON on standard input says how, each store adds a line to a log before it is answered.

`port`, `log`; optional: `statuses` (by SOP Instance UID, the answers one after the other; the last one stays), `delay` (seconds before each
answer), `tls` (`certificate`, `key`, `authorities`: callers show a certificate), `classes` (presentation contexts that are supported).
The lines are SOP Instance UID, status and how many associations there are.
"""
import json
import ssl
import sys
import threading
import time

from pynetdicom import AE, AllStoragePresentationContexts, ALL_TRANSFER_SYNTAXES, evt
from pynetdicom.sop_class import Verification

order = json.load(sys.stdin)
statuses = order.get("statuses", {})
lock = threading.Lock()
open_now = set()


def opened(event):
    with lock:
        open_now.add(event.assoc)


def closed(event):
    with lock:
        open_now.discard(event.assoc)


def stored(event):
    time.sleep(order.get("delay", 0))
    uid = event.request.AffectedSOPInstanceUID
    with lock:
        script = statuses.get(uid, [0])
        status = script.pop(0) if len(script) > 1 else script[0]
        with open(order["log"], "a") as log:
            log.write(f"{uid} {status:04X} {len(open_now)}\n")
    return status


entity = AE(ae_title="RECEIVER")
entity.add_supported_context(Verification)
for context in AllStoragePresentationContexts:
    if context.abstract_syntax in order.get("classes", [context.abstract_syntax]):
        entity.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
context = None
if tls := order.get("tls"):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls["authorities"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(tls["certificate"], tls["key"])
entity.maximum_associations = 20
handlers = [(evt.EVT_C_STORE, stored), (evt.EVT_ACCEPTED, opened), (evt.EVT_CONN_CLOSE, closed)]
entity.start_server(("127.0.0.1", order["port"]), block=True, evt_handlers=handlers, ssl_context=context)
