/** Which earlier study hangs beside the new images. */

import type { Prior, Study } from "../api/types";
import { regionsOf } from "./regions";
import type { Opening } from "./warm";

/** Series of these are no images to compare. */
const NO_IMAGES = new Set(["SR", "KO", "PR", "DOC", "SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "OT"]);
/** The viewer's own name for new images left and prior right. */
const PROTOCOL = "telerad.priorBeside";

/** An earlier study, and why it is the one: "the latest CT of the head". */
export interface Comparison {
  prior: Prior;
  why: string;
}

/**
 * The latest earlier study of a same modality that shows a same part of the body. Where one of both does not say what it shows, the latest
 * of the modality that does not say something else.
 */
export function priorToCompare({ entry, body_parts, priors }: Pick<Study, "entry" | "body_parts" | "priors">): Comparison | null {
  const ours = regionsOf(entry.description, body_parts);
  const candidates = priors.flatMap((prior) => {
    const modality = prior.modalities.find((one) => !NO_IMAGES.has(one) && entry.modalities.includes(one));
    const regions = regionsOf(prior.description, prior.body_parts);
    return modality ? [{ prior, modality, regions, shared: [...regions].filter((region) => ours.has(region)) }] : [];
  });
  const same = candidates.find(({ shared }) => shared.length > 0);
  if (same) return { prior: same.prior, why: `the latest ${same.modality} of the ${same.shared.join(" and ")}` };
  const unsaid = candidates.find(({ regions }) => ours.size === 0 || regions.size === 0);
  if (!unsaid) return null;
  const why =
    ours.size === 0
      ? `the latest ${unsaid.modality}; what the new images show is not said`
      : `the latest ${unsaid.modality} that may show the same; what it shows is not said`;
  return { prior: unsaid.prior, why };
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
