import { useRef, useState } from "react";
import type { Entry } from "../api/types";
import { readingPath } from "../app/routes";
import { navigate } from "../app/router";
import { useRowKeys } from "./useRowKeys";
import { WorklistRow } from "./WorklistRow";

const entryId = ({ centre, study_uid }: Entry): string => `${centre}/${study_uid}`;

const COLUMNS = [
  ["priority", "Priority"],
  ["patient", "Patient"],
  ["study", "Study"],
  ["centre", "Centre"],
  ["images", "Images"],
  ["waiting", "Waiting"],
  ["reader", "Reader"],
  ["draft", "Draft"],
  ["flags", "Flags"],
] as const;

interface Props {
  entries: Entry[];
  now: number;
  onTakeOut: (entry: Entry) => void;
}

export function WorklistTable({ entries, now, onTakeOut }: Props) {
  const table = useRef<HTMLTableElement>(null);
  const [expanded, setExpanded] = useState<string | null>(null);
  const open = (entry: Entry | undefined, start: boolean) => {
    if (entry) navigate(readingPath(entry.centre, entry.study_uid), { start });
  };
  const expand = (entry: Entry | undefined) => {
    if (entry) setExpanded((id) => (id === entryId(entry) ? null : entryId(entry)));
  };
  useRowKeys(table, entries.map(entryId), {
    onOpen: (index) => open(entries[index], true),
    onLook: (index) => open(entries[index], false),
    onExpand: (index) => expand(entries[index]),
  });
  return (
    <table className="worklist" ref={table} data-testid="worklist">
      <caption className="visually-hidden">Studies, most urgent first</caption>
      <colgroup>
        {COLUMNS.map(([name]) => (
          <col key={name} className={`col-${name}`} />
        ))}
      </colgroup>
      <thead>
        <tr>
          {COLUMNS.map(([name, title]) => (
            <th key={name} scope="col">
              {title}
            </th>
          ))}
        </tr>
      </thead>
      {entries.map((entry) => (
        <WorklistRow
          key={entryId(entry)}
          entry={entry}
          now={now}
          expanded={expanded === entryId(entry)}
          onOpen={() => open(entry, true)}
          onExpand={() => expand(entry)}
          onTakeOut={() => onTakeOut(entry)}
        />
      ))}
    </table>
  );
}
