import type { Prior } from "../api/types";
import { readingPath } from "../app/routes";
import { calendarDate, moment } from "../words/time";
import type { PriorBeside } from "./usePriorBeside";

interface Props {
  priors: Prior[];
  centre: string;
  beside: PriorBeside;
}

export function Priors({ priors, centre, beside }: Props) {
  if (priors.length === 0) return <p className="dim pane-note">No earlier study of this patient is known here.</p>;
  return (
    <>
      {!beside.found && (
        <p className="dim pane-note">
          None was made in the same way and shows the same part of the body, so none hangs beside by itself.
        </p>
      )}
      <ul className="priors" data-testid="priors">
        {priors.map((prior) => {
          const hangs = beside.prior?.study_uid === prior.study_uid;
          return (
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
              {beside.found?.prior.study_uid === prior.study_uid && (
                <p className="dim" data-testid="prior-why">
                  To compare with: {beside.found.why}.
                </p>
              )}
              {prior.signed_at && <p className="dim">Signed {moment(prior.signed_at)}</p>}
              <button
                className="quiet"
                aria-pressed={hangs}
                onClick={() => beside.hang(hangs ? null : prior)}
                data-testid="prior-beside"
              >
                {hangs ? "Take it off the screen" : "Hang it beside the new images"}
              </button>
            </li>
          );
        })}
      </ul>
    </>
  );
}
