/**
 * What was sent before the page was loaded again. A browser forgets the files themselves, so they are dropped once more; what the server
 * had said to have is then not sent twice.
 */

export interface Interrupted {
  centre: string;
  batch: string;
  total: number;
  /** Fingerprints of files that are on the server. */
  sent: Set<string>;
}

const KEY = "telerad.sending";
/** Writes to the browser's store while files are sent are at least this far apart. */
const WRITE_PAUSE_MS = 1_000;

/** Names a file as tus clients do: by path, size and time of its last change. */
export function fingerprint(path: string, size: number, modified: number): string {
  const text = `${path}\n${size}\n${modified}`;
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let at = 0; at < text.length; at += 1) {
    const letter = text.charCodeAt(at);
    high = Math.imul(high ^ letter, 2654435761);
    low = Math.imul(low ^ letter, 1597334677);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return (4294967296 * (2097151 & low) + (high >>> 0)).toString(36);
}

export function interrupted(store: Storage = localStorage): Interrupted | null {
  try {
    const kept: unknown = JSON.parse(store.getItem(KEY) ?? "null");
    if (typeof kept !== "object" || kept === null) return null;
    const { centre, batch, total, sent } = kept as Record<string, unknown>;
    if (typeof centre !== "string" || typeof batch !== "string" || typeof total !== "number") return null;
    return { centre, batch, total, sent: new Set(typeof sent === "string" ? sent.split(" ").filter(Boolean) : []) };
  } catch {
    return null;
  }
}

let timer: ReturnType<typeof setTimeout> | undefined;
let latest: Interrupted | null = null;

/** Keeps the list, now and then. */
export function remember(what: Interrupted): void {
  latest = what;
  timer ??= setTimeout(write, WRITE_PAUSE_MS);
}

/** Keeps the list now: the page is about to go. */
export function flush(): void {
  clearTimeout(timer);
  write();
}

export function forget(): void {
  latest = null;
  clearTimeout(timer);
  timer = undefined;
  localStorage.removeItem(KEY);
}

function write(): void {
  timer = undefined;
  if (!latest) return;
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...latest, sent: [...latest.sent].join(" ") }));
  } catch {
    // A full store only means that more is sent again after a reload; the server recognises it.
  }
}
