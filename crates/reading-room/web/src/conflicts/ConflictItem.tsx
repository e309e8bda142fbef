import { useState } from "react";
import { decideConflict } from "../api/calls";
import type { Conflict, RulingChoice } from "../api/types";
import { personName } from "../words/names";
import { calendarDate, moment } from "../words/time";
import { Comparison } from "./Comparison";
import { DecideDialog } from "./DecideDialog";
import { CHOICES, choicesFor, objectName, seen, what } from "./words";

interface Props {
  conflict: Conflict;
  onDecided: () => Promise<void>;
}

/** One conflict: what happened, both objects on request, and what to do. */
export function ConflictItem({ conflict, onDecided }: Props) {
  const [open, setOpen] = useState(false);
  const [choice, setChoice] = useState<RulingChoice | "undo" | null>(null);
  const { decision, other_patient: other } = conflict;
  const facts = [objectName(conflict), seen(conflict)].filter(Boolean);
  const decide = async (reason: string) => {
    if (choice === null) return;
    try {
      await decideConflict(conflict, choice, reason);
    } finally {
      await onDecided();
    }
  };
  const undoing = choice === "undo";
  return (
    <li className={decision ? "conflict conflict-decided" : "conflict"} data-testid="conflict" data-kind={conflict.kind}>
      <div className="conflict-line">
        <div className="conflict-what">
          <h3>{what(conflict)}</h3>
          {facts.length > 0 && <p>{facts.join(" · ")}</p>}
          {other && (
            <p>
              Names <strong>{personName(other.name)}</strong>
              {other.id && <span className="figures"> · {other.id}</span>}
              {other.birth_date && ` · born ${calendarDate(other.birth_date)}`}
            </p>
          )}
          <p className="dim">
            Came {moment(conflict.opened)}
            {conflict.source && `, ${conflict.source}`}
            {conflict.last_seen !== conflict.opened && `; last on ${moment(conflict.last_seen)}`}
          </p>
          {decision && (
            <p data-testid="conflict-decision">
              <strong>{CHOICES[decision.choice].done}</strong>
              <span className="dim">
                {" "}
                {decision.by_name && `by ${decision.by_name}, `}
                {moment(decision.at)}
              </span>
              {decision.reason && <span className="conflict-reason">{decision.reason}</span>}
            </p>
          )}
        </div>
        <button aria-expanded={open} onClick={() => setOpen(!open)} data-testid="conflict-compare">
          {open ? "Close" : "Compare"}
        </button>
      </div>
      {open && <Comparison conflict={conflict} choices={choicesFor(conflict)} onChoose={setChoice} />}
      {choice && (
        <DecideDialog
          title={undoing ? "Take this decision back?" : `${CHOICES[choice].button}?`}
          effect={undoing ? "What it changed is as before, and the conflict waits again." : CHOICES[choice].effect}
          button={undoing ? "Take it back" : CHOICES[choice].button}
          signed={conflict.study?.signed === true && changesImages(choice, conflict)}
          onDecide={decide}
          onClose={() => setChoice(null)}
        />
      )}
    </li>
  );
}

const CHANGING: ReadonlySet<string> = new Set(["use_second", "other_patient"]);

const changesImages = (choice: RulingChoice | "undo", { decision }: Conflict): boolean =>
  CHANGING.has(choice === "undo" ? (decision?.choice ?? "") : choice);
