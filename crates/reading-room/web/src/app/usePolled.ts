/** Reads an address again and again while the page is visible, and keeps the last answer when the server is away. */

import { useCallback, useEffect, useRef, useState } from "react";
import { ask, asApiError, type ApiError } from "../api/client";
import { useSignedIn } from "./session";

export interface Polled<T> {
  data: T | null;
  /** Set while the latest attempt failed. */
  error: ApiError | null;
  /** When the server last answered, by this machine's clock. */
  answeredAt: number | null;
  refresh: () => Promise<void>;
}

export function usePolled<T>(path: string, pauseMs: number): Polled<T> {
  const { round, active } = useSignedIn();
  const [data, setData] = useState<T | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [answeredAt, setAnsweredAt] = useState<number | null>(null);
  const etag = useRef<{ path: string; value: string | null }>({ path, value: null });
  const turn = useRef(0);

  const refresh = useCallback(async () => {
    const mine = ++turn.current;
    if (etag.current.path !== path) etag.current = { path, value: null };
    try {
      const answer = await ask<T>(path, { etag: etag.current.value });
      if (mine !== turn.current) return;
      if (answer.body !== null) setData(answer.body);
      if (answer.etag) etag.current = { path, value: answer.etag };
      setError(null);
      setAnsweredAt(Date.now());
    } catch (thrown) {
      if (mine === turn.current) setError(asApiError(thrown));
    }
  }, [path]);

  useEffect(() => {
    if (!active) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let over = false;
    const step = async () => {
      if (document.visibilityState === "visible") await refresh();
      if (!over) timer = setTimeout(() => void step(), pauseMs);
    };
    const seen = () => {
      if (document.visibilityState === "visible") void refresh();
    };
    void step();
    document.addEventListener("visibilitychange", seen);
    return () => {
      over = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [refresh, pauseMs, active, round]);

  return { data, error, answeredAt, refresh };
}
