/** Looks at the beginning of a file, to group what is sent by study. Only for what the page shows: the server decides what a file is. */

import { parseDicom } from "dicom-parser";

/** Most heads of images stay far below; what is longer is shown without its study until the server has read it. */
const HEAD_BYTES = 64 * 1024;
const PREAMBLE_BYTES = 128;

export interface StudyHead {
  uid: string;
  patientName: string | null;
  patientId: string | null;
  description: string | null;
  date: string | null;
  modality: string | null;
}

export type Head =
  | { kind: "image"; study: StudyHead }
  /** A disc's table of contents, or a file that only the server can tell. */
  | { kind: "other" }
  | { kind: "archive" }
  /** Programs, texts, pictures: nothing of a study, and not worth sending. */
  | { kind: "companion" }
  | { kind: "unreadable" };

/** Names that discs give to what is beside their images. */
const COMPANION =
  /(^|\/)(\._[^/]*|\.DS_Store|Thumbs\.db|desktop\.ini)$|\.(exe|com|bat|cmd|msi|dll|ocx|so|dylib|jar|class|cab|sys|inf|ini|cfg|config|xml|json|properties|plist|lnk|txt|md|html?|css|js|rtf|docx?|pdf|chm|hlp|log|csv|ico|icns|jpe?g|png|gif|bmp|svg|ttf|avi|mp4|wav|mdb|sqlite|tmp|bak|md5)$/i;

export async function readHead(file: File, path: string): Promise<Head> {
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
  } catch {
    return { kind: "unreadable" };
  }
  return headOf(bytes, path);
}

export function headOf(bytes: Uint8Array, path: string): Head {
  if (bytes.length === 0) return { kind: "companion" };
  if (!text(bytes, PREAMBLE_BYTES, 4).startsWith("DICM")) {
    if (text(bytes, 0, 4) === "PK\x03\x04" && !COMPANION.test(path)) return { kind: "archive" };
    return COMPANION.test(path) || text(bytes, 0, 2) === "MZ" ? { kind: "companion" } : { kind: "other" };
  }
  try {
    const set = parseDicom(bytes, { untilTag: "x0020000d" });
    const uid = set.string("x0020000d");
    if (!uid) return { kind: "other" };
    const charset = set.string("x00080005")?.split("\\").at(-1)?.trim() ?? "";
    const words = (tag: string): string | null => {
      const element = set.elements[tag];
      if (!element || element.length === 0) return null;
      const raw = bytes.subarray(element.dataOffset, element.dataOffset + element.length);
      return decoder(charset).decode(raw).replace(/[\0 ]+$/, "").trim() || null;
    };
    const date = words("x00080020")?.match(/^(\d{4})(\d\d)(\d\d)$/);
    return {
      kind: "image",
      study: {
        uid: uid.trim(),
        patientName: words("x00100010"),
        patientId: words("x00100020"),
        description: words("x00081030"),
        date: date ? `${date[1]}-${date[2]}-${date[3]}` : null,
        modality: words("x00080060"),
      },
    };
  } catch {
    return { kind: "other" };
  }
}

/** Character sets of PS3.3 section C.12.1.1.2 that browsers know by another name; the server reads all of them. */
const CHARSETS: Record<string, string> = {
  "ISO_IR 192": "utf-8",
  "ISO_IR 100": "iso-8859-1",
  "ISO_IR 101": "iso-8859-2",
  "ISO_IR 109": "iso-8859-3",
  "ISO_IR 110": "iso-8859-4",
  "ISO_IR 144": "iso-8859-5",
  "ISO_IR 127": "iso-8859-6",
  "ISO_IR 126": "iso-8859-7",
  "ISO_IR 138": "iso-8859-8",
  "ISO_IR 166": "windows-874",
  "ISO_IR 13": "shift_jis",
  "ISO 2022 IR 87": "iso-2022-jp",
  "ISO 2022 IR 149": "euc-kr",
  GB18030: "gb18030",
  GBK: "gbk",
};

const decoder = (charset: string): TextDecoder => new TextDecoder(CHARSETS[charset] ?? "utf-8");

function text(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}
