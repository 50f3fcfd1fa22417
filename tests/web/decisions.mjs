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
const { dayAfter, doneByDay, isDay, weekOf } = part("calendar", "dayAfter", "doneByDay", "isDay", "weekOf");
const { withBox } = part("checklist", "withBox");

/** Pseudorandom integers below a limit, the same in each run. */
function generator(seed) {
  let state = seed;
  return (below) => (state = (state * 48_271) % 2_147_483_647) % below;
}

whatNeedsAttention();
theListIsByDeadline();
whatBothChanged();
linesThatDiffer();
noLineIsLost();
longRunsAreLeftOut();
daysThatExist();
aWeekOfTasks();
whatIsDoneByDay();
aBoxIsTickedInItsLine();
tickingChangesOneCharacter();

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
  const random = generator(7);
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

function daysThatExist() {
  for (const [text, is] of [
    ["2026-11-30", true],
    ["2028-02-29", true],
    ["2027-02-29", false],
    ["2026-13-01", false],
    ["30.11.2026", false],
    ["2026-1-1", false],
    ["", false],
  ])
    assert.equal(isDay(text), is, text);
  for (const [day, count, expected] of [
    ["2026-11-30", 1, "2026-12-01"],
    ["2026-12-31", 1, "2027-01-01"],
    ["2026-03-28", 2, "2026-03-30"], // Summer time begins.
    ["2026-10-26", -7, "2026-10-19"], // It has ended.
    ["2028-02-28", 1, "2028-02-29"],
  ])
    assert.equal(dayAfter(day, count), expected);
}

function aWeekOfTasks() {
  const slot = (datum, zeit = "morgens") => ({ datum, zeit });
  const tasks = [
    { title: "fixed", status: "offen", fixedSlot: slot("07.12.2026", "abends") },
    { title: "fixed and due", status: "offen", fixedSlot: slot("08.12.2026"), deadline: "09.12.2026" },
    { title: "due, fixed before", status: "offen", fixedSlot: slot("01.12.2026"), deadline: "09.12.2026" },
    { title: "due", status: "offen", deadline: "13.12.2026" },
    { title: "done", status: "abgeschlossen", fixedSlot: slot("08.12.2026"), abgeschlossen_am: slot("10.12.2026") },
    { title: "done at no time", status: "abgeschlossen", abgeschlossen_am: null, deadline: "09.12.2026" },
    { title: "called off", status: "abgebrochen", fixedSlot: slot("09.12.2026"), deadline: "09.12.2026" },
    { title: "after", status: "offen", fixedSlot: slot("14.12.2026"), deadline: "14.12.2026" },
  ];
  const week = weekOf(tasks, "2026-12-07");
  assert.deepEqual(
    week.map(({ day }) => day),
    Array.from({ length: 7 }, (_, index) => `2026-12-${String(7 + index).padStart(2, "0")}`),
  );
  const shown = week.flatMap(({ day, slots, due }) => [
    ...slots.flatMap(({ zeit, tasks: here }) => here.map(({ title }) => `${day} ${zeit} ${title}`)),
    ...due.map(({ title }) => `${day} ! ${title}`),
  ]);
  assert.deepEqual(shown, [
    "2026-12-07 abends fixed",
    "2026-12-08 morgens fixed and due",
    "2026-12-09 ! due, fixed before",
    "2026-12-10 morgens done",
    "2026-12-13 ! due",
  ]);
}

function whatIsDoneByDay() {
  const done = (title, datum, zeit) => ({ title, abgeschlossen_am: datum ? { datum, zeit } : null });
  const days = doneByDay([
    done("a", "01.12.2025", "morgens"),
    done("b", "30.11.2026", "morgens"),
    done("c"),
    done("d", "30.11.2026", "abends"),
    done("e", "02.01.2026", "nachmittags"),
  ]);
  const shown = days.map(({ day, tasks }) => `${day}: ${tasks.map(({ title }) => title).join(" ")}`);
  assert.deepEqual(shown, ["2026-11-30: d b", "2026-01-02: e", "2025-12-01: a", ": c"]);
}

function aBoxIsTickedInItsLine() {
  for (const [body, at, count, isTicked, expected] of [
    ["- [ ] a\n- [x] b", 0, 2, true, "- [x] a\n- [x] b"],
    ["- [ ] a\n- [X] b", 1, 2, false, "- [ ] a\n- [ ] b"],
    ["* [ ] a\r\n+ [ ] b\r\n", 1, 2, true, "* [ ] a\r\n+ [x] b\r\n"],
    ["1. [ ] a\n   - [ ] b", 1, 2, true, "1. [ ] a\n   - [x] b"],
    ["> - [ ] a", 0, 1, true, "> - [x] a"],
    ["- - [ ] a", 0, 1, true, "- - [x] a"],
    ["# T\n\n- [ ] [x](y) [ ]", 0, 1, true, "# T\n\n- [x] [x](y) [ ]"],
    // What is code has no box.
    ["```\n- [ ] code\n```\n- [ ] a", 0, 1, true, "```\n- [ ] code\n```\n- [x] a"],
    ["~~~~\n~~~\n- [ ] code\n~~~~\n- [ ] a", 0, 1, true, "~~~~\n~~~\n- [ ] code\n~~~~\n- [x] a"],
    // Which box is meant isn't known.
    ["    - [ ] code\n\n- [ ] a", 0, 1, true, null],
    ["<b>- [ ] a</b>", 0, 1, true, null],
    ["- [ ]", 0, 1, true, null],
  ])
    assert.equal(withBox(body, at, count, isTicked), expected, JSON.stringify(body));
}

function tickingChangesOneCharacter() {
  const random = generator(7);
  const pieces = ["- [ ] ", "- [x] ", "> ", "1. ", "a", "\n", "\n\n", "```\n", "\r\n", "  ", "[ ]", "* [X] "];
  for (let round = 0; round < 2_000; round += 1) {
    const body = Array.from({ length: 1 + random(12) }, () => pieces[random(pieces.length)]).join("");
    for (let count = 1; count < 6; count += 1) {
      const at = random(count);
      const ticked = withBox(body, at, count, true);
      if (ticked === null) continue;
      assert.equal(ticked.length, body.length);
      const changed = [...body].filter((it, index) => it !== ticked[index]);
      assert.ok(changed.length <= 1 && " xX".includes(changed[0] ?? " "), JSON.stringify(body));
      assert.equal(withBox(ticked, at, count, true), ticked);
      assert.equal(withBox(withBox(ticked, at, count, false), at, count, true), ticked);
    }
  }
}
