#!/usr/bin/env python3
"""Runs a command beside a PostgreSQL server of its own: beside_postgres.py FOLDER PORT COMMAND…

The server is a child, so that whoever measures this process and its children counts what the catalog costs in both. It is made at the first
run, is as durable as in production, and ends with the command.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

# As in the harness's rows of other peers with PostgreSQL: ordinary tuning for a small dedicated database, durability left on.
SETTINGS = """
listen_addresses='127.0.0.1'
unix_socket_directories=''
shared_buffers=512MB
max_wal_size=4GB
fsync=on
synchronous_commit=on
random_page_cost=1.1
"""
START_SECONDS_MAX = 30


def main() -> int:
    folder, port, command = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    data = folder / "pg"
    account = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    if not data.is_dir():
        data.mkdir(parents=True)
        if account:
            shutil.chown(data, "postgres", "postgres")
        initdb = ["initdb", "-D", data, "-A", "trust", "-U", "telerad", "-E", "UTF8", "--locale=C.UTF-8"]
        subprocess.run([*account, *initdb], check=True, stdout=subprocess.DEVNULL, cwd="/tmp")
        with open(data / "postgresql.conf", "a") as settings:
            settings.write(f"{SETTINGS}port={port}\n")
    log = open(folder / "postgres.log", "ab")
    server = subprocess.Popen([*account, "postgres", "-D", data], stdout=log, stderr=log, cwd="/tmp")
    url = f"postgres://telerad@127.0.0.1:{port}/postgres"
    try:
        deadline = time.monotonic() + START_SECONDS_MAX
        while subprocess.run(["psql", "-q", "-c", "", url], capture_output=True).returncode != 0:
            if server.poll() is not None or time.monotonic() > deadline:
                print(f"PostgreSQL does not start: see {folder}/postgres.log", file=sys.stderr)
                return 1
            time.sleep(0.1)
        settings = {"TELERAD__CATALOG__KIND": "postgres", "TELERAD__CATALOG__URL": url}
        program = subprocess.Popen(command, env={**os.environ, **settings})
        signal.signal(signal.SIGTERM, lambda *_: program.terminate())
        return program.wait()
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
