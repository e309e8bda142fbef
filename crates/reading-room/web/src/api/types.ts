/** What travels over `/api/v1`. Times are RFC 3339 in UTC, dates `YYYY-MM-DD`. */

export interface Person {
  id: string;
  login: string;
  name: string;
  credentials: string | null;
  role: "centre" | "reader" | "admin";
}

export interface SessionAnswer {
  person: Person;
}

export type Priority = "stat" | "urgent" | "routine";

export interface Patient {
  name: string | null;
  id: string | null;
  birth_date: string | null;
  sex: string | null;
}

export interface Evidence {
  kind: string;
  at: string;
  text: string;
}

export interface Completeness {
  state: "arriving" | "complete" | "short";
  decide_at?: string | null;
  since?: string | null;
  expected?: number | null;
  evidence: Evidence[];
}

export interface Entry {
  centre: string;
  centre_name: string;
  study_uid: string;
  patient: Patient;
  accession_number: string | null;
  description: string | null;
  study_date: string | null;
  study_time: string | null;
  modalities: string[];
  priority: Priority;
  first_received: string;
  last_received: string;
  series_count: number;
  instance_count: number;
  completeness: Completeness;
  state: "unread" | "claimed" | "signed";
  reader: { name: string; until: string | null; mine: boolean } | null;
  draft: "none" | "current" | "stale";
  signed_at: string | null;
  signed_version: number | null;
  new_images_after_signature: boolean;
  open_tasks: number;
  conflicts: number;
  deliveries: { total: number; acknowledged: number };
}

export interface Worklist {
  now: string;
  total: number;
  entries: Entry[];
}

export const SECTION_KINDS = [
  "examination",
  "indication",
  "technique",
  "dose",
  "comparison",
  "findings",
  "impression",
] as const;

export type SectionKind = (typeof SECTION_KINDS)[number];

export interface SectionText {
  kind: SectionKind;
  text: string;
}

export interface TitledSection extends SectionText {
  title: string;
}

export interface Sentence {
  text: string;
  origin: { label: string; detail: string | null };
}

export interface DraftSection {
  kind: SectionKind;
  title: string;
  sentences: Sentence[];
}

export interface Picture {
  digest: string;
  caption: string;
  url: string;
  width: number;
  height: number;
}

export interface KeyImage extends Picture {
  index: number;
}

export interface MarkedImage extends Picture {
  instance: string;
  frame: number;
  mine: boolean;
  by: string | null;
}

export interface MarkedImages {
  images: MarkedImage[];
  left_out: number;
}

export interface Draft {
  author: string;
  at: string;
  stale: boolean;
  sections: DraftSection[];
  quality: { kind: string; text: string }[];
  key_images: KeyImage[];
}

export interface WorkingCopy {
  revision: number;
  at: string;
  by_name: string;
  mine: boolean;
  sections: TitledSection[];
}

export interface ImageSet {
  digest: string;
  count: number;
  generation: number;
}

export interface Prior {
  study_uid: string;
  study_date: string | null;
  description: string | null;
  modalities: string[];
  /** Body Part Examined of its series. */
  body_parts: string[];
  impression: string | null;
  signed_at: string | null;
}

export interface Order {
  accession_number: string;
  examination: string | null;
  reason: string | null;
  priority: Priority;
  physician_name: string | null;
  received: string;
  matched_by: "accession_number" | "patient_and_date";
}

export interface Version {
  number: number;
  kind: "final" | "addendum";
  signed_at: string;
  signer_name: string;
  credentials: string | null;
  meaning: string;
  sections: TitledSection[];
  key_images: KeyImage[];
  image_set: string;
  hash: string;
  intact: boolean;
  pdf_url: string;
}

export interface Transport {
  state: "waiting" | "accepted" | "failed";
  next_attempt?: string | null;
  at?: string | null;
  detail?: string | null;
}

export interface Delivery {
  id: string;
  centre: string;
  study_uid: string;
  patient_name: string | null;
  version: number;
  recipient: { kind: "physician" | "centre_contact"; name: string };
  address: string;
  created: string;
  accept_by: string;
  acknowledge_by: string;
  transport: Transport;
  attempts: { at: string; outcome: "accepted" | "deferred" | "refused"; detail: string }[];
  acknowledged: { by: string; at: string } | null;
  escalated: string | null;
}

export interface Task {
  id: string;
  centre: string;
  centre_name: string;
  study_uid: string | null;
  kind:
    | "work_failed"
    | "no_recipient"
    | "undelivered"
    | "conflict"
    | "missing_images"
    | "images_after_signature"
    | "object_damaged"
    | "commitment_unreported"
    | "quarantine"
    | "upkeep_halted";
  reason: string;
  next_step: string;
  opened: string;
  closed: { by_name: string | null; at: string; note: string } | null;
}

export interface Study {
  entry: Entry;
  order: Order | null;
  referring_physician: string | null;
  image_set: ImageSet;
  /** Body Part Examined of its series. */
  body_parts: string[];
  priors: Prior[];
  draft: Draft | null;
  working_copy: WorkingCopy | null;
  versions: Version[];
  deliveries: Delivery[];
  tasks: Task[];
  viewer_url: string;
}

