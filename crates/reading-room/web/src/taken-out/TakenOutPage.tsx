import { useState } from "react";
import type { TakenOutList, TakenOutStudy } from "../api/types";
import { Link } from "../app/Link";
import { readingPath } from "../app/routes";
import { useNow } from "../app/useNow";
import { usePolled } from "../app/usePolled";
import { useTitle } from "../app/useTitle";
import { Away } from "../ui/Away";
import { BringBackDialog } from "./BringBackDialog";
import { TakenOutItem } from "./TakenOutItem";
import "./taken-out.css";

const TAKEN_OUT_PAUSE_MS = 5_000;
const NOW_PAUSE_MS = 30_000;

/** For administrators: studies that were taken out, until when they can come back, and the way back. */
export function TakenOutPage() {
  useTitle("Taken out");
  const { data, error, answeredAt, refresh } = usePolled<TakenOutList>("/taken-out", TAKEN_OUT_PAUSE_MS);
  const now = useNow(NOW_PAUSE_MS);
  const [asked, setAsked] = useState<TakenOutStudy | null>(null);
  const [back, setBack] = useState<TakenOutStudy | null>(null);
  const broughtBack = async (study: TakenOutStudy) => {
    setAsked(null);
    setBack(study);
    await refresh();
  };
  return (
    <main id="main" className="list-page">
      <div className="page-head">
        <h1>Taken out</h1>
        <p className="summary dim">Studies that nobody sees any more. Each comes back whole until its time is over.</p>
      </div>
      {error && <Away error={error} answeredAt={answeredAt} />}
      {!data && !error && <p className="dim">Loading the studies…</p>}
      {data && data.studies.length === 0 && (
        <section className="empty" data-testid="taken-out-empty">
          <h2>No study is taken out</h2>
          <p>
            When a study is here by mistake, an administrator takes it out: from its row on the worklist (press{" "}
            <kbd>e</kbd>), or under the patient’s name while it is open. It stands here then, and can be brought back.
          </p>
        </section>
      )}
      <ul className="tasks" data-testid="taken-out">
        {data?.studies.map((study) => (
          <TakenOutItem
            key={`${study.centre}/${study.study_uid}`}
            study={study}
            now={now}
            onBringBack={() => {
              setBack(null);
              setAsked(study);
            }}
          />
        ))}
      </ul>
      {data?.more && <p className="dim list-more">These are the latest. Of older ones the command line tells.</p>}
      {asked && (
        <BringBackDialog study={asked} onClose={() => setAsked(null)} onBroughtBack={() => broughtBack(asked)} />
      )}
      {back && (
        <p className="notice page-done" role="status" data-testid="taken-out-done">
          <span>The study is back as it was.</span>
          <Link className="button" to={readingPath(back.centre, back.study_uid)}>
            Open the study
          </Link>
        </p>
      )}
    </main>
  );
}
