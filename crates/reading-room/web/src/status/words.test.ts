import { expect, it } from "vitest";
import { amount, count, isNearlyFull, lastRound } from "./words";

it.each([
  [64, "count", "64"],
  [200_000, "count", "200 000"],
  [70, "bytes", "70 bytes"],
  [16_384, "bytes", "16 KiB"],
  [4_294_967_296, "bytes", "4 GiB"],
  [1_572_864, "bytes", "1.5 MiB"],
  [1024, "bytes_per_second", "1 KiB/s"],
  [30, "seconds", "30 s"],
  [86_400, "seconds", "86 400 s"],
  [2_592_000, "seconds", "30 days"],
  [2_592_001, "seconds", "2 592 001 s"],
  [100, "times", "100 times"],
] as const)("%d %s", (value, unit, text) => expect(amount(value, unit)).toBe(text));

it("keeps digits together in groups of three", () => expect(count(1_234_567)).toBe("1 234 567"));

it("warns before a limit is reached", () => {
  const limit = { name: "Guests", value: 10, unit: "count", setting: null } as const;
  expect(isNearlyFull({ ...limit, in_use: 7 })).toBe(false);
  expect(isNearlyFull({ ...limit, in_use: 8 })).toBe(true);
  expect(isNearlyFull({ ...limit, in_use: null })).toBe(false);
});

it("says what the last round came to", () => {
  const job = {
    began: null,
    objects: 0,
    bytes: 0,
    found: 0,
    share: null,
    bytes_per_second: null,
    last_ended: null,
    last_objects: 12_345,
    last_found: 2,
    halted: null,
  };
  expect(lastRound(job, "bad", String)).toBe("No round has ended yet.");
  expect(lastRound({ ...job, last_ended: "today" }, "bad", String)).toBe(
    "The last round ended today: 12 345 objects, 2 bad.",
  );
});
