// The form to create or edit a task.

/**
 * The open form: `stem` of the task to edit, or null for a new one; `base`, the task as read; `fields`, the form's
 * values; `key`, the `Idempotency-Key`; `line`, the text of quick add that it came from. It survives a reload as a draft.
 */
let form = null;

const DRAFT = "codex-draft ";
const draftName = ({ stem, line }) => `${DRAFT}${server.user} ${stem ?? (line ? "+" : "")}`;

function saveDraft() {
  if (form?.touched) tab.set(draftName(form), form);
}

/** Closes a form and removes its draft: another form may have the draft's name by now. */
function discardForm(which) {
  const isSame = (it) => it && draftName(it) === draftName(which) && it.key === which.key;
  if (isSame(loadDraft(which))) tab.forget(draftName(which));
  if (isSame(form)) form = null;
  if (which.line) finishLine(which.line);
}

function loadDraft(which) {
  const draft = tab.get(draftName(which));
  if (!draft) return null;
  const { base, fields } = draft;
  // An older version of this page had the title in the text only.
  if (base && fields.title === undefined)
    draft.fields = { ...fields, title: base.title, body: splitBody({ title: base.title, body: fields.body }).body };
  return { ...draft, restored: true, sending: false };
}

const newKey = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((it) => it.toString(16).padStart(2, "0")).join("");

function openNew(given) {
  form = (given.has("line") && lineForm()) || loadDraft({ stem: null }) || {
    stem: null,
    key: newKey(),
    fields: {
      title: given.get("title") ?? "",
      kategorie: isWeekend(given.get("datum") ?? "") ? "privat" : "arbeit",
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
  form = loadDraft({ stem });
  if (form) return showForm();
  showLoading(stem);
  try {
    const { json: task } = await request("GET", pathOf(stem));
    if (!isAt("edit", stem)) return;
    if (task.problem) return replaceRoute(routeTo("task", stem));
    form = { stem, base: task, fields: fieldsOf(task) };
    showForm();
  } catch (error) {
    if (isAt("edit", stem)) back();
    handleError(error);
  }
}

/** The editable fields of a task. The title isn't repeated in the text. */
function fieldsOf(task) {
  const { title, kategorie, deadline, fixedSlot, tags } = task;
  return { title, kategorie, deadline, fixedSlot, tags, body: splitBody(task).body };
}

/** The fields that were changed, with the body's heading and original line endings. */
function changesOf({ base, fields }) {
  const before = fieldsOf(base);
  const changes = Object.entries(fields).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name]),
  );
  const json = Object.fromEntries(changes);
  // The service rewrites the heading, of this text, too.
  if ("body" in json) json.body = joinBody(base, fields);
  if ("body" in json && base.body.includes("\r\n")) json.body = json.body.replaceAll("\n", "\r\n");
  return json;
}

// --- Rendering ---

function showForm() {
  const { stem, base, fields } = form;
  show(
    "form-title",
    el("h2", { id: "form-title" }, stem ? words.editTask(base.title) : words.newTask),
    form.restored && el("p", { className: "banner", role: "status" }, words.draft),
    el(
      "form",
      { className: "task", onsubmit: submit, oninput: readForm, onkeydown: submitByKey },
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
        words.textHint,
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
              discardForm(form);
              back();
            },
          },
          words.discard,
        ),
      ),
    ),
    el("div", { id: "conflict" }),
  );
  dialog.querySelector("[name=title]").focus();
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

/** Copies the inputs' values to `form.fields`. */
function readForm({ currentTarget }) {
  const data = new FormData(currentTarget);
  const date = (name) => (data.get(name) ? datumOf(data.get(name)) : null);
  const datum = date("datum");
  Object.assign(form.fields, {
    title: data.get("title").trim(),
    kategorie: data.get("kategorie"),
    deadline: date("deadline"),
    fixedSlot: datum && { datum, zeit: data.get("zeit") },
    body: withLf(data.get("body")),
  });
  touched();
}

function touched() {
  form.touched = true;
  saveDraft();
}

