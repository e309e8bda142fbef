/** Everything one does in the reading view, in one place: claim, text, images on screen, signing, going on. */

import { useEffect, useState } from "react";
import { worklist } from "../api/calls";
import { asApiError } from "../api/client";
import type { ImageSet, SectionKind, Study } from "../api/types";
import { readingPath } from "../app/routes";
import { navigate } from "../app/router";
import { closeEditor } from "../report/editors";
import { draftTexts, sameTexts } from "../report/merge";
import { useViewer } from "../viewer/ViewerHost";
import { SECTION_NAMES } from "../words/names";
import { useClaim, type ClaimHandle } from "./useClaim";
import { useKeyImages, type KeyImagesHandle } from "./useKeyImages";
import { useReport, type ReportHandle } from "./useReport";

const HINT_MS = 5_000;

type ReadingDialog = "sign" | "take_over" | "take_out";

export interface Reading {
  claim: ClaimHandle;
  report: ReportHandle;
  images: { onScreen: ImageSet; round: number; calm: boolean };
  keyImages: KeyImagesHandle;
  dialog: ReadingDialog | null;
  newDraft: boolean;
  /** A short word on what just happened or is missing. */
  hint: string | null;
  show: (dialog: ReadingDialog | null) => void;
  tell: (hint: string | null) => void;
  write: (kind: SectionKind, text: string) => void;
  askToSign: () => void;
  insertDraft: () => void;
  reloadImages: () => void;
  signed: () => Promise<void>;
  release: () => Promise<void>;
  /** Gives the study back and stays on the page. Answers whether it is given back. */
  letGo: () => Promise<boolean>;
  /** The study was taken out: there is nothing to be read here any more. */
  takenOut: (notice: string) => void;
  next: () => Promise<void>;
}

export function useReading(path: string, study: Study, refresh: () => Promise<void>): Reading {
  const claim = useClaim(path, study.entry, refresh);
  const report = useReport(path, study, claim.mine, claim.automatic);
  const images = useImagesOnScreen(study, refresh);
  const [dialog, show] = useState<ReadingDialog | null>(null);
  const [hint, tell] = useState<string | null>(null);
  const keyImages = useKeyImages(path, study, images.round);
  const { save: saveMarks } = useViewer();
  useEffect(() => {
    if (hint === null) return;
    const timer = setTimeout(() => tell(null), HINT_MS);
    return () => clearTimeout(timer);
  }, [hint]);

  const askToSign = () => {
    if (!claim.mine) return;
    claim.keep();
    // What was marked a moment ago belongs to the images that the signature is about.
    saveMarks();
    if (report.texts.impression.trim() !== "") return show("sign");
    tell("Write an impression first.");
    focusSection("impression");
  };

  return {
    claim,
    report,
    images,
    keyImages,
    dialog,
    newDraft: claim.mine && hasNewDraft(study, report),
    hint,
    show,
    tell,
    write: (kind, text) => {
      tell(null);
      report.write(kind, text);
    },
    askToSign,
    insertDraft: () => {
      const kept = report.insertDraft().map((kind) => SECTION_NAMES[kind]);
      tell(kept.length > 0 ? `Your own words were kept in ${kept.join(", ")}.` : "The draft is in the text.");
    },
    reloadImages: () => {
      show(null);
      void images.reload();
    },
    signed: async () => {
      closeEditor(report.editor);
      await refresh();
      show(null);
    },
    release: async () => {
      if (!(await report.editor.flush())) return tell("The text is not saved yet, so the study stays yours.");
      if (await claim.release()) navigate("/", { notice: "The study was given back; what you wrote is kept with it." });
    },
    letGo: async () => (await report.editor.flush()) && claim.release(),
    takenOut: (notice) => {
      closeEditor(report.editor);
      navigate("/", { notice });
    },
    next: () => openNext(study, tell),
  };
}

interface OnScreen {
  /** Null while they are loaded anew. */
  images: ImageSet | null;
  /** Objects that the reader stored from the viewer since: they are on its screen already. */
  stored: number;
  /** Whether all images were there, before the reader's own came. */
  complete: boolean;
  round: number;
}

/** The images that were the newest when the viewer was loaded, and what the reader added there: what a signature is about. */
function useImagesOnScreen({ image_set: newest, entry }: Study, refresh: () => Promise<void>) {
  const complete = entry.completeness.state === "complete";
  const [shown, setShown] = useState<OnScreen>({ images: newest, stored: 0, complete, round: 0 });
  const { stored: listener } = useViewer();
  useEffect(() => {
    const { images, stored } = shown;
    if (images === null) return setShown({ ...shown, images: newest, complete });
    if (complete && !shown.complete && images.digest === newest.digest) return setShown({ ...shown, complete });
    if (stored === 0 || images.digest === newest.digest) return;
    // Exactly so many more are the reader's own. Otherwise others came too, and the reader is told.
    setShown({ ...shown, images: newest.count - images.count === stored ? newest : images, stored: 0 });
  }, [shown, newest, complete]);
  useEffect(() => {
    // Asked first: what came meanwhile from elsewhere must not pass for the reader's own.
    listener.current = () => void refresh().then(() => setShown((known) => ({ ...known, stored: known.stored + 1 })));
    return () => {
      listener.current = null;
    };
  }, [listener, refresh]);
  const reload = async () => {
    await refresh();
    setShown(({ round }) => ({ images: null, stored: 0, complete: false, round: round + 1 }));
  };
  return {
    onScreen: shown.images ?? newest,
    round: shown.round,
    // Nothing is on its way but what the reader made.
    calm: shown.complete && shown.images?.digest === newest.digest,
    reload,
  };
}

function hasNewDraft({ draft, versions }: Study, { state }: ReportHandle): boolean {
  if (!draft || draft.stale || versions.length > 0 || !state.inserted) return false;
  return !sameTexts(draftTexts(draft), state.inserted);
}

export function focusSection(kind: string): void {
  document.getElementById(`section-${kind}`)?.focus();
}

async function openNext(study: Study, tell: (hint: string) => void): Promise<void> {
  try {
    const { entries } = await worklist();
    const next = entries.find(({ state, study_uid }) => state === "unread" && study_uid !== study.entry.study_uid);
    if (next) navigate(readingPath(next.centre, next.study_uid), { start: true });
    else navigate("/", { notice: "Nothing else is waiting." });
  } catch (thrown) {
    tell(asApiError(thrown).message);
  }
}
