/** The keys of the reading view, those that also work inside the images included. */

import { useEffect, useRef, type RefObject } from "react";
import { useKeys, type KeyHandlers } from "../app/keys";
import type { PanelWidth } from "./usePanelWidth";
import { focusSection, type Reading } from "./useReading";

const TWICE_WITHIN_MS = 1_500;

interface Parts {
  reading: Reading;
  panel: PanelWidth;
  viewer: RefObject<HTMLIFrameElement | null>;
  section: RefObject<HTMLElement | null>;
}

export function useReadingKeys({ reading, panel, viewer, section }: Parts): KeyHandlers {
  const { claim, askToSign, release, next, tell } = reading;
  const escape = useRef<ReturnType<typeof setTimeout> | null>(null);
  useEffect(() => () => clearTimeout(escape.current ?? undefined), []);

  const everywhere: KeyHandlers = {
    "Ctrl+Enter": askToSign,
    "Ctrl+\\": panel.fold,
    F2: () => {
      if (document.activeElement !== viewer.current) return viewer.current?.focus();
      if (panel.folded) panel.fold();
      const text = section.current?.querySelector<HTMLElement>("#section-findings");
      (text ?? section.current)?.focus();
    },
  };
  useKeys({
    ...everywhere,
    r: () => claim.holder === null && claim.take(),
    n: () => !claim.mine && next(),
    f: () => focusSection("findings"),
    i: () => focusSection("impression"),
    Escape: () => {
      if (!claim.mine) return false;
      if (escape.current !== null) return release();
      tell("Press Esc again to give the study back.");
      escape.current = setTimeout(() => {
        escape.current = null;
        tell(null);
      }, TWICE_WITHIN_MS);
      return true;
    },
  });
  return everywhere;
}
