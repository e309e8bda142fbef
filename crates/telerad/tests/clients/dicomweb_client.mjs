// Stores and reads files with the JavaScript dicomweb-client, by every operation that it has. Arguments: the folder whose node_modules has
// it. Standard input: lines of the address of a centre's DICOMweb, its token, and a file. Standard output: JSON, the files of which no picture
// could be had.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(`${process.argv[2]}/package.json`);
globalThis.XMLHttpRequest = require("xhr2");
globalThis.window ??= globalThis;
// It tells what it does on standard output, which is for the result here.
console.log = console.info = console.debug = () => {};
const { api } = require("dicomweb-client");
const parser = require("dicom-parser");

const NATIVE = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"];
// Frames of these are what stands in the file.
const AS_STORED = NATIVE.slice(0, 2);
const undrawn = [];

const one = (row, tag) => row[tag].Value[0];
const bytes = (buffer) => Buffer.from(new Uint8Array(buffer));

function dataSet(buffer) {
  const all = bytes(buffer);
  return all.subarray(parser.readPart10Header(new Uint8Array(all)).position);
}

async function roundTrip(url, token, path) {
  const need = (what, holds) => {
    if (!holds) throw new Error(`${path}: ${what}: does not hold`);
  };
  const client = new api.DICOMwebClient({ url, headers: { Authorization: `Bearer ${token}` } });
  const file = readFileSync(path);
  await client.storeInstances({ datasets: [file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength)] });

  const original = dataSet(file);
  const syntax = parser.readPart10Header(new Uint8Array(file)).string("x00020010");
  const found = await client.searchForInstances({ queryParams: { limit: 1000 } });
  // What the file holds is asked of the archive: not everything here can be read by every parser.
  for (const row of found) {
    const named = {
      studyInstanceUID: one(row, "0020000D"),
      seriesInstanceUID: one(row, "0020000E"),
      sopInstanceUID: one(row, "00080018"),
    };
    const object = await client.retrieveInstance(named);
    if (dataSet(object).equals(original)) return check(need, client, url, token, named, syntax, original, path);
  }
  need("the object is found and as it was sent", false);
}

async function check(need, client, url, token, named, syntax, original, path) {
  const { studyInstanceUID, seriesInstanceUID, sopInstanceUID } = named;
  const studies = await client.searchForStudies({ queryParams: { StudyInstanceUID: studyInstanceUID } });
  need("one study", studies.length === 1 && one(studies[0], "0020000D") === studyInstanceUID);
  const series = await client.searchForSeries({ studyInstanceUID });
  need("its series", series.some((row) => one(row, "0020000E") === seriesInstanceUID));
  const instances = await client.searchForInstances({ studyInstanceUID, seriesInstanceUID });
  need("its instance", instances.some((row) => one(row, "00080018") === sopInstanceUID));

  const metadata = [await client.retrieveInstanceMetadata(named)].flat();
  need("metadata", metadata.length === 1 && one(metadata[0], "00080018") === sopInstanceUID);
  const names = (list) => list.some((row) => one(row, "00080018") === sopInstanceUID);
  need("metadata of the series", names(await client.retrieveSeriesMetadata({ studyInstanceUID, seriesInstanceUID })));
  need("metadata of the study", names(await client.retrieveStudyMetadata({ studyInstanceUID })));

  const holds = (objects) => objects.some((object) => dataSet(object).equals(original));
  need("the study", holds(await client.retrieveStudy({ studyInstanceUID })));
  need("the series", holds(await client.retrieveSeries({ studyInstanceUID, seriesInstanceUID })));
  const wado = await fetch(client.buildInstanceWadoURIUrl(named), { headers: { Authorization: `Bearer ${token}` } });
  need("WADO-URI", wado.ok && dataSet(await wado.arrayBuffer()).equals(original));

  const pixels = metadata[0]["7FE00010"];
  if (!pixels) return;
  const count = Number(metadata[0]["00280008"]?.Value?.[0] ?? 1);
  const last = Math.min(count, 3);
  const frameNumbers = Array.from({ length: last }, (_, index) => index + 1);
  const frames = NATIVE.includes(syntax)
    ? await client.retrieveInstanceFrames({ ...named, frameNumbers })
    : await framesAsStored(client, named, frameNumbers);
  need("frames", frames.length === last && frames.every((frame) => frame.byteLength > 0));
  if (AS_STORED.includes(syntax)) need("the frame is in the object", original.includes(bytes(frames[0])));
  if (AS_STORED.includes(syntax) && count === 1) {
    const bulk = await client.retrieveBulkData({ BulkDataURI: pixels.BulkDataURI });
    need("bulk data are the frame", bytes(bulk[0]).equals(bytes(frames[0])));
  }

  for (const [mediaType, magic] of [["image/jpeg", "ffd8"], ["image/png", "89504e47"]]) {
    const query = { mediaTypes: [{ mediaType }] };
    try {
      const pictures = {
        rendered: await client.retrieveInstanceRendered({ ...named, ...query }),
        thumbnail: await client.retrieveInstanceThumbnail({ ...named, ...query }),
        frame: await client.retrieveInstanceFramesRendered({ ...named, frameNumbers: [last], ...query }),
        frameThumbnail: await client.retrieveInstanceFramesThumbnail({ ...named, frameNumbers: [last], ...query }),
      };
      for (const [what, picture] of Object.entries(pictures)) {
        const begin = bytes([picture].flat()[0]).subarray(0, 4).toString("hex");
        need(`${what} as ${mediaType}, which begins with ${begin}`, begin.startsWith(magic));
      }
    } catch (error) {
      if (error.status !== 422) throw error;
      undrawn.push(path);
      return;
    }
  }
}

// The client asks for compressed frames by a media type of its own for each syntax; this is how OHIF asks.
async function framesAsStored(client, named, frameNumbers) {
  const mediaTypes = [{ mediaType: "application/octet-stream", transferSyntaxUID: "*" }];
  return client.retrieveInstanceFrames({ ...named, frameNumbers, mediaTypes });
}

for (const line of readFileSync(0, "utf8").split("\n").filter((line) => line !== "")) {
  const [url, token, path] = line.split("\t");
  try {
    await roundTrip(url, token, path);
  } catch (error) {
    const answer = error.response instanceof ArrayBuffer ? bytes(error.response).toString() : error.response;
    process.stderr.write(`${path}: ${error.status ?? ""} ${answer ?? ""} ${error.stack}\n`);
    process.exitCode = 1;
  }
}
process.stdout.write(JSON.stringify(undrawn));
