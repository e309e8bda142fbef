import type { QuarantineDecision } from "../api/calls";
import type { QuarantinedObject } from "../api/types";
import { Link } from "../app/Link";
import { readingPath } from "../app/routes";
import { useSignedIn } from "../app/session";
import { bytes } from "../upload/words";
import { moment } from "../words/time";
import { cameAgain, claim, sender, sentence } from "./words";

interface Props {
  object: QuarantinedObject;
  busy: boolean;
  mayDownload: boolean;
  onDecide: (decision: QuarantineDecision) => void;
}

export function QuarantineItem({ object, busy, mayDownload, onDecide }: Props) {
  const { state } = object;
  const origin = [object.centre_name, sender(object), moment(object.last_received), cameAgain(object.times)];
  return (
    <li
      className={state === "waiting" ? "task" : "task task-closed"}
      data-testid="quarantined"
      data-state={state}
      data-id={object.id}
    >
      <div className="quarantined">
        <p className="task-kind">
          Claims to be {claim(object)} <span className="dim">· {origin.filter(Boolean).join(" · ")}</span>
        </p>
        <h2>{sentence(object.reason)}</h2>
        {state === "waiting" ? <p className="task-step">{object.next_step}</p> : <Decided object={object} />}
        <details>
          <summary>What it says of itself</summary>
          <dl className="quarantine-facts">
            <Fact name="SOP class" value={object.sop_class} />
            <Fact name="SOP instance" value={object.sop_instance} />
            <Fact name="Transfer syntax" value={object.transfer_syntax} />
            <Fact name="Data set" value={bytes(object.data_set_bytes)} />
            <Fact name="First came" value={moment(object.received)} />
            <Fact name="SHA-256 of the file" value={object.sha256} />
          </dl>
        </details>
      </div>
      <Actions object={object} busy={busy} mayDownload={mayDownload} onDecide={onDecide} />
    </li>
  );
}

function Decided({ object: { state, decided } }: { object: QuarantinedObject }) {
  if (!decided) return null;
  const by = `${decided.by_name}, ${moment(decided.at)}`;
  switch (state) {
    case "discarded":
      return (
        <p className="dim">
          Discarded by {by}. This can be undone until {moment(decided.until)}.
        </p>
      );
    case "stored":
      return <p className="tone-good">Tried again by {by}: it is an ordinary image now.</p>;
    case "conflict":
      return <p className="tone-warn">Tried again by {by}: held as a conflict with another image.</p>;
    case "waiting":
      return null;
  }
}

function Fact({ name, value }: { name: string; value: string | null }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value ?? "not said"}</dd>
    </div>
  );
}

function Actions({ object, busy, mayDownload, onDecide }: Props) {
  const { id, state, centre, study_uid: study } = object;
  const { person } = useSignedIn();
  const named = ` of ${object.centre_name}, ${sender(object)}, ${moment(object.last_received)}`;
  return (
    <div className="task-actions">
      {mayDownload && (state === "waiting" || state === "discarded") && (
        <a className="button" href={`/api/v1/quarantine/${encodeURIComponent(id)}/object`} download>
          Download
          <span className="visually-hidden">{named}</span>
        </a>
      )}
      {state === "waiting" && (
        <>
          <button disabled={busy} onClick={() => onDecide("retry")}>
            Try again
            <span className="visually-hidden">{named}</span>
          </button>
          <button disabled={busy} onClick={() => onDecide("discard")}>
            Discard
            <span className="visually-hidden">{named}</span>
          </button>
        </>
      )}
      {state === "discarded" && (
        <button disabled={busy} onClick={() => onDecide("restore")}>
          Undo
          <span className="visually-hidden">{named}</span>
        </button>
      )}
      {study && person.role !== "centre" && (
        <Link className="button" to={readingPath(centre, study)}>
          Open the study
        </Link>
      )}
    </div>
  );
}
