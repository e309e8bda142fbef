/** Taking a study out, step by step: looking at what would go, then taking out what was seen. */

import { useCallback, useEffect, useState } from "react";
import { beforeTakeOut, takeOut } from "../api/calls";
import { asApiError, type ApiError } from "../api/client";
import type { Entry, WouldGo } from "../api/types";

export interface TakingOut {
  /** Null while it is not known, and when the study may not go. */
  wouldGo: WouldGo | null;
  /** Why it may not go, or did not. */
  error: ApiError | null;
  /** The study was looked at again, since what was confirmed is old: nothing went. */
  lookedAgain: boolean;
  busy: boolean;
  look: () => Promise<void>;
  /** Answers until when it can come back; null when it did not go. */
  take: (reason: string) => Promise<string | null>;
}

export function useTakeOut({ centre, study_uid }: Entry): TakingOut {
  const [wouldGo, setWouldGo] = useState<WouldGo | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [lookedAgain, setLookedAgain] = useState(false);
  const [busy, setBusy] = useState(false);

  const look = useCallback(async () => {
    setError(null);
    try {
      setWouldGo(await beforeTakeOut({ centre, study_uid }));
    } catch (thrown) {
      setWouldGo(null);
      setError(asApiError(thrown));
    }
  }, [centre, study_uid]);
  useEffect(() => void look(), [look]);

  const take = async (reason: string) => {
    if (!wouldGo || busy) return null;
    setBusy(true);
    setError(null);
    setLookedAgain(false);
    try {
      return (await takeOut({ centre, study_uid }, wouldGo.confirmation, reason)).until;
    } catch (thrown) {
      const refused = asApiError(thrown);
      if (refused.code === "confirmation_stale") {
        await look();
        setLookedAgain(true);
      } else {
        setError(refused);
        // What may not go any more is not asked for again; a reason that does not fit, or a server that is away, can be put right.
        if (refused.status === 404 || refused.status === 409) setWouldGo(null);
      }
      return null;
    } finally {
      setBusy(false);
    }
  };

  return { wouldGo, error, lookedAgain, busy, look, take };
}
