import { useState } from "react";
import { Dialog } from "../ui/Dialog";
import { Problem } from "../ui/Problem";
import { useSubmit } from "../ui/useSubmit";

interface Props {
  title: string;
  effect: string;
  button: string;
  /** The report is signed, and the images change under it. */
  signed: boolean;
  onDecide: (reason: string) => Promise<void>;
  onClose: () => void;
}

export function DecideDialog({ title, effect, button, signed, onDecide, onClose }: Props) {
  const [reason, setReason] = useState("");
  const { busy, error, onSubmit } = useSubmit(async () => {
    await onDecide(reason.trim());
    onClose();
  });
  return (
    <Dialog title={title} onClose={onClose} testId="decide-dialog">
      <p>{effect}</p>
      {signed && <p className="notice">The report is signed. Its reader is told that the images changed.</p>}
      <form onSubmit={onSubmit}>
        <label>
          Why
          <textarea
            required
            rows={3}
            maxLength={2000}
            data-focus
            value={reason}
            onChange={(event) => setReason(event.target.value)}
          />
        </label>
        <p className="dim">Kept with your name. You can take the decision back.</p>
        {error && <Problem error={error} />}
        <div className="actions">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button className="primary" type="submit" disabled={busy || reason.trim() === ""}>
            {busy ? "Deciding…" : button}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
