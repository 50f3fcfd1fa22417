// Making and changing a task.

/**
 * A form that is open: `stem` of the task to change or null for a new one, `base` the task as it was read, `fields`
 * as they stand in the form, `key` for the service to know a repeated request by. It outlives the page as a draft.
 */
let form = null;

const DRAFT = "codex-draft ";
const draftName = (stem) => `${DRAFT}${heard.user} ${stem ?? ""}`;

function keepDraft() {
  if (form?.touched) tab.set(draftName(form.stem), form);
}

/** A form that is done with. */
function drop(which) {
  tab.forget(draftName(which.stem));
  if (form === which) form = null;
}

function draftOf(stem) {
  const draft = tab.get(draftName(stem));
  return draft && { ...draft, restored: true, sending: false };
}

const newKey = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((it) => it.toString(16).padStart(2, "0")).join("");

function openNew(given) {
  form = draftOf(null) ?? {
    stem: null,
    key: newKey(),
    fields: {
      title: "",
      kategorie: "arbeit",
      deadline: null,
      fixedSlot: slotFrom(given.get("datum"), given.get("zeit")),
      tags: [],
      body: "",
    },
  };
  showForm();
}

const slotFrom = (datum, zeit) => (/^\d{2}\.\d{2}\.\d{4}$/.test(datum ?? "") && zeit in ENDS ? { datum, zeit } : null);

async function openEdit(stem) {
  form = draftOf(stem);
  if (form) return showForm();
  showLoading(stem);
  try {
    const { json: task } = await ask("GET", pathOf(stem));
    if (!isAt("edit", stem)) return;
    if (task.problem) return replacePlace(placeOf("task", stem));
    form = { stem, base: task, fields: fieldsOf(task) };
    showForm();
  } catch (refusal) {
    if (isAt("edit", stem)) back();
    failed(refusal);
  }
}

/** What of a task can be edited. A text field knows no other line break than LF. */
const fieldsOf = ({ kategorie, deadline, fixedSlot, tags, body }) => ({
  kategorie,
  deadline,
  fixedSlot,
  tags,
  body: (body ?? "").replace(/\r\n?/g, "\n"),
});

/** The fields that differ from those the task had. */
function changesOf({ base, fields }) {
  const before = fieldsOf(base);
  const changes = Object.entries(fields).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name]),
  );
  const json = Object.fromEntries(changes);
  if ("body" in json && base.body.includes("\r\n")) json.body = json.body.replaceAll("\n", "\r\n");
  return json;
}

// --- How it looks ---

function showForm() {
  const { stem, base, fields } = form;
  show(
    "form-title",
    el("h2", { id: "form-title" }, stem ? words.editTask(base.title) : words.newTask),
    form.restored && el("p", { className: "banner", role: "status" }, words.draft),
    el(
      "form",
      { className: "task", onsubmit: submit, oninput: readForm },
      !stem &&
        field(
          "title",
          words.title,
          el("input", {
            name: "title",
            value: fields.title,
            required: true,
            pattern: ".*\\S.*",
            maxlength: "500",
            autocomplete: "off",
            "data-key": "title",
          }),
        ),
      kategorieField(fields.kategorie),
      el(
        "div",
        { className: "columns" },
        field("deadline", words.deadline, dateInput("deadline", fields.deadline)),
        field("datum", words.fixedDay, dateInput("datum", fields.fixedSlot?.datum)),
        field(
          "zeit",
          words.fixedZeit,
          el(
            "select",
            { name: "zeit" },
            Object.keys(ENDS).map((zeit) =>
              el("option", { value: zeit, selected: zeit === fields.fixedSlot?.zeit }, words.zeit[zeit]),
            ),
          ),
        ),
      ),
      tagsField(),
      field(
        "body",
        words.text,
        el("textarea", { name: "body", rows: "8", "aria-describedby": "body-hint", "data-key": "body" }, fields.body),
      ),
      el(
        "p",
        { id: "body-hint", className: "quiet" },
        [words.textHint, stem && words.titleHint].filter(Boolean).join(". "),
      ),
      el("div", { id: "previewed", "aria-live": "polite" }),
      el("p", { id: "form-error", role: "alert" }),
      el(
        "p",
        { className: "buttons" },
        el("button", { className: "main" }, words.save),
        el("button", { type: "button", onclick: previewBody }, words.preview),
        el(
          "button",
          {
            type: "button",
            onclick: () => {
              drop(form);
              back();
            },
          },
          words.discard,
        ),
      ),
    ),
    el("div", { id: "conflict" }),
  );
  dialog.querySelector("input").focus();
}

