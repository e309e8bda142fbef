import type { Note, NoteAction } from "./notes";

const ACTIONS: Record<NoteAction, string> = {
  reload_images: "Reload images",
  insert_draft: "Insert new draft",
  take_over: "Take over…",
};

interface Props {
  notes: Note[];
  onAct: (action: NoteAction) => void;
  readOnly: boolean;
}

export function Notes({ notes, onAct, readOnly }: Props) {
  return (
    <div className="notes" role="status">
      <ul aria-label="Before you trust what you see">
        {notes.map(({ key, tone, text, action }) => (
          <li key={key} className={`note note-${tone}`} data-testid={`note-${key}`}>
            <span className="note-mark" aria-hidden="true">
              {tone === "warn" ? "!" : "i"}
            </span>
            <span>{text}</span>
            {action && !readOnly && <button onClick={() => onAct(action)}>{ACTIONS[action]}</button>}
          </li>
        ))}
      </ul>
    </div>
  );
}
