/** What objects in quarantine claim to be and how they came, as people read it. */

import type { QuarantinedObject } from "../api/types";
import { plural } from "../words/names";

/** Storage SOP classes (PS3.4 section B.5) that are met often, below 1.2.840.10008.5.1.4.1.1. */
const CLASSES: Record<string, string> = {
  "1": "a radiograph (CR)",
  "1.1": "a digital radiograph",
  "1.2": "a mammogram",
  "2": "a CT image",
  "2.1": "an enhanced CT image",
  "4": "an MR image",
  "4.1": "an enhanced MR image",
  "3.1": "an ultrasound clip",
  "6.1": "an ultrasound image",
  "7": "a secondary capture",
  "12.1": "an angiogram",
  "12.2": "a fluoroscopy image",
  "20": "a nuclear medicine image",
  "128": "a PET image",
  "11.1": "a presentation state",
  "88.11": "a structured report",
  "88.22": "a structured report",
  "88.33": "a structured report",
  "88.59": "a key object selection",
  "88.67": "a radiation dose report",
  "104.1": "a PDF document",
  "481.3": "a structure set",
};
const STORAGE = "1.2.840.10008.5.1.4.1.1.";

/** `a CT image`. */
export function claim({ sop_class }: QuarantinedObject): string {
  if (sop_class === null) return "an object of no known class";
  const short = sop_class.startsWith(STORAGE) ? sop_class.slice(STORAGE.length) : "";
  return CLASSES[short] ?? `an object of class ${sop_class}`;
}

/** `sent by CT_1`. */
export function sender({ way, ae_title, by_name }: QuarantinedObject): string {
  switch (way) {
    case "association":
      return `sent by ${ae_title ?? "an unknown device"}`;
    case "web":
      return `sent over the web by ${by_name ?? "a program"}`;
    case "upload":
      return `uploaded by ${by_name ?? "a program"}`;
    case "rebuild":
      return "found in storage when the catalog was made again";
  }
}

/** `truncated` becomes `Truncated`: reasons are made to stand inside of sentences. */
export const sentence = (text: string): string => {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
};

export const cameAgain = (times: number): string => (times > 1 ? `came ${plural(times, "time")}` : "");
