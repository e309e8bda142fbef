import { plural } from "../words/names";
import type { Sender, Sending } from "./sender";
import { bytes, figure, timeLeft } from "./words";

interface Props {
  sending: Sending;
  sender: Sender;
  /** All that was sent was also taken in. */
  settled: boolean;
  /** Something was not stored or is missing. */
  trouble: boolean;
}

/** How the sending goes as a whole, and what one can do about it. */
export function SendingPanel({ sending, sender, settled, trouble }: Props) {
  const { over, rest } = sending;
  const isEmpty = over && sending.files === 0 && sending.failed === 0;
  const left = sending.bytes - sending.sentBytes;
  const part = sending.bytes > 0 ? sending.sentBytes / sending.bytes : 1;
  const state = over ? (settled ? "done" : "storing") : (rest ?? "sending");
  return (
    <section className="sending" aria-label="Sending" data-testid="sending" data-state={state}>
      <div className="sending-head">
        <h2>{title(sending, settled, trouble)}</h2>
        <p className="dim figures" role="status">
          {!isEmpty && (
            <>
              {figure(sending.sent)} of {plural(sending.files + sending.unread, "file")} sent ·{" "}
              {bytes(sending.sentBytes)} of {bytes(sending.bytes)}
            </>
          )}
          {!over && timeLeft(left, sending.bytesPerSecond) && ` · ${timeLeft(left, sending.bytesPerSecond)}`}
        </p>
        <div className="sending-tools">
          {!over && rest !== "paused" && rest !== "signed-out" && <button onClick={() => sender.pause()}>Pause</button>}
          {!over && (rest === "paused" || rest === "offline" || rest === "server") && (
            <button className="primary" onClick={() => sender.resume()}>
              {rest === "paused" ? "Go on" : "Try now"}
            </button>
          )}
          {!over && (
            <button className="quiet" onClick={() => sender.cancel()} title="What the server has already stays there">
              Stop sending
            </button>
          )}
          {over && settled && (
            <button className="quiet" onClick={() => sender.clear()}>
              Close
            </button>
          )}
        </div>
      </div>
      {isEmpty ? (
        <p className="dim">Choose the folder of the disc that holds the images, often called DICOM or IMAGES, or the whole disc.</p>
      ) : (
        <progress value={part} max={1} aria-label="Sent" data-over={over && (trouble ? "trouble" : "well")} />
      )}
      {rest && <p className={`rest rest-${rest}`}>{restWords(sending)}</p>}
      {sending.skipped > 0 && (
        <p className="dim">
          {plural(sending.skipped, "file was", "files were")} sent before the page was closed, and {sending.skipped === 1 ? "is" : "are"}{" "}
          not sent again.
        </p>
      )}
      {sending.cut && (
        <p className="warn-text">
          Only the first 50,000 files were taken. When these are sent, drop the rest; what is here already is recognised.
        </p>
      )}
      {sending.failures.length > 0 && (
        <Refusals
          title={`${plural(sending.failed, "file was", "files were")} not sent`}
          refusals={sending.failures.map(({ path, reason, nextStep }) => ({ name: path, reason, next_step: nextStep }))}
        />
      )}
      {sending.companions.length > 0 && (
        <details className="left-out">
          <summary>
            {plural(sending.companions.length, "file")} left out: programs, texts and pictures that belong to no study
          </summary>
          <ul>
            {sending.companions.slice(0, 100).map((path) => (
              <li key={path}>{path}</li>
            ))}
          </ul>
        </details>
      )}
    </section>
  );
}

function title({ over, rest, unread, files, failed }: Sending, settled: boolean, trouble: boolean): string {
  if (over && files === 0 && failed === 0) return "There were no images in what you dropped";
  if (over && settled) return trouble ? "Done, but not all could be stored" : "All is stored";
  if (over) return "Everything is sent, and is being stored";
  if (rest === "paused") return "Sending is paused";
  if (rest) return "Sending waits";
  return unread > 0 && files === 0 ? "Looking at the files" : "Sending";
}

function restWords({ rest, restReason }: Sending): string {
  switch (rest) {
    case "offline":
      return "The server cannot be reached. Sending goes on by itself where it stopped; leave this page open.";
    case "server":
      return `${restReason ?? "The server is busy."} Sending goes on by itself; leave this page open.`;
    case "signed-out":
      return "Your session is over. Sign in again, and sending goes on where it stopped.";
    case "paused":
    case null:
      return "Nothing is lost. Go on whenever you like, but do not close this page.";
  }
}

interface RefusalsProps {
  title: string;
  refusals: { name: string; reason: string; next_step: string }[];
  total?: number;
}

/** What was not stored: the file, the reason, the next step. The same reason is said once. */
export function Refusals({ title, refusals, total = refusals.length }: RefusalsProps) {
  const reasons = new Map<string, { reason: string; next_step: string; names: string[] }>();
  for (const { name, reason, next_step } of refusals) {
    const key = `${reason}\n${next_step}`;
    const known = reasons.get(key) ?? { reason, next_step, names: [] };
    known.names.push(name);
    reasons.set(key, known);
  }
  return (
    <div className="refusals" role="group" aria-label={title} data-testid="refusals">
      <h3>{title}</h3>
      <ul>
        {[...reasons.values()].map(({ reason, next_step, names }) => (
          <li key={`${reason}${next_step}`}>
            <FileNames names={names} />
            <p>
              {reason} <strong>{next_step}</strong>
            </p>
          </li>
        ))}
      </ul>
      {total > refusals.length && <p className="dim">The first {refusals.length} of {figure(total)} are shown.</p>}
    </div>
  );
}

const NAMES_SHOWN = 3;

export function FileNames({ names }: { names: string[] }) {
  const list = (some: string[]) =>
    some.map((name, index) => (
      <span key={`${index} ${name}`} className="file-name" title={name}>
        {name}
      </span>
    ));
  if (names.length <= NAMES_SHOWN) return <div className="file-names">{list(names)}</div>;
  return (
    <details className="file-names">
      <summary>
        {list(names.slice(0, 1))} and {plural(names.length - 1, "more file")}
      </summary>
      {list(names.slice(1))}
    </details>
  );
}
