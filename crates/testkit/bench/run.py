#!/usr/bin/env python3
"""Runs telerad beside whatever peer is installed and prints images/s, CPU s/GB and peak memory.

The harness is not part of this repository: it is the folder `../shared/bench` beside it, or the one that TELERAD_BENCH names. Its own
arguments may follow: `make bench ARGS="--reps 3 --only cstore,stow,durability"`.

Rows: `telerad` keeps files and SQLite, `telerad-pg` files and PostgreSQL (counted in its CPU and memory, where `initdb` is on PATH), and under
`with-services --only rabbitmq,postgres,s3 -- make bench` also `telerad-services`, which has all three (they are not counted).
"""
import json
import os
import pathlib
import shutil
import secrets
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
HARNESS = pathlib.Path(os.environ.get("TELERAD_BENCH", ROOT.parent / "shared" / "bench"))
# Where the harness keeps its data, its results and its Python.
PLACE = pathlib.Path("/tmp/bench")
PACKAGES = ["pydicom", "pynetdicom", "numpy", "sqlalchemy", "pylibjpeg", "pylibjpeg-openjpeg", "pyjpegls"]
# Every peer that may be there; one that is not installed is left out.
PEERS = ["orthanc", "orthanc-pg1", "dcmtk-storescp", "floor-durable", "null-http"]


def main() -> int:
    if not (HARNESS / "bench.py").is_file():
        print(f"no benchmark harness in {HARNESS}: set TELERAD_BENCH to the folder with bench.py", file=sys.stderr)
        return 2
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", "telerad"], cwd=ROOT, check=True)
    (PLACE / "bin").mkdir(parents=True, exist_ok=True)
    program = PLACE / "bin" / "telerad"
    shutil.copy2(target / "release" / "telerad", program)
    python = PLACE / "venv" / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", PLACE / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
    extra = PLACE / "telerad_peer.json"
    ours = rows(str(program))
    extra.write_text(json.dumps(ours))
    arguments = sys.argv[1:] or ["--reps", "3", "--count", "96", "--only", "limits,cstore,stow,durability"]
    peers = [] if "--peers" in arguments else ["--peers", ",".join([*PEERS, *ours])]
    return subprocess.run([python, HARNESS / "bench.py", "--extra", extra, *peers, *arguments], check=False).returncode


def rows(program: str) -> dict:
    """telerad as rows of the harness, with every role in one process: one for each set of parts that is there."""
    data = ["--data-dir", "{data}/store"]
    ours = {"telerad": row(program, [], data, "telerad, filesystem store, SQLite catalog")}
    if shutil.which("initdb"):
        beside = [sys.executable, str(pathlib.Path(__file__).with_name("beside_postgres.py")), "{data}", "{aux}"]
        ours["telerad-pg"] = row(program, beside, data, "telerad, filesystem store, PostgreSQL catalog")
    if "TELERAD_TEST_S3_ENDPOINT" in os.environ:
        ours["telerad-services"] = row(program, [], data, "telerad, S3, PostgreSQL, RabbitMQ")
        ours["telerad-services"]["env"] |= services()
    return ours


def row(program: str, beside: list, data: list, title: str) -> dict:
    """One row; `beside` starts what the commands need."""
    return {
        "title": title,
        "before": [
            [*beside, program, *data, "centre", "add", "bench", "--accept-any-ae"],
            [*beside, program, *data, "token", "create", "--centre", "bench", "--role", "admin"],
        ],
        "start": [[*beside, program, *data, "serve", "--dicom", "127.0.0.1:{dicom}", "--http", "127.0.0.1:{http}"]],
        "auth": "Bearer {printed}",
        "env": {"TELERAD__LOG__FILTER": "warn"},
        "ae": "TELERAD",
        "web": "/dicomweb",
        "can": ["cstore", "stow", "qido", "wado", "rendered"],
        "durable": "object, directory entry, catalog row and outbox flushed before the ack",
    }


def services() -> dict:
    """Settings for the services that run, with a bucket, a database and queues that nobody has used."""
    name = f"bench{secrets.token_hex(4)}"
    server = os.environ["TELERAD_TEST_POSTGRES_URL"]
    psql = pathlib.Path(os.environ["TELERAD_TEST_POSTGRES_BIN"]) / "psql"
    subprocess.run([psql, "-q", "-c", f"CREATE DATABASE {name}", server], check=True)
    endpoint, region = os.environ["TELERAD_TEST_S3_ENDPOINT"], os.environ["TELERAD_TEST_S3_REGION"]
    keys = os.environ["TELERAD_TEST_S3_ACCESS_KEY"], os.environ["TELERAD_TEST_S3_SECRET_KEY"]
    sign = ["--aws-sigv4", f"aws:amz:{region}:s3", "--user", ":".join(keys)]
    subprocess.run(["curl", "-sSf", "-X", "PUT", *sign, f"{endpoint}/{name}"], check=True)
    return {
        "TELERAD__STORAGE__KIND": "s3",
        "TELERAD__STORAGE__BUCKET": name,
        "TELERAD__STORAGE__REGION": region,
        "TELERAD__STORAGE__ENDPOINT": endpoint,
        "TELERAD__STORAGE__PATH_STYLE": "true",
        "TELERAD__STORAGE__ACCESS_KEY": keys[0],
        "TELERAD__STORAGE__SECRET_KEY": keys[1],
        "TELERAD__CATALOG__KIND": "postgres",
        "TELERAD__CATALOG__URL": server.rsplit("/", 1)[0] + f"/{name}",
        "TELERAD__BROKER__KIND": "rabbitmq",
        "TELERAD__BROKER__URL": os.environ["TELERAD_TEST_AMQP_URL"],
        "TELERAD__BROKER__NAME_PREFIX": name,
    }


if __name__ == "__main__":
    sys.exit(main())
