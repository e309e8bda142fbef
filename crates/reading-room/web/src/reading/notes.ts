/** What a reader must know before trusting what is on screen, most urgent first. Pure. */

import type { ImageSet, Study } from "../api/types";
import { plural } from "../words/names";
import { clock } from "../words/time";
import type { Holder } from "./useClaim";

export type NoteAction = "reload_images" | "insert_draft" | "take_over";

export interface Note {
  key: string;
  tone: "warn" | "info";
  text: string;
  action?: NoteAction;
}

interface Situation {
  study: Study;
  /** The images on screen. */
  onScreen: ImageSet;
  holder: Holder | null;
  /** Whether the draft says something else than the draft in the text. */
  newDraft: boolean;
}

export function notesOf({ study, onScreen, holder, newDraft }: Situation): Note[] {
  const { entry, draft, image_set: images, tasks, versions } = study;
  const { completeness } = entry;
  const notes: (Note | false)[] = [
    images.digest !== onScreen.digest && {
      key: "new_images",
      tone: "warn",
      text: `New images came: ${images.count} now, ${onScreen.count} when you opened the study.`,
      action: "reload_images",
    },
    holder !== null &&
      !holder.mine && {
        key: "held",
        tone: "warn",
        text: `${holder.name} is reading this study${holder.until ? `; held until ${clock(holder.until)} unless they go on` : ""}.`,
        action: "take_over",
      },
    entry.new_images_after_signature && {
      key: "after_signature",
      tone: "warn",
      text: "Images came after the report was signed. Look at them and add an addendum.",
    },
    entry.conflicts > 0 && {
      key: "conflicts",
      tone: "warn",
      text: `${conflictReasons(tasks)} ${plural(entry.conflicts, "conflict waits", "conflicts wait")} for a decision under Conflicts.`,
    },
    completeness.state === "short" && {
      key: "short",
      tone: "warn",
      text: completeness.expected
        ? `Not all images are here: ${entry.instance_count} of ${completeness.expected}.`
        : "Not all images are here.",
    },
    completeness.state === "arriving" && {
      key: "arriving",
      tone: "warn",
      text: `Images are still arriving: ${entry.instance_count} so far.`,
    },
    draft?.stale === true &&
      versions.length === 0 && {
        key: "stale",
        tone: "info",
        text: "The draft was written before the latest images came; a new one is on its way.",
      },
    newDraft && {
      key: "new_draft",
      tone: "info",
      text: "A new draft is here. It fills only the parts that you have not changed.",
      action: "insert_draft",
    },
    ...tasks
      .filter(({ closed, kind }) => !closed && !NOTED_OTHERWISE.has(kind))
      .map(({ id, reason, next_step }): Note => ({ key: id, tone: "warn", text: `${reason} ${next_step}` })),
    ...(draft?.quality ?? []).map(({ kind, text }): Note => ({ key: `${kind} ${text}`, tone: "info", text })),
  ];
  return notes.filter((note) => note !== false);
}

const NOTED_OTHERWISE: ReadonlySet<string> = new Set(["conflict", "missing_images", "images_after_signature"]);

/** What the open conflicts are about, each reason once. */
function conflictReasons(tasks: Study["tasks"]): string {
  const reasons = tasks.filter(({ closed, kind }) => !closed && kind === "conflict").map(({ reason }) => reason);
  return [...new Set(reasons)].join(" ");
}
