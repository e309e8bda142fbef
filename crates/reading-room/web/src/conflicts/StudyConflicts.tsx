import { useState } from "react";
import { decideConflict } from "../api/calls";
import { asApiError, type ApiError } from "../api/client";
import type { Conflict, RulingChoice } from "../api/types";
import { Link } from "../app/Link";
import { readingPath } from "../app/routes";
import { useSignedIn } from "../app/session";
import { Problem } from "../ui/Problem";
import { personName, plural } from "../words/names";
import { calendarDate } from "../words/time";
import { ConflictItem } from "./ConflictItem";
import { DecideDialog } from "./DecideDialog";
import { CHOICES } from "./words";

interface Props {
  conflicts: [Conflict, ...Conflict[]];
  onDecided: () => Promise<void>;
}

/** The conflicts of one study, which may be decided alike in one go. */
export function StudyConflicts({ conflicts, onDecided }: Props) {
  const { person } = useSignedIn();
  const [first] = conflicts;
  const [all, setAll] = useState<RulingChoice | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const { study } = first;
  const open = conflicts.filter((conflict) => conflict.kind === "contents" && !conflict.decision);

  const decideAll = async (choice: RulingChoice, reason: string) => {
    setError(null);
    let done = 0;
    try {
      for (const conflict of open) {
        await decideConflict(conflict, choice, reason);
        done += 1;
      }
    } catch (thrown) {
      setError(asApiError(thrown));
      if (done === 0) throw thrown;
    } finally {
      await onDecided();
    }
  };

  return (
    <section className="conflict-study" data-testid="conflict-study" data-study={first.study_uid}>
      <header>
        <div>
          <h2>{personName(study?.patient.name ?? null)}</h2>
          <p className="study-line dim">
            <span className="figures">{study?.patient.id ?? "no patient id"}</span>
            <span>{study?.patient.birth_date ? `born ${calendarDate(study.patient.birth_date)}` : "birth date unknown"}</span>
            <span>{study?.description ?? "No description"}</span>
            <span>{study?.study_date ? calendarDate(study.study_date) : "no study date"}</span>
            <span className="figures">
              {study?.accession_number ? `acc. ${study.accession_number}` : "no accession number"}
            </span>
            <span>{first.centre_name}</span>
            {study?.signed && <span className="tone-warn">report signed</span>}
          </p>
        </div>
        {person.role !== "centre" && (
          <Link className="button" to={readingPath(first.centre, first.study_uid)}>
            Open the study
          </Link>
        )}
      </header>
      {error && <Problem error={error} />}
      {first.may_decide && open.length > 1 && (
        <div className="conflict-all">
          <span className="dim">All {plural(open.length, "image")} that came again, alike:</span>
          {(["keep_first", "use_second"] as const).map((choice) => (
            <button key={choice} onClick={() => setAll(choice)}>
              {CHOICES[choice].button}…
            </button>
          ))}
        </div>
      )}
      <ul>
        {conflicts.map((conflict) => (
          <ConflictItem key={conflict.id} conflict={conflict} onDecided={onDecided} />
        ))}
      </ul>
      {all && (
        <DecideDialog
          title={`${CHOICES[all].button}, for ${plural(open.length, "image")}?`}
          effect={CHOICES[all].effect}
          button={CHOICES[all].button}
          signed={study?.signed === true && all === "use_second"}
          onDecide={(reason) => decideAll(all, reason)}
          onClose={() => setAll(null)}
        />
      )}
    </section>
  );
}