const field = (name, label, input) =>
  el("p", { className: "field" }, el("label", { for: `field-${name}` }, label), named(input, name));

function named(input, name) {
  input.id = `field-${name}`;
  return input;
}

const dateInput = (name, datum) =>
  el("input", { type: "date", name, value: datum ? isoOf(datum) : undefined, min: "1900-01-01", max: "9999-12-31" });

function kategorieField(chosen) {
  const choice = (kategorie) =>
    el(
      "label",
      {},
      el("input", { type: "radio", name: "kategorie", value: kategorie, checked: kategorie === chosen }),
      words.kategorie[kategorie],
    );
  return el(
    "fieldset",
    { className: "field" },
    el("legend", {}, words.kategorieLabel),
    ["arbeit", "privat"].map(choice),
  );
}

function tagsField() {
  const list = el("span", { className: "tags" });
  const input = el("input", {
    name: "tag",
    autocomplete: "off",
    placeholder: words.addTag,
    list: "known-tags",
    maxlength: "200",
    onkeydown: (event) => event.key === "Enter" && (event.preventDefault(), add()),
    onchange: () => add(),
  });
  const draw = () =>
    fill(
      list,
      form.fields.tags.map((tag) =>
        el(
          "button",
          {
            type: "button",
            className: "tag",
            "aria-label": words.removeTag(tag),
            onclick: () => {
              set(form.fields.tags.filter((it) => it !== tag));
              input.focus();
            },
          },
          tag,
          " ×",
        ),
      ),
    );
  const set = (tags) => {
    form.fields.tags = tags;
    touched();
    draw();
  };
  const add = () => {
    const tag = input.value.trim();
    input.value = "";
    if (tag && !form.fields.tags.includes(tag)) set([...form.fields.tags, tag]);
  };
  draw();
  const known = new Set(
    (state.week?.timeline ?? []).flatMap((day) => day.slots.flatMap((slot) => slot.task?.tags ?? [])),
  );
  return el(
    "div",
    { className: "field" },
    el("label", { for: "field-tag" }, words.tags),
    list,
    named(input, "tag"),
    el(
      "datalist",
      { id: "known-tags" },
      [...known].map((tag) => el("option", { value: tag })),
    ),
  );
}

/** Takes over what stands in the form. */
function readForm({ currentTarget }) {
  const said = new FormData(currentTarget);
  const date = (name) => (said.get(name) ? datumOf(said.get(name)) : null);
  const datum = date("datum");
  Object.assign(form.fields, {
    kategorie: said.get("kategorie"),
    deadline: date("deadline"),
    fixedSlot: datum && { datum, zeit: said.get("zeit") },
    body: said.get("body").replace(/\r\n?/g, "\n"),
  });
  if (said.has("title")) form.fields.title = said.get("title").trim();
  touched();
}

function touched() {
  form.touched = true;
  keepDraft();
}

async function previewBody() {
  const place = dialog.querySelector("#previewed");
  try {
    const { json } = await ask("POST", "/api/preview", { json: { body: form.fields.body } });
    fill(place, el("h3", {}, words.preview), rendered(json.html));
  } catch (refusal) {
    failed(refusal);
  }
}

// --- Sending it ---

async function submit(event) {
  event.preventDefault();
  if (form.sending || !mayChange()) return;
  const sent = form;
  const button = event.submitter ?? dialog.querySelector("button.main");
  sent.sending = true;
  button.textContent = words.saving;
  showRefusal(null);
  try {
    await (sent.stem ? saveEdit(sent) : saveNew(sent));
  } catch (refusal) {
    if (isOpen(sent)) showRefusal(refusal);
    else failed(refusal);
  } finally {
    sent.sending = false;
    button.textContent = words.save;
  }
}

/** Whether it is still before the person: while it was sent, they may have gone elsewhere. */
const isOpen = (which) => form === which && isAt(which.stem ? "edit" : "new", which.stem ?? "");

