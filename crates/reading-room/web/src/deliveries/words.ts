/** A delivery in words. Pure. */

import type { Delivery } from "../api/types";
import { duration, shortMoment } from "../words/time";

export interface Told {
  text: string;
  tone: "good" | "plain" | "warn" | "bad";
}

export function transportText({ transport, attempts }: Delivery, now: number): Told {
  switch (transport.state) {
    case "waiting": {
      const next = transport.next_attempt ? Date.parse(transport.next_attempt) - now : 0;
      const when = next > 0 ? `next try in ${duration(next)}` : "trying now";
      return {
        text: attempts.length > 0 ? `Not accepted yet, ${when}` : `Waiting, ${when}`,
        tone: attempts.length > 0 ? "warn" : "plain",
      };
    }
    case "accepted":
      return { text: `Accepted ${transport.at ? shortMoment(transport.at, now) : ""}`.trim(), tone: "plain" };
    case "failed":
      return { text: `Refused${transport.detail ? `: ${transport.detail}` : ""}`, tone: "bad" };
  }
}

export function acknowledgementText({ acknowledged, acknowledge_by, escalated, created }: Delivery, now: number): Told {
  if (acknowledged) return { text: `Read by ${acknowledged.by}, ${shortMoment(acknowledged.at, now)}`, tone: "good" };
  const late = now > Date.parse(acknowledge_by);
  const waited = duration(now - Date.parse(created));
  if (escalated)
    return { text: `Nobody has read it for ${waited}; escalated ${shortMoment(escalated, now)}`, tone: "bad" };
  return { text: `Not read yet, waiting ${waited}${late ? " (late)" : ""}`, tone: late ? "bad" : "plain" };
}
