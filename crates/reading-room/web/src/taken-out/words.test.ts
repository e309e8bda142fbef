import { describe, expect, it } from "vitest";
import type { TakenOutStudy } from "../api/types";
import { moment } from "../words/time";
import { contents, ending, refusedSince, timeLeft } from "./words";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const UNTIL = "2026-11-22T19:00:00Z";
const before = (ms: number) => Date.parse(UNTIL) - ms;

const study = (of: Partial<TakenOutStudy>): TakenOutStudy =>
  ({ until: UNTIL, can_come_back: true, refused_count: 0, last_refused: null, ...of }) as TakenOutStudy;

describe("the time that is left", () => {
  it.each([
    [30 * DAY - 1, "30 more days"],
    [12 * DAY + 60 * MINUTE, "12 more days"],
    [2 * DAY, "2 more days"],
    [2 * DAY - 1, "47 more hours"],
    [121 * MINUTE, "2 more hours"],
    [119 * MINUTE, "119 more minutes"],
    [119_999, "less than two minutes"],
    [-5, "less than two minutes"],
  ])("%i ms are %s", (ms, text) => expect(timeLeft(UNTIL, before(ms))).toBe(text));
});

describe("the end", () => {
  it.each([
    [12 * DAY, true, "Can come back for 12 more days", "calm"],
    [2 * DAY, true, "Can come back for 2 more days", "soon"],
    [12 * DAY, false, "Its time is over", "over"],
    // The page's clock may be ahead of the latest answer.
    [0, true, "Its time is over", "over"],
  ])("%i ms before, able to come back: %s", (ms, can_come_back, text, tone) =>
    expect(ending(study({ can_come_back }), before(ms))).toMatchObject({ text, tone }),
  );

  it("names the moment too", () =>
    expect(ending(study({}), before(12 * DAY)).detail).toBe(`until ${moment(UNTIL)}`));
});

it("says what went", () => {
  expect(contents({ series_count: 1, instance_count: 1, bytes: 900 })).toBe("1 image in 1 series, 900 bytes");
  expect(contents({ series_count: 3, instance_count: 1240, bytes: 640e6 })).toBe("1,240 images in 3 series, 640 MB");
});

it("says what was refused since, and nothing where nothing was", () => {
  expect(refusedSince(study({}))).toBeNull();
  expect(refusedSince(study({ refused_count: 1, last_refused: UNTIL }))).toBe(
    `1 image of it came since and was refused, on ${moment(UNTIL)}.`,
  );
  expect(refusedSince(study({ refused_count: 1300, last_refused: UNTIL }))).toBe(
    `1,300 images of it came since and were refused, the last on ${moment(UNTIL)}.`,
  );
});