async function previewBody() {
  const place = dialog.querySelector("#previewed");
  try {
    const { json } = await request("POST", "/api/preview", { json: { body: form.fields.body } });
    fill(place, el("h3", {}, words.preview), rendered(json.html));
  } catch (error) {
    handleError(error);
  }
}

// --- Saving ---

/** Also from the text, where Enter alone begins a line. */
function submitByKey(event) {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
  event.preventDefault();
  event.currentTarget.requestSubmit();
}

async function submit(event) {
  event.preventDefault();
  if (form.sending || !canWrite()) return;
  const sent = form;
  const button = event.submitter ?? dialog.querySelector("button.main");
  sent.sending = true;
  button.textContent = words.saving;
  showFormError(null);
  try {
    await (sent.stem ? saveEdit(sent) : saveNew(sent));
  } catch (error) {
    if (isOpen(sent)) showFormError(error);
    else handleError(error);
  } finally {
    sent.sending = false;
    button.textContent = words.save;
  }
}

/** Whether the form is still visible: the user may have navigated during the request. */
const isOpen = (which) => form === which && isAt(which.stem ? "edit" : "new", which.stem ?? "");

async function saveNew(sent) {
  const { key, fields } = sent;
  const { json } = await postTask(fields, key);
  finish(sent, words.created(json.id, fields.title), stemOf(json.filename), json);
}

/** Creates a task. */
function postTask(fields, key) {
  const task = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== ""));
  // The title is sent as the first heading: a heading in the body would replace it otherwise.
  if (task.body) task.body = `# ${fields.title}\n\n${task.body}`;
  return request("POST", "/api/tasks", { json: task, headers: { "Idempotency-Key": key } });
}

const MOST_TRIES = 3; // Somebody else may change the task as often as it is tried to save it.

async function saveEdit(sent) {
  const { stem } = sent;
  for (let tries = 1; ; tries += 1) {
    const changes = changesOf(sent);
    if (Object.keys(changes).length === 0) return finish(sent, words.nothingChanged);
    try {
      const { json } = await patch(stem, changes, sent.base.etag);
      return finish(sent, words.saved(sent.fields.title), stem, json);
    } catch (error) {
      if (error.code !== "precondition_failed" || !isOpen(sent) || tries === MOST_TRIES) throw error;
    }
    const { json: theirs } = await request("GET", pathOf(stem), { headers: { "Cache-Control": "no-cache" } });
    if (!isOpen(sent)) return;
    if (theirs.problem) throw new ApiError(theirs.problem.message, { code: "task_unreadable" });
    const both = changedByBoth(fieldsOf(sent.base), sent.fields, fieldsOf(theirs));
    if (both.length) return showConflict(theirs, both);
    // Each side changed something else: both changes stand.
    putOnTopOf(sent, theirs);
  }
}

/** Makes the form one of the current version, with the fields that were changed here. */
function putOnTopOf(which, base) {
  const mine = Object.fromEntries(Object.keys(changesOf(which)).map((name) => [name, which.fields[name]]));
  Object.assign(which, { base, fields: { ...fieldsOf(base), ...mine } });
}

/** Closes the form, says what was done, and where the task is now, if it was `changed`. */
async function finish(sent, text, stem, changed) {
  const wasOpen = isOpen(sent);
  discardForm(sent);
  if (wasOpen) back();
  const said = showMessage(text);
  await afterChange();
  if (changed) sayPlace(said, stem, { ...changed, fixedSlot: sent.fields.fixedSlot });
}

/** Shows the error in the form and marks the invalid field. */
function showFormError(error) {
  if (error && !(error instanceof ApiError)) throw error;
  for (const input of dialog.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  const place = dialog.querySelector("#form-error");
  if (!error) return place.replaceChildren();
  if (error.status === 401) return signIn();
  place.replaceChildren(error.message);
  const name = { "fixedSlot.datum": "datum", "fixedSlot.zeit": "zeit", tags: "tag" }[error.field] ?? error.field;
  const input = name && dialog.querySelector(`[name="${CSS.escape(name)}"]`);
  input?.setAttribute("aria-invalid", "true");
  input?.setAttribute("aria-describedby", "form-error");
  input?.focus();
}
