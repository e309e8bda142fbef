// The mock's studies: every state, priority and kind of trouble once, and names that break layouts. All invented.
import { createHash } from "node:crypto";

const MINUTE = 60_000;
export const iso = (ms) => new Date(ms).toISOString();
export const ago = (minutes) => iso(Date.now() - minutes * MINUTE);
export const sha = (text) => createHash("sha256").update(text).digest("hex");

export const KINDS = ["examination", "indication", "technique", "dose", "comparison", "findings", "impression"];
export const title = (kind) => kind[0].toUpperCase() + kind.slice(1);

export const person = {
  id: "p1",
  login: "moreau",
  name: "Dr Ada Moreau",
  credentials: "Consultant Radiologist, FRCR",
  role: process.env.ROLE ?? "reader",
};
export const PASSWORD = "night";

const header = (detail) => ({ label: "Image headers", detail });
const sentences = {
  examination: [
    ["CT of the head without contrast, 22 November 2026.", header("Modality, StudyDescription, StudyDate")],
  ],
  indication: [["Sudden severe headache, exclude haemorrhage.", { label: "Order", detail: null }]],
  technique: [
    ["Axial acquisition, 120 kV, 28 images, slice thickness 5 mm.", header("KVP, SliceThickness; series 2")],
    ["Kernel H31s.", header("ConvolutionKernel; series 2")],
  ],
  dose: [
    [
      "CTDIvol 52.1 mGy, dose length product 861 mGy·cm.",
      { label: "Dose report", detail: "Radiation dose structured report" },
    ],
  ],
  comparison: [["CT of the head of 3 March 2024.", { label: "Earlier report", detail: "Version 1 of 3 Mar 2024" }]],
  findings: [
    [
      "Ventricles and sulci: [to be described].",
      { label: "Template", detail: "CT head 2; says nothing about this patient" },
    ],
    ["Slices are evenly spaced; none is missing.", { label: "Computed", detail: "Distances between slice positions" }],
  ],
  impression: [],
};

function draft(stale, base) {
  return {
    author: "telerad rules 1",
    at: ago(3),
    stale,
    sections: KINDS.map((kind) => ({
      kind,
      title: title(kind),
      sentences: sentences[kind].map(([text, origin]) => ({ text, origin })),
    })),
    quality: stale
      ? [{ kind: "missing_slices", text: "Series 2: one slice seems to be missing between 14 and 16." }]
      : [],
    key_images: [
      ["Brain window, slice 14 of 28", 1],
      ["Brain window, slice 9 of 28", 2],
      ["Bone window, slice 21 of 28", 3],
      ["Subdural window, slice 17 of 28, at the level of the third ventricle", 4],
    ].map(([caption], index) => ({
      index,
      digest: `${index}`,
      caption,
      url: `${base}/key-images/${index}`,
      width: 512,
      height: 512,
    })),
  };
}

const complete = (count) => ({
  state: "complete",
  since: ago(9),
  evidence: [
    { kind: "request_boundary", at: ago(9.2), text: `The sender's request ended with ${count} images.` },
    { kind: "quiet_period", at: ago(9), text: "No image came for 10 seconds." },
  ],
});
const arriving = (count) => ({
  state: "arriving",
  decide_at: iso(Date.now() + 25_000),
  evidence: [{ kind: "request_boundary", at: ago(0.2), text: `${count} images so far over one association.` }],
});
const short = (expected) => ({
  state: "short",
  since: ago(18),
  expected,
  evidence: [
    { kind: "sender_count", at: ago(20), text: `The sender said that the study has ${expected} images.` },
    { kind: "quiet_period", at: ago(18), text: "No image came for 2 minutes." },
  ],
});

