import { expect, it } from "vitest";
import type { Conflict } from "../api/types";
import { byStudy, choicesFor, objectName, seen, what } from "./words";

const conflict = (over: Partial<Conflict>): Conflict =>
  ({
    centre: "north",
    id: "1.2:1.2.3:ab",
    kind: "contents",
    differs: ["other_bytes"],
    study_uid: "1.2",
    object: { sop_instance_uid: "1.2.3", kind: "CT image", series_number: 2, instance_number: 14 },
    images: null,
    seen_count: 1,
    ...over,
  }) as Conflict;

it("says what happened", () => {
  expect(what(conflict({}))).toBe("The same image came again with other contents");
  expect(what(conflict({ differs: ["other_study", "other_patient"] }))).toBe(
    "The same image came again with another study and another patient",
  );
  expect(what(conflict({ kind: "patient", differs: ["other_patient"], images: 1 }))).toBe(
    "1 image of this study names another patient",
  );
  expect(what(conflict({ kind: "patient", differs: ["other_patient"], images: 24 }))).toBe(
    "24 images of this study name another patient",
  );
});

it("names the object as far as it is known", () => {
  expect(objectName(conflict({}))).toBe("CT image · series 2 · image 14");
  const bare = { sop_instance_uid: "1", kind: "1.2.3", series_number: null, instance_number: 0 };
  expect(objectName(conflict({ object: bare }))).toBe("1.2.3 · image 0");
  expect(objectName(conflict({ object: null }))).toBe("");
  expect([seen(conflict({})), seen(conflict({ seen_count: 3 }))]).toEqual(["", "sent 3 times"]);
});

it("puts conflicts of one study together", () => {
  const groups = byStudy([conflict({ id: "a" }), conflict({ id: "b", study_uid: "9" }), conflict({ id: "c" })]);
  expect(groups.map(({ conflicts }) => conflicts.map(({ id }) => id))).toEqual([["a", "c"], ["b"]]);
  expect(choicesFor(conflict({ kind: "patient" }))).toEqual(["same_patient", "other_patient"]);
});
