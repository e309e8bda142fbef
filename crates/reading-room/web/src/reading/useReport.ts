/** The report of the study on screen: which editor it is written in, and how it meets what the server has. */

import { useCallback, useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { changeClaim } from "../api/calls";
import { SECTION_KINDS, type SectionKind, type Study } from "../api/types";
import type { EditorState, ReportEditor } from "../report/editor";
import { closeEditor, openEditor } from "../report/editors";
import { addSentence, draftTexts, mergeDraft, NO_TEXT, textsOf, type Texts } from "../report/merge";

const ADDENDUM_KINDS: readonly SectionKind[] = ["findings", "impression"];

export interface ReportHandle {
  editor: ReportEditor;
  state: EditorState;
  /** What stands on screen: the editor's text when one holds the study, else what is known of it. */
  texts: Texts;
  write: (kind: SectionKind, text: string) => void;
  /** Answers the parts that kept their own words. */
  insertDraft: () => SectionKind[];
  insertSentence: (kind: SectionKind, text: string) => void;
  /** Own unsaved text goes; the server's comes. */
  takeServers: () => void;
}

export function useReport(path: string, study: Study, mine: boolean, automatic: () => boolean): ReportHandle {
  const { working_copy: copy, draft, versions } = study;
  const addendum = versions.length > 0;
  const kinds = addendum ? ADDENDUM_KINDS : SECTION_KINDS;
  const slot = addendum ? `after ${versions.length}` : "report";
  const editor = useMemo(() => openEditor(path, slot, kinds), [path, slot, kinds]);
  const state = useSyncExternalStore(editor.subscribe, editor.state);
  const drafted = useMemo(() => (draft && !addendum ? draftTexts(draft) : null), [draft, addendum]);

  const takeServers = useCallback(() => {
    if (copy) editor.load(textsOf(copy.sections), copy.revision, copy.at);
    else if (drafted) editor.prefill(drafted);
    else editor.load(NO_TEXT, 0, null);
  }, [copy, drafted, editor]);

  useEffect(() => {
    if (!mine || editor.unsaved) return;
    const newer = copy !== null && copy.revision > editor.revision;
    const first = editor.revision === 0 && state.saving.state === "untouched" && !editor.filled;
    if (newer || (first && (copy || drafted))) takeServers();
  }, [mine, copy, drafted, editor, state, takeServers]);

  useLeaving(path, editor, mine, automatic, copy !== null);

  const shown = mine || editor.unsaved ? state.texts : copy ? textsOf(copy.sections) : (drafted ?? NO_TEXT);
  return {
    editor,
    state,
    texts: shown,
    write: (kind, text) => editor.edit({ ...editor.state().texts, [kind]: text }),
    insertDraft: () => {
      if (!drafted) return [];
      const now = editor.state();
      const { texts, kept } = mergeDraft(now.texts, now.inserted, drafted);
      editor.edit(texts, drafted);
      return kept;
    },
    insertSentence: (kind, text) => editor.edit(addSentence(editor.state().texts, kind, text)),
    takeServers,
  };
}

/** On leaving the page, text is saved; a study that was taken by opening it and not written in is given back. */
function useLeaving(
  path: string,
  editor: ReportEditor,
  mine: boolean,
  automatic: () => boolean,
  copied: boolean,
): void {
  const facts = useRef({ mine, automatic, copied });
  useEffect(() => {
    facts.current = { mine, automatic, copied };
  });
  useEffect(() => {
    editor.shown += 1;
    return () => {
      editor.shown -= 1;
      const { mine: held, automatic: byOpening, copied: written } = facts.current;
      const untouched = held && byOpening() && !written && editor.state().saving.state === "untouched";
      void editor.flush().then(async (safe) => {
        if (editor.shown > 0 || !safe) return;
        closeEditor(editor);
        if (untouched) await changeClaim(path, "release").catch(() => null);
      });
    };
  }, [path, editor]);
}
