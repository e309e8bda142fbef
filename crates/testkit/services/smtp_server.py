"""A mail server for tests: keeps what it accepts, and misbehaves when the recipient's address asks for it.

    smtp_server.py --inbox DIR --ready FILE --user NAME --password WORD --certificate PEM --key PEM

It listens on three free ports of 127.0.0.1 and writes them to the ready file as JSON:
  starttls  STARTTLS is required, then AUTH (ports 25 and 587 of the world)
  tls       TLS from the first byte, then AUTH (port 465)
  plain     offers neither: a client that asks for TLS must refuse to talk

Every accepted message becomes NNNNNN.eml (the bytes) and then NNNNNN.json (the envelope) in the inbox. The
JSON file appears by a rename, after the bytes: whoever sees it may read both.

The local part of a recipient up to '+' is the script; what follows '+' keeps tests apart:
  fail-NNN        RCPT is answered NNN
  fail-data-NNN   the end of the data is answered NNN, nothing is kept
  defer           RCPT is always answered 451
  defer-once      RCPT is answered 451 the first time for this address; defer-3 the first three times
  silent          RCPT is never answered
  silent-data     the message is kept, its acceptance is never answered
  drop            the connection is cut at RCPT
  drop-data       the message is kept, then the connection is cut before the answer
Any other address is accepted.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import ssl
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

MESSAGE_LIMIT_BYTES = 64 * 1024 * 1024  # a report with key images stays well below
IDLE_LIMIT_SECONDS = 300  # RFC 5321 section 4.5.3.2.7
ADDRESS_LIMIT = 100_000  # addresses whose deferrals are remembered: more than any test run makes


def script_of(address):
    """The scripted fault that an address asks for: the local part without its '+' extension."""
    return address.rpartition("@")[0].partition("+")[0].lower()


class Inbox:
    """Keeps messages and plays the scripted faults."""

    def __init__(self, directory):
        self.directory = directory
        self.received = 0
        self.deferrals = {}

    async def handle_RCPT(self, server, session, envelope, address, options):
        script = script_of(address)
        if match := re.fullmatch(r"fail-([45]\d\d)", script):
            return f"{match[1]} {match[1][0]}.1.1 scripted refusal"
        if script == "defer" or self.defers(address, script):
            return "451 4.3.0 scripted deferral"
        if script == "silent":
            await asyncio.sleep(IDLE_LIMIT_SECONDS)
        if script == "drop":
            return await self.cut(server)
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 recipient accepted"

    async def handle_DATA(self, server, session, envelope):
        scripts = [script_of(address) for address in envelope.rcpt_tos]
        for script in scripts:
            if match := re.fullmatch(r"fail-data-([45]\d\d)", script):
                return f"{match[1]} {match[1][0]}.6.0 scripted refusal"
        name = self.keep(session, envelope)
        if "silent-data" in scripts:
            await asyncio.sleep(IDLE_LIMIT_SECONDS)
        if "drop-data" in scripts:
            return await self.cut(server)
        return f"250 2.0.0 accepted as {name}"

    def defers(self, address, script):
        match = re.fullmatch(r"defer-(once|\d+)", script)
        if not match or len(self.deferrals) >= ADDRESS_LIMIT:
            return False
        wanted = 1 if match[1] == "once" else int(match[1])
        done = self.deferrals.get(address, 0)
        self.deferrals[address] = min(done + 1, wanted)
        return done < wanted

    def keep(self, session, envelope):
        self.received += 1
        name = f"{self.received:06}"
        (self.directory / f"{name}.eml").write_bytes(envelope.original_content)
        secure = session.ssl is not None or session.tls_from_start
        login = session.auth_data.login.decode() if session.authenticated else None
        record = {
            "eml": f"{name}.eml",
            "mail_from": envelope.mail_from,
            "rcpt_tos": envelope.rcpt_tos,
            "mail_options": envelope.mail_options,
            "tls": secure,
            "user": login,
            "helo": session.host_name,
        }
        partial = self.directory / f"{name}.json.partial"
        partial.write_text(json.dumps(record, indent=1), encoding="utf-8")
        os.replace(partial, self.directory / f"{name}.json")
        return name

    @staticmethod
    async def cut(server):
        server.transport.abort()
        await asyncio.sleep(0)
        return "421 4.3.2 connection cut"


class Server(SMTP):
    """SMTP that remembers whether its connection was encrypted from the first byte."""

    def __init__(self, handler, *, tls_from_start=False, **settings):
        super().__init__(
            handler,
            hostname="localhost",
            ident="telerad test mail",
            data_size_limit=MESSAGE_LIMIT_BYTES,
            timeout=IDLE_LIMIT_SECONDS,
            enable_SMTPUTF8=True,
            **settings,
        )
        self.tls_from_start = tls_from_start

    def _create_session(self):
        session = super()._create_session()
        session.tls_from_start = self.tls_from_start
        return session


def authenticator_for(user, password):
    wanted = LoginPassword(user.encode(), password.encode())

    def authenticate(server, session, envelope, mechanism, login):
        # handled=False or no 535 is ever sent and the client waits for its own timeout.
        return AuthResult(success=login == wanted, handled=False, auth_data=login)

    return authenticate


async def serve(options):
    loop = asyncio.get_running_loop()
    inbox = Inbox(options.inbox)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(options.certificate, options.key)
    signed_in = {"auth_required": True, "authenticator": authenticator_for(options.user, options.password)}
    doors = {
        "starttls": (lambda: Server(inbox, tls_context=tls, require_starttls=True, **signed_in), None),
        "tls": (lambda: Server(inbox, tls_from_start=True, auth_require_tls=False, **signed_in), tls),
        "plain": (lambda: Server(inbox), None),
    }
    servers = {
        name: await loop.create_server(make, "127.0.0.1", 0, ssl=context)
        for name, (make, context) in doors.items()
    }
    ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
    partial = options.ready.with_suffix(".partial")
    partial.write_text(json.dumps(ports), encoding="utf-8")
    os.replace(partial, options.ready)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def main():
    parser = argparse.ArgumentParser(description="A mail server for tests.")
    parser.add_argument("--inbox", type=Path, required=True)
    parser.add_argument("--ready", type=Path, required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--key", required=True)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
