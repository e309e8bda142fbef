/** Limits as people read them. */

import type { Limit, UpkeepJob } from "../api/types";

const BYTE_UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"] as const;
const DAY_SECONDS = 86_400;
/** From this share on, the use of a limit is shown as a warning. */
const NEARLY_FULL = 0.8;

export const count = (number: number): string => number.toLocaleString("en-GB").replaceAll(",", " ");

export function amount(value: number, unit: Limit["unit"]): string {
  switch (unit) {
    case "count":
      return count(value);
    case "bytes":
      return bytes(value);
    case "seconds":
      return value >= 2 * DAY_SECONDS && value % DAY_SECONDS === 0
        ? `${count(value / DAY_SECONDS)} days`
        : `${count(value)} s`;
    case "bytes_per_second":
      return `${bytes(value)}/s`;
    case "times":
      return `${count(value)} times`;
  }
}

function bytes(value: number): string {
  let power = 0;
  let rest = value;
  while (rest >= 1024 && power < BYTE_UNITS.length - 1) {
    rest /= 1024;
    power += 1;
  }
  const digits = Number.isInteger(rest) ? 0 : 1;
  return `${rest.toFixed(digits)} ${BYTE_UNITS[power]}`;
}

export const share = ({ in_use, value }: Limit): number =>
  in_use === null || value === 0 ? 0 : Math.min(1, in_use / value);

export const isNearlyFull = (limit: Limit): boolean => share(limit) >= NEARLY_FULL;

/** What the last round of upkeep came to; `found` says what it counts. */
export function lastRound(job: UpkeepJob, found: string, moment: (at: string) => string): string {
  if (job.last_ended === null) return "No round has ended yet.";
  return `The last round ended ${moment(job.last_ended)}: ${count(job.last_objects)} objects, ${count(job.last_found)} ${found}.`;
}
