import { useState } from "react";
import type { Delivery } from "../api/types";
import { useNow } from "../app/useNow";
import { usePolled } from "../app/usePolled";
import { useTitle } from "../app/useTitle";
import { Away } from "../ui/Away";
import { DeliveryRow } from "./DeliveryRow";

const DELIVERIES_PAUSE_MS = 3_000;
const COLUMNS = ["Patient", "Version", "Recipient", "Sent", "Read", "Attempts"] as const;

/** The ledger: who was told what, and whether a person has read it. */
export function DeliveriesPage() {
  useTitle("Deliveries");
  const [open, setOpen] = useState(false);
  const path = `/deliveries?unacknowledged=${open}`;
  const { data, error, answeredAt } = usePolled<{ deliveries: Delivery[] }>(path, DELIVERIES_PAUSE_MS);
  const now = useNow(1000);
  return (
    <main id="main" className="list-page">
      <div className="page-head">
        <h1>Deliveries</h1>
        <p className="summary dim">A mail server’s answer is no reader: only a person can acknowledge.</p>
        <div className="page-tools">
          <label className="toggle">
            <input type="checkbox" checked={open} onChange={(event) => setOpen(event.target.checked)} /> Only not
            acknowledged
          </label>
        </div>
      </div>
      {error && <Away error={error} answeredAt={answeredAt} />}
      {data && data.deliveries.length === 0 && (
        <section className="empty">
          <h2>{open ? "Everything has been acknowledged" : "No report has been sent yet"}</h2>
          <p>A delivery appears here as soon as a report is signed.</p>
        </section>
      )}
      {data && data.deliveries.length > 0 && (
        <table className="ledger" data-testid="deliveries">
          <thead>
            <tr>
              {COLUMNS.map((title) => (
                <th key={title} scope="col">
                  {title}
                </th>
              ))}
            </tr>
          </thead>
          {data.deliveries.map((delivery) => (
            <DeliveryRow key={delivery.id} delivery={delivery} now={now} />
          ))}
        </table>
      )}
    </main>
  );
}
