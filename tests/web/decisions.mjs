// The script's pure functions, without a browser: tables of their cases, and what holds for any input.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

/** The functions of a part of the script that touches no page. */
function part(name, ...functions) {
  const source = readFileSync(new URL(`../../src/web/script/${name}.js`, import.meta.url), "utf8");
  return new Function(`${source}\nreturn { ${functions.join(", ")} };`)();
}

const { attentionOf, attentionList } = part("attention", "attentionOf", "attentionList");
const { changedByBoth, lineDiff, shortened } = part("diff", "changedByBoth", "lineDiff", "shortened");

whatNeedsAttention();
theListIsByDeadline();
whatBothChanged();
linesThatDiffer();
noLineIsLost();
longRunsAreLeftOut();

/** The same table holds for the printable page, by `tests/it/attention.rs`. */
function whatNeedsAttention() {
  const { rows, ...week } = JSON.parse(readFileSync(new URL("attention.json", import.meta.url), "utf8"));
  for (const { deadline, place, is } of rows) {
    assert.equal(attentionOf({ deadline, place }, week), is, JSON.stringify({ deadline, place }));
    for (const status of ["abgeschlossen", "abgebrochen"])
      assert.equal(attentionOf({ status, deadline, place }, week), null, "nothing is wrong any more");
  }
  // The week doesn't know the task: nothing is claimed but what the deadline says.
  const unknown = (deadline) => attentionOf({ status: "offen", deadline, place: null }, week);
  assert.deepEqual([undefined, "2026-11-29", "2026-12-01"].map(unknown), [null, "overdue", null]);
}

function theListIsByDeadline() {
  const week = { today: "2026-11-30", until: "2026-12-06" };
  const tasks = [
    { title: "a", deadline: "2026-12-02", place: { reason: "horizon_full" } },
    { title: "b", deadline: "2026-12-01", place: { day: "2026-12-01" } },
    { title: "c", deadline: "2026-12-01", place: { day: "2026-12-04" } },
    { title: "d", deadline: "2026-11-01", place: { day: "2026-12-04" } },
    { title: "e", deadline: "2026-12-01", place: { reason: "slot_taken" } },
  ];
  const list = attentionList(tasks, week).map(({ title, kind }) => `${title} ${kind}`);
  assert.deepEqual(list, ["d overdue", "c late", "e placeless", "a placeless"]);
}

function whatBothChanged() {
  const base = { deadline: null, tags: ["a"], body: "x" };
  for (const [mine, theirs, expected] of [
    [{}, {}, []],
    [{ deadline: "1" }, {}, []],
    [{}, { deadline: "1" }, []],
    [{ deadline: "1" }, { tags: [] }, []],
    [{ deadline: "1" }, { deadline: "1" }, []],
    [{ deadline: "1" }, { deadline: "2" }, ["deadline"]],
    [{ tags: ["a", "b"], body: "y" }, { tags: ["b"], body: "z" }, ["tags", "body"]],
    [{ tags: ["b"] }, { tags: ["b"] }, []],
  ])
    assert.deepEqual(changedByBoth(base, { ...base, ...mine }, { ...base, ...theirs }), expected);
}

/** A diff as text: `+` is mine, `-` is theirs. */
function shown(lines) {
  const signs = { both: " ", mine: "+", theirs: "-" };
  return lines.map((it) => (it.in === "skipped" ? `…${it.count}` : signs[it.in] + it.line)).join("|");
}

function linesThatDiffer() {
  for (const [mine, theirs, expected] of [
    ["", "", " "],
    ["a", "a", " a"],
    ["a", "b", "-b|+a"],
    ["a\nb\nc", "a\nc", " a|+b| c"],
    ["a\nc", "a\nb\nc", " a|-b| c"],
    ["a\nx\nc", "a\ny\nc", " a|-y|+x| c"],
    ["a\na\na", "a\na", " a| a|+a"],
    ["b\na", "a\nb", "-a| b|+a"],
    ["a\n", "a", " a|+"],
  ])
    assert.equal(shown(lineDiff(mine, theirs)), expected, JSON.stringify([mine, theirs]));
}

/** For any two texts: each can be read from the diff, and equal lines at both ends are common. */
function noLineIsLost() {
  let seed = 7;
  const random = (below) => (seed = (seed * 48_271) % 2_147_483_647) % below;
  const text = () => Array.from({ length: random(12) }, () => "abc"[random(3)]).join("\n");
  const of = (lines, side) => lines.filter((it) => it.in === "both" || it.in === side).map((it) => it.line);
  for (let round = 0; round < 2_000; round += 1) {
    const [mine, theirs] = [text(), text()];
    const lines = lineDiff(mine, theirs);
    assert.equal(of(lines, "mine").join("\n"), mine);
    assert.equal(of(lines, "theirs").join("\n"), theirs);
    const count = shortened(lines).reduce((sum, it) => sum + (it.count ?? 1), 0);
    assert.equal(count, lines.length);
  }
  // Too long to compare: replaced whole, but for what is equal at both ends.
  const many = (letter) => Array.from({ length: 3_000 }, (_, at) => `${letter}${at}`).join("\n");
  const lines = lineDiff(`x\n${many("m")}\ny`, `x\n${many("t")}\ny`);
  assert.deepEqual([lines.length, lines[0].in, lines.at(-1).in], [6_002, "both", "both"]);
  assert.equal(of(lines, "mine").join("\n"), `x\n${many("m")}\ny`);
}

function longRunsAreLeftOut() {
  const lines = "a b c d e f g h i j".split(" ");
  const changed = lines.map((it) => (it === "e" ? "E" : it));
  assert.equal(shown(shortened(lineDiff(changed.join("\n"), lines.join("\n")))), "…2| c| d|-e|+E| f| g|…3");
}
