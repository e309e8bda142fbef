import { useState } from "react";
import type { Delivery } from "../api/types";
import { Link } from "../app/Link";
import { readingPath } from "../app/routes";
import { personName, plural } from "../words/names";
import { moment } from "../words/time";
import { acknowledgementText, transportText } from "./words";

const OUTCOMES = { accepted: "accepted", deferred: "put off", refused: "refused" } as const;

export function DeliveryRow({ delivery, now }: { delivery: Delivery; now: number }) {
  const [open, setOpen] = useState(false);
  const { attempts, recipient } = delivery;
  const transport = transportText(delivery, now);
  const read = acknowledgementText(delivery, now);
  const patient = personName(delivery.patient_name);
  return (
    <tbody
      data-testid="delivery-row"
      data-study={delivery.study_uid}
      data-transport={delivery.transport.state}
      data-acknowledged={delivery.acknowledged !== null}
    >
      <tr>
        <td>
          <Link className="cell-main" to={readingPath(delivery.centre, delivery.study_uid)} title={patient}>
            {patient}
          </Link>
          <span className="cell-more">{moment(delivery.created)}</span>
        </td>
        <td className="figures">{delivery.version}</td>
        <td>
          <span className="cell-main">{personName(recipient.name)}</span>
          <span className="cell-more" title={delivery.address}>
            {recipient.kind === "centre_contact" ? `Centre’s contact · ${delivery.address}` : delivery.address}
          </span>
        </td>
        <td className={`tone-${transport.tone}`}>{transport.text}</td>
        <td className={`tone-${read.tone}`}>{read.text}</td>
        <td>
          <button
            className="quiet"
            aria-expanded={open}
            onClick={() => setOpen(!open)}
            disabled={attempts.length === 0}
          >
            {plural(attempts.length, "attempt")}
          </button>
        </td>
      </tr>
      {open && (
        <tr className="entry-detail">
          <td colSpan={6}>
            <ol className="attempts">
              {attempts.map(({ at, outcome, detail }) => (
                <li key={at}>
                  <time dateTime={at}>{moment(at)}</time> <strong>{OUTCOMES[outcome]}</strong> {detail}
                </li>
              ))}
            </ol>
          </td>
        </tr>
      )}
    </tbody>
  );
}
