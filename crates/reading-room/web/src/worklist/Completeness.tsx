import type { Completeness, Entry } from "../api/types";
import { COMPLETENESS_NAMES, imageCount } from "../words/names";
import { clockSeconds, duration, shortMoment } from "../words/time";

export function CompletenessCell({
  entry,
  expanded,
  onExpand,
}: {
  entry: Entry;
  expanded: boolean;
  onExpand: () => void;
}) {
  const { completeness } = entry;
  const why = completeness.evidence.map(({ at, text }) => `${clockSeconds(at)} ${text}`).join("\n");
  return (
    <button
      className="completeness"
      tabIndex={-1}
      aria-expanded={expanded}
      aria-label={`${imageCount(entry)} images, ${COMPLETENESS_NAMES[completeness.state]}: show why`}
      title={why}
      onClick={onExpand}
    >
      <span className="cell-main figures">{imageCount(entry)}</span>
      <span className={`cell-more complete-${completeness.state}`} data-completeness={completeness.state}>
        {COMPLETENESS_NAMES[completeness.state]}
      </span>
    </button>
  );
}

export function EvidenceList({ completeness, now }: { completeness: Completeness; now: number }) {
  return (
    <div className="evidence">
      <h3>{verdict(completeness, now)}</h3>
      <ol>
        {completeness.evidence.map(({ at, kind, text }) => (
          <li key={`${kind} ${at} ${text}`}>
            <time dateTime={at}>{clockSeconds(at)}</time> {text}
          </li>
        ))}
      </ol>
    </div>
  );
}

function verdict({ state, decide_at, since, expected }: Completeness, now: number): string {
  switch (state) {
    case "arriving": {
      const left = decide_at ? Date.parse(decide_at) - now : 0;
      return left > 0 ? `Images are arriving; decided in ${duration(left)} unless more come` : "Images are arriving";
    }
    case "complete":
      return `Believed complete${since ? ` since ${shortMoment(since, now)}` : ""}, because`;
    case "short":
      return `Fewer images than announced${expected ? ` (${expected})` : ""}${since ? ` since ${shortMoment(since, now)}` : ""}`;
  }
}
