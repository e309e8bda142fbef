/** Moves the focus from row to row, and keeps it near its place when the row under it goes away. */

import { useEffect, useRef, type RefObject } from "react";
import { useKeys } from "../app/keys";

export interface RowKeys {
  onOpen: (index: number) => void;
  onLook: (index: number) => void;
  onExpand: (index: number) => void;
}

/** The row that had the focus last, here or before another page was shown. */
let last: { id: string; index: number } | null = null;

export function useRowKeys(
  table: RefObject<HTMLElement | null>,
  ids: string[],
  { onOpen, onLook, onExpand }: RowKeys,
): void {
  const rows = () => [...(table.current?.querySelectorAll<HTMLElement>("[data-row]") ?? [])];
  const current = () => rows().findIndex((row) => row === document.activeElement);
  const focus = (index: number) => {
    const all = rows();
    const row = all[Math.min(Math.max(index, 0), all.length - 1)];
    row?.focus();
    row?.scrollIntoView({ block: "nearest" });
  };
  const move = (step: number) => () => {
    const index = current();
    focus(index < 0 ? (last?.index ?? (step > 0 ? 0 : -1)) : index + step);
  };
  const withRow = (act: (index: number) => void) => () => {
    const index = current();
    if (index < 0) return false;
    act(index);
    return true;
  };

  useEffect(() => {
    const element = table.current;
    if (!element) return;
    const remember = () => {
      const row = document.activeElement as HTMLElement | null;
      const id = row?.dataset.row;
      last = id ? { id, index: current() } : last;
    };
    element.addEventListener("focusin", remember);
    return () => element.removeEventListener("focusin", remember);
  });

  const restored = useRef(false);
  useEffect(() => {
    const first = !restored.current;
    restored.current = true;
    const free =
      document.activeElement === document.body || (first && !document.activeElement?.closest("main, dialog"));
    if (!last || !free) return;
    const index = ids.indexOf(last.id);
    if (index < 0 || first) focus(index < 0 ? last.index : index);
  });

  useKeys({
    j: move(1),
    ArrowDown: move(1),
    k: move(-1),
    ArrowUp: move(-1),
    Enter: withRow(onOpen),
    v: withRow(onLook),
    e: withRow(onExpand),
  });
}
