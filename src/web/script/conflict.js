// Two people changed the same fields of a task: both versions, and the choice between them.

function showConflict(theirs, both) {
  const names = {
    title: words.title,
    kategorie: words.kategorieLabel,
    deadline: words.deadline,
    fixedSlot: words.fixed,
    tags: words.tags,
    body: words.text,
  };
  const [own, other] = [form.fields, fieldsOf(theirs)];
  const choose = (label, act, main) => el("button", { type: "button", className: main && "main", onclick: act }, label);
  const part = (name) =>
    el(
      "section",
      { role: "group", "aria-labelledby": `conflict-${name}` },
      el("h4", { id: `conflict-${name}` }, names[name]),
      name === "body" ? diffView(own.body, other.body) : bothView(name, own[name], other[name]),
    );
  // Only the conflict can be acted on now.
  dialog.querySelector("form").hidden = true;
  const heading = el("h3", { tabindex: "-1" }, words.conflict);
  dialog.querySelector("#conflict").replaceChildren(
    heading,
    el("p", {}, words.conflictHint),
    ...both.map(part),
    el(
      "p",
      { className: "buttons" },
      choose(words.keepMine, () => continueFrom(theirs, true), true),
      choose(words.takeTheirs, () => {
        discardForm(form);
        back();
        afterChange();
      }),
      choose(words.keepEditing, () => continueFrom(theirs, false)),
    ),
  );
  heading.focus();
}

/** Shows the form on top of the current version, with the fields that were changed here. */
function continueFrom(base, save) {
  putOnTopOf(form, base);
  saveDraft();
  showForm();
  if (save) dialog.querySelector("form").requestSubmit();
}

function bothView(name, mine, theirs) {
  const row = (side, value) => el("div", {}, el("dt", {}, side), el("dd", {}, valueText(name, value)));
  return el("dl", { className: "rows" }, row(words.mine, mine), row(words.theirs, theirs));
}

function valueText(name, value) {
  if (value === null || value === "" || value.length === 0) return words.none;
  if (name === "title") return value;
  if (name === "fixedSlot") return slotName(value);
  if (name === "deadline") return dayName(value);
  return name === "tags" ? value.join(", ") : words.kategorie[value];
}

/** The lines that differ, with some around them. */
function diffView(mine, theirs) {
  const tags = { mine: "ins", theirs: "del", both: "span", skipped: "span" };
  const line = (it) =>
    el(tags[it.in], { className: it.in }, it.in === "skipped" ? words.skipped(it.count) : it.line || " ");
  return [
    el("p", { className: "legend" }, el("ins", {}, words.onlyMine), el("del", {}, words.onlyTheirs)),
    el(
      "pre",
      { className: "diff", tabindex: "0", "aria-label": words.text },
      shortened(lineDiff(mine, theirs)).map(line),
    ),
  ];
}
