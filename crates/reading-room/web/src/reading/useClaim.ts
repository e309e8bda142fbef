/** Holding a study: taking, renewing and giving it back. */

import { useCallback, useEffect, useRef, useState } from "react";
import { changeClaim, renewClaim } from "../api/calls";
import { asApiError, type ApiError } from "../api/client";
import type { Entry } from "../api/types";
import { leftHere } from "../app/router";
import { useSignedIn } from "../app/session";

/** A claim holds for fifteen minutes without being renewed. */
const RENEW_PAUSE_MS = 60_000;

export interface Holder {
  name: string;
  until: string | null;
  mine: boolean;
}

/** Who holds the study now; on a signed study the reader is the signer unless an addendum is being written. */
function holderOf({ state, reader }: Entry): Holder | null {
  if (state === "unread" || !reader) return null;
  return state === "claimed" || reader.until ? reader : null;
}

export interface ClaimHandle {
  holder: Holder | null;
  mine: boolean;
  busy: boolean;
  error: ApiError | null;
  take: () => Promise<boolean>;
  takeOver: () => Promise<boolean>;
  release: () => Promise<boolean>;
  /** Whether the study was taken by opening it, not by asking for it. */
  automatic: () => boolean;
  /** Makes the claim a deliberate one: leaving the page does not give the study back. */
  keep: () => void;
}

export function useClaim(path: string, entry: Entry, refresh: () => Promise<void>): ClaimHandle {
  const { person, active } = useSignedIn();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  const automatic = useRef(false);
  const holder = holderOf(entry);
  const mine = holder?.mine ?? false;

  const change = useCallback(
    async (action: "take" | "release" | "take_over") => {
      setBusy(true);
      setError(null);
      try {
        await changeClaim(path, action);
        return true;
      } catch (thrown) {
        setError(asApiError(thrown));
        return false;
      } finally {
        await refresh();
        setBusy(false);
      }
    },
    [path, refresh],
  );

  const opened = useRef(false);
  useEffect(() => {
    if (opened.current) return;
    opened.current = true;
    if (!leftHere().start || entry.state !== "unread" || person.role === "centre") return;
    automatic.current = true;
    void change("take");
  }, [entry.state, person.role, change]);

  useEffect(() => {
    if (!mine || !active) return;
    const timer = setInterval(() => void renewClaim(path).catch(() => refresh()), RENEW_PAUSE_MS);
    return () => clearInterval(timer);
  }, [mine, active, path, refresh]);

  const keep = useCallback(() => {
    automatic.current = false;
  }, []);
  const asked = async (action: "take" | "take_over" | "release") => {
    keep();
    return change(action);
  };
  return {
    holder,
    mine,
    busy,
    error,
    take: () => asked("take"),
    takeOver: () => asked("take_over"),
    release: () => asked("release"),
    automatic: () => automatic.current,
    keep,
  };
}
