/** Sentences and figures of the upload page. */

import { personName, plural } from "../words/names";
import { calendarDate } from "../words/time";
import type { Batch, BatchStudy, Names, Stage } from "./types";

export const STAGE_NAMES: Record<Stage, string> = {
  arriving: "Arriving",
  stored: "Stored",
  queued: "Waiting for its draft",
  drafted: "Ready to be read",
  being_read: "Being read",
  signed: "Signed",
  delivered: "Report delivered",
  acknowledged: "Acknowledged",
};

/** `640 MB`, `1.2 GB`. */
export function bytes(count: number): string {
  if (count < 1000) return plural(count, "byte");
  if (count < 1e6) return `${Math.round(count / 1e3)} kB`;
  if (count < 1e9) return `${count < 1e7 ? (count / 1e6).toFixed(1) : Math.round(count / 1e6)} MB`;
  return `${(count / 1e9).toFixed(count < 1e10 ? 1 : 0)} GB`;
}

export const figure = (count: number): string => count.toLocaleString("en-GB");

/** `212 images stored, 3 were already here, 1 was not stored`. */
export function outcome({ stored, already_stored: already, not_stored: failed }: BatchStudy): string {
  const parts: string[] = [];
  if (stored > 0) parts.push(`${figure(stored)} ${stored === 1 ? "image" : "images"} stored`);
  if (already > 0) {
    const all = parts.length === 0 ? `${figure(already)} ${already === 1 ? "image" : "images"}` : figure(already);
    parts.push(`${all} ${already === 1 ? "was" : "were"} already here`);
  }
  if (failed > 0) parts.push(`${figure(failed)} ${failed === 1 ? "was" : "were"} not stored`);
  return parts.join(", ") || "nothing stored yet";
}

/** The whole batch in one sentence. */
export function summary(batch: Batch): string {
  const sum = (of: (study: BatchStudy) => number) => batch.studies.reduce((all, study) => all + of(study), 0);
  const stored = sum((study) => study.stored);
  const already = sum((study) => study.already_stored);
  const parts = [];
  if (stored > 0) parts.push(`${plural(stored, "image")} of ${plural(batch.studies.length, "study", "studies")} stored`);
  if (already > 0) parts.push(`${figure(already)} already here`);
  if (batch.not_stored > 0) parts.push(`${figure(batch.not_stored)} not stored`);
  if (batch.missing > 0) parts.push(`${figure(batch.missing)} missing`);
  const open = batch.arriving + batch.waiting;
  if (open > 0) parts.push(`${plural(open, "file")} on the way`);
  return parts.join(" · ") || "No images";
}

export const studyTitle = (names: Partial<Names>): string => personName(names.patient_name ?? null);

/** `P1 · A1 · CT head · 2 Mar 2026 · CT`: what identifies stands first, since long descriptions are cut. */
export function studyDetail(names: Partial<Names>, modalities: string[]): string {
  const { description, study_date: date, patient_id: id, accession_number: accession } = names;
  const parts = [id, accession, description, calendarDate(date ?? null), modalities.join(" ")];
  return parts.filter(Boolean).join(" · ");
}

/** `about 3 minutes left`. */
export function timeLeft(left: number, bytesPerSecond: number | null): string {
  if (!bytesPerSecond || left <= 0) return "";
  const seconds = left / bytesPerSecond;
  if (seconds < 60) return "less than a minute left";
  if (seconds < 3600) return `about ${plural(Math.ceil(seconds / 60), "minute")} left`;
  return `about ${plural(Math.round(seconds / 3600), "hour")} left`;
}
