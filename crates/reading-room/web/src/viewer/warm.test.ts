import { describe, expect, it } from "vitest";
import { OPENINGS_MAX, Shown, type Opening } from "./warm";

const opening = (...names: string[]): Opening => ({ address: "/viewer", names, round: 0 });

describe("a loaded viewer", () => {
  it("goes on with a patient it has not shown", () => {
    const shown = new Shown();
    shown.add(opening("north patient 1", "study 1.2"));
    expect(shown.takes(opening("north patient 2", "study 1.3"))).toBe(true);
  });

  it("is loaded anew for a patient, a study or a prior it knows", () => {
    const shown = new Shown();
    shown.add(opening("north patient 1", "study 1.2", "study 1.1"));
    expect(shown.takes(opening("north patient 1", "study 1.4"))).toBe(false);
    expect(shown.takes(opening("south patient 7", "study 1.2"))).toBe(false);
    expect(shown.takes(opening("south patient 7", "study 1.1"))).toBe(false);
    shown.clear();
    expect(shown.takes(opening("north patient 1", "study 1.4"))).toBe(true);
  });

  it("is loaded anew after a number of studies", () => {
    const shown = new Shown();
    for (let index = 0; index < OPENINGS_MAX; index += 1) {
      expect(shown.takes(opening(`patient ${index}`))).toBe(true);
      shown.add(opening(`patient ${index}`));
    }
    expect(shown.takes(opening("one more"))).toBe(false);
  });
});
