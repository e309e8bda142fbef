import { useEffect, useState, useSyncExternalStore } from "react";
import { useSignedIn } from "../app/session";
import { useNow } from "../app/useNow";
import { usePolled } from "../app/usePolled";
import { useTitle } from "../app/useTitle";
import { Away } from "../ui/Away";
import { plural } from "../words/names";
import { moment, shortMoment } from "../words/time";
import { BatchDetail } from "./BatchDetail";
import { DropArea } from "./DropArea";
import { interrupted } from "./memory";
import { senderOf, type Sending } from "./sender";
import { SendingPanel } from "./SendingPanel";
import { Journeys } from "./Journeys";
import type { Batch, Batches } from "./types";
import { summary } from "./words";
import "./upload.css";

const BUSY_PAUSE_MS = 1_500;
const CALM_PAUSE_MS = 10_000;
const EARLIER_SHOWN = 5;

/** Where a centre sends images and sees what became of them. */
export function UploadPage() {
  const { person, active } = useSignedIn();
  const sender = senderOf(person.id);
  const sending = useSyncExternalStore(sender.subscribe, sender.snapshot);
  const [chosen, setChosen] = useState<string | null>(sending?.centre ?? null);
  const [busy, setBusy] = useState(false);
  const path = chosen ? `/uploads?centre=${encodeURIComponent(chosen)}` : "/uploads";
  const { data, error, answeredAt, refresh } = usePolled<Batches>(path, busy ? BUSY_PAUSE_MS : CALM_PAUSE_MS);
  const centre = chosen ?? data?.centre ?? null;
  const batch = data?.batches.find(({ id }) => id === sending?.batch) ?? null;
  const settled = isSettled(sending, batch);
  const trouble = (batch?.not_stored ?? 0) + (batch?.missing ?? 0) + (sending?.failed ?? 0) > 0;
  const isBusy = (sending !== null && !settled) || (data?.batches.some(({ waiting }) => waiting > 0) ?? false);
  useEffect(() => setBusy(isBusy), [isBusy]);
  useEffect(() => sender.setActive(active), [sender, active]);
  useEffect(() => {
    if (sending?.over) void refresh();
  }, [sending?.over, refresh]);
  useTitle(titleOf(sending, settled));

  const earlier = data?.batches.filter(({ id }) => id !== sending?.batch) ?? [];
  return (
    <main id="main" className="list-page upload-page">
      <div className="page-head">
        <h1>Send images</h1>
        {data && data.centres.length > 1 && (
          <label className="upload-centre">
            for{" "}
            <select
              value={centre ?? ""}
              disabled={sending !== null && !sending.over}
              onChange={(event) => setChosen(event.target.value || null)}
              data-testid="upload-centre"
            >
              <option value="">choose a centre</option>
              {data.centres.map(({ id, name }) => (
                <option key={id} value={id}>
                  {name}
                </option>
              ))}
            </select>
          </label>
        )}
        {data && data.centres.length === 1 && <p className="dim">for {data.centres[0]?.name}</p>}
      </div>
      {error && !(sending?.rest && error.passing) && <Away error={error} answeredAt={answeredAt} />}
      {data && data.centres.length === 0 && (
        <section className="empty">
          <h2>You belong to no centre</h2>
          <p>Ask the operator of this service to name the centre that you send for.</p>
        </section>
      )}
      {centre && (
        <>
          <Resume centre={centre} sending={sending} />
          <DropArea
            disabled={!active}
            compact={sending !== null}
            onFiles={(gathered) => sender.add(centre, gathered)}
          />
          {sending && (
            <>
              <SendingPanel sending={sending} sender={sender} settled={settled} trouble={trouble} />
              <BatchDetail batch={batch} groups={sending.groups} />
            </>
          )}
          <Earlier batches={earlier} />
          <Journeys centre={centre} settled={settled} />
        </>
      )}
    </main>
  );
}

/** All that was sent was also taken in. */
function isSettled(sending: Sending | null, batch: Batch | null): boolean {
  if (!sending?.over) return false;
  const sent = sending.sent;
  if (sent === 0) return true;
  return batch !== null && batch.waiting === 0 && batch.ended >= sent;
}

function titleOf(sending: Sending | null, settled: boolean): string {
  if (!sending || settled) return "Send images";
  if (sending.over) return "Storing images";
  const part = sending.bytes > 0 ? Math.floor((100 * sending.sentBytes) / sending.bytes) : 0;
  return `${part} % sent`;
}

/** A sending that the page lost when it was loaded again. */
function Resume({ centre, sending }: { centre: string; sending: Sending | null }) {
  if (sending) return null;
  const before = interrupted();
  if (!before || before.centre !== centre || before.sent.size === 0) return null;
  return (
    <p className="notice upload-resume" data-testid="upload-resume">
      <strong>
        Sending was interrupted: {before.sent.size} of {plural(before.total, "file")} were sent.
      </strong>{" "}
      Drop the same folder again, and it goes on where it stopped.
    </p>
  );
}

function Earlier({ batches }: { batches: Batch[] }) {
  const now = useNow(30_000);
  const [all, setAll] = useState(false);
  if (batches.length === 0) return null;
  const shown = all ? batches : batches.slice(0, EARLIER_SHOWN);
  return (
    <section aria-label="Sent before" className="earlier">
      <h2>Sent before</h2>
      {shown.map((batch) => (
        <details key={batch.id} data-testid="earlier-batch" data-batch={batch.id}>
          <summary>
            <time dateTime={batch.began} title={moment(batch.began)}>
              {shortMoment(batch.began, now)}
            </time>{" "}
            <span className={batch.not_stored + batch.missing > 0 ? "tone-warn" : ""}>{summary(batch)}</span>
            {batch.by_name && <span className="dim"> · {batch.by_name}</span>}
          </summary>
          <BatchDetail batch={batch} />
        </details>
      ))}
      {batches.length > shown.length && (
        <button className="quiet" onClick={() => setAll(true)}>
          Show {batches.length - shown.length} more
        </button>
      )}
    </section>
  );
}
