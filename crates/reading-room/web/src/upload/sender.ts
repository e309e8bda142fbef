/**
 * Sends files by tus, a few at a time, and goes on when the network or the server comes back. No React: it lives as long as the document,
 * so that one may look at other pages meanwhile.
 */

import { DetailedError, Upload } from "tus-js-client";
import { errorOf } from "../api/client";
import type { Gathered } from "./gather";
import { readHead, type Head, type StudyHead } from "./head";
import { fingerprint, flush, forget, interrupted, remember } from "./memory";

const ENDPOINT = "/api/v1/uploads";
/** Browsers open six connections to a server; two are left for the page. */
const PARALLEL = 4;
/** Heads that are read ahead of sending. */
const HEADS_PARALLEL = 8;
/** Up to this size a file goes in one request; a larger one gets an address first, so that it can be resumed. */
const ONE_REQUEST_BYTES = 4 * 1024 * 1024;
const RETRY_DELAYS_MS = [500, 2_000];
/** After those, everything rests for so long, longer each time, or until the network is back. */
const REST_MS = [2_000, 5_000, 10_000, 20_000, 30_000];
const TELL_EVERY_MS = 200;
/** Over so long the speed is averaged. */
const SPEED_WINDOW_MS = 10_000;

export interface FailedFile {
  path: string;
  reason: string;
  nextStep: string;
}

/** Files that are shown together: a study, a ZIP, or what cannot be told before the server reads it. */
export interface Group {
  key: string;
  kind: "study" | "archive" | "other";
  study: StudyHead | null;
  name: string;
  files: number;
  sent: number;
  failed: number;
  bytes: number;
  sentBytes: number;
}

export type Rest = "paused" | "offline" | "server" | "signed-out";

export interface Sending {
  centre: string;
  batch: string;
  /** Files whose beginning was not looked at yet. */
  unread: number;
  files: number;
  sent: number;
  skipped: number;
  failed: number;
  bytes: number;
  sentBytes: number;
  groups: Group[];
  failures: FailedFile[];
  companions: string[];
  cut: boolean;
  rest: Rest | null;
  /** What the server said when it could not take more, while that is why it rests. */
  restReason: string | null;
  bytesPerSecond: number | null;
  over: boolean;
}

interface Item {
  file: File;
  path: string;
  mark: string;
  group: Group;
  sentBytes: number;
  upload: Upload | null;
}

const FAILURES_SHOWN_MAX = 200;

export class Sender {
  private now: Sending | null = null;
  private shown: Sending | null = null;
  private readonly groups = new Map<string, Group>();
  private heads: Gathered["found"] = [];
  private reading = 0;
  private waiting: Item[] = [];
  private readonly under = new Set<Item>();
  private sentMarks = new Set<string>();
  private rests = 0;
  private restTimer: ReturnType<typeof setTimeout> | undefined;
  private tellTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly speeds: { at: number; bytes: number }[] = [];
  private readonly listeners = new Set<() => void>();

