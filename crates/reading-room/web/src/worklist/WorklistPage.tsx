import { useEffect, useRef, useState } from "react";
import { changeClaim, studyPath, worklistPath } from "../api/calls";
import type { Entry, Worklist } from "../api/types";
import { useKeys } from "../app/keys";
import { leftHere } from "../app/router";
import { useNow } from "../app/useNow";
import { usePolled } from "../app/usePolled";
import { useTitle } from "../app/useTitle";
import { TakeOutDialog } from "../taken-out/TakeOutDialog";
import { Away } from "../ui/Away";
import { clockSeconds } from "../words/time";
import { plural } from "../words/names";
import { useSettled } from "./useSettled";
import { WorklistEmpty } from "./WorklistEmpty";
import { WorklistTable } from "./WorklistTable";

const WORKLIST_PAUSE_MS = 2_000;
const SEARCH_PAUSE_MS = 200;

export function WorklistPage() {
  const [text, setText] = useState("");
  const [signed, setSigned] = useState(false);
  const asked = useSettled(text.trim(), SEARCH_PAUSE_MS);
  const { data, error, answeredAt, refresh } = usePolled<Worklist>(worklistPath(signed, asked), WORKLIST_PAUSE_MS);
  const offset = useServerOffset(data);
  const now = useNow(1000, offset);
  const search = useRef<HTMLInputElement>(null);
  const [notice, setNotice] = useState(() => leftHere().notice);
  const [leaving, setLeaving] = useState<Entry | null>(null);
  const waiting = data?.entries.filter(({ state }) => state !== "signed") ?? [];
  const stat = waiting.filter(({ priority }) => priority === "stat").length;
  useTitle(stat > 0 ? `(${stat} STAT) Worklist` : "Worklist");
  useKeys({ "/": () => search.current?.select(), s: () => setSigned((shown) => !shown) });

  return (
    <main id="main" className="worklist-page">
      <div className="page-head">
        <h1>Worklist</h1>
        <p className="summary" role="status">
          {data && (
            <>
              <strong>{plural(waiting.length, "study", "studies")}</strong> to read
              {stat > 0 && <span className="summary-stat"> · {stat} STAT</span>}
              {data.total > data.entries.length && ` · first ${data.entries.length} of ${data.total} shown`}
            </>
          )}
        </p>
        {notice && (
          <p className="page-notice" role="status" title={notice} data-testid="notice">
            {notice}
          </p>
        )}
        <div className="page-tools">
          <label className="search">
            <span className="visually-hidden">Search the worklist</span>
            <input
              ref={search}
              type="search"
              placeholder="Search name, id, study"
              value={text}
              onChange={(event) => setText(event.target.value)}
              onKeyDown={(event) => {
                if (event.key === "Escape" && text === "") search.current?.blur();
                if (event.key === "Escape") setText("");
              }}
            />
            <kbd>/</kbd>
          </label>
          <label className="toggle">
            <input type="checkbox" checked={signed} onChange={(event) => setSigned(event.target.checked)} /> Show signed
          </label>
          <span className="updated dim" title="When the server last answered">
            {answeredAt ? `Updated ${clockSeconds(answeredAt)}` : ""}
          </span>
        </div>
      </div>
      {error && <Away error={error} answeredAt={answeredAt} />}
      {data && data.entries.length > 0 && <WorklistTable entries={data.entries} now={now} onTakeOut={setLeaving} />}
      {data && data.entries.length === 0 && <WorklistEmpty searched={asked} signed={signed} />}
      {!data && !error && <p className="dim">Loading the worklist…</p>}
      {leaving && (
        <TakeOutDialog
          entry={leaving}
          onRelease={leaving.state === "claimed" && leaving.reader?.mine ? () => giveBack(leaving) : undefined}
          onClose={() => setLeaving(null)}
          onTakenOut={(told) => {
            setLeaving(null);
            setNotice(told);
            void refresh();
          }}
        />
      )}
    </main>
  );
}

async function giveBack({ centre, study_uid }: Entry): Promise<boolean> {
  try {
    await changeClaim(studyPath(centre, study_uid), "release");
    return true;
  } catch {
    // The dialog stays as it is: the study is still held, which is what it says.
    return false;
  }
}

/** How far this machine's clock is from the server's, taken from the latest whole answer. */
function useServerOffset(data: Worklist | null): number {
  const [offset, setOffset] = useState(0);
  useEffect(() => {
    if (data) setOffset(Date.parse(data.now) - Date.now());
  }, [data]);
  return offset;
}