let serial = 0;
function study(facts) {
  serial += 1;
  const uid = `1.2.826.0.1.3680043.10.1.${2000 + serial}`;
  const centre = facts.centre ?? "northgate";
  const base = `/api/v1/studies/${centre}/${uid}`;
  const minutes = facts.waited ?? 12;
  const count = facts.count ?? 28;
  const entry = {
    centre,
    centre_name: facts.centre_name ?? "Northgate Imaging",
    study_uid: uid,
    patient: {
      name: facts.name,
      id: facts.id === undefined ? `NG-${48210 + serial * 37}` : facts.id,
      birth_date: facts.born === undefined ? "1961-04-17" : facts.born,
      sex: facts.sex === undefined ? "F" : facts.sex,
    },
    accession_number: facts.accession === undefined ? `A26-${10440 + serial}` : facts.accession,
    description: facts.description ?? "CT head without contrast",
    study_date: "2026-11-22",
    study_time: "19:05:12",
    modalities: facts.modalities ?? ["CT"],
    priority: facts.priority ?? "routine",
    first_received: ago(minutes),
    last_received: ago(Math.max(0, minutes - 1)),
    series_count: facts.series ?? 2,
    instance_count: count,
    completeness: facts.completeness ?? complete(count),
    state: facts.state ?? "unread",
    reader: facts.reader ?? null,
    draft: facts.draft ?? "current",
    signed_at: null,
    signed_version: null,
    new_images_after_signature: facts.late ?? false,
    open_tasks: 0,
    conflicts: facts.conflicts ?? 0,
    deliveries: { total: 0, acknowledged: 0 },
  };
  const made = {
    entry,
    order:
      facts.order === null
        ? null
        : {
            accession_number: entry.accession_number,
            examination: entry.description,
            reason:
              facts.reason ??
              "Sudden severe headache since 17:30, vomiting, GCS 14. Known hypertension, takes apixaban. Haemorrhage?",
            priority: entry.priority,
            physician_name: "Dr Hannelore Brandt",
            received: ago(minutes + 40),
            matched_by: "accession_number",
          },
    referring_physician: "Brandt^Hannelore^^Dr",
    image_set: { digest: sha(`${uid} 1`), count, generation: 1 },
    body_parts: [],
    priors: facts.priors ?? [],
    draft: entry.draft === "none" ? null : draft(entry.draft === "stale", base),
    working_copy: null,
    versions: [],
    deliveries: [],
    tasks: [],
    viewer_url: `/viewer?StudyInstanceUIDs=${uid}&centre=${centre}`,
  };
  return made;
}

export function sections(texts) {
  return KINDS.map((kind) => ({ kind, title: title(kind), text: texts[kind] ?? "" }));
}

export function version(made, { number, kind, texts, keyImages, by = person, at = iso(Date.now()) }) {
  const { centre, study_uid } = made.entry;
  const base = `/api/v1/studies/${centre}/${study_uid}/versions/${number}`;
  return {
    number,
    kind,
    signed_at: at,
    signer_name: by.name,
    credentials: by.credentials,
    meaning:
      kind === "final"
        ? "I have read the images and this is my report"
        : "I have read the images and add this to the report",
    sections: sections(texts),
    key_images: keyImages.map((image, index) => ({ ...image, index, url: `${base}/key-images/${index}` })),
    image_set: made.image_set.digest,
    hash: sha(JSON.stringify(texts) + number),
    intact: true,
    pdf_url: `${base}/report.pdf`,
  };
}

export function delivery(made, number, facts = {}) {
  const created = facts.created ?? iso(Date.now());
  return {
    id: `d${Math.random().toString(36).slice(2)}`,
    centre: made.entry.centre,
    study_uid: made.entry.study_uid,
    patient_name: made.entry.patient.name,
    version: number,
    recipient: facts.recipient ?? { kind: "physician", name: "Dr Hannelore Brandt" },
    address: facts.address ?? "h.brandt@northgate-clinic.example",
    created,
    accept_by: iso(Date.parse(created) + 15 * MINUTE),
    acknowledge_by: iso(Date.parse(created) + 60 * MINUTE),
    transport: facts.transport ?? { state: "waiting", next_attempt: iso(Date.now() + 2_000) },
    attempts: facts.attempts ?? [],
    acknowledged: facts.acknowledged ?? null,
    escalated: facts.escalated ?? null,
  };
}

