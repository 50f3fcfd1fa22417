// What moving a task means, decided from the week: no DOM, no state, no clock.

/**
 * What is so once the task has `slot` as its `fixedSlot`, or with `null` none. `is`:
 *
 * - `gone`: the week doesn't have the task.
 * - `same`: it has that already.
 * - `passed`: the slot is over.
 * - `taken`: a fixed task has it, `by`. `theirs` is what that one can get instead: this task's slot, or none of its own.
 *   `place`, `gives` and `others` are what is so once both have changed.
 * - `fine`: the task is in its `place` then, `{slot}`, or `{reason}` for none. `gives` is the task that gives way, as
 *   `{task, place}`; `others` is how many others are in another place then.
 */
function moveOf(week, file, slot, now) {
  const tasks = tasksOf(week);
  const task = tasks.get(file);
  if (!task) return { is: "gone" };
  // What waits for a slot isn't there.
  const isThere = slot ? isSame(task.fixedSlot, slot) && isSame(task.at, slot) : task.fixedSlot === null;
  if (isThere) return { is: "same" };
  if (slot && hasPassed(slot.datum, slot.zeit, now)) return { is: "passed" };
  const there = slot && slotsOf(week).find((it) => isSame(it, slot))?.task;
  const by = there?.isFixed && there.file !== file ? there : null;
  const changes = new Map([[file, slot]]);
  const isLeft = task.at && !hasPassed(task.at.datum, task.at.zeit, now);
  const theirs = isLeft ? task.at : null;
  if (by) changes.set(by.file, theirs);
  const after = tasksOf(placeAgain(week, changes, now));
  // A week that is still valid leaves out the slots that are over.
  if (after.get(file).reason === "slot_passed") return { is: "passed" };
  const placeOf = (it) => (after.get(it).at ? { slot: after.get(it).at } : { reason: after.get(it).reason });
  const gives = there && there.file !== file ? { task: there, place: placeOf(there.file) } : null;
  const others = [...tasks.values()].filter(
    (it) => it !== task && it.file !== there?.file && !isSame(it.at, after.get(it.file).at),
  );
  return { is: by ? "taken" : "fine", by, theirs, place: placeOf(file), gives, others: others.length };
}

/**
 * Where a task can be moved by a menu: `today`, `tomorrow`, `next`, `release`, each with its `slot`, which for `release`
 * is `null`, or `why` that isn't possible: `there`, it is there already; `none`, it has none; `full`, nothing is free.
 *
 * A day's slot is the one where the task is, or else the first that has neither passed nor a fixed task, as in quick
 * add. The next free place suits the task's category, as far as there is one.
 */
function destinations(week, file, now) {
  const task = tasksOf(week).get(file);
  if (!task) return [];
  const left = slotsOf(week).filter(({ datum, zeit }) => !hasPassed(datum, zeit, now));
  const onDay = (iso) => {
    const ofDay = left.filter(({ datum }) => isoOf(datum) === iso);
    return ofDay.find((it) => isSame(it, task.at)) ?? ofDay.find((it) => !it.task?.isFixed);
  };
  const free = left.filter((it) => !it.task);
  const suits = ({ datum, zeit }) => zeit !== "abends" && isAllowedOn(task.kategorie, datum);
  const wishes = [
    ["today", onDay(now.date)],
    ["tomorrow", onDay(dayAfter(now.date))],
    ["next", free.find(suits) ?? free[0]],
  ].map(([name, at]) => {
    if (!at) return { name, why: "full" };
    const slot = { datum: at.datum, zeit: at.zeit };
    return isSame(task.fixedSlot, slot) ? { name, why: "there" } : { name, slot };
  });
  return [...wishes, task.fixedSlot === null ? { name: "release", why: "none" } : { name: "release", slot: null }];
}

const FASTEST = 18;

/** How far (px) a page of this height scrolls by for each frame while something is dragged at `y`, above `bottom`. */
function edgeSpeed(y, height, bottom) {
  const edge = Math.min(64, height / 5);
  const into = y < edge ? y - edge : Math.max(0, y - (bottom - edge));
  return Math.round(Math.max(-1, Math.min(1, into / edge)) * FASTEST);
}
