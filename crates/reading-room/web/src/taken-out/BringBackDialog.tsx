import { bringBack } from "../api/calls";
import type { TakenOutStudy } from "../api/types";
import { Dialog } from "../ui/Dialog";
import { Problem } from "../ui/Problem";
import { useSubmit } from "../ui/useSubmit";
import { plural } from "../words/names";
import { StudyFacts } from "./StudyFacts";
import { contents } from "./words";

interface Props {
  study: TakenOutStudy;
  onClose: () => void;
  onBroughtBack: () => Promise<void>;
}

export function BringBackDialog({ study, onClose, onBroughtBack }: Props) {
  const { busy, error, onSubmit } = useSubmit(async () => {
    await bringBack(study);
    await onBroughtBack();
  });
  const { refused_count: refused } = study;
  return (
    <Dialog title="Bring this study back?" onClose={onClose} testId="bring-back-dialog">
      <StudyFacts study={study}>
        <dt>Images</dt>
        <dd>{contents(study)}</dd>
      </StudyFacts>
      <p>It stands on the worklist again as it was, with its draft and what was written.</p>
      {refused > 0 && (
        <p className="notice">
          {plural(refused, "image of it was", "images of it were")} refused since. What is missing has to be sent again.
        </p>
      )}
      {error && <Problem error={error} />}
      <form onSubmit={onSubmit}>
        <div className="actions">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button className="primary" type="submit" disabled={busy} data-focus data-testid="confirm-bring-back">
            {busy ? "Bringing it back…" : "Bring back"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
