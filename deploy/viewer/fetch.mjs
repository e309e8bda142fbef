// Fetches the published build of the OHIF viewer and lays it into ./viewer, ready to be served from a directory.
//
//     node deploy/viewer/fetch.mjs [TARGET]
//
// The package is pinned by version and by the SHA-512 of its archive. The archive is kept in
// ${XDG_CACHE_HOME:-~/.cache}/telerad/viewer/, so a clean clone does not fetch it again. Left out: the ONNX
// runtime, the microscopy viewer and the source maps (150 MB that reading a CT never asks for); app-config.js,
// which telerad writes itself at run time; and sw.js, which nothing registers, lists the parts left out and
// would load code from an outside host. The build carries no compressed files, so each file of text or WebAssembly gets a .gz beside it:
// what a browser loads before the first image is then a fifth.

import { createHash } from "node:crypto";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import * as zlib from "node:zlib";
import { fileURLToPath } from "node:url";

const PACKAGE = "@ohif/app";
const VERSION = "3.13.2";
const INTEGRITY = "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA==";
const LEFT_OUT_FOLDERS = ["ort", "dicom-microscopy-viewer"];
const LEFT_OUT_FILES = ["app-config.js", "sw.js"];
const LEFT_OUT_ENDING = ".map";
const MUST_BE_THERE = ["index.html", "app.bundle.css", "assets"];
// Part of the stamp: raise it when this file lays the directory out differently.
const LAYOUT = 2;
const COMPRESSED_ENDINGS = [".js", ".mjs", ".css", ".wasm", ".json", ".svg", ".html"];
// A smaller file fits into one or two packets anyway.
const COMPRESSED_BYTES_MIN = 2048;

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const target = path.resolve(process.argv[2] ?? path.join(root, "viewer"));
const cache = path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), ".cache"), "telerad", "viewer");
const stamp = `${PACKAGE} ${VERSION} layout ${LAYOUT}\n${INTEGRITY}\n`;

function fail(message) {
  console.error(`viewer: ${message}`);
  process.exit(1);
}

function run(command, args, cwd) {
  const result = spawnSync(command, args, { cwd, stdio: ["ignore", "ignore", "pipe"], encoding: "utf8" });
  if (result.error) fail(`${command} could not be started: ${result.error.message}`);
  if (result.status !== 0) fail(`${command} ${args[0]} failed:\n${result.stderr}`);
}

function integrityOf(file) {
  return `sha512-${createHash("sha512").update(fs.readFileSync(file)).digest("base64")}`;
}

function archive() {
  fs.mkdirSync(cache, { recursive: true });
  const kept = path.join(cache, `ohif-app-${VERSION}.tgz`);
  if (fs.existsSync(kept) && integrityOf(kept) === INTEGRITY) return kept;
  const incoming = fs.mkdtempSync(path.join(cache, "incoming-"));
  partials.push(incoming);
  run("npm", ["pack", `${PACKAGE}@${VERSION}`, "--pack-destination", incoming, "--loglevel=error"], incoming);
  const fetched = path.join(incoming, `ohif-app-${VERSION}.tgz`);
  const found = integrityOf(fetched);
  if (found !== INTEGRITY) {
    fail(`${PACKAGE} ${VERSION} is not the archive that was reviewed: ${found}, wanted ${INTEGRITY}`);
  }
  fs.renameSync(fetched, kept);
  return kept;
}

function lay(tarball) {
  fs.mkdirSync(path.dirname(target), { recursive: true });
  const laid = fs.mkdtempSync(`${target}.partial-`);
  partials.push(laid);
  const without = [
    ...LEFT_OUT_FOLDERS.map((name) => `package/dist/${name}`),
    ...LEFT_OUT_FILES.map((name) => `package/dist/${name}`),
    `*${LEFT_OUT_ENDING}`,
  ].map((pattern) => `--exclude=${pattern}`);
  const options = ["--no-same-owner", "--strip-components=2", "-C", laid, ...without];
  run("tar", ["-xzf", tarball, ...options, "package/dist"], laid);
  const license = ["--no-same-owner", "--strip-components=1", "-C", laid, "package/LICENSE"];
  run("tar", ["-xzf", tarball, ...license], laid);
  for (const name of MUST_BE_THERE) {
    if (!fs.existsSync(path.join(laid, name))) fail(`the archive holds no ${name}`);
  }
  for (const name of [...LEFT_OUT_FOLDERS, ...LEFT_OUT_FILES]) {
    if (fs.existsSync(path.join(laid, name))) fail(`${name} was not left out`);
  }
  compress(laid);
  fs.chmodSync(laid, 0o755);
  fs.writeFileSync(path.join(laid, "VERSION"), stamp);
  fs.rmSync(target, { recursive: true, force: true });
  fs.renameSync(laid, target);
}

function compress(folder) {
  for (const entry of fs.readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name);
    if (!entry.isFile() || !COMPRESSED_ENDINGS.includes(path.extname(file))) continue;
    const bytes = fs.readFileSync(file);
    if (bytes.length < COMPRESSED_BYTES_MIN) continue;
    fs.writeFileSync(`${file}.gz`, zlib.gzipSync(bytes, { level: zlib.constants.Z_BEST_COMPRESSION }));
  }
}

// Half-made directories go away however this ends.
const partials = [];
process.on("exit", () => partials.forEach((folder) => fs.rmSync(folder, { recursive: true, force: true })));
process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));

function isLaid() {
  const file = path.join(target, "VERSION");
  return fs.existsSync(file) && fs.readFileSync(file, "utf8") === stamp;
}

if (!isLaid()) {
  const began = performance.now();
  lay(archive());
  console.error(`viewer: ${PACKAGE} ${VERSION} laid into ${target} in ${Math.round((performance.now() - began) / 1000)} s`);
}