export interface Claim {
  by_name: string;
  mine: boolean;
  since: string;
  until: string;
}

export interface TrailEvent {
  at: string;
  actor: string;
  action: string;
  detail: string | null;
}

export type Difference = "other_study" | "other_patient" | "other_transfer_syntax" | "other_bytes";

export type RulingChoice = "keep_first" | "use_second" | "same_patient" | "other_patient";

interface NamedPatient {
  name: string | null;
  id: string | null;
  birth_date: string | null;
}

export interface Conflict {
  centre: string;
  centre_name: string;
  id: string;
  kind: "contents" | "patient";
  differs: Difference[];
  study: {
    patient: NamedPatient;
    accession_number: string | null;
    description: string | null;
    study_date: string | null;
    signed: boolean;
  } | null;
  study_uid: string;
  other_study_uid: string | null;
  object: {
    sop_instance_uid: string;
    kind: string;
    series_number: number | null;
    instance_number: number | null;
  } | null;
  other_patient: NamedPatient | null;
  images: number | null;
  opened: string;
  source: string | null;
  seen_count: number;
  last_seen: string;
  revision: number;
  current_sha256: string | null;
  decision: { choice: RulingChoice; by_name: string | null; at: string; reason: string } | null;
  may_decide: boolean;
}

export interface ConflictList {
  conflicts: Conflict[];
  more: boolean;
}

export interface ConflictSide {
  is_current: boolean;
  received: string;
  bytes: number;
  sha256: string;
  transfer_syntax: string;
  kept: boolean;
  picture_url: string | null;
  file_url: string | null;
}

export interface ComparedConflict {
  conflict: Conflict;
  first: ConflictSide | null;
  second: ConflictSide | null;
  rows: { name: string; first: string | null; second: string | null; differs: boolean }[];
  pixels: { state: "equal" | "different" | "unknown"; text: string };
  can_undo: boolean;
  cannot_undo_because: string | null;
}

export interface MailHead {
  id: string;
  to: string;
  at: string;
  subject: string;
}

export interface Mail extends MailHead {
  from: string;
  message_id: string;
  text: string;
  html: string | null;
}

export interface Mailbox {
  sending: boolean;
  mails: MailHead[];
}

export interface Limit {
  name: string;
  value: number;
  unit: "count" | "bytes" | "seconds" | "bytes_per_second" | "times";
  /** The key that changes it; null for what is fixed. */
  setting: string | null;
  in_use: number | null;
}

export interface StatusSection {
  title: string;
  limits: Limit[];
  refused: { reason: string; count: number }[];
}

/** The round that is under way, and the last one that ended. */
export interface UpkeepJob {
  began: string | null;
  objects: number;
  bytes: number;
  /** Bad objects; of a sweep, removed ones. */
  found: number;
  share: number | null;
  bytes_per_second: number | null;
  last_ended: string | null;
  last_objects: number;
  last_found: number;
  halted: string | null;
}

/** For administrators. */
export interface Status {
  at: string;
  sections: StatusSection[];
  queues: { name: string; waiting: number | null; in_hand: number | null }[];
  sweep: UpkeepJob;
  scrub: UpkeepJob;
  damaged: { count: number; objects: { object: string; how: string; found: string }[] };
}

/** An object that could not be read and is kept until a person decides. */
export interface QuarantinedObject {
  id: string;
  centre: string;
  centre_name: string;
  way: "association" | "web" | "upload" | "rebuild";
  ae_title: string | null;
  /** The person who sent it; null for a program with a token. */
  by_name: string | null;
  sop_class: string | null;
  sop_instance: string | null;
  transfer_syntax: string;
  reason: string;
  next_step: string;
  bytes: number;
  data_set_bytes: number;
  sha256: string;
  received: string;
  times: number;
  last_received: string;
  state: "waiting" | "discarded" | "stored" | "conflict";
  decided: { by_name: string; at: string; until: string } | null;
  study_uid: string | null;
}

export interface Quarantine {
  /** Centres that the person sees; `held` is null for those that keep nothing in quarantine. */
  centres: {
    id: string;
    name: string;
    held: { objects: number; objects_max: number; bytes: number; bytes_max: number } | null;
  }[];
  may_download: boolean;
  decided_days: number;
  objects: QuarantinedObject[];
  more: boolean;
}

/** What would go if a study were taken out now, and what confirms that it was seen. */
export interface WouldGo {
  confirmation: string;
  until: string;
  series_count: number;
  instance_count: number;
  bytes: number;
}

/** A study that was taken out. */
export interface TakenOutStudy {
  centre: string;
  centre_name: string;
  study_uid: string;
  patient: Patient;
  accession_number: string | null;
  description: string | null;
  study_date: string | null;
  modalities: string[];
  series_count: number;
  instance_count: number;
  bytes: number;
  taken_out: string;
  by_name: string;
  reason: string;
  /** Until when it can come back. */
  until: string;
  /** False once its time is over: then it is being removed. */
  can_come_back: boolean;
  /** Images of it that came since. */
  refused_count: number;
  last_refused: string | null;
}

/** For administrators. */
export interface TakenOutList {
  studies: TakenOutStudy[];
  more: boolean;
}
