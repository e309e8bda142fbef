/** Which earlier study hangs beside the new images. */

import type { Prior, Study } from "../api/types";
import type { Opening } from "./warm";

/** Series of these are no images to compare. */
const NO_IMAGES = new Set(["SR", "KO", "PR", "DOC", "SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "OT"]);
/** The viewer's own name for new images left and prior right. */
const PROTOCOL = "telerad.priorBeside";

/** The latest earlier study that was made with one of the same modalities. */
export function priorToCompare({ entry, priors }: Pick<Study, "entry" | "priors">): Prior | null {
  const ours = entry.modalities.filter((modality) => !NO_IMAGES.has(modality));
  return priors.find(({ modalities }) => modalities.some((modality) => ours.includes(modality))) ?? null;
}

/** What the viewer opens for a study, with a prior beside or alone. */
export function openingOf(study: Study, beside: Prior | null, round: number): Opening {
  const { centre, study_uid, patient } = study.entry;
  const address = new URL(study.viewer_url, window.location.origin);
  if (beside) {
    address.searchParams.set("StudyInstanceUIDs", `${study_uid},${beside.study_uid}`);
    address.searchParams.set("hangingProtocolId", PROTOCOL);
  }
  return {
    address: `${address.pathname}${address.search}`,
    names: [
      `patient ${centre}/${patient.id ?? `of ${study_uid}`}`,
      ...[study_uid, ...study.priors.map((prior) => prior.study_uid)].map((uid) => `study ${uid}`),
    ],
    round,
  };
}
