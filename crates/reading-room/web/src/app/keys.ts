/** Keys that work anywhere on a page, unless somebody is typing or a dialog is open. */

import { useEffect, useRef } from "react";

/** A handler that answers false leaves the key to the browser. */
export type KeyHandlers = Record<string, (event: KeyboardEvent) => unknown>;

/** `Ctrl+Enter`, `j`, `?`; Meta counts as Ctrl. */
function keyName(event: KeyboardEvent): string {
  return event.ctrlKey || event.metaKey ? `Ctrl+${event.key}` : event.key;
}

function isTyping(target: EventTarget | null): boolean {
  const element = target as Partial<HTMLElement> | null;
  return element?.isContentEditable === true || /^(INPUT|TEXTAREA|SELECT)$/.test(element?.tagName ?? "");
}

/** Handlers named here also work while somebody is typing. */
const WHILE_TYPING = /^(Ctrl\+|F\d|Escape$)/;

export function handleKey(handlers: KeyHandlers, event: KeyboardEvent): void {
  if (event.defaultPrevented || event.altKey || event.isComposing) return;
  if (document.querySelector("dialog[open]")) return;
  const name = keyName(event);
  const handler = handlers[name];
  if (!handler || (isTyping(event.target) && !WHILE_TYPING.test(name))) return;
  if (handler(event) !== false) event.preventDefault();
}

export function useKeys(handlers: KeyHandlers): void {
  const latest = useRef(handlers);
  useEffect(() => {
    latest.current = handlers;
  });
  useEffect(() => {
    const listen = (event: KeyboardEvent) => handleKey(latest.current, event);
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, []);
}
