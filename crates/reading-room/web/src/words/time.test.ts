import { describe, expect, it } from "vitest";
import { age, calendarDate, duration, timeOfDay, waiting } from "./time";

const MINUTE = 60_000;
const SINCE = "2026-11-22T19:00:00Z";
const after = (minutes: number) => Date.parse(SINCE) + minutes * MINUTE;

describe("duration", () => {
  it.each([
    [-5, "0 s"],
    [59_999, "59 s"],
    [MINUTE, "1 min"],
    [59 * MINUTE + 59_000, "59 min"],
    [65 * MINUTE, "1 h 05"],
    [24 * 60 * MINUTE, "1 d 0 h"],
    [51 * 60 * MINUTE, "2 d 3 h"],
  ])("of %i ms is %s", (ms, text) => expect(duration(ms)).toBe(text));
});

describe("waiting", () => {
  it.each([
    ["stat", 19, "calm", "19 min", "11 min left"],
    ["stat", 20, "soon", "20 min", "10 min left"],
    ["stat", 30, "late", "30 min", "0 s over"],
    ["urgent", 47, "soon", "47 min", "13 min left"],
    ["urgent", 66, "late", "1 h 06", "6 min over"],
    ["routine", 66, "calm", "1 h 06", "22 h 54 left"],
    ["routine", 1500, "late", "1 d 1 h", "1 h 00 over"],
  ] as const)("%s for %i minutes", (priority, minutes, tone, text, remark) =>
    expect(waiting(SINCE, after(minutes), priority)).toEqual({ tone, text, remark }),
  );

  it("does not go below zero when this machine's clock is behind", () =>
    expect(waiting(SINCE, after(-1), "stat").text).toBe("0 s"));
});

describe("age", () => {
  it.each([
    ["1961-04-17", "2026-04-16", "64 y"],
    ["1961-04-17", "2026-04-17", "65 y"],
    ["2025-09-14", "2026-11-22", "14 mo"],
    ["2026-11-13", "2026-11-22", "9 d"],
    ["2026-11-23", "2026-11-22", ""],
    [null, "2026-11-22", ""],
    ["1961", "2026-11-22", ""],
  ])("of %s on %s is %s", (birth, on, text) => expect(age(birth, on)).toBe(text));
});

it("shows what is no date as it is", () => {
  expect(calendarDate("2026-11-22")).toBe("22 Nov 2026");
  expect(calendarDate("next week")).toBe("next week");
  expect(calendarDate(null)).toBe("");
});

it("reads times of day with and without colons", () => {
  expect(timeOfDay("14:05:33")).toBe("14:05");
  expect(timeOfDay("140533.12")).toBe("14:05");
  expect(timeOfDay(null)).toBe("");
});
