/** The reports being written in this window. An editor with unsaved text stays until the server has it. */

import { saveReport } from "../api/calls";
import type { SectionKind } from "../api/types";
import { ReportEditor } from "./editor";

const editors = new Map<string, ReportEditor>();

/** `slot` tells the report of a study from its addenda. */
export function openEditor(path: string, slot: string, kinds: readonly SectionKind[]): ReportEditor {
  const key = `${path}#${slot}`;
  const known = editors.get(key);
  if (known) return known;
  const editor = new ReportEditor(kinds, (based_on, sections) => saveReport(path, based_on, sections));
  editors.set(key, editor);
  return editor;
}

/** Forgets the editor of a text that is safe elsewhere: signed, or saved and no longer shown. */
export function closeEditor(editor: ReportEditor): void {
  for (const [key, known] of editors) {
    if (known !== editor) continue;
    editor.stop();
    editors.delete(key);
  }
}

export const hasUnsaved = (): boolean => [...editors.values()].some((editor) => editor.unsaved);

/** Saves everything; answers whether the server has it all. */
export async function flushAll(): Promise<boolean> {
  const outcomes = await Promise.all([...editors.values()].map((editor) => editor.flush()));
  return outcomes.every(Boolean);
}

/** Another person has signed in: the text of the one before must not show under their name. */
export function dropAll(): void {
  for (const editor of editors.values()) editor.stop();
  editors.clear();
}
