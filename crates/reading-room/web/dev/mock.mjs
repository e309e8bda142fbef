// A server with invented studies, to look at the pages without the real one: `npm run build && npm run mock`, then
// http://127.0.0.1:8099, login `moreau`, password `night`, ROLE=admin for other pages. Switches for what is hard to bring about:
// POST /mock/{expire,away,back,empty,full,late-images,steal}.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import {
  ago,
  delivery,
  iso,
  KINDS,
  mails,
  outOf,
  person,
  PASSWORD,
  quarantine,
  sections,
  sha,
  studies,
  takenOut,
  tasks,
  version,
} from "./data.mjs";
import { png } from "./png.mjs";

const PORT = Number(process.env.PORT ?? 8099);
const DIST = join(import.meta.dirname, "../dist");
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};
const LEASE_MS = 15 * 60_000;
const LANES = ["stat", "urgent", "routine"];
const state = { in: false, away: false, empty: false };
const PDF =
  "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n";

class Refusal extends Error {
  constructor(status, code, message, next_step = null, extra = {}) {
    super(message);
    this.status = status;
    this.body = { error: { code, message, next_step, ...extra } };
  }
}

const find = (centre, uid) => {
  const found = studies.find(({ entry }) => entry.centre === centre && entry.study_uid === uid);
  if (!found) throw new Refusal(404, "no_such_study", "There is no such study.", "Go back to the worklist.");
  return found;
};

const holds = ({ entry }) => entry.state !== "unread" && entry.reader?.until && entry.reader.mine;

function refreshCounts({ entry, deliveries, tasks: own }) {
  entry.deliveries = { total: deliveries.length, acknowledged: deliveries.filter((one) => one.acknowledged).length };
  entry.open_tasks = own.filter((one) => !one.closed).length;
}

function worklist(query) {
  const text = query.get("q")?.toLowerCase() ?? "";
  studies.forEach(refreshCounts);
  const entries = (state.empty ? [] : studies)
    .map(({ entry }) => entry)
    .filter((entry) => query.get("signed") === "true" || entry.state !== "signed")
    .filter(({ patient, accession_number, description }) =>
      [patient.name, patient.id, accession_number, description].some((word) => word?.toLowerCase().includes(text)),
    )
    .toSorted(
      (a, b) =>
        Number(a.state === "signed") - Number(b.state === "signed") ||
        LANES.indexOf(a.priority) - LANES.indexOf(b.priority) ||
        a.first_received.localeCompare(b.first_received),
    );
  return { now: iso(Date.now()), total: entries.length, entries };
}

function claim(made, { action }) {
  const { entry } = made;
  const held = entry.reader?.until ? entry.reader : null;
  const since = ago(5);
  if (action === "take" && held && !held.mine) {
    throw new Refusal(409, "held_by_other", `${held.name} is reading this study.`, "Take it over, or leave it.", {
      by_name: held.name,
      since,
      until: held.until,
    });
  }
  if (action === "release") {
    entry.reader = entry.state === "signed" ? { name: person.name, until: null, mine: true } : null;
    if (entry.state !== "signed") entry.state = "unread";
    return { claim: null };
  }
  entry.reader = { name: person.name, until: iso(Date.now() + LEASE_MS), mine: true };
  if (entry.state === "unread") entry.state = "claimed";
  return { claim: { by_name: person.name, mine: true, since, until: entry.reader.until } };
}

function save(made, { based_on, sections: sent }) {
  const revision = made.working_copy?.revision ?? 0;
  if (!holds(made))
    throw new Refusal(
      409,
      "not_yours",
      `${made.entry.reader?.name ?? "Nobody"} holds this study now.`,
      "Copy your text, or take the study over.",
    );
  if (based_on !== revision)
    throw new Refusal(409, "changed_elsewhere", "This text was changed in another window.", "Keep one of the two.", {
      revision,
    });
  const texts = Object.fromEntries(sent.map(({ kind, text }) => [kind, text]));
  made.working_copy = {
    revision: revision + 1,
    at: iso(Date.now()),
    by_name: person.name,
    mine: true,
    sections: sections(texts),
  };
  return { revision: revision + 1, at: made.working_copy.at };
}