function signed(made, minutes, deliveries) {
  const { entry } = made;
  const texts = {
    examination: "CT of the head without contrast.",
    indication: made.order?.reason ?? "",
    findings: "No intracranial haemorrhage. No mass effect. Ventricles of normal width.",
    impression: "No haemorrhage.",
  };
  made.versions = [
    version(made, {
      number: 1,
      kind: "final",
      texts,
      keyImages: made.draft?.key_images.slice(0, 2) ?? [],
      at: ago(minutes),
    }),
  ];
  made.deliveries = deliveries.map((facts) => delivery(made, 1, { created: ago(minutes), ...facts }));
  Object.assign(entry, {
    state: "signed",
    reader: { name: person.name, until: null, mine: true },
    signed_at: ago(minutes),
    signed_version: 1,
  });
  return made;
}

const attempt = (minutes, outcome, detail) => ({ at: ago(minutes), outcome, detail });
const other = (minutes) => ({
  name: "Dr Björn Åkesson-Lindqvist",
  until: iso(Date.now() + minutes * MINUTE),
  mine: false,
});
const prior = (date, description, impression) => ({
  study_uid: `1.2.826.0.1.3680043.10.1.9${date.replaceAll("-", "")}`,
  study_date: date,
  description,
  modalities: ["CT"],
  body_parts: [],
  impression,
  signed_at: impression ? `${date}T10:20:00Z` : null,
});

export const studies = [
  study({
    name: "Okonkwo^Chiamaka",
    priority: "stat",
    waited: 34,
    sex: "F",
    priors: [
      prior(
        "2024-03-03",
        "CT head without contrast",
        "No haemorrhage. Small old lacunar infarct in the left thalamus.",
      ),
      prior("2021-08-30", "CT chest, abdomen and pelvis with contrast", null),
    ],
  }),
  study({
    name: "Yamada^Tarou=山田^太郎=やまだ^たろう",
    priority: "stat",
    waited: 22,
    sex: "M",
    born: "1948-01-09",
    centre: "harbour",
    centre_name: "Harbour View Hospital, Emergency Department Radiology",
    completeness: short(28),
    count: 24,
    description: "CT angiography head and neck with contrast, stroke protocol",
    modalities: ["CT", "SR"],
  }),
  study({
    name: "Featherstonehaugh-Cholmondeley^Maximilian Bartholomew Alexander^^Prof",
    priority: "stat",
    waited: 0.4,
    sex: "M",
    born: "1939-12-30",
    count: 112,
    completeness: arriving(112),
    draft: "none",
    description: "CT chest, abdomen and pelvis with contrast, polytrauma, arterial and portal venous phase",
  }),
  study({
    name: "Nguyễn^Thị Minh Khai",
    priority: "urgent",
    waited: 47,
    sex: "F",
    born: "1990-06-02",
    description: "CT pulmonary angiogram",
    reason: "Pleuritic chest pain, D-dimer 4.1 mg/l. Pulmonary embolism?",
    state: "claimed",
    reader: other(11),
  }),
  study({
    name: "김^민준",
    priority: "urgent",
    waited: 66,
    sex: "M",
    born: "2025-09-14",
    conflicts: 2,
    description: "CT head without contrast",
    draft: "stale",
  }),
  study({
    name: "O’Sullivan^Máire",
    priority: "routine",
    waited: 190,
    sex: "F",
    born: "1977-02-28",
    order: null,
    accession: null,
    description: null,
  }),
  study({
    name: "Σταυρόπουλος^Κωνσταντίνος",
    priority: "routine",
    waited: 1010,
    sex: "M",
    born: "1955-10-10",
    centre: "harbour",
    centre_name: "Harbour View Hospital, Emergency Department Radiology",
    description: "CT lumbar spine",
  }),
  study({
    name: "de la Cruz^Ana",
    priority: "routine",
    waited: 1500,
    sex: "F",
    born: "1969-07-21",
    description: "CT sinuses",
    state: "claimed",
    reader: { name: person.name, until: iso(Date.now() + 9 * MINUTE), mine: true },
  }),
  study({
    name: null,
    id: null,
    priority: "routine",
    waited: 75,
    sex: null,
    born: null,
    description: "CT knee left",
    accession: null,
    order: null,
  }),
  signed(study({ name: "Abernathy^Ruth", priority: "stat", waited: 140, late: true, count: 30, conflicts: 0 }), 95, [
    {
      transport: { state: "accepted", at: ago(94) },
      attempts: [attempt(94, "accepted", "250 2.0.0 queued as 4XyZ")],
      escalated: ago(34),
    },
    {
      recipient: { kind: "centre_contact", name: "Night desk, Northgate" },
      address: "night-desk@northgate-clinic.example",
      created: ago(34),
      transport: { state: "accepted", at: ago(33) },
      attempts: [attempt(33, "accepted", "250 2.0.0 queued as 4XyA")],
    },
  ]),
  signed(study({ name: "Petrov^Ivan", waited: 220, sex: "M" }), 180, [
    {
      transport: { state: "accepted", at: ago(178) },
      attempts: [attempt(180, "deferred", "451 4.7.1 greylisted, try again later"), attempt(178, "accepted", "250 OK")],
      acknowledged: { by: "Dr Hannelore Brandt", at: ago(160) },
    },
  ]),
  signed(study({ name: "Lindgren^Astrid", waited: 260, priority: "urgent" }), 30, [
    {
      address: "no-such@northgate-clinic.example",
      transport: { state: "failed", at: ago(29), detail: "550 5.1.1 no such user" },
      attempts: [attempt(29, "refused", "550 5.1.1 no such user")],
      escalated: ago(29),
    },
    {
      transport: { state: "waiting", next_attempt: iso(Date.now() + 90_000) },
      recipient: { kind: "centre_contact", name: "Night desk, Northgate" },
      attempts: [attempt(1, "deferred", "connection refused")],
    },
  ]),
];

