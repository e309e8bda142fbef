import { expect, it } from "vitest";
import { bytes, outcome, timeLeft } from "./words";

const study = (stored: number, already_stored: number, not_stored: number) =>
  outcome({ study_uid: "1", modalities: [], stored, already_stored, not_stored });

it("says what became of a study", () => {
  expect(study(212, 3, 1)).toBe("212 images stored, 3 were already here, 1 was not stored");
  expect(study(1, 0, 0)).toBe("1 image stored");
  expect(study(0, 1, 0)).toBe("1 image was already here");
  expect(study(0, 0, 0)).toBe("nothing stored yet");
});

it("says sizes and times", () => {
  expect([bytes(1), bytes(2_500), bytes(2_500_000), bytes(640_000_000), bytes(1_200_000_000)]).toEqual([
    "1 byte",
    "3 kB",
    "2.5 MB",
    "640 MB",
    "1.2 GB",
  ]);
  expect(timeLeft(1000, null)).toBe("");
  expect(timeLeft(180_000, 1000)).toBe("about 3 minutes left");
  expect(timeLeft(10, 1000)).toBe("less than a minute left");
});
