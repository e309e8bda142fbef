"""Makes the archives that the upload tests send: FOLDER with images, FOLDER for archives."""
import os
import struct
import sys
import zipfile

images, out = sys.argv[1:3]
files = sorted(name for name in os.listdir(images))


def archive(name, fill, compression=zipfile.ZIP_DEFLATED):
    path = os.path.join(out, name)
    with zipfile.ZipFile(path, "w", compression) as made:
        fill(made)
    return path


def image(index):
    with open(os.path.join(images, files[index]), "rb") as file:
        return file.read()


archive("plain.zip", lambda made: [made.writestr(f"IMAGES/{name}", image(at)) for at, name in enumerate(files[:3])])

# The same, written to a pipe: sizes and check sums follow the data, and the directory alone knows them.
class Pipe:
    def __init__(self, file):
        self.file = file

    def write(self, data):
        return self.file.write(data)

    def flush(self):
        self.file.flush()


with open(os.path.join(out, "streamed.zip"), "wb") as file, zipfile.ZipFile(Pipe(file), "w") as made:
    made.writestr("a", image(3))

with zipfile.ZipFile(os.path.join(out, "wide.zip"), "w") as made:
    with made.open("a", "w", force_zip64=True) as entry:
        entry.write(image(4))

def nested(made):
    with open(os.path.join(out, "plain.zip"), "rb") as file:
        made.writestr("inner.zip", file.read())
    made.writestr("IM5", image(5))
archive("nested.zip", nested)

def climbing(made):
    made.writestr("../../../../etc/cron.d/evil", image(6))
    made.writestr("C:\\windows\\evil", image(7))
    made.writestr("/absolute", image(8))
archive("climbing.zip", climbing)

# Encrypted, as far as a reader can tell: the flag stands in both heads.
path = archive("encrypted.zip", lambda made: made.writestr("secret", image(9)), zipfile.ZIP_STORED)
with open(path, "r+b") as file:
    whole = bytearray(file.read())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        whole[whole.index(signature) + at] |= 1
    file.seek(0)
    file.write(whole)

# An image whose pixels never end; what is no image is not even unpacked.
archive("bomb.zip", lambda made: made.writestr("image", image(11) + bytes(200 << 20)))

path = archive("overlap.zip", lambda made: [made.writestr(name, image(10)) for name in "ab"], zipfile.ZIP_STORED)
with open(path, "r+b") as file:
    whole = bytearray(file.read())
    second = whole.rindex(b"PK\x01\x02")
    whole[second + 42:second + 46] = struct.pack("<I", 0)
    file.seek(0)
    file.write(whole)

archive("many.zip", lambda made: [made.writestr(str(at), b"") for at in range(100_001)], zipfile.ZIP_STORED)

with open(os.path.join(out, "plain.zip"), "rb") as file:
    whole = file.read()
with open(os.path.join(out, "cut.zip"), "wb") as file:
    file.write(whole[: len(whole) // 2])
