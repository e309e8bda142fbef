/** Sentences of the conflicts page. */

import type { Conflict, Difference, RulingChoice } from "../api/types";
import { plural } from "../words/names";

const DIFFERENCES: Record<Difference, string> = {
  other_study: "another study",
  other_patient: "another patient",
  other_transfer_syntax: "another transfer syntax",
  other_bytes: "other contents",
};

/** What happened, in a sentence. */
export function what({ kind, differs, images }: Conflict): string {
  if (kind === "patient") {
    return images === 1
      ? "1 image of this study names another patient"
      : `${images ?? "Some"} images of this study name another patient`;
  }
  return `The same image came again with ${differs.map((one) => DIFFERENCES[one]).join(" and ")}`;
}

/** `CT image · series 2 · image 14`. */
export function objectName({ object }: Conflict): string {
  if (!object) return "";
  const parts = [
    object.kind,
    object.series_number !== null && `series ${object.series_number}`,
    object.instance_number !== null && `image ${object.instance_number}`,
  ];
  return parts.filter(Boolean).join(" · ");
}

/** How often it came, when that is more than once. */
export function seen({ kind, seen_count: count }: Conflict): string {
  return kind === "contents" && count > 1 ? `sent ${plural(count, "time")}` : "";
}

export const CHOICES: Record<RulingChoice, { button: string; done: string; effect: string }> = {
  keep_first: {
    button: "Keep the first",
    done: "The first is kept",
    effect: "The first stays in use. The second is kept aside.",
  },
  use_second: {
    button: "Use the second instead",
    done: "The second is used",
    effect: "The second takes the first one’s place. The first is kept aside; the draft is written again.",
  },
  same_patient: {
    button: "Same patient, accept",
    done: "Accepted as the same patient",
    effect: "The images stay in the study, also those of this patient that come later.",
  },
  other_patient: {
    button: "Not this study’s patient",
    done: "Set aside: not this study’s patient",
    effect: "The images are kept aside and not shown, also those of this patient that come later.",
  },
};

/** The decisions that a conflict can have, the one that changes nothing first. */
export const choicesFor = ({ kind }: Conflict): RulingChoice[] =>
  kind === "patient" ? ["same_patient", "other_patient"] : ["keep_first", "use_second"];

export interface StudyGroup {
  key: string;
  conflicts: [Conflict, ...Conflict[]];
}

/** Conflicts of one study together, in the order in which the first of each stands. */
export function byStudy(conflicts: Conflict[]): StudyGroup[] {
  const groups = new Map<string, StudyGroup>();
  for (const conflict of conflicts) {
    const key = `${conflict.centre}/${conflict.study_uid}`;
    const group = groups.get(key);
    if (group) group.conflicts.push(conflict);
    else groups.set(key, { key, conflicts: [conflict] });
  }
  return [...groups.values()];
}
