import { personName, plural } from "../words/names";
import { calendarDate } from "../words/time";
import type { Group } from "./sender";
import { FileNames, Refusals } from "./SendingPanel";
import type { Batch, BatchStudy } from "./types";
import { bytes, figure, outcome, studyDetail, studyTitle } from "./words";

/** What became of what was sent together, study by study; `groups` is what this page still knows of its own sending. */
export function BatchDetail({ batch, groups = [] }: { batch: Batch | null; groups?: Group[] }) {
  const byStudy = new Map(batch?.studies.map((study) => [study.study_uid, study]));
  const ofGroups = groups.filter(({ study }) => study);
  const known = new Set(ofGroups.map(({ study }) => study?.uid));
  const others = batch?.studies.filter(({ study_uid }) => !known.has(study_uid)) ?? [];
  const open = batch ? batch.arriving + batch.waiting : 1;
  return (
    <div className="batch" data-testid="batch">
      <ul className="batch-studies">
        {groups
          .filter(({ study }) => !study)
          .map((group) => (
            <FileGroup key={group.key} group={group} open={open} />
          ))}
        {ofGroups.map((group) => (
          <StudyCard key={group.key} group={group} found={byStudy.get(group.study?.uid ?? "")} />
        ))}
        {others.map((study) => (
          <StudyCard key={study.study_uid} found={study} />
        ))}
      </ul>
      {batch && batch.refusals.length > 0 && (
        <Refusals
          title={`${plural(batch.not_stored, "file was", "files were")} not stored`}
          refusals={batch.refusals}
          total={batch.not_stored}
        />
      )}
      {batch && batch.missing > 0 && open === 0 && <Missing batch={batch} />}
      {batch && batch.promised > 0 && batch.missing === 0 && (
        <p className="tone-good">
          The disc’s table of contents lists {plural(batch.promised, "image")}, and all of them are here.
        </p>
      )}
      {batch && batch.not_images > 0 && (
        <p className="dim">{plural(batch.not_images, "other file was", "other files were")} passed over: not images.</p>
      )}
    </div>
  );
}

function StudyCard({ group, found }: { group?: Group; found?: BatchStudy | undefined }) {
  const names = found?.patient_name !== undefined ? studyTitle(found) : personName(group?.study?.patientName ?? null);
  const detail = found?.patient_name !== undefined ? studyDetail(found, found.modalities) : headDetail(group);
  const here = found ? found.stored + found.already_stored + found.not_stored : 0;
  const isSent = !group || group.sent + group.failed === group.files;
  const isDone = isSent && (!group || here >= group.sent);
  return (
    <li
      className="batch-study"
      data-testid="batch-study"
      data-study={found?.study_uid ?? group?.study?.uid}
      data-stored={found?.stored ?? 0}
      data-already={found?.already_stored ?? 0}
      data-done={isDone}
    >
      <div className="batch-study-names">
        <span className="cell-main" title={names}>
          {names}
        </span>
        <span className="cell-more" title={detail}>
          {detail}
        </span>
      </div>
      <div className="batch-study-progress">
        {group && !isSent && <progress value={group.sentBytes} max={group.bytes} aria-label={`Sent of ${names}`} />}
        <span className={isDone ? (found && found.not_stored > 0 ? "tone-warn" : "tone-good") : ""}>
          {isDone && found ? outcome(found) : progressWords(group, here)}
        </span>
      </div>
    </li>
  );
}

function progressWords(group: Group | undefined, here: number): string {
  if (!group) return "";
  const isSent = group.sent + group.failed === group.files;
  if (isSent) return here > 0 ? `storing, ${figure(here)} of ${figure(group.sent)} done` : "storing";
  return `${figure(group.sent)} of ${plural(group.files, "image")} sent`;
}

function headDetail(group: Group | undefined): string {
  const study = group?.study;
  if (!study) return "";
  return [study.patientId, study.description, calendarDate(study.date), study.modality].filter(Boolean).join(" · ");
}

/** A ZIP, or files that only the server can tell. */
function FileGroup({ group, open }: { group: Group; open: number }) {
  const isSent = group.sent + group.failed === group.files;
  return (
    <li className="batch-study" data-testid="batch-archive" data-done={isSent && open === 0}>
      <div className="batch-study-names">
        <span className="cell-main" title={group.name}>
          {group.name}
        </span>
        <span className="cell-more">
          {group.kind === "archive" ? `ZIP, ${bytes(group.bytes)}` : `${plural(group.files, "file")} whose kind only the server can tell`}
        </span>
      </div>
      <div className="batch-study-progress">
        {!isSent && <progress value={group.sentBytes} max={group.bytes} aria-label={`Sent of ${group.name}`} />}
        <span>{fileGroupWords(group, isSent, open)}</span>
      </div>
    </li>
  );
}

function fileGroupWords(group: Group, isSent: boolean, open: number): string {
  if (group.failed > 0 && group.sent === 0 && isSent) return "not sent";
  if (!isSent) return `${bytes(group.sentBytes)} of ${bytes(group.bytes)} sent`;
  if (open > 0) return group.kind === "archive" ? "sent, being unpacked and stored" : "sent, being looked at";
  return group.kind === "archive" ? "unpacked" : "looked at, see below";
}

function Missing({ batch }: { batch: Batch }) {
  return (
    <div className="refusals" data-testid="missing">
      <h3>
        The disc’s table of contents lists {plural(batch.promised, "image")}; {figure(batch.missing)}{" "}
        {batch.missing === 1 ? "is" : "are"} not here
      </h3>
      <FileNames names={batch.missing_names} />
      <p>
        {batch.missing === 1 ? "It was" : "They were"} not on what you sent, or could not be stored.{" "}
        <strong>Copy the disc again and drop the whole folder; what is here already is recognised.</strong>
      </p>
    </div>
  );
}
