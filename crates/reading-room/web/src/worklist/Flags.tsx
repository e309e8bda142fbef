import type { Entry } from "../api/types";
import { plural } from "../words/names";

interface Flag {
  text: string;
  title: string;
  warn: boolean;
}

function flagsOf(entry: Entry): Flag[] {
  const { total, acknowledged } = entry.deliveries;
  const flags: (Flag | false)[] = [
    entry.conflicts > 0 && {
      text: plural(entry.conflicts, "conflict"),
      title: "Images that cannot simply stand side by side: see Conflicts",
      warn: true,
    },
    entry.new_images_after_signature && {
      text: "New images",
      title: "Images came after the report was signed",
      warn: true,
    },
    entry.open_tasks > 0 && { text: plural(entry.open_tasks, "task"), title: "Needs attention", warn: true },
    total > acknowledged && {
      text: `${acknowledged}/${total} ack.`,
      title: `${acknowledged} of ${plural(total, "delivery", "deliveries")} acknowledged`,
      warn: false,
    },
  ];
  return flags.filter((flag) => flag !== false);
}

export function Flags({ entry }: { entry: Entry }) {
  return (
    <ul className="flags">
      {flagsOf(entry).map(({ text, title, warn }) => (
        <li key={title} className={warn ? "flag flag-warn" : "flag"} title={title}>
          {text}
        </li>
      ))}
    </ul>
  );
}
