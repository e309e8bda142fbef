import type { TakenOutStudy } from "../api/types";
import { personName } from "../words/names";
import { calendarDate, moment } from "../words/time";
import { contents, ending, refusedSince } from "./words";

interface Props {
  study: TakenOutStudy;
  now: number;
  onBringBack: () => void;
}

const TONES = { calm: "", soon: "tone-warn", over: "tone-bad" } as const;

/** One study that was taken out: whose it is, why it went, and how long it can come back. */
export function TakenOutItem({ study, now, onBringBack }: Props) {
  const { patient } = study;
  const name = personName(patient.name);
  const end = ending(study, now);
  const refused = refusedSince(study);
  return (
    <li className="task taken-out" data-testid="taken-out-study" data-study={study.study_uid} data-tone={end.tone}>
      <div className="taken-out-what">
        <h2>{name}</h2>
        <p className="study-line dim">
          <span className="figures">{patient.id ?? "no patient id"}</span>
          <span>{patient.birth_date ? `born ${calendarDate(patient.birth_date)}` : "birth date unknown"}</span>
          <span>{study.description ?? "No description"}</span>
          <span>{study.study_date ? calendarDate(study.study_date) : "no study date"}</span>
          <span className="figures">
            {study.accession_number ? `acc. ${study.accession_number}` : "no accession number"}
          </span>
          <span>{study.centre_name}</span>
          <span className="figures">{[study.modalities.join("/"), contents(study)].filter(Boolean).join(" · ")}</span>
        </p>
        <p className="taken-out-why">{study.reason}</p>
        <p className="dim">
          Taken out by {study.by_name}, {moment(study.taken_out)}
        </p>
        {refused && <p className="tone-warn">{refused}</p>}
      </div>
      <div className="taken-out-end">
        <p>
          <strong className={TONES[end.tone]}>{end.text}</strong>
          <span className="dim figures">{end.detail}</span>
        </p>
        {end.tone !== "over" && (
          <button onClick={onBringBack} data-testid="bring-back">
            Bring back…
            <span className="visually-hidden"> the study of {name}</span>
          </button>
        )}
      </div>
    </li>
  );
}
