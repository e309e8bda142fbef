/** The files that were dropped or chosen, folders walked to their ends, each with its path. */

/** More than this in one go is told, and the rest left: a year's archive is sent by `telerad send`. */
export const FILES_MAX = 50_000;
/** Folders inside each other; deeper ones are no disc of images. */
const DEPTH_MAX = 32;

export interface Found {
  file: File;
  path: string;
}

export interface Gathered {
  found: Found[];
  /** Paths of folders or files that the browser could not read. */
  unreadable: string[];
  /** There were more than `FILES_MAX`. */
  cut: boolean;
}

export function fromInput(list: FileList): Gathered {
  const all = [...list];
  const found = all.slice(0, FILES_MAX).map((file) => ({ file, path: file.webkitRelativePath || file.name }));
  return { found, unreadable: [], cut: all.length > FILES_MAX };
}

/** Must be called within the drop event: its items are gone afterwards. */
export function fromDrop(transfer: DataTransfer): Promise<Gathered> {
  const gathered: Gathered = { found: [], unreadable: [], cut: false };
  const entries: FileSystemEntry[] = [];
  for (const item of transfer.items) {
    const entry = item.kind === "file" ? item.webkitGetAsEntry() : null;
    // What comes from another program, such as a mail, may be a file without a place in a file system.
    const file = entry ? null : item.getAsFile();
    if (entry) entries.push(entry);
    else if (file) gathered.found.push({ file, path: file.name });
  }
  return walk(entries, gathered);
}

async function walk(roots: FileSystemEntry[], gathered: Gathered): Promise<Gathered> {
  const waiting = roots.map((entry) => ({ entry, depth: 0 }));
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const { entry, depth } = next;
    const path = entry.fullPath.replace(/^\//, "");
    try {
      if (entry.isFile) {
        if (gathered.found.length >= FILES_MAX) return { ...gathered, cut: true };
        gathered.found.push({ file: await fileOf(entry as FileSystemFileEntry), path });
      } else if (depth < DEPTH_MAX) {
        const inside = await entriesOf(entry as FileSystemDirectoryEntry);
        waiting.push(...inside.map((entry) => ({ entry, depth: depth + 1 })));
      }
    } catch {
      gathered.unreadable.push(path);
    }
  }
  return gathered;
}

const fileOf = (entry: FileSystemFileEntry): Promise<File> => new Promise((done, fail) => entry.file(done, fail));

/** A reader gives a hundred at a time and an empty list at the end. */
async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((done, fail) => reader.readEntries(done, fail));
    if (some.length === 0) return all;
    all.push(...some);
  }
}