function sign(made, { password, sections: sent, key_images, after_version, image_set }) {
  const text = (kind) => sent.find((section) => section.kind === kind)?.text ?? "";
  if (password !== PASSWORD) throw new Refusal(403, "wrong_password", "This is not your password.", "Type it again.");
  if (!holds(made))
    throw new Refusal(409, "not_yours", "You do not hold this study.", "Start reading again; your text is kept.");
  if (image_set !== made.image_set.digest)
    throw new Refusal(
      409,
      "images_changed",
      "Images came while you were reading.",
      "Reload the images, look at them, and sign again. Your text is kept.",
    );
  if (after_version !== made.versions.length)
    throw new Refusal(409, "version_changed", "Another version was signed.", "Reload the study.");
  if (!text("impression").trim())
    throw new Refusal(422, "no_impression", "The impression is empty.", "Write an impression.");
  const number = made.versions.length + 1;
  const texts = Object.fromEntries(KINDS.map((kind) => [kind, text(kind)]));
  const keyImages = (made.draft?.key_images ?? []).filter(({ digest }) => key_images.includes(digest));
  const added = version(made, { number, kind: number === 1 ? "final" : "addendum", texts, keyImages });
  const sent_to = delivery(made, number);
  made.versions.push(added);
  made.deliveries.push(sent_to);
  made.working_copy = null;
  Object.assign(made.entry, {
    state: "signed",
    signed_at: added.signed_at,
    signed_version: number,
    new_images_after_signature: false,
    reader: { name: person.name, until: null, mine: true },
  });
  setTimeout(() => {
    sent_to.transport = { state: "accepted", at: iso(Date.now()) };
    sent_to.attempts = [{ at: iso(Date.now()), outcome: "accepted", detail: "250 OK" }];
    mails.unshift({ ...mails[0], id: `m${mails.length + 1}`, at: iso(Date.now()) });
  }, 2_000);
  setTimeout(() => {
    sent_to.acknowledged = { by: "Dr Hannelore Brandt", at: iso(Date.now()) };
  }, 8_000);
  return added;
}

function trail(made) {
  const done = [
    ["intake", "images stored", `${made.entry.instance_count} images`],
    ["reporter", "draft written", "telerad rules 1"],
    [person.name, "study viewed", null],
  ];
  return { events: done.map(([actor, action, detail], index) => ({ at: ago(12 - index * 3), actor, action, detail })) };
}

function closeTask(id, { note }) {
  const task = tasks.find((one) => one.id === id);
  if (!task) throw new Refusal(404, "no_such_task", "There is no such task.");
  task.closed = { by_name: person.name, at: iso(Date.now()), note };
  return task;
}

const deliveries = (query) => ({
  deliveries: studies
    .flatMap((made) => made.deliveries)
    .filter((one) => query.get("unacknowledged") !== "true" || !one.acknowledged)
    .toSorted((a, b) => b.created.localeCompare(a.created)),
});

function switchTo(name) {
  if (name === "expire") state.in = false;
  if (name === "away" || name === "back") state.away = name === "away";
  if (name === "empty" || name === "full") state.empty = name === "empty";
  for (const made of studies) {
    if (name === "late-images" && made.entry.state !== "signed") {
      const generation = made.image_set.generation + 1;
      made.image_set = {
        digest: sha(`${made.entry.study_uid} ${generation}`),
        count: made.image_set.count + 2,
        generation,
      };
      made.entry.instance_count += 2;
      if (made.draft) made.draft = { ...made.draft, stale: true };
    }
    if (name === "steal" && holds(made))
      made.entry.reader = { name: "Dr Björn Åkesson-Lindqvist", until: iso(Date.now() + LEASE_MS), mine: false };
  }
}

