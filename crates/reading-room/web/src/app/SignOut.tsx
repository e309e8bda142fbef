import { Dialog } from "../ui/Dialog";

/** Asked only when the last text could not be saved. */
export function SignOut({ onStay, onLeave }: { onStay: () => void; onLeave: () => void }) {
  return (
    <Dialog title="Some text is not saved" onClose={onStay}>
      <p>The server does not have your latest changes. Signing out now loses them.</p>
      <div className="actions">
        <button className="primary" onClick={onStay} data-focus>
          Stay
        </button>
        <button className="danger" onClick={onLeave}>
          Sign out and lose the changes
        </button>
      </div>
    </Dialog>
  );
}
