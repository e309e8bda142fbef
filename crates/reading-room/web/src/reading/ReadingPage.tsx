import { studyPath } from "../api/calls";
import type { Study } from "../api/types";
import { Link } from "../app/Link";
import { usePolled } from "../app/usePolled";
import { useTitle } from "../app/useTitle";
import { Problem } from "../ui/Problem";
import { personName } from "../words/names";
import { ReadingView } from "./ReadingView";

const STUDY_PAUSE_MS = 5_000;

export function ReadingPage({ centre, study }: { centre: string; study: string }) {
  const path = studyPath(centre, study);
  const polled = usePolled<Study>(path, STUDY_PAUSE_MS);
  const { data, error } = polled;
  useTitle(data ? personName(data.entry.patient.name) : "Reading");
  if (data)
    return (
      <ReadingView path={path} study={data} error={error} answeredAt={polled.answeredAt} refresh={polled.refresh} />
    );
  return (
    <main id="main" className="whole-page-note">
      {error && error.status !== 401 ? (
        <>
          <h1>This study cannot be opened</h1>
          <Problem error={error} />
          <p>
            Back to the <Link to="/">worklist</Link>.
          </p>
        </>
      ) : (
        <p className="dim">Opening the study…</p>
      )}
    </main>
  );
}
