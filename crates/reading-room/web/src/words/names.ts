/** Names and states as people read them. */

import type { Entry, Patient, SectionKind, Task } from "../api/types";
import { age } from "./time";

/** A name in the DICOM form (PS3.5 section 6.2.1) or already readable; a second script follows in brackets. */
export function personName(name: string | null): string {
  if (!name?.trim()) return "Name unknown";
  if (!name.includes("^") && !name.includes("=")) return name.trim();
  const [alphabetic = "", ideographic = ""] = name.split("=").map(readable);
  if (alphabetic && ideographic) return `${alphabetic} (${ideographic})`;
  return alphabetic || ideographic || "Name unknown";
}

const FAMILY_FIRST = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u;

function readable(group: string): string {
  const [family = "", given = "", middle = "", prefix = "", suffix = ""] = group.split("^").map((part) => part.trim());
  const words = FAMILY_FIRST.test(group) ? [family, given, middle] : [prefix, given, middle, family, suffix];
  return words.filter(Boolean).join(" ");
}

const SEXES: Record<string, string> = { M: "male", F: "female", O: "other" };

export function sexName(sex: string | null): string {
  return sex ? (SEXES[sex.toUpperCase()] ?? sex) : "sex unknown";
}

/** `63 y · M`. */
export function ageAndSex(patient: Patient, on: string | null): string {
  return [age(patient.birth_date, on), patient.sex].filter(Boolean).join(" · ");
}

export const PRIORITY_NAMES = { stat: "STAT", urgent: "Urgent", routine: "Routine" } as const;

export const SECTION_NAMES: Record<SectionKind, string> = {
  examination: "Examination",
  indication: "Indication",
  technique: "Technique",
  dose: "Dose",
  comparison: "Comparison",
  findings: "Findings",
  impression: "Impression",
};

export const TASK_NAMES: Record<Task["kind"], string> = {
  work_failed: "Work failed",
  no_recipient: "No recipient",
  undelivered: "Not delivered",
  conflict: "Conflicting images",
  missing_images: "Missing images",
  images_after_signature: "Images after signature",
  object_damaged: "Damaged object",
  commitment_unreported: "Sender not told",
  quarantine: "Cannot be read",
  upkeep_halted: "Upkeep stopped",
};

/** `28`, or `24 of 28` while it is known that more should come. */
export function imageCount({ completeness: { state, expected }, instance_count: count }: Entry): string {
  return state !== "complete" && expected ? `${count} of ${expected}` : `${count}`;
}

export const COMPLETENESS_NAMES = { arriving: "arriving", complete: "complete", short: "images missing" } as const;

export const plural = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;
