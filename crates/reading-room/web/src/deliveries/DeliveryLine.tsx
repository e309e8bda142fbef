import type { Delivery } from "../api/types";
import { useNow } from "../app/useNow";
import { personName } from "../words/names";
import { acknowledgementText, transportText } from "./words";

/** One delivery in two lines, beside the report it carries. */
export function DeliveryLine({ delivery }: { delivery: Delivery }) {
  const now = useNow(5_000);
  const transport = transportText(delivery, now);
  const read = acknowledgementText(delivery, now);
  return (
    <li
      className="delivery-line"
      data-transport={delivery.transport.state}
      data-acknowledged={delivery.acknowledged !== null}
    >
      <span title={delivery.address}>
        v{delivery.version} to <strong>{personName(delivery.recipient.name)}</strong>
        {delivery.recipient.kind === "centre_contact" && <span className="dim"> (centre’s contact)</span>}
      </span>
      <span className={`tone-${transport.tone}`}>{transport.text}</span>
      <span className={`tone-${read.tone}`}>{read.text}</span>
    </li>
  );
}
