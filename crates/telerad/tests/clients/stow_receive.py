"""Receives over STOW-RS as it is told to: JSON on standard input says how, each request adds a line of JSON to a log.

`port`, `log`; `answers`: one after the other, the last one stays, each `[status, headers]`; 200 names each object as stored, unless `most`
objects are fewer than came, which is 413. `tls` (`certificate`, `key`) speaks HTTPS.
"""
import io
import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pydicom import dcmread

order = json.load(sys.stdin)
answers = order["answers"]


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def whole(self):
        if length := self.headers.get("content-length"):
            return self.rfile.read(int(length))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def do_POST(self):
        boundary = self.headers["content-type"].split("boundary=")[1].encode()
        parts = self.whole().split(b"--" + boundary)[1:-1]
        objects = [dcmread(io.BytesIO(part.split(b"\r\n\r\n", 1)[1][:-2])) for part in parts]
        status, headers = answers.pop(0) if len(answers) > 1 else answers[0]
        if status == 200 and len(objects) > order.get("most", len(objects)):
            status = 413
        answer = b"{}"
        if status == 200:
            items = [
                {
                    "00081150": {"vr": "UI", "Value": [found.SOPClassUID]},
                    "00081155": {"vr": "UI", "Value": [found.SOPInstanceUID]},
                }
                for found in objects
            ]
            answer = json.dumps({"00081190": {"vr": "UR"}, "00081199": {"vr": "SQ", "Value": items}}).encode()
        with open(order["log"], "a") as log:
            uids = [found.SOPInstanceUID for found in objects]
            log.write(json.dumps({"status": status, "at": time.time(), "objects": uids}) + "\n")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-type", "application/dicom+json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


server = ThreadingHTTPServer(("127.0.0.1", order["port"]), Receiver)
if tls := order.get("tls"):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls["certificate"], tls["key"])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
