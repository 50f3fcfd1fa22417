// Which tasks need attention, decided from values: no DOM, no state. Days are ISO dates, which compare as text.

/**
 * Why a task needs attention: `overdue`, its deadline has passed; `late`, its place is after the deadline; `placeless`,
 * its deadline is in the week and it has no place. `null`: it doesn't.
 *
 * `place` is where the week has it: `{day}`, or `{reason}` for none; `null` if the week doesn't know. `until` is the
 * week's last day.
 */
function attentionOf({ status = "offen", deadline, place }, { today, until }) {
  if (status !== "offen" || !deadline) return null;
  if (deadline < today) return "overdue";
  if (!place) return null;
  if (place.day) return place.day > deadline ? "late" : null;
  if (deadline > until) return null;
  return place.reason === "outside_horizon" ? "late" : "placeless";
}

/** The tasks that need attention, by deadline; of equal ones, in the given order. */
function attentionList(tasks, week) {
  return tasks
    .map((task) => ({ ...task, kind: attentionOf(task, week) }))
    .filter(({ kind }) => kind)
    .sort((a, b) => (a.deadline < b.deadline ? -1 : a.deadline > b.deadline ? 1 : 0));
}
