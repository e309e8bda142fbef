/** Which prior hangs beside the new images: the latest comparable one, unless the reader wants another or none. */

import { useState } from "react";
import type { Prior, Study } from "../api/types";
import { priorToCompare, type Comparison } from "../viewer/beside";

const KEY = "telerad.prior";
const NONE = "none";

export interface PriorBeside {
  prior: Prior | null;
  /** What was found to compare with, and why; also when it does not hang. */
  found: Comparison | null;
  /** Hangs another one, or none. That none is wanted is remembered on this machine. */
  hang: (prior: Prior | null) => void;
}

export function usePriorBeside(study: Study): PriorBeside {
  // Decided once for each study, so that the images on screen stay as they are while the reading is polled.
  const [found] = useState(() => priorToCompare(study));
  const [prior, setPrior] = useState(() =>
    window.localStorage.getItem(KEY) === NONE ? null : (found?.prior ?? null),
  );
  const hang = (wanted: Prior | null) => {
    setPrior(wanted);
    if (wanted) window.localStorage.removeItem(KEY);
    else window.localStorage.setItem(KEY, NONE);
  };
  return { prior, found, hang };
}
