import { expect, it } from "vitest";
import { parseRoute, readingPath } from "./routes";

it.each([
  ["/", { page: "worklist" }],
  ["/read/north/1.2.3", { page: "read", centre: "north", study: "1.2.3" }],
  ["/read/north", { page: "unknown" }],
  ["/read/north/1.2.3/more", { page: "unknown" }],
  ["/deliveries", { page: "deliveries" }],
  ["/tasks/", { page: "tasks" }],
  ["/quarantine", { page: "quarantine" }],
  ["/conflicts", { page: "conflicts", of: null }],
  ["/conflicts/north/1.2.3", { page: "conflicts", of: { centre: "north", study: "1.2.3" } }],
  ["/conflicts/north", { page: "unknown" }],
  ["/upload", { page: "upload" }],
  ["/status", { page: "status" }],
  ["/taken-out", { page: "taken-out" }],
  ["/taken-out/north", { page: "unknown" }],
  ["/mailbox", { page: "mailbox", mail: null }],
  ["/mailbox/m%201", { page: "mailbox", mail: "m 1" }],
  ["/%E0%A4%A", { page: "unknown" }],
])("%s", (path, route) => expect(parseRoute(path)).toEqual(route));

it("leads back to the study whatever its centre is called", () =>
  expect(parseRoute(readingPath("a/b c", "1.2"))).toEqual({ page: "read", centre: "a/b c", study: "1.2" }));
