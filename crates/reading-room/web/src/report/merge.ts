/** How a draft comes into the editor: it fills what nobody has written and leaves a person's words alone. */

import { SECTION_KINDS, type Draft, type SectionKind, type SectionText } from "../api/types";

export type Texts = Record<SectionKind, string>;

export const NO_TEXT: Texts = {
  examination: "",
  indication: "",
  technique: "",
  dose: "",
  comparison: "",
  findings: "",
  impression: "",
};

export function textsOf(sections: readonly SectionText[]): Texts {
  const texts = { ...NO_TEXT };
  for (const { kind, text } of sections) texts[kind] = text;
  return texts;
}

/** The draft as a text to edit: one sentence a line. */
export function draftTexts(draft: Draft): Texts {
  return textsOf(
    draft.sections.map(({ kind, sentences }) => ({ kind, text: sentences.map(({ text }) => text).join("\n") })),
  );
}

export interface Merged {
  texts: Texts;
  /** Parts whose own words were kept although the draft says something else. */
  kept: SectionKind[];
}

/** Puts `draft` into `current`: a part that is empty, or still reads as the draft inserted before (`before`), takes the draft's text. */
export function mergeDraft(current: Texts, before: Texts | null, draft: Texts): Merged {
  const texts = { ...current };
  const kept: SectionKind[] = [];
  for (const kind of SECTION_KINDS) {
    const own = current[kind].trim();
    if (!draft[kind].trim() || own === draft[kind].trim()) continue;
    if (own === "" || own === before?.[kind].trim()) texts[kind] = draft[kind];
    else kept.push(kind);
  }
  return { texts, kept };
}

/** Adds one sentence of the draft as a new line, unless it stands there already. */
export function addSentence(current: Texts, kind: SectionKind, sentence: string): Texts {
  const text = current[kind].trimEnd();
  if (text.split("\n").some((line) => line.trim() === sentence.trim())) return current;
  return { ...current, [kind]: text === "" ? sentence : `${text}\n${sentence}` };
}

export const sameTexts = (a: Texts, b: Texts): boolean => SECTION_KINDS.every((kind) => a[kind] === b[kind]);
