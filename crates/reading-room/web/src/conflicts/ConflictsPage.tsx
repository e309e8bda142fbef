import { useState } from "react";
import type { ConflictList } from "../api/types";
import { HeldTabs } from "../app/HeldTabs";
import { Link } from "../app/Link";
import { usePolled } from "../app/usePolled";
import { useTitle } from "../app/useTitle";
import { Away } from "../ui/Away";
import { StudyConflicts } from "./StudyConflicts";
import { byStudy } from "./words";
import "./conflicts.css";

const CONFLICTS_PAUSE_MS = 5_000;

/** What arrived and cannot simply stand beside what is known, and what people decided about it. */
export function ConflictsPage({ of }: { of: { centre: string; study: string } | null }) {
  useTitle("Conflicts");
  const [decided, setDecided] = useState(false);
  const query = new URLSearchParams({ decided: String(decided), ...(of ?? {}) });
  const { data, error, answeredAt, refresh } = usePolled<ConflictList>(`/conflicts?${query}`, CONFLICTS_PAUSE_MS);
  const shown = data?.conflicts.filter((conflict) => (conflict.decision !== null) === decided) ?? [];
  return (
    <main id="main" className="list-page conflicts-page">
      <HeldTabs current="conflicts" />
      <div className="page-head">
        <h1>Conflicts</h1>
        <p className="summary dim">Images that cannot simply stand side by side. Nothing is lost while they wait.</p>
        <div className="page-tools">
          {of && <Link to="/conflicts">All studies</Link>}
          <label className="toggle">
            <input
              type="checkbox"
              data-testid="conflicts-decided"
              checked={decided}
              onChange={(event) => setDecided(event.target.checked)}
            />{" "}
            Show decided
          </label>
        </div>
      </div>
      {error && <Away error={error} answeredAt={answeredAt} />}
      {!data && !error && <p className="dim">Loading the conflicts…</p>}
      {data && shown.length === 0 && (
        <section className="empty" data-testid="conflicts-empty">
          <h2>{decided ? "Nothing was decided yet" : "No conflict waits"}</h2>
          <p>
            {decided
              ? "What you decide stands here, with who decided and why, and can be taken back."
              : "When an image comes again with other contents, or names another patient than its study, it stands here until somebody decides."}
          </p>
        </section>
      )}
      {byStudy(shown).map(({ key, conflicts }) => (
        <StudyConflicts key={key} conflicts={conflicts} onDecided={refresh} />
      ))}
      {data?.more && (
        <p className="dim">
          {decided ? "These are the latest ones; older ones stand with their study." : "There are more. They come up as these are decided."}
        </p>
      )}
    </main>
  );
}
