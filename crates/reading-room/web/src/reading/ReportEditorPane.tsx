import type { Study } from "../api/types";
import { SECTION_NAMES } from "../words/names";
import { shortMoment } from "../words/time";
import type { Reading } from "./useReading";

/** The parts of the report as texts that grow with what is written. */
export function ReportEditorPane({ study, reading }: { study: Study; reading: Reading }) {
  const { claim, report } = reading;
  const addendum = study.versions.length > 0;
  return (
    <section className="editor" aria-label={addendum ? "Addendum" : "Report text"} data-testid="report-editor">
      {addendum && <h2>Addendum to version {study.versions.length}</h2>}
      {!claim.mine && (
        <p className="dim editor-note">{whoseText(study, report.editor.unsaved, claim.holder !== null)}</p>
      )}
      {report.editor.kinds.map((kind) => (
        <Section
          key={kind}
          kind={kind}
          title={SECTION_NAMES[kind]}
          text={report.texts[kind]}
          readOnly={!claim.mine}
          onWrite={(text) => reading.write(kind, text)}
        />
      ))}
    </section>
  );
}

/** Whose words stand there while nobody writes here. */
function whoseText({ working_copy: copy, draft }: Study, unsaved: boolean, held: boolean): string {
  if (unsaved) return "This is your text, kept in this window only. Copy it, or take the study over.";
  if (copy) return `${copy.mine ? "Your text" : `Text by ${copy.by_name}`}, saved ${shortMoment(copy.at, Date.now())}.`;
  if (!draft) return held ? "No draft yet." : "No draft yet. Start reading to write the report.";
  return held ? "This is the draft." : "This is the draft. Start reading to change and sign it.";
}

interface SectionProps {
  kind: string;
  title: string;
  text: string;
  readOnly: boolean;
  onWrite: (text: string) => void;
}

function Section({ kind, title, text, readOnly, onWrite }: SectionProps) {
  const id = `section-${kind}`;
  return (
    <div className={`section section-${kind}`}>
      <label htmlFor={id}>{title}</label>
      <div className="grow" data-text={text}>
        <textarea
          id={id}
          rows={1}
          value={text}
          readOnly={readOnly}
          spellCheck
          onChange={(event) => onWrite(event.target.value)}
        />
      </div>
    </div>
  );
}
