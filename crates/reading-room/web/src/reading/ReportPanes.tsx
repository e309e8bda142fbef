import { useState, type KeyboardEvent } from "react";
import type { Study } from "../api/types";
import { KeyImages } from "./KeyImages";
import { Priors } from "./Priors";
import { ReportEditorPane } from "./ReportEditorPane";
import { SignedReport } from "./SignedReport";
import { Sources } from "./Sources";
import { Trail } from "./Trail";
import type { PriorBeside } from "./usePriorBeside";
import type { Reading } from "./useReading";

type Tab = "report" | "sources" | "priors" | "history";

interface Props {
  study: Study;
  path: string;
  reading: Reading;
  beside: PriorBeside;
  justSigned: boolean;
}

/** The report and what stands beside it. In a wide panel both are seen at once. */
export function ReportPanes({ study, path, reading, beside: prior, justSigned }: Props) {
  const [tab, setTab] = useState<Tab>("report");
  const { claim, report, keyImages } = reading;
  const beside = tab === "report" ? "sources" : tab;
  const writing = study.versions.length === 0 || claim.mine || report.editor.unsaved;
  return (
    <div className="panes" data-tab={tab}>
      <Tabs tab={tab} onTab={setTab} priors={study.priors.length} />
      <div className="pane pane-report" id="pane-report" role="tabpanel" aria-label="Report">
        {study.versions.length > 0 && <SignedReport study={study} announce={justSigned} />}
        {writing && <ReportEditorPane study={study} reading={reading} />}
        {writing && keyImages.offered.length + keyImages.leftOut > 0 && (
          <KeyImages
            images={keyImages.offered}
            selected={keyImages.chosen.map(({ digest }) => digest)}
            leftOut={keyImages.leftOut}
            onToggle={claim.mine ? keyImages.toggle : null}
          />
        )}
      </div>
      <div className="pane pane-beside" id={`pane-${beside}`} role="tabpanel" aria-label={NAMES[beside]}>
        {beside === "sources" && (
          <Sources
            draft={study.draft}
            texts={report.texts}
            kinds={report.editor.kinds}
            onInsert={claim.mine ? report.insertSentence : null}
            onInsertAll={claim.mine && study.versions.length === 0 ? reading.insertDraft : null}
          />
        )}
        {beside === "priors" && <Priors priors={study.priors} centre={study.entry.centre} beside={prior} />}
        {beside === "history" && <Trail path={path} version={study.versions.length} />}
      </div>
    </div>
  );
}

const NAMES: Record<Tab, string> = {
  report: "Report",
  sources: "Draft & sources",
  priors: "Priors",
  history: "History",
};
const TABS: readonly Tab[] = ["report", "sources", "priors", "history"];

function Tabs({ tab, onTab, priors }: { tab: Tab; onTab: (tab: Tab) => void; priors: number }) {
  const press = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = step && TABS[(TABS.indexOf(tab) + step + TABS.length) % TABS.length];
    if (!next) return;
    event.preventDefault();
    onTab(next);
    document.getElementById(`tab-${next}`)?.focus();
  };
  return (
    <div className="tabs" role="tablist" aria-label="Parts of the panel" onKeyDown={press}>
      {TABS.map((name) => (
        <button
          key={name}
          id={`tab-${name}`}
          role="tab"
          aria-selected={tab === name}
          aria-controls={`pane-${name}`}
          tabIndex={tab === name ? 0 : -1}
          onClick={() => onTab(name)}
        >
          {NAMES[name]}
          {name === "priors" && priors > 0 && <span className="badge">{priors}</span>}
        </button>
      ))}
    </div>
  );
}
