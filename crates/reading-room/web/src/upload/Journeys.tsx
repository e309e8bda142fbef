import { useEffect, useRef, useState } from "react";
import { useKeys } from "../app/keys";
import { useNow } from "../app/useNow";
import { usePolled } from "../app/usePolled";
import { Away } from "../ui/Away";
import { plural, PRIORITY_NAMES } from "../words/names";
import { moment, shortMoment } from "../words/time";
import { useSettled } from "../worklist/useSettled";
import { STAGES, type Journeys as Answer, type JourneyStudy } from "./types";
import { STAGE_NAMES, studyDetail, studyTitle } from "./words";

const PAUSE_MS = 4_000;
const SEARCH_PAUSE_MS = 200;
const PAGE = 50;

/** The centre's studies with where each stands on its journey, the latest first. */
export function Journeys({ centre, settled }: { centre: string; settled: boolean }) {
  const [text, setText] = useState("");
  const [offset, setOffset] = useState(0);
  const asked = useSettled(text.trim(), SEARCH_PAUSE_MS);
  useEffect(() => setOffset(0), [asked, centre]);
  const query = new URLSearchParams({ q: asked, offset: String(offset), limit: String(PAGE) });
  const path = `/centres/${encodeURIComponent(centre)}/studies?${query}`;
  const { data, error, answeredAt, refresh } = usePolled<Answer>(path, PAUSE_MS);
  useEffect(() => {
    if (settled) void refresh();
  }, [settled, refresh]);
  const now = useNow(10_000);
  const search = useRef<HTMLInputElement>(null);
  useKeys({ "/": () => search.current?.select() });
  return (
    <section aria-label="Your studies" data-testid="journeys">
      <div className="page-head">
        <h2>Where your studies stand</h2>
        <div className="page-tools">
          <label className="search">
            <span className="visually-hidden">Search your studies</span>
            <input
              ref={search}
              type="search"
              placeholder="Search name, id, accession"
              value={text}
              onChange={(event) => setText(event.target.value)}
            />
            <kbd>/</kbd>
          </label>
        </div>
      </div>
      {error && !error.passing && <Away error={error} answeredAt={answeredAt} />}
      {data && data.studies.length > 0 && (
        <table className="journeys">
          <thead>
            <tr>
              <th scope="col">Patient</th>
              <th scope="col">Images</th>
              <th scope="col">Arrived</th>
              <th scope="col">Where it stands</th>
            </tr>
          </thead>
          <tbody>
            {data.studies.map((study) => (
              <JourneyRow key={study.study_uid} study={study} now={now} />
            ))}
          </tbody>
        </table>
      )}
      {data && data.studies.length === 0 && (
        <p className="dim journeys-empty" data-testid="journeys-empty">
          {asked
            ? `No study matches “${asked}”.`
            : offset > 0
              ? "There are no older studies."
              : "No study has come from your centre yet. What you send appears here, and stays until its report is read."}
        </p>
      )}
      {data && (offset > 0 || data.more) && (
        <div className="pager">
          <button disabled={offset === 0} onClick={() => setOffset(Math.max(0, offset - PAGE))}>
            Newer
          </button>
          <button disabled={!data.more} onClick={() => setOffset(offset + PAGE)}>
            Older
          </button>
        </div>
      )}
    </section>
  );
}

function JourneyRow({ study, now }: { study: JourneyStudy; now: number }) {
  const title = studyTitle(study);
  const detail = studyDetail(study, study.modalities);
  const isBehind = study.needs_attention.length > 0;
  return (
    <tr data-testid="journey" data-study={study.study_uid} data-stage={study.stage} data-attention={isBehind}>
      <td>
        <span className="cell-main" title={title}>
          {title}
          {study.priority !== "routine" && (
            <span className={`priority priority-${study.priority}`}> {PRIORITY_NAMES[study.priority]}</span>
          )}
        </span>
        <span className="cell-more" title={detail}>
          {detail}
        </span>
      </td>
      <td className="figures">
        <span className="cell-main">
          {study.expected_instances ? `${study.instance_count} of ${study.expected_instances}` : study.instance_count}
        </span>
        <span className="cell-more">{plural(study.series_count, "series", "series")}</span>
      </td>
      <td className="figures" title={moment(study.first_received)}>
        {shortMoment(study.first_received, now)}
      </td>
      <td>
        <Steps study={study} />
        <span className="cell-more" title={moment(study.since)}>
          since {shortMoment(study.since, now)}
          {study.deliveries > 1 && study.stage === "delivered" && ` · ${study.acknowledged} of ${study.deliveries} acknowledged`}
          {study.new_images_after_signature && " · images came after the signature"}
        </span>
        {study.needs_attention.map(({ reason, next_step }) => (
          <p key={reason} className="journey-attention">
            <strong>Needs attention.</strong> {reason} {next_step}
          </p>
        ))}
      </td>
    </tr>
  );
}

/** The journey as a line of steps; the words say the same. */
function Steps({ study }: { study: JourneyStudy }) {
  const reached = STAGES.indexOf(study.stage);
  return (
    <span className="steps">
      <span className="steps-line" aria-hidden="true">
        {STAGES.slice(1).map((stage, index) => (
          <span key={stage} className={index < reached ? "step step-done" : "step"} title={STAGE_NAMES[stage]} />
        ))}
      </span>
      <span className={study.stage === "acknowledged" ? "tone-good" : ""}>{STAGE_NAMES[study.stage]}</span>
    </span>
  );
}