const task = (made, kind, reason, next_step, minutes) => ({
  id: `t${kind}`,
  centre: made.entry.centre,
  centre_name: made.entry.centre_name,
  study_uid: made.entry.study_uid,
  kind,
  reason,
  next_step,
  opened: ago(minutes),
  closed: null,
});

export const tasks = [
  task(
    studies[4],
    "conflict",
    "2 images came a second time with different content.",
    "Ask the centre which are right; the first ones are shown.",
    40,
  ),
  task(
    studies[1],
    "missing_images",
    "24 of 28 images are here, and nothing has come for 2 minutes.",
    "Ask the centre to send the study again.",
    18,
  ),
  task(
    studies[11],
    "undelivered",
    "The mail server refused the report for Dr Hannelore Brandt: 550 5.1.1 no such user.",
    "Call the physician, then put the address right in the centre's directory.",
    29,
  ),
  {
    ...task(
      studies[10],
      "work_failed",
      "The draft could not be written: the images could not be decoded.",
      "Read without a draft.",
      200,
    ),
    closed: { by_name: "Dr Ada Moreau", at: ago(150), note: "Read and signed without a draft." },
  },
];
for (const made of studies) {
  made.tasks = tasks.filter((one) => one.study_uid === made.entry.study_uid);
}
studies[7].working_copy = {
  revision: 3,
  at: ago(6),
  by_name: person.name,
  mine: true,
  sections: sections({
    examination: "CT of the paranasal sinuses.",
    findings: "Mucosal thickening of the left maxillary sinus.\nOtherwise clear.",
  }),
};

export const mails = [
  {
    id: "m1",
    to: "h.brandt@northgate-clinic.example",
    from: "telerad <reports@localhost>",
    at: ago(94),
    message_id: "<v1.abernathy@telerad>",
    subject: "A report is ready for you (Northgate Imaging)",
    text: "Dear Dr Brandt,\n\na report on a study that you ordered is ready. For the patient's privacy it is not in this message.\n\nRead it and say that you have read it:\nhttp://127.0.0.1:8080/r/3q2-7wEXAMPLE-secret-0aB.\n\nIf nobody opens it within 60 minutes, we call the night desk of your centre.\n\nThe reading room",
    html: null,
  },
];

