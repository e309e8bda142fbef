import { useEffect, useRef, useState, type ChangeEvent } from "react";
import { fromDrop, fromInput, type Gathered } from "./gather";

interface Props {
  disabled: boolean;
  compact: boolean;
  onFiles: (gathered: Gathered) => void;
}

/** Where folders, files and ZIPs are dropped: the whole page takes them, and two buttons for those who use no mouse. */
export function DropArea({ disabled, compact, onFiles }: Props) {
  const [over, setOver] = useState(false);
  const [looking, setLooking] = useState(false);
  const folder = useRef<HTMLInputElement>(null);
  const files = useRef<HTMLInputElement>(null);
  const latest = useRef(onFiles);
  useEffect(() => {
    latest.current = onFiles;
  });

  useEffect(() => {
    folder.current?.setAttribute("webkitdirectory", "");
  }, []);

  useEffect(() => {
    let depth = 0;
    const holdsFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const enter = (event: DragEvent) => {
      if (!holdsFiles(event)) return;
      event.preventDefault();
      depth += 1;
      setOver(true);
    };
    const leave = () => {
      depth = Math.max(0, depth - 1);
      if (depth === 0) setOver(false);
    };
    const hover = (event: DragEvent) => {
      // Without this a browser opens a file that misses, and the page is gone.
      if (holdsFiles(event)) event.preventDefault();
    };
    const drop = (event: DragEvent) => {
      depth = 0;
      setOver(false);
      if (!event.dataTransfer || !holdsFiles(event)) return;
      event.preventDefault();
      if (disabled) return;
      setLooking(true);
      void fromDrop(event.dataTransfer)
        .then((gathered) => latest.current(gathered))
        .finally(() => setLooking(false));
    };
    window.addEventListener("dragenter", enter);
    window.addEventListener("dragleave", leave);
    window.addEventListener("dragover", hover);
    window.addEventListener("drop", drop);
    return () => {
      window.removeEventListener("dragenter", enter);
      window.removeEventListener("dragleave", leave);
      window.removeEventListener("dragover", hover);
      window.removeEventListener("drop", drop);
    };
  }, [disabled]);

  const chosen = (event: ChangeEvent<HTMLInputElement>) => {
    if (event.target.files && event.target.files.length > 0) onFiles(fromInput(event.target.files));
    event.target.value = "";
  };

  return (
    <section
      className={`drop-area${over ? " drop-over" : ""}${compact ? " drop-compact" : ""}`}
      aria-label="Add images"
      data-testid="drop-area"
    >
      <p className="drop-call">
        {looking ? "Looking through the folder…" : over ? "Let go to send" : "Drop a folder, files or a ZIP here"}
      </p>
      <div className="drop-buttons">
        <button className={compact ? "" : "primary"} disabled={disabled} onClick={() => folder.current?.click()}>
          Choose a folder
        </button>
        <button disabled={disabled} onClick={() => files.current?.click()}>
          Choose files or a ZIP
        </button>
      </div>
      {!compact && (
        <p className="dim">A CD can be dropped as it is. Programs and texts on it are left out by themselves.</p>
      )}
      <input ref={folder} type="file" multiple hidden data-testid="choose-folder" onChange={chosen} />
      <input ref={files} type="file" multiple hidden data-testid="choose-files" onChange={chosen} />
    </section>
  );
}