function session(method, body) {
  if (method === "DELETE") return void (state.in = false);
  if (method === "POST") {
    if (body.login !== person.login || body.password !== PASSWORD)
      throw new Refusal(401, "sign_in_refused", "Login or password is wrong.", "Try again.");
    state.in = true;
  }
  if (!state.in) throw new Refusal(401, "not_signed_in", "You are not signed in.", "Sign in.");
  return { person };
}

function decide(id, decision) {
  const object = quarantine.find((one) => one.id === id);
  if (!object) throw new Refusal(404, "unknown", "There is no such thing.");
  if (decision === "discard") {
    Object.assign(object, {
      state: "discarded",
      decided: { by_name: person.name, at: iso(Date.now()), until: ago(-43_200) },
    });
  } else if (decision === "restore") Object.assign(object, { state: "waiting", decided: null });
  return object;
}

function listQuarantine(query) {
  const rank = ({ state: where }) => Number(where !== "waiting");
  const objects = state.empty ? [] : quarantine.filter((one) => query.get("decided") === "true" || rank(one) === 0);
  const held = { objects: objects.length, objects_max: 1000, bytes: 9_100_000_000, bytes_max: 10_737_418_240 };
  const centres = [
    { id: "north", name: "North Clinic", held },
    { id: "south", name: "South Clinic", held: null },
  ];
  return {
    centres,
    may_download: true,
    decided_days: 30,
    objects: objects.toSorted((a, b) => rank(a) - rank(b)),
    more: false,
  };
}

/** Below /dicomweb/centres/CENTRE: taking a study out, in two steps, and bringing it back. */
function images(method, centre, [list, uid, act], body) {
  if (act === "bring-back") {
    const at = takenOut.findIndex(({ out }) => out.centre === centre && out.study_uid === uid);
    if (at < 0) throw new Refusal(404, "unknown", "There is no such thing.");
    studies.unshift(takenOut.splice(at, 1)[0].made);
    return undefined;
  }
  if (list !== "studies" || method !== "DELETE") throw new Refusal(404, "unknown", "There is no such thing.");
  const made = find(centre, uid);
  const { entry } = made;
  const conflict = (code, message, next_step) => new Refusal(409, code, message, next_step);
  if (entry.state === "signed")
    throw conflict(
      "report_signed",
      "A report is signed on this study. The report stands on its images, so they stay.",
      "If the report is wrong, sign a correction.",
    );
  if (entry.state === "claimed")
    throw conflict("study_held", "A reader holds this study.", "Ask them to give it back, or wait until their claim ends.");
  if (entry.conflicts > 0)
    throw conflict(
      "conflict_open",
      "A conflict of this study is open, or was decided between this study and another one.",
      "Look at its conflicts. One that is open is decided first; images that two studies share stay.",
    );
  const out = outOf(made, { minutes: 0, days: 30, reason: body.reason });
  if (!body.confirmation)
    throw new Refusal(428, "confirmation_needed", "Nothing was taken out.", null, {
      confirmation: "seen",
      series: out.series_count,
      instances: out.instance_count,
      bytes: out.bytes,
      until: out.until,
    });
  studies.splice(studies.indexOf(made), 1);
  takenOut.unshift({ made, out });
  return { until: out.until };
}

