import { useState, type FormEvent } from "react";
import type { ApiError } from "../api/client";
import type { Entry } from "../api/types";
import { Link } from "../app/Link";
import { conflictsPath } from "../app/routes";
import { Dialog } from "../ui/Dialog";
import { Problem } from "../ui/Problem";
import { clock, moment } from "../words/time";
import { StudyFacts } from "./StudyFacts";
import { useTakeOut, type TakingOut } from "./useTakeOut";
import { contents, REASON_CHARS_MAX, timeLeft } from "./words";
import "./taken-out.css";

interface Props {
  entry: Entry;
  /** Gives the study back, where the person who asks holds it themselves; answers whether it is given back. */
  onRelease?: (() => Promise<boolean>) | undefined;
  onClose: () => void;
  /** It is out; what to tell the person about it. */
  onTakenOut: (notice: string) => void;
}

/** What would go and a reason; or, in the service's words, why the study stays. */
export function TakeOutDialog({ entry, onRelease, onClose, onTakenOut }: Props) {
  const taking = useTakeOut(entry);
  const { wouldGo, error, lookedAgain } = taking;
  const take = async (reason: string) => {
    const until = await taking.take(reason);
    if (until) onTakenOut(`Taken out; it can come back until ${moment(until)}.`);
  };
  return (
    <Dialog title="Take this study out?" onClose={onClose} testId="take-out-dialog">
      <StudyFacts study={entry}>
        {wouldGo && (
          <>
            <dt>What goes</dt>
            <dd className="figures">{contents(wouldGo)}</dd>
            <dt>Way back</dt>
            <dd>
              Until {moment(wouldGo.until)} ({timeLeft(wouldGo.until, Date.now())}). Then it is removed for good.
            </dd>
          </>
        )}
      </StudyFacts>
      {!wouldGo && !error && <p className="dim">Looking at what would go…</p>}
      {lookedAgain && (
        <p className="notice" role="alert" data-testid="looked-again">
          Nothing was taken out: it took more than ten minutes, or its images changed. What would go now stands above.
        </p>
      )}
      {error && <Refused error={error} entry={entry} mine={onRelease !== undefined} />}
      {wouldGo ? (
        <Reason busy={taking.busy} onTake={take} onClose={onClose} />
      ) : (
        <Stays taking={taking} onRelease={onRelease} onClose={onClose} />
      )}
    </Dialog>
  );
}

function Reason({
  busy,
  onTake,
  onClose,
}: {
  busy: boolean;
  onTake: (reason: string) => Promise<void>;
  onClose: () => void;
}) {
  const [reason, setReason] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void onTake(reason.trim());
  };
  return (
    <form onSubmit={submit}>
      <p>Nobody sees it any more, nor its draft and what was written. Images of it that come meanwhile are refused.</p>
      <label>
        Why
        <textarea
          required
          autoFocus
          rows={3}
          maxLength={REASON_CHARS_MAX}
          value={reason}
          onChange={(event) => setReason(event.target.value)}
        />
      </label>
      <p className="dim">Kept with your name; administrators see it.</p>
      <div className="actions">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button className="danger" type="submit" disabled={busy || reason.trim() === ""} data-testid="confirm-take-out">
          {busy ? "Taking it out…" : "Take out"}
        </button>
      </div>
    </form>
  );
}

/** The service's words, with the way to what they speak of. */
function Refused({ error, entry, mine }: { error: ApiError; entry: Entry; mine: boolean }) {
  if (error.code === "study_held" && mine) {
    return (
      <p className="problem" role="alert" data-testid="problem" data-code={error.code}>
        <strong>You hold this study.</strong> Release it first; what you wrote stays with it.
      </p>
    );
  }
  const until = error.detail("held_until");
  return (
    <>
      <Problem error={error} />
      {until && <p>It ends at {clock(until)}, unless they go on.</p>}
      {error.code === "conflict_open" && (
        <p>
          <Link to={conflictsPath(entry.centre, entry.study_uid)}>Go to its conflicts</Link>
        </p>
      )}
    </>
  );
}

/** The ways out of a dialog in which nothing can be taken out, or not yet. */
function Stays({ taking, onRelease, onClose }: { taking: TakingOut } & Pick<Props, "onRelease" | "onClose">) {
  const { error, look } = taking;
  const [busy, setBusy] = useState(false);
  const release = async () => {
    setBusy(true);
    if (await onRelease?.()) await look();
    setBusy(false);
  };
  return (
    <div className="actions">
      <button onClick={onClose}>{error ? "Close" : "Cancel"}</button>
      {error?.code === "study_held" && onRelease && (
        <button className="primary" onClick={() => void release()} disabled={busy} data-testid="release-to-take-out">
          Release and go on
        </button>
      )}
      {error?.passing && (
        <button className="primary" onClick={() => void look()}>
          Try again
        </button>
      )}
    </div>
  );
}
