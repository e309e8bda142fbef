import { expect, it } from "vitest";
import type { QuarantinedObject } from "../api/types";
import { cameAgain, claim, sender, sentence } from "./words";

const object = (of: Partial<QuarantinedObject>): QuarantinedObject => of as QuarantinedObject;

it.each([
  ["1.2.840.10008.5.1.4.1.1.2", "a CT image"],
  ["1.2.840.10008.5.1.4.1.1.88.67", "a radiation dose report"],
  ["1.2.3", "an object of class 1.2.3"],
  [null, "an object of no known class"],
])("claims of %s", (sop_class, words) => expect(claim(object({ sop_class }))).toBe(words));

it("says who sent it", () => {
  expect(sender(object({ way: "association", ae_title: "CT_1", by_name: null }))).toBe("sent by CT_1");
  expect(sender(object({ way: "upload", ae_title: null, by_name: "Ana Silva" }))).toBe("uploaded by Ana Silva");
  expect(sender(object({ way: "rebuild", ae_title: null, by_name: null }))).toBe("found in storage when the catalog was made again");
  expect(sender(object({ way: "web", ae_title: null, by_name: null }))).toBe("sent over the web by a program");
});

it("makes sentences", () => {
  expect(sentence("a delimiter closes nothing")).toBe("A delimiter closes nothing.");
  expect(cameAgain(1)).toBe("");
  expect(cameAgain(3)).toBe("came 3 times");
});
