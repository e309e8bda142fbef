import { Fragment } from "react";
import type { Limit, Status, StatusSection } from "../api/types";
import { usePolled } from "../app/usePolled";
import { useTitle } from "../app/useTitle";
import { Away } from "../ui/Away";
import { Upkeep } from "./Upkeep";
import { amount, count, isNearlyFull, share } from "./words";
import "./status.css";

const STATUS_PAUSE_MS = 3_000;

/** For administrators: which limits are in force, how much of them is taken, and what was refused. */
export function StatusPage() {
  useTitle("Limits");
  const { data, error, answeredAt } = usePolled<Status>("/status", STATUS_PAUSE_MS);
  return (
    <main id="main" className="list-page">
      <div className="page-head">
        <h1>Limits</h1>
        <p className="summary dim">What this process takes at most, and what it refused since it started.</p>
      </div>
      {error && <Away error={error} answeredAt={answeredAt} />}
      {!data && !error && <p className="dim">Loading the limits…</p>}
      {data && (
        <div className="status" data-testid="status">
          {data.queues.length > 0 && <Queues queues={data.queues} />}
          <Upkeep status={data} />
          {data.sections.map((section) => (
            <Section key={section.title} section={section} />
          ))}
        </div>
      )}
    </main>
  );
}

function Queues({ queues }: { queues: Status["queues"] }) {
  return (
    <section className="status-part" aria-labelledby="status-queues">
      <h2 id="status-queues">Work that waits</h2>
      <dl className="status-queues">
        {queues.map(({ name, waiting, in_hand }) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              {waiting === null ? (
                <span className="tone-warn">The broker does not answer</span>
              ) : (
                `${count(waiting)} waiting, ${count(in_hand ?? 0)} in hand`
              )}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function Section({ section }: { section: StatusSection }) {
  const id = `status-${section.title.toLowerCase().replaceAll(" ", "-")}`;
  const refused = section.refused.filter((one) => one.count > 0);
  return (
    <section className="status-part" aria-labelledby={id}>
      <h2 id={id}>{section.title}</h2>
      {section.refused.length > 0 && (
        <p className={refused.length > 0 ? "status-refused" : "status-refused dim"}>
          {refused.length === 0
            ? "Nothing was refused since the start."
            : refused.map((one) => (
                <span key={one.reason}>
                  <strong>{count(one.count)}</strong> {one.reason}
                </span>
              ))}
        </p>
      )}
      <table className="limits">
        <thead>
          <tr>
            <th scope="col">Limit</th>
            <th scope="col" className="number">
              At most
            </th>
            <th scope="col">In use</th>
            <th scope="col">Setting</th>
          </tr>
        </thead>
        <tbody>
          {section.limits.map((limit) => (
            <tr key={limit.name}>
              <th scope="row">{limit.name}</th>
              <td className="number">{amount(limit.value, limit.unit)}</td>
              <td>
                <Use limit={limit} />
              </td>
              <td>{limit.setting === null ? <span className="dim">fixed</span> : <Key name={limit.setting} />}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** The key of a setting, which breaks between its words where there is little room. */
function Key({ name }: { name: string }) {
  return (
    <code>
      {name.split(/(?<=[._])/).map((part, index) => (
        <Fragment key={index}>
          {index > 0 && <wbr />}
          {part}
        </Fragment>
      ))}
    </code>
  );
}

function Use({ limit }: { limit: Limit }) {
  if (limit.in_use === null) return null;
  return (
    <span className={isNearlyFull(limit) ? "use tone-warn" : "use"}>
      <meter min={0} max={1} value={share(limit)} aria-label={`${limit.name}, share in use`} />
      {amount(limit.in_use, limit.unit)}
    </span>
  );
}
