import { useRef, useState, type FormEvent } from "react";
import { sign } from "../api/calls";
import { asApiError, type ApiError } from "../api/client";
import type { ImageSet, Study } from "../api/types";
import { useSignedIn } from "../app/session";
import { answered, unanswered } from "../report/prompts";
import { Dialog } from "../ui/Dialog";
import { Problem } from "../ui/Problem";
import { personName, plural, sexName } from "../words/names";
import { calendarDate } from "../words/time";
import { named, type Offered } from "./keyImages";
import type { ReportHandle } from "./useReport";

interface Props {
  path: string;
  study: Study;
  report: ReportHandle;
  onScreen: ImageSet;
  keyImages: Offered[];
  onClose: () => void;
  onSigned: () => Promise<void>;
  onReload: () => void;
}

/** The last look before the text becomes a version that never changes. */
export function SignDialog({ path, study, report, onScreen, keyImages, onClose, onSigned, onReload }: Props) {
  const { person } = useSignedIn();
  const [password, setPassword] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  const field = useRef<HTMLInputElement>(null);
  const addendum = study.versions.length > 0;
  const changed = error?.code === "images_changed" || study.image_set.digest !== onScreen.digest;

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(null);
    try {
      const { saving } = (await report.editor.flush()) ? { saving: null } : report.editor.state();
      if (saving?.state === "failed") throw saving.error;
      await sign(path, {
        password,
        sections: answered(report.editor.sections()),
        ...named(keyImages),
        after_version: study.versions.at(-1)?.number ?? 0,
        image_set: onScreen.digest,
      });
      await onSigned();
    } catch (thrown) {
      setError(asApiError(thrown));
      setPassword("");
      setBusy(false);
      field.current?.focus();
    }
  };

  return (
    <Dialog
      title={addendum ? "Sign this addendum?" : "Sign this report?"}
      onClose={onClose}
      className="sign-dialog"
      testId="sign-dialog"
    >
      <SignFacts
        study={study}
        onScreen={onScreen}
        keyImages={keyImages.length}
        impression={report.texts.impression}
        leftOut={unanswered(report.texts.findings)}
      />
      <p className="signer">
        <span className="dim">Signing as</span> <strong>{person.name}</strong>
        {person.credentials && `, ${person.credentials}`}
        <br />
        <q className="meaning">{addendum ? ADDENDUM_MEANING : FINAL_MEANING}</q>
      </p>
      {error && <Problem error={error} />}
      {changed && (
        <p className="notice">
          The images on screen are not the newest. Your text is kept.{" "}
          <button type="button" onClick={onReload} data-testid="reload-images">
            Reload the images, then sign again
          </button>
        </p>
      )}
      <form onSubmit={(event) => void submit(event)}>
        <label>
          Your password
          <input
            ref={field}
            name="password"
            type="password"
            autoComplete="current-password"
            required
            data-focus
            value={password}
            onChange={(event) => setPassword(event.target.value)}
          />
        </label>
        <div className="actions">
          <button type="button" onClick={onClose}>
            Go on editing
          </button>
          <button className="primary" type="submit" disabled={busy || changed} data-testid="confirm-sign">
            {busy ? "Signing…" : "Sign"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** What the signature says, word for word as it is bound. */
const FINAL_MEANING = "I have read the images and this is my report";
const ADDENDUM_MEANING = "I have read the images and add this to the report";

interface FactsProps {
  study: Study;
  onScreen: ImageSet;
  keyImages: number;
  impression: string;
  leftOut: number;
}

function SignFacts({ study: { entry }, onScreen, keyImages, impression, leftOut }: FactsProps) {
  const { patient } = entry;
  const born = patient.birth_date ? `born ${calendarDate(patient.birth_date)}` : "birth date unknown";
  return (
    <dl className="sign-facts">
      <dt>Patient</dt>
      <dd>
        <strong>{personName(patient.name)}</strong>
        <br />
        {[patient.id, born, sexName(patient.sex)].filter(Boolean).join(" · ")}
      </dd>
      <dt>Study</dt>
      <dd>
        {entry.description ?? "No description"}, {calendarDate(entry.study_date)}
      </dd>
      <dt>Images</dt>
      <dd>
        {plural(onScreen.count, "image")} on screen, {plural(keyImages, "key image")} in the report
        {entry.completeness.state !== "complete" && (
          <strong className="warn-text">
            {entry.completeness.state === "arriving" ? "; more are arriving" : "; not all images are here"}
          </strong>
        )}
      </dd>
      <dt>Impression</dt>
      <dd className="sign-impression">{impression}</dd>
      {leftOut > 0 && (
        <>
          <dt>Findings</dt>
          <dd className="warn-text">{plural(leftOut, "empty line")} left out</dd>
        </>
      )}
    </dl>
  );
}
