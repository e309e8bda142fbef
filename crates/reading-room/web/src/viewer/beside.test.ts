import { describe, expect, it } from "vitest";
import type { Prior, Study } from "../api/types";
import { priorToCompare } from "./beside";
import { regionsOf } from "./regions";

const prior = (study_uid: string, modality: string, description: string | null, ...body_parts: string[]) =>
  ({ study_uid, modalities: [modality, "SR"], description, body_parts }) as Prior;
const study = (description: string | null, body_parts: string[], ...priors: Prior[]) =>
  ({ entry: { modalities: ["CT", "SR"], description }, body_parts, priors }) as unknown as Study;
const chosen = (of: Study) => {
  const found = priorToCompare(of);
  return found && [found.prior.study_uid, found.why];
};

describe("regions of a study", () => {
  it.each<[string | null, string[], string[]]>([
    ["CT Head without contrast", [], ["head"]],
    ["CT Schädel nativ", [], ["head"]],
    ["Thorax/Abdomen", [], ["abdomen", "chest"]],
    ["MR thoracic spine", [], ["thoracic spine"]],
    [null, ["CSPINE"], ["cervical spine"]],
    ["Trauma", ["KNEE"], ["knee"]],
    ["Routine", [], []],
  ])("%s, %j", (description, parts, regions) => {
    expect([...regionsOf(description, parts)].sort()).toEqual(regions);
  });
});

describe("the prior to compare with", () => {
  it("is the latest of the same modality and region", () => {
    const others = [prior("mr", "MR", "Brain"), prior("knee", "CT", "CT knee")];
    const priors = [...others, prior("head", "CT", "Neurocranium"), prior("old", "CT", "Head")];
    expect(chosen(study("CT head", [], ...priors))).toEqual(["head", "the latest CT of the head"]);
  });

  it("is the latest of the modality where one of both does not say what it shows", () => {
    const priors = [prior("knee", "CT", "CT knee"), prior("any", "CT", "Routine")];
    expect(chosen(study("CT head", [], ...priors))).toEqual(["any", "the latest CT that may show the same; what it shows is not said"]);
    expect(chosen(study("Trauma", [], ...priors))).toEqual(["knee", "the latest CT; what the new images show is not said"]);
  });

  it("is none where all show something else", () => {
    expect(chosen(study("CT head", [], prior("knee", "CT", null, "KNEE"), prior("us", "US", "Head")))).toBeNull();
  });
});
