/** The calls of the API that change something or are made once; what is polled is read with `usePolled`. */

import { ApiError, ask, fetched } from "./client";
import type {
  Claim,
  ComparedConflict,
  Conflict,
  Mail,
  MarkedImages,
  Person,
  QuarantinedObject,
  RulingChoice,
  SectionText,
  SessionAnswer,
  Study,
  Task,
  TrailEvent,
  Version,
  WouldGo,
  Worklist,
} from "./types";

export function studyPath(centre: string, study: string): string {
  return `/studies/${encodeURIComponent(centre)}/${encodeURIComponent(study)}`;
}

export const worklistPath = (signed: boolean, text: string): string =>
  `/worklist?${new URLSearchParams({ signed: String(signed), q: text })}`;

export const whoAmI = async (): Promise<Person> =>
  (await fetched<SessionAnswer>("/session", { signingIn: true })).person;

export async function signIn(login: string, password: string): Promise<Person> {
  const body = { login, password };
  return (await fetched<SessionAnswer>("/session", { method: "POST", body, signingIn: true })).person;
}

export async function signOut(): Promise<void> {
  await ask("/session", { method: "DELETE", signingIn: true });
}

export const worklist = (): Promise<Worklist> => fetched<Worklist>(worklistPath(false, ""));

export const study = (path: string): Promise<Study> => fetched<Study>(path);

interface ClaimAnswer {
  claim: Claim | null;
}

export async function changeClaim(path: string, action: "take" | "release" | "take_over"): Promise<Claim | null> {
  return (await fetched<ClaimAnswer>(`${path}/claim`, { method: "POST", body: { action } })).claim;
}

export async function renewClaim(path: string): Promise<void> {
  await ask<ClaimAnswer>(`${path}/claim`, { method: "POST", body: { action: "take" }, background: true });
}

export const saveReport = (
  path: string,
  based_on: number,
  sections: SectionText[],
): Promise<{ revision: number; at: string }> =>
  fetched(`${path}/report`, { method: "PUT", body: { based_on, sections } });

export interface Signing {
  password: string;
  sections: SectionText[];
  /** Of the draft, by their digests. */
  key_images: string[];
  marked_images: { instance: string; frame: number; digest: string }[];
  after_version: number;
  image_set: string;
}

export const markedImages = (path: string, signal: AbortSignal): Promise<MarkedImages> =>
  fetched(`${path}/marked-images`, { signal, background: true });

export const sign = (path: string, signing: Signing): Promise<Version> =>
  fetched<Version>(`${path}/sign`, { method: "POST", body: signing });

export const trail = (path: string): Promise<{ events: TrailEvent[] }> => fetched(`${path}/trail`);

export const closeTask = (id: string, note: string): Promise<Task> =>
  fetched<Task>(`/tasks/${encodeURIComponent(id)}/close`, { method: "POST", body: { note } });

export type QuarantineDecision = "retry" | "discard" | "restore";

export const decideQuarantined = (id: string, decision: QuarantineDecision): Promise<QuarantinedObject> =>
  fetched<QuarantinedObject>(`/quarantine/${encodeURIComponent(id)}/${decision}`, { method: "POST" });

export const mail = (id: string): Promise<Mail> => fetched<Mail>(`/mailbox/${encodeURIComponent(id)}`);

const conflictPath = ({ centre, id }: Conflict): string =>
  `/conflicts/${encodeURIComponent(centre)}/${encodeURIComponent(id)}`;

export const comparedConflict = (conflict: Conflict): Promise<ComparedConflict> => fetched(conflictPath(conflict));

/** Decides what is seen, or takes the decision back; nothing happens when it is not so any more. */
export const decideConflict = (seen: Conflict, choice: RulingChoice | "undo", reason: string): Promise<Conflict> =>
  fetched(`${conflictPath(seen)}/decision`, {
    method: "POST",
    body: { choice, reason, revision: seen.revision, current_sha256: seen.current_sha256 },
  });

/** Which study at which centre. */
interface Named {
  centre: string;
  study_uid: string;
}

const taking = ({ centre, study_uid }: Named): string =>
  `/centres/${encodeURIComponent(centre)}/studies/${encodeURIComponent(study_uid)}`;

/** What would go. The service never says yes to this question: what would go stands in its refusal (428). */
export async function beforeTakeOut(study: Named): Promise<WouldGo> {
  try {
    await ask(taking(study), { method: "DELETE", root: "/dicomweb" });
  } catch (thrown) {
    const told = thrown instanceof ApiError && thrown.status === 428 ? thrown : null;
    const [confirmation, until] = [told?.detail("confirmation"), told?.detail("until")];
    const [series, instances, bytes] = [told?.number("series"), told?.number("instances"), told?.number("bytes")];
    if (!confirmation || !until || series == null || instances == null || bytes == null) throw thrown;
    return { confirmation, until, series_count: series, instance_count: instances, bytes };
  }
  throw new ApiError(0, "unexpected", "The server did not say what would go.", "Look again.");
}

/** Takes out what was seen. Answers until when it can come back. */
export const takeOut = (study: Named, confirmation: string, reason: string): Promise<{ until: string }> =>
  fetched(taking(study), { method: "DELETE", root: "/dicomweb", body: { confirmation, reason } });

export async function bringBack({ centre, study_uid }: Named): Promise<void> {
  const path = `/centres/${encodeURIComponent(centre)}/taken-out/${encodeURIComponent(study_uid)}/bring-back`;
  await ask(path, { method: "POST", root: "/dicomweb" });
}
