import type { MouseEvent } from "react";
import type { Entry } from "../api/types";
import { readingPath } from "../app/routes";
import { useSignedIn } from "../app/session";
import { ageAndSex, personName, plural, PRIORITY_NAMES } from "../words/names";
import { calendarDate, moment, shortMoment, timeOfDay, waiting } from "../words/time";
import { CompletenessCell, EvidenceList } from "./Completeness";
import { Flags } from "./Flags";

interface Props {
  entry: Entry;
  now: number;
  expanded: boolean;
  onOpen: () => void;
  onExpand: () => void;
  onTakeOut: () => void;
}

export function WorklistRow({ entry, now, expanded, onOpen, onExpand, onTakeOut }: Props) {
  const { person } = useSignedIn();
  const { patient, priority, reader, state } = entry;
  const name = personName(patient.name);
  const mine = state === "claimed" && reader?.mine === true;
  const click = (event: MouseEvent<HTMLElement>) => {
    if ((event.target as HTMLElement).closest("button")) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    onOpen();
  };
  const study = [entry.modalities.join("/"), `${calendarDate(entry.study_date)} ${timeOfDay(entry.study_time)}`.trim()];
  return (
    <tbody
      className={`entry entry-${priority} entry-${state} ${mine ? "entry-mine" : ""}`}
      data-testid="worklist-row"
      data-study={entry.study_uid}
      data-centre={entry.centre}
      data-state={state}
      data-priority={priority}
      data-draft={entry.draft}
    >
      <tr onClick={click}>
        <td>
          <span className={`priority priority-${priority}`}>{PRIORITY_NAMES[priority]}</span>
        </td>
        <td>
          <a
            className="cell-main row-link"
            href={readingPath(entry.centre, entry.study_uid)}
            data-row={`${entry.centre}/${entry.study_uid}`}
            title={name}
          >
            {name}
          </a>
          <span className="cell-more figures" title={patient.id ?? undefined}>
            {[ageAndSex(patient, entry.study_date), patient.id].filter(Boolean).join(" · ") || "No patient id"}
          </span>
        </td>
        <td>
          <span className="cell-main" title={entry.description ?? undefined}>
            {entry.description || "No description"}
          </span>
          <span className="cell-more">{study.filter(Boolean).join(" · ")}</span>
        </td>
        <td>
          <span className="cell-main" title={entry.centre_name}>
            {entry.centre_name}
          </span>
          <span className="cell-more figures" title={`Accession number ${entry.accession_number ?? "unknown"}`}>
            {entry.accession_number}
          </span>
        </td>
        <td>
          <CompletenessCell entry={entry} expanded={expanded} onExpand={onExpand} />
        </td>
        <td title={`First image ${moment(entry.first_received)}`}>
          <WaitingCell entry={entry} now={now} />
        </td>
        <td>
          <ReaderCell entry={entry} now={now} />
        </td>
        <td>
          <span className={`draft draft-${entry.draft}`}>{DRAFTS[entry.draft]}</span>
        </td>
        <td>
          <Flags entry={entry} />
        </td>
      </tr>
      {expanded && (
        <tr className="entry-detail">
          <td colSpan={9}>
            <EvidenceList completeness={entry.completeness} now={now} />
            <p className="dim">
              {plural(entry.series_count, "series", "series")}, {plural(entry.instance_count, "image")}; last image{" "}
              {moment(entry.last_received)}
            </p>
            {person.role === "admin" && (
              <button className="entry-act" onClick={onTakeOut} data-testid="take-out">
                Take study out…
              </button>
            )}
          </td>
        </tr>
      )}
    </tbody>
  );
}

const DRAFTS = { none: "–", current: "Ready", stale: "Outdated" } as const;

function WaitingCell({ entry, now }: { entry: Entry; now: number }) {
  if (entry.state === "signed") {
    return (
      <>
        <span className="cell-main dim">Signed</span>
        <span className="cell-more figures">{entry.signed_at && shortMoment(entry.signed_at, now)}</span>
      </>
    );
  }
  const { text, tone, remark } = waiting(entry.first_received, now, entry.priority);
  return (
    <span className={`waiting waiting-${tone}`} data-tone={tone}>
      <span className="cell-main figures">{text}</span>
      <span className="cell-more figures">{remark}</span>
    </span>
  );
}

function ReaderCell({ entry: { reader, state, signed_version }, now }: { entry: Entry; now: number }) {
  const version = state === "signed" && signed_version ? `version ${signed_version}` : "";
  if (!reader) return <span className="cell-main dim">{version || "Unread"}</span>;
  const held = reader.until ? `until ${shortMoment(reader.until, now)}` : "";
  return (
    <>
      <span className="cell-main" title={reader.name}>
        {reader.mine && state !== "signed" ? "You" : reader.name}
      </span>
      <span className="cell-more">{version || held}</span>
    </>
  );
}
