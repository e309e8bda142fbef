/** Going from page to page without loading the document again. */

import { useSyncExternalStore } from "react";

const listeners = new Set<() => void>();

/** What a page leaves for the next; gone when the document is loaded again. */
export interface Handover {
  /** Take the study as soon as it is open, if nobody holds it. */
  start?: boolean;
  notice?: string;
}

let handover: Handover = {};

export function navigate(path: string, leave: Handover = {}): void {
  handover = leave;
  window.history.pushState(null, "", path);
  for (const listener of listeners) listener();
}

/** What the page before left; it stays until the next move, so that a page may look more than once. */
export const leftHere = (): Handover => handover;

window.addEventListener("popstate", () => {
  handover = {};
  for (const listener of listeners) listener();
});

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const usePath = (): string => useSyncExternalStore(subscribe, () => window.location.pathname);
