import type { Task } from "../api/types";
import { Link } from "../app/Link";
import { conflictsPath, readingPath } from "../app/routes";
import { useSignedIn } from "../app/session";
import { TASK_NAMES } from "../words/names";
import { moment } from "../words/time";

export function TaskItem({ task, onClose }: { task: Task; onClose: () => void }) {
  const { closed } = task;
  const { person } = useSignedIn();
  return (
    <li className={closed ? "task task-closed" : "task"} data-testid="task" data-kind={task.kind}>
      <div>
        <p className="task-kind">
          {TASK_NAMES[task.kind]}{" "}
          <span className="dim">
            {task.centre_name} · {moment(task.opened)}
          </span>
        </p>
        <h2>{task.reason}</h2>
        <p className="task-step">{task.next_step}</p>
        {closed && (
          <p className="dim">
            {closed.by_name ? `Closed by ${closed.by_name}` : "Closed by itself"}, {moment(closed.at)}: {closed.note}
          </p>
        )}
      </div>
      <div className="task-actions">
        {task.study_uid && (
          <Link className="button" to={readingPath(task.centre, task.study_uid)}>
            Open the study
          </Link>
        )}
        {task.kind === "quarantine" && person.role !== "reader" && (
          <Link className="button" to="/quarantine">
            Open the quarantine
          </Link>
        )}
        {task.kind === "conflict" && task.study_uid && !closed && (
          <Link className="button" to={conflictsPath(task.centre, task.study_uid)}>
            Compare
          </Link>
        )}
        {!closed && !(task.kind === "conflict" && person.role === "reader") && <button onClick={onClose}>Close…</button>}
      </div>
    </li>
  );
}
