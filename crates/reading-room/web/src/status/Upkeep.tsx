import type { Status, UpkeepJob } from "../api/types";
import { moment } from "../words/time";
import { plural } from "../words/names";
import { amount, count, lastRound } from "./words";

/** Whether what is stored is still what was stored, and what was cleared away. */
export function Upkeep({ status: { scrub, sweep, damaged } }: { status: Status }) {
  return (
    <section className="status-part" aria-labelledby="status-upkeep" data-testid="upkeep">
      <h2 id="status-upkeep">Stored objects</h2>
      <Damaged damaged={damaged} />
      <dl className="upkeep">
        <div>
          <dt>Reading again</dt>
          <dd>
            <Scrub job={scrub} />
          </dd>
        </div>
        <div>
          <dt>Leftovers</dt>
          <dd>
            <Halted job={sweep} />
            {sweep.began && <p>Looking: {count(sweep.objects)} objects so far</p>}
            <p className="dim">{lastRound(sweep, "removed", moment)}</p>
          </dd>
        </div>
      </dl>
    </section>
  );
}

function Scrub({ job }: { job: UpkeepJob }) {
  const percent = job.share === null ? null : Math.floor(job.share * 100);
  return (
    <>
      <Halted job={job} />
      {job.began && (
        <p className="use">
          {percent !== null && <meter min={0} max={100} value={percent} aria-label="Share that was read again" />}
          <span>
            {percent !== null && <strong>{percent} %</strong>} {count(job.objects)} objects,{" "}
            {amount(job.bytes, "bytes")}
            {job.bytes_per_second !== null && `, ${amount(job.bytes_per_second, "bytes_per_second")}`},{" "}
            <span className={job.found > 0 ? "tone-warn" : undefined}>{count(job.found)} bad</span>
          </span>
        </p>
      )}
      <p className="dim">{lastRound(job, "bad", moment)}</p>
    </>
  );
}

function Halted({ job }: { job: UpkeepJob }) {
  return job.halted === null ? null : <p className="tone-warn">Stopped: {job.halted}</p>;
}

function Damaged({ damaged }: { damaged: Status["damaged"] }) {
  if (damaged.count === 0) return <p className="dim">No stored object is known to be damaged.</p>;
  return (
    <div className="damaged">
      <p className="tone-warn">
        {plural(damaged.count, "stored object is", "stored objects are")} damaged. The tasks say what to do.
      </p>
      <ul>
        {damaged.objects.map(({ object, how, found }) => (
          <li key={object}>
            <code>{object}</code>
            <span>
              {how}, <span className="dim">found {moment(found)}</span>
            </span>
          </li>
        ))}
      </ul>
      {damaged.count > damaged.objects.length && (
        <p className="dim">
          These are the first {damaged.objects.length}; <code>telerad verify</code> lists all.
        </p>
      )}
    </div>
  );
}
