import { expect, it } from "vitest";
import { withLinks } from "./links";

it("finds addresses and leaves the sentence its full stop", () =>
  expect(withLinks("See http://a.example/r/x-1. Or (https://b.example/?q=1)!")).toEqual([
    { text: "See ", link: false },
    { text: "http://a.example/r/x-1", link: true },
    { text: ". Or (", link: false },
    { text: "https://b.example/?q=1", link: true },
    { text: ")!", link: false },
  ]));

it("makes no link of anything but http", () =>
  expect(withLinks("javascript:alert(1) file:///etc")).toEqual([
    { text: "javascript:alert(1) file:///etc", link: false },
  ]));
