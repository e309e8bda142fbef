import { useState } from "react";
import { closeTask } from "../api/calls";
import type { Task } from "../api/types";
import { Dialog } from "../ui/Dialog";
import { Problem } from "../ui/Problem";
import { useSubmit } from "../ui/useSubmit";

interface Props {
  task: Task;
  onDone: () => Promise<void>;
  onClose: () => void;
}

export function CloseTask({ task, onDone, onClose }: Props) {
  const [note, setNote] = useState("");
  const { busy, error, onSubmit } = useSubmit(async () => {
    await closeTask(task.id, note.trim());
    await onDone();
    onClose();
  });
  return (
    <Dialog title="Close this?" onClose={onClose} testId="close-task-dialog">
      <p>{task.reason}</p>
      <form onSubmit={onSubmit}>
        <label>
          What was done
          <textarea required rows={3} data-focus value={note} onChange={(event) => setNote(event.target.value)} />
        </label>
        <p className="dim">The note stays with your name in the study’s history.</p>
        {error && <Problem error={error} />}
        <div className="actions">
          <button type="button" onClick={onClose}>
            Leave it open
          </button>
          <button className="primary" type="submit" disabled={busy || note.trim() === ""}>
            Close
          </button>
        </div>
      </form>
    </Dialog>
  );
}