const quarantined = (id, minutes, of) => ({
  id,
  centre: "north",
  centre_name: "North Clinic",
  way: "association",
  ae_title: "NORTH_CT",
  by_name: null,
  sop_class: "1.2.840.10008.5.1.4.1.1.2",
  sop_instance: `2.25.98765432109876543210987654321098.${id}`,
  transfer_syntax: "1.2.840.10008.1.2.1",
  bytes: 526_556,
  data_set_bytes: 526_228,
  sha256: sha(id),
  received: ago(minutes),
  times: 1,
  last_received: ago(minutes),
  state: "waiting",
  decided: null,
  study_uid: null,
  ...of,
});
const SEND_AGAIN = "Its end is missing: have it sent again from its source, then discard this one.";
export const quarantine = [
  quarantined("q1", 4, {
    times: 12,
    reason: "the data set ends in the middle of an element at element (0040,0254), byte 1322 of the data set",
    next_step: SEND_AGAIN,
  }),
  quarantined("q2", 31, {
    way: "upload",
    ae_title: null,
    by_name: "Maximiliane Freifrau von Hohenstein-Wittgenstein-Berleburg",
    centre_name: "Radiologische Gemeinschaftspraxis Dr. Oppenheimer, Dr. Krishnamurthy und Kollegen am Klinikum Nord",
    sop_class: null,
    sop_instance: null,
    reason: "StudyInstanceUID is missing",
    next_step:
      "It does not say which image it is: have it exported anew from its source, then discard this one.",
  }),
  quarantined("q3", 90, {
    sop_class: "1.2.840.10008.5.1.4.1.1.88.33",
    bytes: 41_200_000,
    data_set_bytes: 41_199_672,
    reason: "sequences are nested too deeply at element (0040,A730), byte 88120 of the data set",
    next_step:
      "Ask the operator whether the limits below intake.guard are set too low. If they are raised, try again; else discard it.",
  }),
  quarantined("q4", 2000, {
    state: "stored",
    study_uid: studies[0].entry.study_uid,
    reason: "there are too many elements before the identifiers at element (0009,1001), byte 2211 of the data set",
    next_step: "",
    decided: { by_name: "Dr Ada Moreau", at: ago(1900), until: ago(-40_000) },
  }),
];

/** A study as it stands on the list of those that were taken out. */
export const outOf = ({ entry }, { minutes, days, reason, refused = 0, over = false }) => ({
  centre: entry.centre,
  centre_name: entry.centre_name,
  study_uid: entry.study_uid,
  patient: entry.patient,
  accession_number: entry.accession_number,
  description: entry.description,
  study_date: entry.study_date,
  modalities: entry.modalities,
  series_count: entry.series_count,
  instance_count: entry.instance_count,
  bytes: entry.instance_count * 526_000,
  taken_out: ago(minutes),
  by_name: person.name,
  reason,
  until: ago(minutes - days * 24 * 60),
  can_come_back: !over,
  refused_count: refused,
  last_refused: refused ? ago(minutes / 2) : null,
});

/** Studies that are not on the worklist any more. */
export const takenOut = [
  [
    study({ name: "Meyer-Landrut^Wilhelmine Friederike Charlotte^^Dr", sex: "F", waited: 300, description: "CT head without contrast" }),
    { minutes: 26_000, days: 30, refused: 28, reason: "Sent under another patient’s name; the centre sends it again." },
  ],
  [
    study({ name: "Haddad^Omar", waited: 320, count: 1240, centre_name: "Radiologische Gemeinschaftspraxis Dr. Oppenheimer, Dr. Krishnamurthy und Kollegen am Klinikum Nord" }),
    { minutes: 41_000, days: 30, refused: 1, reason: "A phantom for quality assurance.\nThe physicist asked for it to be kept until they had looked at it: ".padEnd(420, "it is not a patient and must not be read. ") },
  ],
  [study({ name: null, waited: 900 }), { minutes: 44_000, days: 30, over: true, reason: "Test." }],
].map(([made, out]) => ({ made, out: outOf(made, out) }));