async function saveNew(sent) {
  const { key, fields } = sent;
  const task = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== ""));
  // A heading in the text would be the title, and this one forgotten.
  if (task.body) task.body = `# ${fields.title}\n\n${task.body}`;
  const { json } = await ask("POST", "/api/tasks", { json: task, headers: { "Idempotency-Key": key } });
  finish(sent, words.created(json.id, fields.title));
}

async function saveEdit(sent) {
  const { stem, base } = sent;
  const changes = changesOf(sent);
  if (Object.keys(changes).length === 0) return finish(sent, words.nothingChanged);
  try {
    await patch(stem, changes, base.etag);
  } catch (refusal) {
    if (refusal.code !== "precondition_failed" || !isOpen(sent)) throw refusal;
    return showConflict();
  }
  finish(sent, words.saved(base.title));
}

function finish(sent, text) {
  const wasOpen = isOpen(sent);
  drop(sent);
  if (wasOpen) back();
  tell(text);
  changed();
}

/** Says at the form what was refused, and marks the field at fault. */
function showRefusal(refusal) {
  if (refusal && !(refusal instanceof Refusal)) throw refusal;
  for (const input of dialog.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  const place = dialog.querySelector("#form-error");
  if (!refusal) return place.replaceChildren();
  if (refusal.status === 401) return signIn();
  place.replaceChildren(refusal.message);
  const name = { "fixedSlot.datum": "datum", "fixedSlot.zeit": "zeit", tags: "tag" }[refusal.field] ?? refusal.field;
  const input = name && dialog.querySelector(`[name="${CSS.escape(name)}"]`);
  input?.setAttribute("aria-invalid", "true");
  input?.setAttribute("aria-describedby", "form-error");
  input?.focus();
}

// --- Somebody else was faster ---

async function showConflict() {
  const which = form;
  const { json: theirs } = await ask("GET", pathOf(which.stem));
  if (which !== form) return;
  if (theirs.problem) throw new Refusal(theirs.problem.message, { code: "task_unreadable" });
  const mine = changesOf(form);
  const names = {
    kategorie: words.kategorieLabel,
    deadline: words.deadline,
    fixedSlot: words.fixed,
    tags: words.tags,
    body: words.text,
  };
  const [own, other] = [form.fields, fieldsOf(theirs)];
  const differs = (name) => JSON.stringify(own[name]) !== JSON.stringify(other[name]);
  const row = (name) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, names[name]),
      el("td", {}, valueView(name, own[name])),
      el("td", {}, valueView(name, other[name])),
    );
  const choose = (label, act, main) => el("button", { type: "button", className: main && "main", onclick: act }, label);
  const place = dialog.querySelector("#conflict");
  // There is one thing to decide now.
  dialog.querySelector("form").hidden = true;
  const heading = el("h3", { tabindex: "-1" }, words.conflict);
  place.replaceChildren(
    heading,
    el("p", {}, words.conflictHint),
    el(
      "div",
      { className: "scroll", tabindex: "0", role: "group", "aria-label": words.conflict },
      el(
        "table",
        {},
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            [words.field, words.mine, words.theirs].map((name) => el("th", { scope: "col" }, name)),
          ),
        ),
        el("tbody", {}, Object.keys(names).filter(differs).map(row)),
      ),
    ),
    el(
      "p",
      { className: "buttons" },
      choose(words.keepMine, () => settle(theirs, { ...other, ...pick(own, mine) }, true), true),
      choose(words.takeTheirs, () => {
        drop(form);
        back();
        changed();
      }),
      choose(words.keepEditing, () => settle(theirs, { ...other, ...pick(own, mine) }, false)),
    ),
  );
  heading.focus();
}

const pick = (object, names) => Object.fromEntries(Object.keys(names).map((name) => [name, object[name]]));

/** Goes on from their version, with the fields that were changed here. */
function settle(base, fields, save) {
  Object.assign(form, { base, fields });
  keepDraft();
  showForm();
  if (save) dialog.querySelector("form").requestSubmit();
}

function valueView(name, value) {
  if (value === null || value === "" || value.length === 0) return words.none;
  if (name === "body") return el("pre", {}, value);
  if (name === "fixedSlot") return slotName(value);
  return name === "tags" ? value.join(", ") : (words.kategorie[value] ?? value);
}
