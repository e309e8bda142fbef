"""Uploads files with tuspy, two chunks each, every chunk with its check sum: URL TOKEN BATCH then one path a line on standard input.

After the first chunk of a file the uploader is thrown away, and another one goes on by the address, as after a crash of the client.
"""
import sys

from tusclient.client import TusClient

url, token, batch = sys.argv[1:4]
client = TusClient(url, headers={"Authorization": f"Bearer {token}"})
for line in sys.stdin:
    path = line.rstrip("\n")
    metadata = {"filename": path.rsplit("/", 1)[-1], "batch": batch}
    with open(path, "rb") as file:
        size = file.seek(0, 2)
    chunk = max(1, size // 2 + 1)
    first = client.uploader(path, chunk_size=chunk, metadata=metadata, upload_checksum=True)
    first.upload_chunk()
    assert first.offset == chunk, first.offset
    second = client.uploader(path, chunk_size=chunk, url=first.url, upload_checksum=True)
    assert second.offset == chunk, second.offset
    second.upload()
