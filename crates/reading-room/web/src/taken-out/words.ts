/** Sentences about studies that were taken out. Pure: `now` is always given. */

import type { TakenOutStudy } from "../api/types";
import { bytes, figure } from "../upload/words";
import { plural } from "../words/names";
import { moment } from "../words/time";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** From this time on, the end is near enough to be shown as a warning. */
const SOON_MS = 3 * DAY;

/** Longest reason, as the service has it. */
export const REASON_CHARS_MAX = 500;

/** `12 more days`, `26 more hours`, `5 more minutes`. The moment itself stands beside it, so days are rounded. */
export function timeLeft(until: string, now: number): string {
  const left = Date.parse(until) - now;
  if (left >= 2 * DAY) return `${Math.round(left / DAY)} more days`;
  if (left >= 2 * HOUR) return `${Math.floor(left / HOUR)} more hours`;
  if (left >= 2 * MINUTE) return `${Math.floor(left / MINUTE)} more minutes`;
  return "less than two minutes";
}

interface Sized {
  series_count: number;
  instance_count: number;
  bytes: number;
}

/** `1,240 images in 3 series, 640 MB`. */
export function contents({ series_count: series, instance_count: images, bytes: size }: Sized): string {
  return `${figure(images)} ${images === 1 ? "image" : "images"} in ${plural(series, "series", "series")}, ${bytes(size)}`;
}

export interface Ending {
  text: string;
  detail: string;
  tone: "calm" | "soon" | "over";
}

/** Until when a study can come back, in words and as a moment. */
export function ending({ until, can_come_back }: TakenOutStudy, now: number): Ending {
  if (!can_come_back || Date.parse(until) <= now) {
    return { text: "Its time is over", detail: "It is being removed for good.", tone: "over" };
  }
  const tone = Date.parse(until) - now < SOON_MS ? "soon" : "calm";
  return { text: `Can come back for ${timeLeft(until, now)}`, detail: `until ${moment(until)}`, tone };
}

/** What came of it since: refused, and not here. */
export function refusedSince({ refused_count: count, last_refused: last }: TakenOutStudy): string | null {
  if (count === 0) return null;
  const came = count === 1 ? "1 image of it came since and was refused" : `${figure(count)} images of it came since and were refused`;
  return last ? `${came}, ${count === 1 ? "on" : "the last on"} ${moment(last)}.` : `${came}.`;
}
