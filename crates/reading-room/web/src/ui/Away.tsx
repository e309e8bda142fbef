import type { ApiError } from "../api/client";
import { clockSeconds } from "../words/time";
import { Problem } from "./Problem";

/** Tells that what is shown may be old, or why there is nothing to show. */
export function Away({ error, answeredAt }: { error: ApiError; answeredAt: number | null }) {
  if (error.status === 401) return null;
  if (!error.passing) return <Problem error={error} className="away" />;
  return (
    <p className="away" role="status" data-testid="server-away">
      <strong>{error.status === 0 ? "The server does not answer." : error.message}</strong>{" "}
      {answeredAt ? `What you see is from ${clockSeconds(answeredAt)}. ` : ""}
      Trying again by itself.
    </p>
  );
}
