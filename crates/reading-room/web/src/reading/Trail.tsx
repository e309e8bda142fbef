import { useEffect, useState } from "react";
import { trail } from "../api/calls";
import { asApiError, type ApiError } from "../api/client";
import type { TrailEvent } from "../api/types";
import { Problem } from "../ui/Problem";
import { moment } from "../words/time";

/** Who did what to this study, newest first. Read anew when a version is added. */
export function Trail({ path, version }: { path: string; version: number }) {
  const [events, setEvents] = useState<TrailEvent[] | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  useEffect(() => {
    let over = false;
    trail(path).then(
      (answer) => !over && setEvents(answer.events),
      (thrown: unknown) => !over && setError(asApiError(thrown)),
    );
    return () => {
      over = true;
    };
  }, [path, version]);
  if (error) return <Problem error={error} />;
  if (!events) return <p className="dim pane-note">Loading…</p>;
  const newest = events.toSorted((a, b) => b.at.localeCompare(a.at));
  return (
    <ol className="trail" data-testid="trail">
      {newest.map(({ at, actor, action, detail }, index) => (
        <li key={index}>
          <time dateTime={at}>{moment(at)}</time>
          <span>
            <strong>{action}</strong> {detail} <span className="dim">{actor}</span>
          </span>
        </li>
      ))}
    </ol>
  );
}
