import { describe, expect, it } from "vitest";
import { addSentence, mergeDraft, NO_TEXT, textsOf } from "./merge";

const draft = { ...NO_TEXT, technique: "120 kV.", findings: "Slices are even." };

describe("a draft comes into the editor", () => {
  it("fills what is empty", () => expect(mergeDraft(NO_TEXT, null, draft)).toEqual({ texts: draft, kept: [] }));

  it("never overwrites a person's words", () => {
    const own = { ...NO_TEXT, findings: "Bleeding.", impression: "Bleeding." };
    const { texts, kept } = mergeDraft(own, null, draft);
    expect(texts).toEqual({ ...own, technique: "120 kV." });
    expect(kept).toEqual(["findings"]);
  });

  it("replaces the draft that was there before, where nobody changed it", () => {
    const own = { ...draft, findings: "Slices are even. Bleeding." };
    const next = { ...NO_TEXT, technique: "100 kV.", findings: "A slice is missing." };
    const { texts, kept } = mergeDraft(own, draft, next);
    expect(texts.technique).toBe("100 kV.");
    expect(texts.findings).toBe("Slices are even. Bleeding.");
    expect(kept).toEqual(["findings"]);
  });

  it("does not empty a part of which the new draft says nothing", () =>
    expect(mergeDraft(draft, draft, NO_TEXT)).toEqual({ texts: draft, kept: [] }));

  it("does not count a part as kept that says the same already", () =>
    expect(mergeDraft({ ...NO_TEXT, technique: "120 kV. " }, null, draft).kept).toEqual([]));
});

describe("one sentence is added", () => {
  it("on a line of its own", () =>
    expect(addSentence({ ...NO_TEXT, findings: "A.\n" }, "findings", "B.").findings).toBe("A.\nB."));
  it("as the first line", () => expect(addSentence(NO_TEXT, "findings", "B.").findings).toBe("B."));
  it("only once", () => {
    const own = { ...NO_TEXT, findings: "A.\nB." };
    expect(addSentence(own, "findings", "B.")).toBe(own);
  });
});

it("knows every part, also those that were not sent", () =>
  expect(textsOf([{ kind: "dose", text: "1 mGy" }])).toEqual({ ...NO_TEXT, dose: "1 mGy" }));
