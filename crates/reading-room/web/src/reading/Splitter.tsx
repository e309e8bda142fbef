import type { KeyboardEvent, PointerEvent } from "react";
import type { PanelWidth } from "./usePanelWidth";

const STEP_PX = 40;

/** Between images and report: drag it, or use the arrow keys; the button folds the report away. */
export function Splitter({ panel }: { panel: PanelWidth }) {
  const keys: Record<string, () => void> = {
    ArrowLeft: () => panel.resize(panel.width + STEP_PX),
    ArrowRight: () => panel.resize(panel.width - STEP_PX),
    Home: () => panel.resize(panel.max),
    End: () => panel.resize(panel.min),
  };
  const press = (event: KeyboardEvent) => {
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  };
  const drag = (event: PointerEvent<HTMLDivElement>) => {
    if (event.currentTarget.hasPointerCapture(event.pointerId)) panel.resize(window.innerWidth - event.clientX);
  };
  return (
    <div className="splitter">
      {!panel.folded && (
        <div
          className="splitter-grip"
          role="separator"
          aria-orientation="vertical"
          aria-label="Width of the report panel"
          aria-valuenow={panel.width}
          aria-valuemin={panel.min}
          aria-valuemax={panel.max}
          tabIndex={0}
          onKeyDown={press}
          onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
          onPointerMove={drag}
          onDoubleClick={panel.reset}
        />
      )}
      <button
        className="fold"
        onClick={panel.fold}
        aria-expanded={!panel.folded}
        aria-label={panel.folded ? "Show the report panel" : "Fold the report panel"}
        title={`${panel.folded ? "Show" : "Fold"} the report panel (Ctrl+\\)`}
      >
        {panel.folded ? "‹" : "›"}
      </button>
    </div>
  );
}
