import { expect, it } from "vitest";
import { fingerprint, interrupted } from "./memory";

const store = (text: string | null) => ({ getItem: () => text }) as unknown as Storage;

it("names a file by path, size and time", () => {
  const one = fingerprint("a/b", 1, 2);
  expect(one).toBe(fingerprint("a/b", 1, 2));
  expect(new Set([one, fingerprint("a/c", 1, 2), fingerprint("a/b", 2, 2), fingerprint("a/b", 1, 3)]).size).toBe(4);
});

it("reads what was kept, and nothing else", () => {
  const kept = { centre: "north", batch: "b", total: 3, sent: "x y" };
  expect(interrupted(store(JSON.stringify(kept)))?.sent).toEqual(new Set(["x", "y"]));
  for (const bad of [null, "", "[]", "{}", '{"centre":1}']) expect(interrupted(store(bad))).toBeNull();
});