/** What an address of the API answers: something to send as JSON, or a `Buffer` with its type. */
function api(method, path, query, body) {
  if (path[0] === "session") return session(method, body);
  if (!state.in) throw new Refusal(401, "not_signed_in", "You are not signed in.", "Sign in.");
  if (path[0] === "worklist") return worklist(query);
  if (path[0] === "deliveries") return deliveries(query);
  if (path[0] === "tasks" && path[2] === "close") return closeTask(path[1], body);
  if (path[0] === "tasks") return { tasks: tasks.filter((task) => query.get("closed") === "true" || !task.closed) };
  if (path[0] === "quarantine" && path[2]) return decide(path[1], path[2]);
  if (path[0] === "quarantine") return listQuarantine(query);
  if (path[0] === "taken-out") return { studies: state.empty ? [] : takenOut.map(({ out }) => out), more: false };
  if (path[0] === "mailbox" && path[1]) return mails.find(({ id }) => id === path[1]) ?? { id: path[1] };
  if (path[0] === "mailbox")
    return { sending: false, mails: mails.map(({ id, to, at, subject }) => ({ id, to, at, subject })) };
  if (path[0] !== "studies") throw new Refusal(404, "no_such_address", "There is nothing at this address.");
  if (path.includes("key-images")) return { type: "image/png", bytes: png(512, Number(path.at(-1))) };
  if (path.at(-1) === "report.pdf") return { type: "application/pdf", bytes: Buffer.from(PDF) };
  const made = find(path[1], path[2]);
  refreshCounts(made);
  const markedImages = () => ({ images: [], left_out: 0 });
  const acts = { claim, report: save, sign, trail, "marked-images": markedImages };
  return path[3] ? acts[path[3]](made, body) : made;
}

const VIEWER = `<!doctype html><title>Viewer</title><link rel="stylesheet" href="/mock/viewer.css"><body tabindex="0"><img src="/api/v1/studies/x/y/key-images/1" alt=""><p>Placeholder for the viewer</p>`;
const VIEWER_CSS =
  "body{margin:0;height:100vh;background:#000;color:#667;display:grid;place-content:center;justify-items:center;font:14px sans-serif}img{width:60vmin}";

async function file(path) {
  const wanted = normalize(path).replace(/^\/+/, "");
  // A study's address has dots in it too: only known endings are files.
  const name = TYPES[extname(wanted)] ? wanted : "index.html";
  return { type: TYPES[extname(name)], bytes: await readFile(join(DIST, name)) };
}

async function answer(request, response) {
  const { pathname, searchParams } = new URL(request.url, "http://mock");
  const send = (status, type, bytes, headers = {}) =>
    response.writeHead(status, { "content-type": type, ...headers }).end(bytes);
  if (pathname === "/mock/viewer.css") return send(200, "text/css", VIEWER_CSS);
  if (pathname.startsWith("/mock/")) return send(200, "text/plain", switchTo(pathname.slice(6)) ?? "done\n");
  if (state.away) return request.socket.destroy();
  if (pathname.startsWith("/viewer")) return send(200, TYPES[".html"], VIEWER);
  const root = ["/api/v1/", "/dicomweb/centres/"].find((one) => pathname.startsWith(one));
  if (!root) {
    const { type, bytes } = await file(pathname);
    return send(200, type, bytes, { "content-security-policy": "default-src 'self'" });
  }
  let text = "";
  for await (const part of request) text += part;
  const path = pathname.slice(root.length).split("/").map(decodeURIComponent);
  const body = text ? JSON.parse(text) : {};
  const found = root === "/api/v1/" ? api(request.method, path, searchParams, body) : images(request.method, path[0], path.slice(1), body);
  if (found === undefined) return response.writeHead(204).end();
  if (Buffer.isBuffer(found.bytes)) return send(200, found.type, found.bytes);
  const etag = `"${sha(JSON.stringify({ ...found, now: null })).slice(0, 16)}"`;
  if (request.headers["if-none-match"] === etag) return response.writeHead(304, { etag }).end();
  return send(200, "application/json", JSON.stringify(found), { etag });
}

createServer((request, response) => {
  answer(request, response).catch((thrown) => {
    const refusal =
      thrown instanceof Refusal ? thrown : new Refusal(thrown.code === "ENOENT" ? 404 : 500, "mock", String(thrown));
    response.writeHead(refusal.status, { "content-type": "application/json" }).end(JSON.stringify(refusal.body));
  });
}).listen(PORT, "127.0.0.1", () =>
  console.log(`http://127.0.0.1:${PORT}  login ${person.login}, password ${PASSWORD}`),
);
