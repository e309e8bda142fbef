import { useEffect, useRef, useState } from "react";
import type { ApiError } from "../api/client";
import type { Study } from "../api/types";
import { useSignedIn } from "../app/session";
import { Away } from "../ui/Away";
import { personName, PRIORITY_NAMES } from "../words/names";
import { openingOf } from "../viewer/beside";
import { TakeOutDialog } from "../taken-out/TakeOutDialog";
import { useViewer } from "../viewer/ViewerHost";
import { ViewerPlace } from "../viewer/ViewerPlace";
import { notesOf, type NoteAction } from "./notes";
import { Notes } from "./Notes";
import { PatientStrip } from "./PatientStrip";
import { ReportBar } from "./ReportBar";
import { ReportPanes } from "./ReportPanes";
import { SignDialog } from "./SignDialog";
import { Splitter } from "./Splitter";
import { TakeOver } from "./TakeOver";
import { usePriorBeside } from "./usePriorBeside";
import { useReading } from "./useReading";
import { usePanelWidth } from "./usePanelWidth";
import { useReadingKeys } from "./useReadingKeys";

interface Props {
  path: string;
  study: Study;
  error: ApiError | null;
  answeredAt: number | null;
  refresh: () => Promise<void>;
}

export function ReadingView({ path, study, error, answeredAt, refresh }: Props) {
  const { person } = useSignedIn();
  const reading = useReading(path, study, refresh);
  const { claim, report, images, dialog } = reading;
  const beside = usePriorBeside(study);
  const panel = usePanelWidth();
  const { frame: viewer } = useViewer();
  const section = useRef<HTMLElement>(null);
  const keys = useReadingKeys({ reading, panel, viewer, section });
  const seen = images.calm ? withoutOwnNews(study) : study;
  const notes = notesOf({ study: seen, onScreen: images.onScreen, holder: claim.holder, newDraft: reading.newDraft });
  const act: Record<NoteAction, () => void> = {
    reload_images: reading.reloadImages,
    insert_draft: reading.insertDraft,
    take_over: () => reading.show("take_over"),
  };
  const signedBy = useSignedFocus(study.versions.length, section);

  return (
    <main id="main" className="reading" data-testid="reading" data-folded={panel.folded}>
      <h1 className="visually-hidden">
        {personName(study.entry.patient.name)}, {study.entry.description}, {PRIORITY_NAMES[study.entry.priority]}
      </h1>
      <ViewerPlace opening={openingOf(study, beside.prior, images.round)} keys={keys} />
      <Splitter panel={panel} />
      {!panel.folded && (
        <section className="panel" ref={section} aria-label="Report" tabIndex={-1} style={{ width: panel.width }}>
          <PatientStrip study={study} onTakeOut={person.role === "admin" ? () => reading.show("take_out") : null} />
          {error && <Away error={error} answeredAt={answeredAt} />}
          <Notes notes={notes} onAct={(action) => act[action]()} readOnly={person.role === "centre"} />
          <ReportPanes study={study} path={path} reading={reading} beside={beside} justSigned={signedBy} />
          <ReportBar reading={reading} study={study} reader={person.role !== "centre"} />
        </section>
      )}
      {dialog === "sign" && (
        <SignDialog
          path={path}
          study={seen}
          report={report}
          onScreen={images.onScreen}
          keyImages={reading.keyImages.chosen}
          onClose={() => reading.show(null)}
          onSigned={reading.signed}
          onReload={reading.reloadImages}
        />
      )}
      {dialog === "take_over" && claim.holder && (
        <TakeOver holder={claim.holder} onClose={() => reading.show(null)} onTakeOver={claim.takeOver} />
      )}
      {dialog === "take_out" && (
        <TakeOutDialog
          entry={study.entry}
          onRelease={claim.mine ? reading.letGo : undefined}
          onClose={() => reading.show(null)}
          onTakenOut={reading.takenOut}
        />
      )}
    </main>
  );
}

/** The study as it was before what the reader stored: all there, its draft about these images. */
function withoutOwnNews(study: Study): Study {
  const completeness = { ...study.entry.completeness, state: "complete" as const };
  const draft = study.draft && { ...study.draft, stale: false };
  return { ...study, entry: { ...study.entry, completeness }, draft };
}

/** Puts the focus on the panel when a version is signed here, and tells that it happened. */
function useSignedFocus(versions: number, section: React.RefObject<HTMLElement | null>): boolean {
  const before = useRef(versions);
  const [signed, setSigned] = useState(false);
  useEffect(() => {
    if (versions > before.current) {
      setSigned(true);
      section.current?.focus();
    }
    before.current = versions;
  }, [versions, section]);
  return signed;
}
