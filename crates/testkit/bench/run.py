#!/usr/bin/env python3
"""Runs telerad beside whatever peer is installed and prints images/s, CPU s/GB and peak memory.

The harness is not part of this repository: it is the folder `../shared/bench` beside it, or the one that TELERAD_BENCH names. Its own
arguments may follow: `make bench ARGS="--reps 3 --only cstore,stow,durability"`.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
HARNESS = pathlib.Path(os.environ.get("TELERAD_BENCH", ROOT.parent / "shared" / "bench"))
# Where the harness keeps its data, its results and its Python.
PLACE = pathlib.Path("/tmp/bench")
PACKAGES = ["pydicom", "pynetdicom", "numpy", "sqlalchemy", "pylibjpeg", "pylibjpeg-openjpeg", "pyjpegls"]
# Every peer that may be there; one that is not installed is left out.
PEERS = ["orthanc", "orthanc-pg1", "dcmtk-storescp", "floor-durable", "null-http", "telerad"]


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
    extra.write_text(json.dumps({"telerad": row(str(program))}))
    arguments = sys.argv[1:] or ["--reps", "3", "--count", "96", "--only", "limits,cstore,stow,durability"]
    peers = [] if "--peers" in arguments else ["--peers", ",".join(PEERS)]
    return subprocess.run([python, HARNESS / "bench.py", "--extra", extra, *peers, *arguments], check=False).returncode


def row(program: str) -> dict:
    """telerad as a row of the harness: filesystem store, SQLite catalog, every role in one process."""
    data = ["--data-dir", "{data}/store"]
    return {
        "title": "telerad, filesystem store, SQLite catalog",
        "before": [
            [program, *data, "centre", "add", "bench", "--accept-any-ae"],
            [program, *data, "token", "create", "--centre", "bench", "--role", "admin"],
        ],
        "start": [[program, *data, "serve", "--dicom", "127.0.0.1:{dicom}", "--http", "127.0.0.1:{http}"]],
        "auth": "Bearer {printed}",
        "env": {"TELERAD__LOG__FILTER": "warn"},
        "ae": "TELERAD",
        "web": "/dicomweb",
        "can": ["cstore", "stow", "qido", "wado", "rendered"],
        "durable": "object, directory entry, catalog row and outbox flushed before the ack",
    }


if __name__ == "__main__":
    sys.exit(main())
