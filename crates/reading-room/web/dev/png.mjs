// A small grey picture, so that the mock needs no files.
import { crc32, deflateSync } from "node:zlib";

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const frame = Buffer.alloc(8 + data.length + 4);
  frame.writeUInt32BE(data.length, 0);
  body.copy(frame, 4);
  frame.writeUInt32BE(crc32(body), 8 + data.length);
  return frame;
}

export function png(size, seed) {
  const rows = [];
  for (let y = 0; y < size; y += 1) {
    const row = Buffer.alloc(size + 1);
    for (let x = 0; x < size; x += 1) {
      const [dx, dy] = [(x / size - 0.5) * 2.4, (y / size - 0.5) * 2];
      const radius = Math.hypot(dx, dy);
      const texture = 24 * Math.sin(9 * dx + seed) * Math.cos(7 * dy - seed);
      row[x + 1] = radius > 0.95 ? 0 : radius > 0.86 ? 215 : Math.max(0, Math.min(255, 92 + texture));
    }
    rows.push(row);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(size, 0);
  header.writeUInt32BE(size, 4);
  header[8] = 8;
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(Buffer.concat(rows))),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}
