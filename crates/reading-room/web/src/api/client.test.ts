import { expect, it } from "vitest";
import { errorOf } from "./client";

it("takes the API's words and keeps what comes beside them", () => {
  const error = errorOf(409, {
    error: { code: "changed_elsewhere", message: "Changed.", next_step: null, revision: 7 },
  });
  expect([error.code, error.message, error.nextStep, error.number("revision")]).toEqual([
    "changed_elsewhere",
    "Changed.",
    null,
    7,
  ]);
  expect(error.passing).toBe(false);
});

it.each([null, "oops", { error: "oops" }, { error: { message: 3 } }])(
  "finds words for an answer from a proxy: %o",
  (answer) => {
    const error = errorOf(502, answer);
    expect(error.message).toBe("The server answered with status 502.");
    expect(error.passing).toBe(true);
  },
);
