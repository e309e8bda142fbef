import { Dialog } from "../ui/Dialog";
import { clock } from "../words/time";
import type { Holder } from "./useClaim";

interface Props {
  holder: Holder;
  onClose: () => void;
  onTakeOver: () => Promise<boolean>;
}

export function TakeOver({ holder, onClose, onTakeOver }: Props) {
  const go = () => {
    onClose();
    void onTakeOver();
  };
  return (
    <Dialog title={`Take this study from ${holder.name}?`} onClose={onClose} testId="take-over-dialog">
      <p>
        {holder.name} holds it{holder.until ? ` until ${clock(holder.until)}` : ""} and may be writing now. The text
        they have saved comes to you; they can no longer save or sign.
      </p>
      <div className="actions">
        <button onClick={onClose} data-focus>
          Leave it with {holder.name}
        </button>
        <button className="danger" onClick={go} data-testid="confirm-take-over">
          Take over
        </button>
      </div>
    </Dialog>
  );
}
