import type { Study } from "../api/types";
import { useNow } from "../app/useNow";
import { EvidenceList } from "../worklist/Completeness";
import { COMPLETENESS_NAMES, imageCount, personName, plural, PRIORITY_NAMES, sexName } from "../words/names";
import { age, calendarDate, timeOfDay } from "../words/time";

interface Props {
  study: Study;
  /** For those who may take the study out. */
  onTakeOut: (() => void) | null;
}

/** Whose study it is: what must be checked before a word is written. */
export function PatientStrip({ study: { entry, order, referring_physician }, onTakeOut }: Props) {
  const now = useNow(1000);
  const { patient, completeness } = entry;
  const physician = order?.physician_name ?? referring_physician;
  const years = age(patient.birth_date, entry.study_date);
  const birth = patient.birth_date
    ? `born ${calendarDate(patient.birth_date)}${years && `, ${years}`}`
    : "birth date unknown";
  return (
    <header className="patient" data-testid="patient-strip">
      <div className="patient-line">
        {entry.priority !== "routine" && (
          <span className={`priority priority-${entry.priority}`}>{PRIORITY_NAMES[entry.priority]}</span>
        )}
        <strong className="patient-name" title={personName(patient.name)}>
          {personName(patient.name)}
        </strong>
      </div>
      <p className="patient-facts">
        <span className="figures">{patient.id ?? "no patient id"}</span>
        <span>{birth}</span>
        <span>{sexName(patient.sex)}</span>
      </p>
      <p className="patient-facts">
        <span title={entry.description ?? undefined}>{entry.description ?? "No description"}</span>
        <span>
          {calendarDate(entry.study_date)} {timeOfDay(entry.study_time)}
        </span>
        <span className="figures">
          {entry.accession_number ? `acc. ${entry.accession_number}` : "no accession number"}
        </span>
        <span>{entry.centre_name}</span>
      </p>
      <p className="patient-why">
        <span className="dim">Indication </span>
        {order?.reason ?? "No order found for this study."}
        {physician && <span className="dim"> — {personName(physician)}</span>}
      </p>
      <details className="patient-images">
        <summary>
          <span className="figures">{imageCount(entry)}</span> images in{" "}
          {plural(entry.series_count, "series", "series")},{" "}
          <span className={`complete-${completeness.state}`} data-completeness={completeness.state}>
            {COMPLETENESS_NAMES[completeness.state]}
          </span>
        </summary>
        <EvidenceList completeness={completeness} now={now} />
        {onTakeOut && (
          <button onClick={onTakeOut} data-testid="take-out">
            Take study out…
          </button>
        )}
      </details>
    </header>
  );
}
