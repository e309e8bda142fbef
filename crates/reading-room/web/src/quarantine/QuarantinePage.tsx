import { useState } from "react";
import { decideQuarantined, type QuarantineDecision } from "../api/calls";
import { asApiError, type ApiError } from "../api/client";
import type { Quarantine, QuarantinedObject } from "../api/types";
import { HeldTabs } from "../app/HeldTabs";
import { usePolled } from "../app/usePolled";
import { useTitle } from "../app/useTitle";
import { bytes, figure } from "../upload/words";
import { Away } from "../ui/Away";
import { Problem } from "../ui/Problem";
import { QuarantineItem } from "./QuarantineItem";
import { sentence } from "./words";
import "./quarantine.css";

const QUARANTINE_PAUSE_MS = 5_000;
/** From this share on, a quarantine is shown as nearly full. */
const NEARLY_FULL = 0.8;

/** What a person just decided, to be said and, where it can be, undone. */
interface Done {
  object: QuarantinedObject;
  text: string;
}

/** Objects that could not be read and that their centre wants kept. */
export function QuarantinePage() {
  useTitle("Quarantine");
  const [decided, setDecided] = useState(false);
  const [busy, setBusy] = useState<string | null>(null);
  const [done, setDone] = useState<Done | null>(null);
  const [failed, setFailed] = useState<ApiError | null>(null);
  const { data, error, answeredAt, refresh } = usePolled<Quarantine>(
    `/quarantine?decided=${decided}`,
    QUARANTINE_PAUSE_MS,
  );

  const decide = async (object: QuarantinedObject, decision: QuarantineDecision) => {
    setBusy(object.id);
    setFailed(null);
    setDone(null);
    try {
      const after = await decideQuarantined(object.id, decision);
      setDone({ object: after, text: outcome(after, decision) });
      await refresh();
    } catch (thrown) {
      setFailed(asApiError(thrown));
    }
    setBusy(null);
  };

  return (
    <main id="main" className="list-page">
      <HeldTabs current="quarantine" />
      <div className="page-head">
        <h1>Quarantine</h1>
        <p className="summary dim">What could not be read, and is no image until somebody decides.</p>
        <div className="page-tools">
          <label className="toggle">
            <input type="checkbox" checked={decided} onChange={(event) => setDecided(event.target.checked)} /> Show
            decided
          </label>
        </div>
      </div>
      {error && <Away error={error} answeredAt={answeredAt} />}
      {failed && <Problem error={failed} />}
      {done && (
        <p className="notice page-done" role="status" data-testid="quarantine-done">
          <span>{done.text}</span>
          {done.object.state === "discarded" && (
            <button disabled={busy !== null} onClick={() => void decide(done.object, "restore")}>
              Undo
            </button>
          )}
        </p>
      )}
      {!data && !error && <p className="dim">Loading the quarantine…</p>}
      {data && <Held centres={data.centres} />}
      {data && data.objects.length === 0 && <Empty data={data} />}
      <ul className="tasks" data-testid="quarantine">
        {data?.objects.map((object) => (
          <QuarantineItem
            key={object.id}
            object={object}
            busy={busy !== null}
            mayDownload={data.may_download}
            onDecide={(decision) => void decide(object, decision)}
          />
        ))}
      </ul>
      {data?.more && <p className="dim list-more">There are more. Decide about these first.</p>}
    </main>
  );
}

function outcome(after: QuarantinedObject, decision: QuarantineDecision): string {
  switch (after.state) {
    case "stored":
      return "It can be read now: it is an ordinary image of its study.";
    case "conflict":
      return "It can be read now, but another image has its identity. Both are kept, on the list of conflicts.";
    case "discarded":
      return "Discarded.";
    case "waiting":
      return decision === "retry" ? `It still cannot be read: ${sentence(after.reason)}` : "It waits again.";
  }
}

function Held({ centres }: { centres: Quarantine["centres"] }) {
  const keeping = centres.flatMap(({ id, name, held }) => (held && held.objects > 0 ? [{ id, name, ...held }] : []));
  if (keeping.length === 0) return null;
  return (
    <ul className="quarantine-held" aria-label="How full it is">
      {keeping.map((held) => {
        const share = Math.max(held.objects / held.objects_max, held.bytes / held.bytes_max);
        return (
          <li key={held.id} className={share >= NEARLY_FULL ? "tone-warn" : "dim"}>
            {held.name}: {figure(held.objects)} of {figure(held.objects_max)} objects, {bytes(held.bytes)} of{" "}
            {bytes(held.bytes_max)}
            {share >= 1 && " — full: what cannot be read is refused and not kept"}
          </li>
        );
      })}
    </ul>
  );
}

function Empty({ data }: { data: Quarantine }) {
  const keeps = data.centres.some(({ held }) => held !== null);
  return (
    <section className="empty" data-testid="quarantine-empty">
      <h2>Nothing is in quarantine</h2>
      {keeps ? (
        <p>When something comes that cannot be read, its bytes stand here with the reason until a person decides.</p>
      ) : (
        <p>
          What cannot be read is refused and not kept. To have it kept, the operator sets the centre up again with{" "}
          <code>telerad centre add … --keep-unreadable</code>.
        </p>
      )}
    </section>
  );
}
