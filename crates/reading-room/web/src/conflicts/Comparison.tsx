import { useEffect, useState } from "react";
import { comparedConflict } from "../api/calls";
import { asApiError, type ApiError } from "../api/client";
import type { ComparedConflict, Conflict, ConflictSide, RulingChoice } from "../api/types";
import { Problem } from "../ui/Problem";
import { bytes } from "../upload/words";
import { moment } from "../words/time";
import { CHOICES } from "./words";

interface Props {
  conflict: Conflict;
  choices: RulingChoice[];
  onChoose: (choice: RulingChoice | "undo") => void;
}

/** Both objects side by side, and the decisions under them. */
export function Comparison({ conflict, choices, onChoose }: Props) {
  const [compared, setCompared] = useState<ComparedConflict | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const { centre, id, revision, current_sha256 } = conflict;
  useEffect(() => {
    let over = false;
    comparedConflict(conflict).then(
      (answer) => {
        if (over) return;
        setCompared(answer);
        setError(null);
      },
      (thrown: unknown) => {
        if (!over) setError(asApiError(thrown));
      },
    );
    return () => {
      over = true;
    };
    // What is compared changes with the decision and with the content in use, not with every answer of the list.
  }, [centre, id, revision, current_sha256]);

  if (error) return <Problem error={error} />;
  if (!compared) return <p className="dim conflict-wait">Reading both objects…</p>;
  const isPatient = conflict.kind === "patient";
  return (
    <div className="comparison" data-testid="comparison">
      <div className="comparison-sides">
        <Side name={isPatient ? "An image of this patient" : "First"} side={compared.first} />
        <Side name={isPatient ? "An image that names somebody else" : "Second"} side={compared.second} />
      </div>
      <Rows compared={compared} />
      <Decide compared={compared} choices={choices} onChoose={onChoose} />
    </div>
  );
}

function Side({ name, side }: { name: string; side: ConflictSide | null }) {
  const [broken, setBroken] = useState(false);
  if (!side) {
    return (
      <figure>
        <figcaption>
          <h4>{name}</h4>
          <p className="dim">There is none.</p>
        </figcaption>
      </figure>
    );
  }
  return (
    <figure>
      <div className="comparison-picture">
        {side.picture_url && !broken ? (
          <img src={side.picture_url} alt={name} onError={() => setBroken(true)} />
        ) : (
          <p className="dim">{side.kept ? "It cannot be shown as a picture." : "Its bytes are not kept any more."}</p>
        )}
      </div>
      <figcaption>
        <h4>
          {name} {side.is_current && <span className="flag">in use</span>}
        </h4>
        <p className="dim">
          {moment(side.received)} · {bytes(side.bytes)}
        </p>
        <p className="dim digest" title={`SHA-256 ${side.sha256}`}>
          {side.sha256.slice(0, 16)}…
        </p>
        {side.file_url && (
          <a href={side.file_url} download>
            Download as DICOM
          </a>
        )}
      </figcaption>
    </figure>
  );
}

function Rows({ compared: { rows, pixels } }: { compared: ComparedConflict }) {
  const [all, setAll] = useState(false);
  const shown = rows.filter(({ first, second, differs }) => (all ? first !== null || second !== null : differs));
  return (
    <div className="comparison-rows">
      <table>
        <thead>
          <tr>
            <th scope="col">{all ? "Header" : "What differs"}</th>
            <th scope="col">First</th>
            <th scope="col">Second</th>
          </tr>
        </thead>
        <tbody>
          {shown.map(({ name, first, second, differs }) => (
            <tr key={name} className={differs ? "differs" : undefined}>
              <th scope="row">{name}</th>
              <td>{first ?? <span className="dim">not said</span>}</td>
              <td>{second ?? <span className="dim">not said</span>}</td>
            </tr>
          ))}
          <tr className={pixels.state === "different" ? "differs" : undefined}>
            <th scope="row">Pixels</th>
            <td colSpan={2}>{pixels.text}</td>
          </tr>
        </tbody>
      </table>
      <button className="quiet" onClick={() => setAll(!all)}>
        {all ? "Only what differs" : "All that was compared"}
      </button>
    </div>
  );
}

function Decide({ compared, choices, onChoose }: { compared: ComparedConflict } & Omit<Props, "conflict">) {
  const { conflict, can_undo, cannot_undo_because } = compared;
  if (conflict.decision) {
    if (!can_undo) return <p className="dim">{cannot_undo_because}</p>;
    return conflict.may_decide ? (
      <div className="conflict-decide">
        <button onClick={() => onChoose("undo")} data-testid="conflict-undo">
          Take the decision back…
        </button>
      </div>
    ) : null;
  }
  if (!conflict.may_decide) {
    return <p className="dim">The imaging centre or an administrator decides; they can ask the sender.</p>;
  }
  return (
    <div className="conflict-decide">
      {choices.map((choice) => (
        <div key={choice}>
          <button onClick={() => onChoose(choice)} data-choice={choice}>
            {CHOICES[choice].button}…
          </button>
          <p className="dim">{CHOICES[choice].effect}</p>
        </div>
      ))}
    </div>
  );
}
