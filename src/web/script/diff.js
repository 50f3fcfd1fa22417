// What two people changed, decided from values: no DOM, no state.

const MOST_COMPARISONS = 4_000_000; // A text with more differing lines is shown as replaced whole.
const CONTEXT = 2; // Equal lines shown around a difference.

/** The names of the fields that both sides changed from `base`, and not to the same. */
function changedByBoth(base, mine, theirs) {
  const differ = (a, b) => JSON.stringify(a) !== JSON.stringify(b);
  const names = Object.keys(base);
  return names.filter(
    (name) => differ(base[name], mine[name]) && differ(base[name], theirs[name]) && differ(mine[name], theirs[name]),
  );
}

/**
 * The lines of both texts in order, each with `in`: `both`, `mine` or `theirs`. Without the lines that only one side
 * has, it is the other side's text.
 */
function lineDiff(mine, theirs) {
  const [a, b] = [theirs.split("\n"), mine.split("\n")];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end += 1;
  const side = (name) => (line) => ({ in: name, line });
  const middle = [a.slice(start, a.length - end), b.slice(start, b.length - end)];
  return [
    ...a.slice(0, start).map(side("both")),
    ...longestCommon(...middle),
    ...a.slice(a.length - end).map(side("both")),
  ];
}

/** The diff by the longest common subsequence. */
function longestCommon(a, b) {
  const [rows, columns] = [a.length + 1, b.length + 1];
  const lengths = new Uint32Array(rows * columns > MOST_COMPARISONS ? 0 : rows * columns);
  // Without lengths nothing is common: all of theirs, then all of mine.
  const at = (row, column) => lengths[row * columns + column] ?? 0;
  if (lengths.length)
    for (let row = a.length - 1; row >= 0; row -= 1)
      for (let column = b.length - 1; column >= 0; column -= 1)
        lengths[row * columns + column] =
          a[row] === b[column] ? at(row + 1, column + 1) + 1 : Math.max(at(row + 1, column), at(row, column + 1));
  const lines = [];
  let [row, column] = [0, 0];
  while (row < a.length || column < b.length) {
    if (lengths.length && row < a.length && column < b.length && a[row] === b[column]) {
      lines.push({ in: "both", line: a[row] });
      row += 1;
      column += 1;
    } else if (column === b.length || (row < a.length && at(row + 1, column) >= at(row, column + 1))) {
      lines.push({ in: "theirs", line: a[row] });
      row += 1;
    } else {
      lines.push({ in: "mine", line: b[column] });
      column += 1;
    }
  }
  return lines;
}

/** The diff with long runs of equal lines left out: `{in: "skipped", count}` in their place. */
function shortened(lines) {
  const near = (at) => lines.slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1).some((it) => it.in !== "both");
  const shown = [];
  for (const [at, line] of lines.entries()) {
    if (near(at)) shown.push(line);
    else if (shown.at(-1)?.in === "skipped") shown.at(-1).count += 1;
    else shown.push({ in: "skipped", count: 1 });
  }
  return shown;
}
