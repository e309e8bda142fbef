import type { ReactNode } from "react";
import type { Patient } from "../api/types";
import { personName } from "../words/names";
import { calendarDate } from "../words/time";

interface Props {
  study: { patient: Patient; description: string | null; study_date: string | null; centre_name: string };
  /** What else there is to say, as terms and their descriptions. */
  children: ReactNode;
}

/** Which study a dialog is about, so that nobody decides about another one. */
export function StudyFacts({ study: { patient, description, study_date, centre_name }, children }: Props) {
  const born = patient.birth_date ? `born ${calendarDate(patient.birth_date)}` : "birth date unknown";
  return (
    <dl className="study-facts">
      <dt>Patient</dt>
      <dd>
        <strong>{personName(patient.name)}</strong>
        <br />
        {[patient.id ?? "no patient id", born].join(" · ")}
      </dd>
      <dt>Study</dt>
      <dd>
        {[description ?? "No description", calendarDate(study_date)].filter(Boolean).join(", ")}
        <br />
        {centre_name}
      </dd>
      {children}
    </dl>
  );
}
