import { useEffect, useState } from "react";

/** This machine's clock, ticking; `offset` puts it right by the server's. */
export function useNow(everyMs = 1000, offset = 0): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now + offset;
}
