import { describe, expect, it } from "vitest";
import { answered, unanswered } from "./prompts";

describe("prompts", () => {
  const findings = "Brain parenchyma: normal.\nMidline and basal cisterns:\nOrbits:  \nNo fracture.";

  it("counts those that nobody answered", () => {
    expect(unanswered(findings)).toBe(2);
    expect(unanswered("")).toBe(0);
    expect(unanswered("Note: see below")).toBe(0);
  });

  it("leaves them out of what is signed, and nothing else", () => {
    const sections = [
      { kind: "findings" as const, text: findings },
      { kind: "impression" as const, text: "Compared with before:" },
    ];
    expect(answered(sections)).toEqual([
      { kind: "findings", text: "Brain parenchyma: normal.\nNo fracture." },
      { kind: "impression", text: "Compared with before:" },
    ]);
  });
});
