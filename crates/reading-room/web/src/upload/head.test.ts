import { expect, it } from "vitest";
import { headOf } from "./head";

const ascii = (text: string): number[] => [...text].map((letter) => letter.charCodeAt(0));

function element(group: number, number: number, vr: string, value: string): number[] {
  const padded = value.length % 2 === 0 ? value : `${value} `;
  return [group & 255, group >> 8, number & 255, number >> 8, ...ascii(vr), padded.length & 255, padded.length >> 8].concat(
    ascii(padded),
  );
}

function image(...elements: number[][]): Uint8Array {
  const meta = element(2, 0x10, "UI", "1.2.840.10008.1.2.1\0".slice(0, 20));
  return new Uint8Array([...new Array<number>(128).fill(0), ...ascii("DICM"), ...meta, ...elements.flat()]);
}

it("finds the study of an image", () => {
  const bytes = image(
    element(8, 0x20, "DA", "20260302"),
    element(8, 0x60, "CS", "CT"),
    element(8, 0x1030, "LO", "CT head"),
    element(0x10, 0x10, "PN", "Doe^Jane"),
    element(0x10, 0x20, "LO", "P1"),
    element(0x20, 0x0d, "UI", "1.2.3.4\0"),
    element(0x28, 0x10, "US", "\0\x02"),
  );
  expect(headOf(bytes, "IM1")).toEqual({
    kind: "image",
    study: {
      uid: "1.2.3.4",
      patientName: "Doe^Jane",
      patientId: "P1",
      description: "CT head",
      date: "2026-03-02",
      modality: "CT",
    },
  });
});

it.each([
  ["AUTORUN.INF", "[autorun]", "companion"],
  ["VIEWER/run", "MZ\x90\0", "companion"],
  ["__x/._IM1", "\0\x05\x16\x07", "companion"],
  ["disc.zip", "PK\x03\x04rest", "archive"],
  ["notes.docx", "PK\x03\x04rest", "companion"],
  ["IM000001", "\x08\0\x05\0\x04\0\0\0ABCD", "other"],
  ["empty", "", "companion"],
])("tells what %s is", (path, beginning, kind) => {
  expect(headOf(new Uint8Array(ascii(beginning)), path).kind).toBe(kind);
});

it("leaves a broken image to the server", () => {
  expect(headOf(image([1, 2, 3]), "IM1").kind).toBe("other");
});
