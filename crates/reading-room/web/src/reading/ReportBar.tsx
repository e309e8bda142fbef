import type { Study } from "../api/types";
import { SaveStatus } from "./SaveStatus";
import type { Reading } from "./useReading";

/** What one can do now, always in the same place. */
export function ReportBar({ reading, study, reader }: { reading: Reading; study: Study; reader: boolean }) {
  const { claim, report, hint } = reading;
  const signed = study.versions.length > 0;
  return (
    <footer className="report-bar">
      <div className="report-state">
        {claim.error && <span className="save-failed">{claim.error.message}</span>}
        {(claim.mine || report.editor.unsaved) && <SaveStatus report={report} held={claim.mine} />}
        {hint && (
          <span className="hint" role="status" data-testid="hint">
            {hint}
          </span>
        )}
      </div>
      {claim.mine && (
        <button onClick={() => void reading.release()} disabled={claim.busy} data-testid="release">
          Release <kbd>Esc Esc</kbd>
        </button>
      )}
      {claim.mine && (
        <button className="primary" onClick={reading.askToSign} data-testid="sign">
          Sign <kbd>Ctrl ⏎</kbd>
        </button>
      )}
      {reader && !claim.mine && claim.holder && <button onClick={() => reading.show("take_over")}>Take over…</button>}
      {reader && !claim.holder && (
        <button
          className={signed ? "" : "primary"}
          onClick={() => void claim.take()}
          disabled={claim.busy}
          data-testid={signed ? "add-addendum" : "start-reading"}
        >
          {signed ? "Add addendum" : "Start reading"} <kbd>R</kbd>
        </button>
      )}
      {reader && !claim.mine && (
        <button className={signed ? "primary" : ""} onClick={() => void reading.next()} data-testid="next-study">
          Next study <kbd>N</kbd>
        </button>
      )}
    </footer>
  );
}
