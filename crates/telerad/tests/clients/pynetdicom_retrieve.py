"""Queries and retrieves with pynetdicom: JSON on standard input says how, JSON on standard output what came.

`host`, `port`, `calling`, `operation` (`find`, `get`, `move`), `root` (`study`, `patient`), `identifier` (keyword to value);
optional: `charset` (of the identifier), `cancel_after` (responses, then C-CANCEL), `folder` (where objects go, as they came),
`destination` and `listen` (C-MOVE to a server of this process), `statuses` (by SOP Instance UID, what it answers), `delay` (seconds before
each answer), `contexts` (class to transfer syntaxes that are taken; else CT in the uncompressed ones), `hold` (seconds before the request).
"""
import faulthandler
import json
import os
import sys
import time

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom import sop_class as classes

# A client that hangs says where, and does not hold the tests up for ever.
faulthandler.dump_traceback_later(120, exit=True)
order = json.load(sys.stdin)
objects = []
root = {"study": "StudyRoot", "patient": "PatientRoot"}[order.get("root", "study")]
operation = order["operation"]
model = getattr(classes, f"{root}QueryRetrieveInformationModel{operation.capitalize()}")
CT = "1.2.840.10008.5.1.4.1.1.2"
contexts = order.get("contexts", {CT: [ExplicitVRLittleEndian, ImplicitVRLittleEndian]})


def stored(event):
    time.sleep(order.get("delay", 0))
    uid = str(event.request.AffectedSOPInstanceUID)
    data = event.request.DataSet.getvalue()
    if "folder" in order:
        with open(os.path.join(order["folder"], uid), "wb") as file:
            file.write(data)
    objects.append({
        "uid": uid,
        "syntax": str(event.context.transfer_syntax),
        "bytes": len(data),
        "originator": event.request.MoveOriginatorApplicationEntityTitle,
        "originator_id": event.request.MoveOriginatorMessageID,
        "calling": event.assoc.requestor.ae_title,
    })
    return order.get("statuses", {}).get(uid, 0x0000)


handlers = [(evt.EVT_C_STORE, stored)]
entity = AE(ae_title=order["calling"])
entity.add_requested_context(model)
server, roles = None, []
if operation == "get":
    for uid, syntaxes in contexts.items():
        for syntax in syntaxes:
            entity.add_requested_context(uid, syntax)
        roles.append(build_role(uid, scp_role=True))
if "listen" in order:
    listening = AE(ae_title=order["destination"])
    for uid, syntaxes in contexts.items():
        listening.add_supported_context(uid, syntaxes)
    server = listening.start_server(("127.0.0.1", order["listen"]), block=False, evt_handlers=handlers)

identifier = Dataset()
if "charset" in order:
    identifier.SpecificCharacterSet = order["charset"]
for keyword, value in order["identifier"].items():
    setattr(identifier, keyword, value)

result = {"responses": [], "objects": objects}
association = entity.associate(order["host"], order["port"], ext_neg=roles, evt_handlers=handlers)
result["established"] = association.is_established
if association.is_established:
    time.sleep(order.get("hold", 0))
    if operation == "find":
        responses = association.send_c_find(identifier, model)
    elif operation == "get":
        responses = association.send_c_get(identifier, model)
    else:
        responses = association.send_c_move(identifier, order["destination"], model)
    for status, answer in responses:
        values = {element.keyword: element.value for element in status}
        told = {"status": values.get("Status")}
        for name in ("Remaining", "Completed", "Failed", "Warning"):
            told[name.lower()] = values.get(f"NumberOf{name}Suboperations")
        told["comment"] = values.get("ErrorComment")
        if answer is not None:
            told["identifier"] = {
                element.keyword: [str(value) for value in element.value]
                if element.VM > 1
                else str(element.value if element.value is not None else "")
                for element in answer
            }
        result["responses"].append(told)
        if len(result["responses"]) == order.get("cancel_after"):
            association.send_c_cancel(1, None, model)
    result["statuses"] = sorted({response["status"] for response in result["responses"] if response["status"]})
    association.release()
if server:
    server.shutdown()
json.dump(result, sys.stdout)
