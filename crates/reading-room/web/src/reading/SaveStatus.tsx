import { clockSeconds } from "../words/time";
import type { ReportHandle } from "./useReport";

/** Whether what is written is safe. */
export function SaveStatus({ report, held }: { report: ReportHandle; held: boolean }) {
  const { saving } = report.state;
  if (saving.state !== "failed") {
    return (
      <span className="save-state" role="status" data-testid="save-status" data-saving={saving.state}>
        {wording(saving)}
      </span>
    );
  }
  const { error } = saving;
  const elsewhere = error.code === "changed_elsewhere";
  return (
    <span className="save-failed" role="alert" data-testid="save-status" data-saving="failed">
      Not saved — {error.message}
      {elsewhere && (
        <>
          <button onClick={() => void report.editor.overwrite(error.number("revision") ?? report.editor.revision)}>
            Keep this text
          </button>
          <button onClick={report.takeServers}>Take the other text</button>
        </>
      )}
      {!held && !elsewhere && <KeptText report={report} />}
      {held && !elsewhere && <button onClick={() => void report.editor.flush()}>Save now</button>}
    </span>
  );
}

function KeptText({ report }: { report: ReportHandle }) {
  const text = report.editor
    .sections()
    .map((section) => section.text)
    .filter(Boolean)
    .join("\n\n");
  return (
    <>
      <button onClick={() => void navigator.clipboard.writeText(text)}>Copy my text</button>
      <button onClick={report.takeServers}>Drop it</button>
    </>
  );
}

function wording(saving: { state: "untouched" | "dirty" | "saving" } | { state: "saved"; at: string }): string {
  switch (saving.state) {
    case "untouched":
      return "Nothing changed yet";
    case "dirty":
    case "saving":
      return "Saving…";
    case "saved":
      return `Saved ${clockSeconds(saving.at)}`;
  }
}
