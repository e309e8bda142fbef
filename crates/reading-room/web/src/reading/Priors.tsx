import type { Prior } from "../api/types";
import { readingPath } from "../app/routes";
import { calendarDate, moment } from "../words/time";

export function Priors({ priors, centre }: { priors: Prior[]; centre: string }) {
  if (priors.length === 0) return <p className="dim pane-note">No earlier study of this patient is known here.</p>;
  return (
    <ul className="priors" data-testid="priors">
      {priors.map((prior) => (
        <li key={prior.study_uid}>
          <h3>
            <a href={readingPath(centre, prior.study_uid)} target="_blank" rel="noopener">
              {calendarDate(prior.study_date) || "Date unknown"} · {prior.description ?? "No description"}
            </a>{" "}
            <span className="dim">{prior.modalities.join("/")}</span>
          </h3>
          {prior.impression ? (
            <p className="report-text">{prior.impression}</p>
          ) : (
            <p className="dim">No signed report.</p>
          )}
          {prior.signed_at && <p className="dim">Signed {moment(prior.signed_at)}</p>}
        </li>
      ))}
    </ul>
  );
}