  constructor() {
    window.addEventListener("online", () => this.wake("offline"));
    window.addEventListener("pagehide", flush);
    window.addEventListener("beforeunload", (event) => {
      if (this.now && !this.now.over) event.preventDefault();
    });
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  snapshot = (): Sending | null => this.shown;

  /** Adds files to what is being sent, or begins anew. */
  add(centre: string, { found, unreadable, cut }: Gathered): void {
    if (!this.now || this.now.over || this.now.centre !== centre) this.begin(centre, found);
    const sending = this.now;
    if (!sending) return;
    sending.over = false;
    sending.cut ||= cut;
    sending.unread += found.length;
    for (const path of unreadable) {
      this.fail(path, "Your computer could not read it.", "Check whether the disc or the drive is readable, then drop it again.");
    }
    this.heads.push(...found);
    this.pump();
    this.tell();
  }

  pause(): void {
    this.rest("paused", null);
  }

  resume(): void {
    this.wake();
  }

  /** Stops and forgets what was not sent. What the server has stays. */
  cancel(): void {
    for (const { upload } of this.under) void upload?.abort(true).catch(() => undefined);
    this.under.clear();
    this.waiting = [];
    this.heads = [];
    clearTimeout(this.restTimer);
    forget();
    if (this.now) Object.assign(this.now, { over: true, unread: 0, rest: null });
    this.tell();
  }

  /** The session ended, or is there again. */
  setActive(active: boolean): void {
    if (!active && this.now && !this.now.over) this.rest("signed-out", null);
    if (active) this.wake("signed-out");
  }

  /** Takes what is over off the page. */
  clear(): void {
    if (this.now?.over) {
      this.now = null;
      this.groups.clear();
      this.tell();
    }
  }

  private begin(centre: string, found: Gathered["found"]): void {
    const before = interrupted();
    const known = before?.centre === centre ? before.sent : new Set<string>();
    const goesOn = found.some(({ file, path }) => known.has(markOf(file, path)));
    this.groups.clear();
    this.sentMarks = goesOn ? known : new Set();
    this.rests = 0;
    this.speeds.length = 0;
    this.now = {
      centre,
      batch: goesOn && before ? before.batch : crypto.randomUUID(),
      unread: 0,
      files: 0,
      sent: 0,
      skipped: 0,
      failed: 0,
      bytes: 0,
      sentBytes: 0,
      groups: [],
      failures: [],
      companions: [],
      cut: false,
      rest: null,
      restReason: null,
      bytesPerSecond: null,
      over: false,
    };
  }

  private pump(): void {
    const sending = this.now;
    if (!sending) return;
    while (this.reading < HEADS_PARALLEL && this.heads.length > 0) {
      const next = this.heads.shift();
      if (next) void this.look(sending, next);
    }
    while (!sending.rest && this.under.size < PARALLEL && this.waiting.length > 0) {
      const item = this.waiting.shift();
      if (item) void this.send(sending, item);
    }
    const isOver = this.heads.length === 0 && this.reading === 0 && this.waiting.length === 0 && this.under.size === 0;
    if (isOver && !sending.over) {
      sending.over = true;
      forget();
      this.tell();
    }
  }

  private async look(sending: Sending, { file, path }: Gathered["found"][number]): Promise<void> {
    this.reading += 1;
    const head = await readHead(file, path);
    this.reading -= 1;
    if (this.now !== sending || sending.over) return;
    sending.unread -= 1;
    if (head.kind === "companion") sending.companions.push(path);
    else if (head.kind === "unreadable") {
      this.fail(path, "Your computer could not read it.", "Check whether the disc or the drive is readable, then drop it again.");
    } else this.enqueue(sending, file, path, head);
    this.pump();
    this.tell();
  }

  private enqueue(sending: Sending, file: File, path: string, head: Head): void {
    const group = this.groupOf(head, path);
    const mark = markOf(file, path);
    sending.files += 1;
    sending.bytes += file.size;
    group.files += 1;
    group.bytes += file.size;
    if (this.sentMarks.has(mark)) {
      sending.skipped += 1;
      sending.sent += 1;
      sending.sentBytes += file.size;
      group.sent += 1;
      group.sentBytes += file.size;
      return;
    }
    this.waiting.push({ file, path, mark, group, sentBytes: 0, upload: null });
  }

  private groupOf(head: Head, path: string): Group {
    const key = head.kind === "image" ? `study ${head.study.uid}` : head.kind === "archive" ? `archive ${path}` : "other";
    const known = this.groups.get(key);
    if (known) return known;
    const group: Group = {
      key,
      kind: head.kind === "image" ? "study" : head.kind === "archive" ? "archive" : "other",
      study: head.kind === "image" ? head.study : null,
      name: head.kind === "archive" ? path : "Other files",
      files: 0,
      sent: 0,
      failed: 0,
      bytes: 0,
      sentBytes: 0,
    };
    this.groups.set(key, group);
    return group;
  }

  private async send(sending: Sending, item: Item): Promise<void> {
    this.under.add(item);
    const isLarge = item.file.size > ONE_REQUEST_BYTES;
    if (!item.upload) {
      item.upload = new Upload(item.file, {
        endpoint: ENDPOINT,
        metadata: { filename: item.path, centre: sending.centre, batch: sending.batch },
        retryDelays: RETRY_DELAYS_MS,
        uploadDataDuringCreation: !isLarge,
        storeFingerprintForResuming: isLarge,
        removeFingerprintOnSuccess: true,
        fingerprint: () => Promise.resolve(`telerad-${sending.centre}-${item.mark}`),
        onShouldRetry: (error) => isPassing(error) && statusOf(error) !== 401,
        onAfterResponse: (request, response) => {
          // An answer that says nothing about the upload must not make the client begin it anew.
          const status = response.getStatus();
          if (request.getMethod() === "HEAD" && (status === 401 || status === 429 || status >= 500)) throw new Error("away");
        },
        onProgress: (bytes) => this.moved(sending, item, bytes),
        onSuccess: () => this.arrived(sending, item),
        onError: (error) => this.broke(sending, item, error),
      });
      if (isLarge) {
        const before = (await item.upload.findPreviousUploads()).at(-1);
        if (before) item.upload.resumeFromPreviousUpload(before);
      }
    }
    if (this.now !== sending || sending.over) return;
    if (sending.rest) this.putBack(item);
    else item.upload.start();
  }

  private moved(sending: Sending, item: Item, bytes: number): void {
    const more = bytes - item.sentBytes;
    item.sentBytes = bytes;
    item.group.sentBytes += more;
    sending.sentBytes += more;
    this.tell();
  }

  private arrived(sending: Sending, item: Item): void {
    if (!this.under.delete(item)) return;
    this.moved(sending, item, item.file.size);
    item.group.sent += 1;
    sending.sent += 1;
    this.rests = 0;
    this.sentMarks.add(item.mark);
    const { centre, batch, files } = sending;
    remember({ centre, batch, total: files + this.heads.length, sent: this.sentMarks });
    this.pump();
    this.tell();
  }

  private broke(sending: Sending, item: Item, error: Error | DetailedError): void {
    if (!this.under.has(item)) return;
    if (isPassing(error)) {
      this.putBack(item);
      const status = statusOf(error);
      if (status === 401) this.rest("signed-out", null);
      else if (status === 0) this.rest("offline", null);
      else this.rest("server", answerOf(error)?.message ?? null);
      return;
    }
    this.under.delete(item);
    item.group.failed += 1;
    this.moved(sending, item, item.file.size);
    const answer = answerOf(error);
    const unread = statusOf(error) === 0;
    this.fail(
      item.path,
      unread ? "Your computer could not read it." : (answer?.message ?? "The server did not take it."),
      unread ? "Check the disc or the drive, then drop the file again." : (answer?.nextStep ?? "Try it again later."),
    );
    this.pump();
  }

  private putBack(item: Item): void {
    this.under.delete(item);
    this.waiting.unshift(item);
  }

  private fail(path: string, reason: string, nextStep: string): void {
    if (!this.now) return;
    this.now.failed += 1;
    if (this.now.failures.length < FAILURES_SHOWN_MAX) this.now.failures.push({ path, reason, nextStep });
    this.tell();
  }

  /** Nothing is sent until somebody or something wakes it. */
  private rest(why: Rest, reason: string | null): void {
    const sending = this.now;
    if (!sending || sending.over) return;
    if (sending.rest === "paused" || sending.rest === "signed-out") return;
    if (sending.rest && why !== "paused" && why !== "signed-out") return;
    sending.rest = why;
    sending.restReason = reason;
    sending.bytesPerSecond = null;
    this.speeds.length = 0;
    for (const item of [...this.under]) {
      void item.upload?.abort().catch(() => undefined);
      this.putBack(item);
    }
    clearTimeout(this.restTimer);
    if (why === "offline" || why === "server") {
      const ms = REST_MS[Math.min(this.rests, REST_MS.length - 1)];
      this.rests += 1;
      this.restTimer = setTimeout(() => this.wake(), ms);
    }
    this.tell();
  }

  private wake(only?: Rest): void {
    const sending = this.now;
    if (!sending?.rest || (only && sending.rest !== only)) return;
    clearTimeout(this.restTimer);
    sending.rest = null;
    sending.restReason = null;
    this.pump();
    this.tell();
  }

  /** Tells the page, at most a few times a second. */
  private tell(): void {
    this.tellTimer ??= setTimeout(() => {
      this.tellTimer = undefined;
      if (this.now) this.now.bytesPerSecond = this.speed(this.now.sentBytes);
      this.shown = this.now && {
        ...this.now,
        groups: [...this.groups.values()].map((group) => ({ ...group })),
        failures: [...this.now.failures],
        companions: [...this.now.companions],
      };
      for (const listener of this.listeners) listener();
    }, TELL_EVERY_MS);
  }

  private speed(bytes: number): number | null {
    const at = Date.now();
    this.speeds.push({ at, bytes });
    while (this.speeds.length > 2 && at - (this.speeds[0]?.at ?? at) > SPEED_WINDOW_MS) this.speeds.shift();
    const first = this.speeds[0];
    return first && at - first.at > 2_000 && bytes > first.bytes ? ((bytes - first.bytes) * 1000) / (at - first.at) : null;
  }
}

const markOf = (file: File, path: string): string => fingerprint(path, file.size, file.lastModified);

/** The status of the answer; 0 when none came. */
function statusOf(error: Error | DetailedError): number {
  return error instanceof DetailedError ? (error.originalResponse?.getStatus() ?? 0) : 0;
}

function answerOf(error: Error | DetailedError) {
  const response = error instanceof DetailedError ? error.originalResponse : null;
  if (!response) return null;
  try {
    return errorOf(response.getStatus(), JSON.parse(response.getBody()));
  } catch {
    return null;
  }
}

/** Whether trying again may help without anybody changing anything. */
function isPassing(error: Error | DetailedError): boolean {
  if (!(error instanceof DetailedError)) return false;
  const status = statusOf(error);
  return status === 0 || status >= 500 || [401, 408, 409, 423, 429].includes(status);
}

let sender: Sender | null = null;
let owner: string | null = null;

/** The one sender of the document; somebody else's is stopped first. */
export function senderOf(person: string): Sender {
  if (!sender || owner !== person) {
    sender?.cancel();
    sender = new Sender();
    owner = person;
  }
  return sender;
}
