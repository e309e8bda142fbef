/** Times and durations as people read them. Pure: `now` is always given. */

import type { Priority } from "../api/types";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** How long a study of each lane may wait before it is late. */
export const TARGET_MS: Record<Priority, number> = { stat: 30 * MINUTE, urgent: HOUR, routine: DAY };

/** The part of the target after which the waiting time turns amber. */
const WARN_PART = 2 / 3;

/** `40 s`, `12 min`, `1 h 05`, `2 d 3 h`; never negative. */
export function duration(ms: number): string {
  const whole = Math.max(0, ms);
  if (whole < MINUTE) return `${Math.floor(whole / SECOND)} s`;
  if (whole < HOUR) return `${Math.floor(whole / MINUTE)} min`;
  if (whole < DAY) {
    const minutes = Math.floor((whole % HOUR) / MINUTE);
    return `${Math.floor(whole / HOUR)} h ${String(minutes).padStart(2, "0")}`;
  }
  return `${Math.floor(whole / DAY)} d ${Math.floor((whole % DAY) / HOUR)} h`;
}

export interface Waiting {
  text: string;
  tone: "calm" | "soon" | "late";
  /** The state in words, so that colour is never alone. */
  remark: string;
}

export function waiting(since: string, now: number, priority: Priority): Waiting {
  const waited = now - Date.parse(since);
  const target = TARGET_MS[priority];
  const text = duration(waited);
  if (waited >= target) return { text, tone: "late", remark: `${duration(waited - target)} over` };
  const left = duration(target - waited);
  return { text, tone: waited >= target * WARN_PART ? "soon" : "calm", remark: `${left} left` };
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const CLOCK_SECONDS = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY_MONTH = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const MOMENT = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

export const clock = (at: number | string): string => CLOCK.format(new Date(at));
export const clockSeconds = (at: number | string): string => CLOCK_SECONDS.format(new Date(at));

/** The full moment, for titles and ledgers. */
export const moment = (at: string): string => MOMENT.format(new Date(at));

/** `19:31` today, `21 Nov 19:31` otherwise. */
export function shortMoment(at: string, now: number): string {
  const then = new Date(at);
  return then.toDateString() === new Date(now).toDateString()
    ? CLOCK.format(then)
    : `${DAY_MONTH.format(then)} ${CLOCK.format(then)}`;
}

/** `2026-11-22` as `22 Nov 2026`; what is no date comes back as it is. */
export function calendarDate(date: string | null): string {
  if (!date) return "";
  const at = Date.parse(`${date}T00:00:00Z`);
  return Number.isNaN(at) ? date : DATE.format(at);
}

/** `14:05` of `14:05:33` or `140533`. */
export function timeOfDay(time: string | null): string {
  const found = time?.match(/^(\d\d):?(\d\d)/);
  return found ? `${found[1]}:${found[2]}` : "";
}

/** Age on a day: `63 y`, `14 mo`, `9 d`; empty when it cannot be told. */
export function age(birth: string | null, on: string | null): string {
  const from = birth
    ?.match(/^(\d{4})-(\d\d)-(\d\d)$/)
    ?.slice(1)
    .map(Number);
  const to = on
    ?.match(/^(\d{4})-(\d\d)-(\d\d)$/)
    ?.slice(1)
    .map(Number);
  if (!from || !to) return "";
  const [birthYear = 0, birthMonth = 0, birthDay = 0] = from;
  const [year = 0, month = 0, day = 0] = to;
  const months = (year - birthYear) * 12 + (month - birthMonth) - (day < birthDay ? 1 : 0);
  if (months >= 24) return `${Math.floor(months / 12)} y`;
  if (months >= 1) return `${months} mo`;
  const days = Math.round((Date.UTC(year, month - 1, day) - Date.UTC(birthYear, birthMonth - 1, birthDay)) / DAY);
  return days >= 0 ? `${days} d` : "";
}
