/** One report being written: the text in memory, what the server has of it, and the saving in between.
 *  It outlives the page that shows it, so that text is not lost when a save fails or the session ends. */

import { ApiError, asApiError } from "../api/client";
import type { SectionKind, SectionText } from "../api/types";
import { NO_TEXT, sameTexts, type Texts } from "./merge";

export const SAVE_PAUSE_MS = 800;
export const RETRY_PAUSE_MS = 5_000;

export type Saving =
  | { state: "untouched" }
  | { state: "dirty" }
  | { state: "saving" }
  | { state: "saved"; at: string }
  | { state: "failed"; error: ApiError };

export interface EditorState {
  texts: Texts;
  /** The draft as it was last inserted. */
  inserted: Texts | null;
  saving: Saving;
}

export type Save = (based_on: number, sections: SectionText[]) => Promise<{ revision: number; at: string }>;

export class ReportEditor {
  /** How many pages show it now. */
  shown = 0;
  /** Whether a text was ever put into it. */
  filled = false;
  #state: EditorState = { texts: NO_TEXT, inserted: null, saving: { state: "untouched" } };
  #saved: Texts = NO_TEXT;
  #revision = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #running: Promise<void> | null = null;
  #listeners = new Set<() => void>();

  constructor(
    /** The parts that are written and sent, in order. */
    readonly kinds: readonly SectionKind[],
    private readonly save: Save,
  ) {}

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  state = (): EditorState => this.#state;

  /** Whether there is text that the server does not have. */
  get unsaved(): boolean {
    const { state } = this.#state.saving;
    return state === "dirty" || state === "saving" || state === "failed";
  }

  get revision(): number {
    return this.#revision;
  }

  sections(): SectionText[] {
    return this.kinds.map((kind) => ({ kind, text: this.#state.texts[kind] }));
  }

  /** Takes over what the server has; own unsaved text is dropped. */
  load(texts: Texts, revision: number, at: string | null): void {
    this.#stopTimer();
    this.filled = true;
    this.#saved = texts;
    this.#revision = revision;
    this.#set({ ...this.#state, texts, saving: at ? { state: "saved", at } : { state: "untouched" } });
  }

  /** Puts a draft into a text that nobody has written in; it is saved with the first change a person makes. */
  prefill(draft: Texts): void {
    this.filled = true;
    this.#saved = draft;
    this.#set({ texts: draft, inserted: draft, saving: { state: "untouched" } });
  }

  edit(texts: Texts, inserted = this.#state.inserted): void {
    if (sameTexts(texts, this.#state.texts) && inserted === this.#state.inserted) return;
    this.filled = true;
    const running = this.#running !== null;
    const dirty = running || !sameTexts(texts, this.#saved) || this.#state.saving.state === "failed";
    this.#set({ texts, inserted, saving: dirty ? { state: "dirty" } : this.#state.saving });
    if (dirty) this.#schedule(SAVE_PAUSE_MS);
  }

  /** Saves now what is not saved yet. Answers whether the server has everything. */
  async flush(): Promise<boolean> {
    this.#stopTimer();
    while (this.#running) await this.#running;
    if (this.unsaved) await this.#saveNow();
    return !this.unsaved;
  }

  /** After `changed_elsewhere`: own text goes on top of what the other window saved. */
  async overwrite(revision: number): Promise<boolean> {
    this.#revision = revision;
    return this.flush();
  }

  stop(): void {
    this.#stopTimer();
    this.#listeners.clear();
  }

  #schedule(pause: number): void {
    this.#stopTimer();
    this.#timer = setTimeout(() => void this.flush(), pause);
  }

  #saveNow(): Promise<void> {
    const running = this.#attempt().finally(() => {
      if (this.#running === running) this.#running = null;
    });
    this.#running = running;
    return running;
  }

  async #attempt(): Promise<void> {
    const { texts } = this.#state;
    this.#set({ ...this.#state, saving: { state: "saving" } });
    try {
      const { revision, at } = await this.save(this.#revision, this.sections());
      this.#revision = revision;
      this.#saved = texts;
      const current = sameTexts(texts, this.#state.texts);
      this.#set({ ...this.#state, saving: current ? { state: "saved", at } : { state: "dirty" } });
      if (!current) this.#schedule(SAVE_PAUSE_MS);
    } catch (thrown) {
      const error = asApiError(thrown);
      this.#set({ ...this.#state, saving: { state: "failed", error } });
      if (error.passing) this.#schedule(RETRY_PAUSE_MS);
    }
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #set(state: EditorState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}
