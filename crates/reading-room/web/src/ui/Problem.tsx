import type { ApiError } from "../api/client";

/** What went wrong and what to do, said at once to a screen reader too. */
export function Problem({ error, className = "" }: { error: ApiError; className?: string }) {
  return (
    <p className={`problem ${className}`} role="alert" data-testid="problem" data-code={error.code}>
      <strong>{error.message}</strong> {error.nextStep}
    </p>
  );
}
